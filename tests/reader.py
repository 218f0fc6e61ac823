"""A phone as a good app is one: it comes and goes, and says each time what it had last."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import aiohttp

from tests.phone import PATIENCE_S


class Got(NamedTuple):
    """A chat that arrived: the number that is its text, and its id."""

    number: int
    id: int


class Hole(NamedTuple):
    """A gap that arrived."""

    reason: str
    from_id: int
    to_id: int


class Reader:
    """`story` is what arrived over all connections, in order."""

    def __init__(self, http: aiohttp.ClientSession, token: str) -> None:
        self._http = http
        self._token = token
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self.story: list[Got | Hole] = []
        self.epoch = ""
        self.last_id = 0
        self.state = ""
        #: For each return: whether the server knew where this phone had been.
        self.recovered: list[bool] = []

    @property
    def connected(self) -> bool:
        return self._reading is not None and not self._reading.done()

    @property
    def got(self) -> list[Got]:
        return [entry for entry in self.story if isinstance(entry, Got)]

    async def come(self, url: str) -> None:
        """Connect, with `since` when there was anything before."""
        query = {"since": str(self.last_id), "epoch": self.epoch} if self.epoch else {}
        headers = {"Authorization": f"Bearer {self._token}"}
        self._ws = await self._http.ws_connect(f"{url}/ws", params=query, headers=headers)
        self._reading = asyncio.create_task(self._read(self._ws))

    async def go(self) -> None:
        """Wait until the connection has ended; somebody else cuts it."""
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=PATIENCE_S)
            self._reading.result()
            self._reading = None

    async def until(self, number: int) -> None:
        """Wait until this number has arrived, or a later one."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.got or self.got[-1].number < number:
                self._news.clear()
                await self._news.wait()

    async def until_live(self) -> None:
        """Wait until the room is live."""
        async with asyncio.timeout(PATIENCE_S):
            while self.state != "live":
                self._news.clear()
                await self._news.wait()

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ws:
            self._take(json.loads(message.data))
            self._news.set()

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "error":
            raise AssertionError(f"no error was due: {frame}")
        if frame["type"] == "gap":
            hole = Hole(frame["reason"], frame.get("from_id", 0), frame.get("to_id", 0))
            self.story.append(hole)
        self.state = frame.get("state", self.state)
        if frame["type"] == "status" and "epoch" in frame:
            if self.epoch:
                self.recovered.append(frame["recovered"])
                assert frame["epoch"] == self.epoch
            else:
                self.last_id = frame["last_id"]
            self.epoch = frame["epoch"]
        if "id" in frame:
            assert frame["id"] > self.last_id, "ids only grow"
            self.last_id = frame["id"]
            if frame["type"] == "chat":
                self.story.append(Got(int(frame["message"]), frame["id"]))


def explain_holes(reader: Reader, sent: range, published: dict[int, int]) -> None:
    """Fail unless everything sent arrived once and in order, or lies in a gap.

    `published` has the id of each number that the server has logged; for a number that it never
    had, a gap must stand where it is missing.
    """
    numbers = [got.number for got in reader.got]
    assert numbers == sorted(set(numbers)), "in order, once"
    holes = [entry for entry in reader.story if isinstance(entry, Hole)]
    for number in set(sent) - set(numbers):
        if number in published:
            assert any(hole.from_id <= published[number] <= hole.to_id for hole in holes), (
                f"{number} was lost in silence",
                reader.story,
            )
            continue
        before = max((i for i, e in enumerate(reader.story) if _is_before(e, number)), default=-1)
        after = min(
            (i for i, e in enumerate(reader.story) if isinstance(e, Got) and e.number > number),
            default=len(reader.story),
        )
        between = reader.story[before + 1 : after]
        assert any(isinstance(entry, Hole) for entry in between), (
            f"{number} never came and nothing says so",
            reader.story,
        )


def _is_before(entry: Got | Hole, number: int) -> bool:
    return isinstance(entry, Got) and entry.number < number
