"""Processes on cores of their own: what they cost is read from the kernel."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

SERVER_CORE: Final = 0
OTHERS_CORE: Final = 1
TICKS: Final = os.sysconf("SC_CLK_TCK")
PATIENCE_S: Final = 60.0


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A child pinned to one core; `with` ends it."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        core: int = OTHERS_CORE,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._name = " ".join(Path(argument).name for argument in arguments[:3])
        with open(cwd / "stderr.log" if cwd else os.devnull, "ab") as log:
            self._child = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(15)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def cpu_s(self) -> float:
        """CPU time so far, of the process and its threads."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_kib(self) -> int:
        """Resident memory."""
        for line in Path(f"/proc/{self._child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError("the process has ended")

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def line(self) -> str:
        """The next line of its standard output."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended with {self._child.wait()}")
        return line.strip()

    def answer(self) -> dict[str, Any]:
        """The next line, as JSON."""
        answer: dict[str, Any] = json.loads(self.line())
        return answer


def wait_for_port(port: int) -> None:
    """Until something listens."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


class Phones(Process):
    """Many phones in one process; see peers/phones.c."""

    def __init__(
        self,
        program: Path,
        port: int,
        paths: Iterable[str],
        folder: Path,
        *,
        mode: str = "ws",
        stalled: int = 0,
    ) -> None:
        file = folder / f"paths-{port}-{time.monotonic_ns()}.txt"
        file.write_text("".join(f"{path}\n" for path in paths))
        super().__init__([program, str(port), mode, file, str(stalled)])

    def connected(self) -> float:
        """Wait until all are; the seconds it took."""
        seconds: float = self.answer()["seconds"]
        return seconds

    def count(self, seconds: float) -> dict[str, Any]:
        """What they get within so long."""
        self.say("count")
        time.sleep(seconds)
        self.say("report")
        return self.answer()
