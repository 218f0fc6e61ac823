"""What a healthy phone is promised, held while anything else goes wrong: numbered chats are sent, a
phone reads them, and comes back with its last id whenever its socket ends.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from tests.tiktok import Creator, frames

#: Longer than a server needs to start and a room to be live again.
PATIENCE_S: Final = 30.0
PERIOD_S: Final = 0.02


class Witness:
    """`async with Witness(http, creator, token, url) as witness`; `url` is set anew when the server
    moves. Chats are sent while the creator is connected.
    """

    def __init__(self, http: aiohttp.ClientSession, creator: Creator, token: str, url: str) -> None:
        self.url = url
        self.sent = 0
        #: Everything it got, in order, over all its sockets.
        self.frames: list[dict[str, Any]] = []
        #: How often it had to connect.
        self.connects = 0
        self._http = http
        self._creator = creator
        self._token = token
        self._epoch = ""
        self._last_id = 0
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._send())]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    @property
    def numbers(self) -> list[int]:
        """The chats that it got."""
        return [int(frame["message"]) for frame in self.frames if frame["type"] == "chat"]

    async def hears(self, count: int = 25) -> None:
        """Wait for so many more chats."""
        wanted = len(self.numbers) + count
        await self._until(lambda: len(self.numbers) >= wanted)

    async def finish(self) -> None:
        """Send no more, and wait for the last one that was sent."""
        self._tasks[1].cancel()
        with suppress(asyncio.CancelledError):
            await self._tasks[1]
        await self._until(lambda: self.numbers[-1:] == [self.sent - 1])

    def check(self) -> None:
        """Nothing doubled or out of order, and no hole that no gap stands in."""
        expected, gap = 0, False
        for frame in self.frames:
            if frame["type"] == "gap":
                gap = True
            elif frame["type"] == "chat":
                number = int(frame["message"])
                assert number >= expected, f"{number} came again, or late"
                assert number == expected or gap, f"{expected} to {number - 1} lost in silence"
                expected, gap = number + 1, False

    def check_whole(self) -> None:
        """Everything that was sent, once, in order."""
        assert self.numbers == list(range(self.sent))

    async def _until(self, condition: Any) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = [frame for frame in self.frames if frame["type"] != "chat"][-5:]
            raise AssertionError(
                f"{len(self.numbers)} of {self.sent} chats after {self.connects} connects; {told}"
            ) from None

    async def _send(self) -> None:
        while True:
            if self._creator.room_sockets:
                self.sent += 1
                with suppress(ConnectionError):
                    await self._creator.send(frames.chat("fan", str(self.sent - 1)))
            await asyncio.sleep(PERIOD_S)

    async def _read(self) -> None:
        while True:
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._serve()
            await asyncio.sleep(PERIOD_S)

    async def _serve(self) -> None:
        query = {"since": str(self._last_id), "epoch": self._epoch} if self._epoch else {}
        headers = {"Authorization": f"Bearer {self._token}"}
        ws = await self._http.ws_connect(f"{self.url}/ws", headers=headers, params=query)
        self.connects += 1
        while (message := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
            frame = message.json()
            self.frames.append(frame)
            self._epoch = frame.get("epoch", self._epoch)
            # A first status says where the log stands, which is not what was handed.
            if "last_id" in frame and not self._last_id:
                self._last_id = frame["last_id"]
            self._last_id = max(self._last_id, frame.get("id", 0))
            self._news.set()
