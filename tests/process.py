"""LiveRelay as operators hold it: `python run.py` in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiohttp

from tests import canaries
from tests.tiktok import TikTok

RUN: Final = Path(__file__).parents[1] / "run.py"
#: What SEED and DESIGN promise for the end of a server.
STOPS_WITHIN_S: Final = 10.0
PATIENCE_S: Final = 30.0


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


def environment(folder: Path, tiktok: TikTok | None = None, **extra: str) -> dict[str, str]:
    """An environment without the developer's own settings, that points at TikTok on loopback."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LIVERELAY_", "SIGN_API_"))}
    settings = {"LIVERELAY_SERVER__PORT": "0"}
    if tiktok is not None:
        settings |= {
            "LIVERELAY_TIKTOK__APP_URL": tiktok.app_url,
            "LIVERELAY_TIKTOK__WEBCAST_URL": tiktok.webcast_url,
            "SIGN_API_URL": tiktok.sign_url,
            "LIVERELAY_SIGN__MIN_INTERVAL_S": "0",
        }
    return kept | settings | extra


async def run(
    folder: Path, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> Done:
    """Run one command to its end in `folder`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(RUN),
        *arguments,
        cwd=folder,
        env=environment(folder) if env is None else env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    canaries.note_printed(out.decode())
    canaries.assert_none_in(err, "standard error")
    return Done(process.returncode or 0, out.decode(), err.decode())


class Server:
    """A serving process. `async with Server(folder, env) as server`; stderr is in `server.err`.

    `descriptors` is the most that it may have open, 0 for what this process may.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str], *arguments: str, descriptors: int = 0
    ) -> None:
        self._descriptors = descriptors
        self._folder = folder
        self._env = env
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.out = ""
        self.url = ""

    async def __aenter__(self) -> Self:
        limit = ("prlimit", f"--nofile={self._descriptors}", "--") if self._descriptors else ()
        with (self._folder / "stderr.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *limit,
                sys.executable,
                str(RUN),
                *self._arguments,
                cwd=self._folder,
                env=dict(self._env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        await asyncio.wait_for(self._read_start(), PATIENCE_S)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()
        canaries.note_printed(self.out)
        canaries.assert_none_in(self.err, "standard error")
        canaries.assert_none_in_database(self._folder / "liverelay.db")

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    @property
    def err(self) -> str:
        """Everything on standard error so far."""
        return (self._folder / "stderr.log").read_text(encoding="utf-8")

    @property
    def pairing_code(self) -> str:
        """The code of the printed pairing link, "" when none was printed."""
        found = re.search(r"/app/#pair=(\S+)", self.out)
        return found[1] if found else ""

    @property
    def login_url(self) -> str:
        """The printed console link, "" when none was printed."""
        found = re.search(r"http\S+/console/login/\S+", self.out)
        return found[0] if found else ""

    @property
    def rss_kib(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1])

    async def metrics(self, http: aiohttp.ClientSession) -> dict[str, float]:
        """What it counts, of what has no labels."""
        async with http.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        found = re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    def refuse_writes(self) -> None:
        """As a full disk does: no file may be longer than a byte, and all are."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (1, hard))

    def accept_writes(self) -> None:
        """There is room again."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status. Raises TimeoutError past the promised time."""
        self.process.send_signal(signum)
        return await asyncio.wait_for(self.process.wait(), STOPS_WITHIN_S)

    async def _read_start(self) -> None:
        """Read what the start prints: it begins with the address and ends with a blank line."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.out += line.decode()
            if found := re.match(r"LiveRelay: (\S+)", line.decode()):
                self.url = found[1]
                break
        else:
            raise AssertionError(f"the server did not start: {self.err}")
        # Everything is printed at once, so what there is comes with the next reads.
        while not self.out.endswith('config.toml: server.host = "0.0.0.0"\n\n'):
            line = await self.process.stdout.readline()
            if not line:
                break
            self.out += line.decode()
