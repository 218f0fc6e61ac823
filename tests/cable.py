"""A cable between a client and a server on loopback, which a test can cut."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Cable:
    """Forwards every connection to `port`. `async with Cable(port) as cable`, then `cable.url`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._held = False
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._plugged, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        """Where clients plug in."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def plug(self, port: int) -> None:
        """Lead new connections to another server, such as one that was started again."""
        self._target = port

    def cut(self) -> None:
        """Break every connection without a word; new ones work."""
        for end in self._ends:
            end.transport.abort()

    def hold(self) -> None:
        """Carry nothing any more, and tell neither end."""
        self._held = True

    async def _plugged(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        except ConnectionError:
            writer.transport.abort()
            return
        self._ends |= {writer, there}
        ways = {
            asyncio.create_task(self._forward(reader, there)),
            asyncio.create_task(self._forward(there_reader, writer)),
        }
        self._tasks |= ways
        await asyncio.wait(ways)
        self._ends -= {writer, there}
        self._tasks -= ways

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if not self._held:
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
