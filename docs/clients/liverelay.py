"""A client for LiveRelay's WebSocket: connects, keeps the rules of docs/clients.md, yields frames.

    async with LiveRelay("wss://relay.example/ws", token) as relay:
        async for frame in relay:
            if frame["type"] == "chat":
                print(frame["user"], frame["message"])

Needs aiohttp. `python liverelay.py URL TOKEN` prints what comes. Copy it, and change what you like.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import aiohttp

CLOSE_POLICY = 1008
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
#: The server is heard from at least this often: it sends pings.
SILENCE_S = 60.0
REASON = re.compile(r"([a-z_]+)(?: (\d{1,12}))?")

Frame = dict[str, Any]


class Halted(Exception):
    """The server does not want us back by itself; `error` says what has to be done first."""

    def __init__(self, error: Frame) -> None:
        super().__init__(error.get("message") or error.get("code") or "closed")
        self.error = error


class LiveRelay:
    """One user's live, kept connected: iterate over it, until Halted is raised.

    `options` go into the query (`lang`, `types`, `combo` …). `on_wait(seconds, error)` is told
    before each pause; `error` is the frame that says why, {} when nothing did.
    """

    def __init__(
        self,
        url: str,
        token: str,
        options: Mapping[str, str] | None = None,
        *,
        on_wait: Callable[[float, Frame], None] = lambda _seconds, _error: None,
    ) -> None:
        self.url = url
        self.options = dict(options or {})
        #: Where we have got to. Keep both to go on from there after a restart of yours.
        self.epoch, self.last_id = "", 0
        self._on_wait = on_wait
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pause_s = SHORTEST_PAUSE_S

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while True:
            error: Frame = {}
            code, reason = 0, ""
            try:
                async with self._session.ws_connect(
                    self.url,
                    params=self._query(),
                    timeout=aiohttp.ClientWSTimeout(ws_receive=SILENCE_S),
                ) as socket:
                    while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                        frame: Frame = json.loads(message.data)
                        if frame["type"] == "error" and frame.get("closing"):
                            error = frame
                        if self._is_new(frame):
                            yield frame
                    if message.type is aiohttp.WSMsgType.CLOSE:
                        code, reason = message.data, message.extra or ""
            except (aiohttp.ClientError, OSError):
                pass  # no network, no server, or one that has gone silent
            wait_s = self._wait_s(error, code, reason)
            self._on_wait(wait_s, error)
            await asyncio.sleep(wait_s)

    def _query(self) -> dict[str, str]:
        if not self.epoch:
            return self.options
        return {**self.options, "since": str(self.last_id), "epoch": self.epoch}

    def _is_new(self, frame: Frame) -> bool:
        """Keep the place in the room's frames; False for one that was there already."""
        if frame["type"] == "status":
            # A server that only gets as far as "connecting" is not to be asked every second.
            if frame["state"] != "connecting":
                self._pause_s = SHORTEST_PAUSE_S
            if "epoch" in frame:
                if frame["epoch"] != self.epoch or frame.get("recovered") is False:
                    self.last_id = frame["last_id"]
                self.epoch = frame["epoch"]
        if "id" not in frame:
            return True
        is_new: bool = frame["id"] > self.last_id
        self.last_id = max(self.last_id, frame["id"])
        return is_new

    def _wait_s(self, error: Frame, code: int, reason: str) -> float:
        """How long to stay away. Raises Halted when that is until something was done."""
        said = REASON.fullmatch(reason)
        if "retry_after" in error:
            return float(error["retry_after"])
        if said and said[2]:
            return max(0.0, int(said[2]) - time.time())
        if code == CLOSE_POLICY:
            raise Halted(error or {"code": said[1] if said else ""})
        pause_s = random.uniform(0, self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return pause_s


async def main(url: str, token: str) -> None:
    """Print what comes, and why nothing does."""

    def waiting(seconds: float, error: Frame) -> None:
        print(f"# {error.get('message', 'no connection')}; again in {seconds:.0f} s")

    async with LiveRelay(url, token, on_wait=waiting) as relay:
        try:
            async for frame in relay:
                print(json.dumps(frame, ensure_ascii=False))
        except Halted as halted:
            print(f"# {halted}: {halted.error.get('details', '')}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
