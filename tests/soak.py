"""Phones that come and go for half an hour while everything fails in turn; then all must be as it
was before: memory, tasks, descriptors. A witness must not have noticed.

python -m tests.soak [--minutes 30] [--seed 1]

Exit status 1 when something has grown, or was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

from server.store.database import Database
from tests.process import Server, environment
from tests.tiktok import Creator, SignAnswer, TikTok, frames
from tests.tiktok.envelope import push_frame
from tests.tiktok.traffic import Traffic
from tests.witness import Witness

CREATORS: Final = 20
PHONES: Final = 60
PATIENCE_S: Final = 60.0
#: The share of the time after which things count as warm.
WARM: Final = 0.2
#: What may have come on top: caches that fill, and the allocator's own ways.
MORE_RSS: Final = 1.15
MORE_RSS_KIB: Final = 8 << 10
MORE_DESCRIPTORS: Final = 2
MORE_TASKS: Final = 2

SETTINGS: Final = """
[limits]
connections_per_ip = 10000
[rooms]
linger_s = 1
[sign.anonymous_limits]
minute = 1000000
hour = 1000000
day = 1000000
"""


class Held(NamedTuple):
    """What the process holds."""

    rss_kib: int
    descriptors: int
    tasks: int


class Soak:
    """One run."""

    def __init__(
        self,
        tiktok: TikTok,
        server: Server,
        http: aiohttp.ClientSession,
        tokens: list[str],
        chance: random.Random,
    ) -> None:
        self._tiktok = tiktok
        self._server = server
        self._http = http
        self._tokens = tokens
        self._chance = chance
        self._bomb = push_frame(gzip.compress(b"\0" * 50_000_000), compression="gzip")
        self._traffic = Traffic(1)
        self.creators = [tiktok.creator(f"creator{n}", live=True) for n in range(CREATORS)]
        #: What was done, by name.
        self.done: Counter[str] = Counter()

    async def churn(self, seconds: float) -> None:
        """Phones come and go, and things fail."""
        tasks = [asyncio.create_task(self._comes_and_goes(token)) for token in self._tokens]
        tasks.append(asyncio.create_task(self._sends()))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            name, fail = self._chance.choice(self._faults())
            await fail()
            self.done[name] += 1
            await asyncio.sleep(self._chance.uniform(0.2, 1.5))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception():
                raise task.exception() or RuntimeError
        for creator in self.creators:
            if not creator.live:
                creator.go_live()

    async def quiet(self) -> Held:
        """Wait until only the witness is there; what is held then."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                seen = await self._server.metrics(self._http)
                if seen["liverelay_phones"] == 1 and seen["liverelay_rooms"] == 1:
                    break
                await asyncio.sleep(0.2)
        await asyncio.sleep(12)  # the edge's own time-outs
        seen = await self._server.metrics(self._http)
        descriptors = len(os.listdir(f"/proc/{self._server.process.pid}/fd"))
        return Held(self._server.rss_kib, descriptors, int(seen["liverelay_tasks"]))

    async def _sends(self) -> None:
        while True:
            for creator in self.creators:
                with suppress(ConnectionError):
                    await creator.send(*self._traffic.take(5))
            await asyncio.sleep(0.1)

    async def _comes_and_goes(self, token: str) -> None:
        chance = random.Random(token)
        since: dict[str, str] = {}
        while True:
            with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                since = await self._visit(token, chance, since)
                self.done["visits"] += 1
            await asyncio.sleep(chance.uniform(0, 1))

    async def _visit(
        self, token: str, chance: random.Random, since: dict[str, str]
    ) -> dict[str, str]:
        query = since if chance.random() < 0.7 else {}
        ws = await self._http.ws_connect(f"{self._server.url}/ws/{token}", params=query)
        until = time.monotonic() + chance.expovariate(0.3)
        if chance.random() < 0.3:
            name = self._chance.choice(self.creators).name
            await ws.send_json({"action": "connect_tiktok", "username": name})
        if chance.random() < 0.1:
            for _ in range(30):
                await ws.send_str("junk")
        epoch, last = query.get("epoch", ""), int(query.get("since", 0))
        while (left := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(ws.receive(), left)
            except TimeoutError:
                break
            if message.type is not aiohttp.WSMsgType.TEXT:
                return {}
            frame: dict[str, Any] = message.json()
            epoch = frame.get("epoch", epoch)
            last = max(last, frame.get("id", 0), frame.get("last_id", 0))
        if chance.random() < 0.5:
            await ws.close()
        else:
            response = ws._response  # vanish without a close frame
            response.close()
        return {"since": str(last), "epoch": epoch} if epoch else {}

    # ---- what fails

    def _faults(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        creator = self._chance.choice(self.creators)
        return [
            ("upstream reset", _now(creator.reset)),
            ("upstream dropped", _now(creator.drop)),
            ("upstream stalled", _now(creator.stall)),
            ("live ended", creator.end),
            ("live begun", _now(lambda: creator.live or creator.go_live())),
            ("live suspended", creator.suspend),
            ("garbage", creator.send_garbage),
            ("bad gzip", creator.send_bad_gzip),
            ("bomb", lambda: creator.send_raw(self._bomb)),
            ("flood", lambda: self._flood(creator)),
            ("429", _now(self._rate_limit)),
            ("sign server down", _now(lambda: self._sign(SignAnswer("500")))),
            ("frozen", self._freeze),
            ("disk full", self._fill_disk),
            ("guesses", self._guess),
            ("strangers", self._strangers),
        ]

    async def _flood(self, creator: Creator) -> None:
        for _ in range(5):
            await creator.send(*(frames.like("fan", 1, number) for number in range(300)))

    def _rate_limit(self) -> None:
        self._sign(SignAnswer.rate_limited({"Retry-After": "1"}))

    def _sign(self, answer: SignAnswer) -> None:
        self._tiktok.sign.script = [answer]

    async def _freeze(self) -> None:
        self._server.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(0.1, 1))
        self._server.process.send_signal(signal.SIGCONT)

    async def _fill_disk(self) -> None:
        self._server.refuse_writes()
        await asyncio.sleep(self._chance.uniform(0.5, 3))
        self._server.accept_writes()

    async def _guess(self) -> None:
        for number in range(5):
            with suppress(aiohttp.ClientError):
                await self._http.ws_connect(f"{self._server.url}/ws/guess{number}")

    async def _strangers(self) -> None:
        port = int(self._server.url.rsplit(":", 1)[1])
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /half")
            asyncio.get_running_loop().call_later(15, writer.close)


def _now(fail: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def later() -> None:
        fail()

    return later


async def _users(path: Path) -> list[str]:
    database = await Database.open(path, serving=False)
    tokens = []
    for number in range(PHONES + 1):
        name = f"creator{number % CREATORS}" if number else "witness"
        user = await database.users.create(f"user{number}", name)
        tokens.append(await database.users.add_token(user.user_id))
    await database.close()
    return tokens


async def soak(folder: Path, minutes: float, seed: int) -> list[str]:
    """Run; what did not hold, in words."""
    seconds = minutes * 60
    (folder / "config.toml").write_text(SETTINGS)  # noqa: ASYNC240
    own, *tokens = await _users(folder / "liverelay.db")
    async with (
        TikTok() as tiktok,
        Server(folder, environment(folder, tiktok)) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        watched = tiktok.creator("witness", live=True)
        async with Witness(http, watched, own, server.url) as witness:
            await witness.hears(5)
            run = Soak(tiktok, server, http, tokens, random.Random(seed))
            await run.churn(seconds * WARM)
            before = await run.quiet()
            print(f"warm:  {before}", flush=True)
            await run.churn(seconds * (1 - WARM))
            after = await run.quiet()
            print(f"after: {after}", flush=True)
            await witness.finish()
            status = await server.stop()
    print(", ".join(f"{count} × {name}" for name, count in sorted(run.done.items())))
    print(
        f"the witness got {len(witness.numbers)} of {witness.sent}, {witness.connects} connect(s)"
    )
    with closing(sqlite3.connect(folder / "liverelay.db")) as database:
        whole = database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    promises = {
        "memory has grown": after.rss_kib <= before.rss_kib * MORE_RSS + MORE_RSS_KIB,
        "descriptors have grown": after.descriptors <= before.descriptors + MORE_DESCRIPTORS,
        "tasks have grown": after.tasks <= before.tasks + MORE_TASKS,
        "the witness missed something": witness.numbers == list(range(witness.sent)),
        "the witness had to connect again": witness.connects == 1,
        "the server did not stop cleanly": status == 0,
        "a traceback was written": "Traceback" not in server.err,
        "the database is not whole": whole,
    }
    return [what for what, held in promises.items() if not held]


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="liverelay-soak-") as folder:
        broken = asyncio.run(soak(Path(folder), arguments.minutes, arguments.seed))
    print("\n".join(broken) or "everything held")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
