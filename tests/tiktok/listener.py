"""Listener: one aiohttp application on one loopback port that can be made to refuse connections."""

import asyncio
import socket

from aiohttp import web

# Nothing here may outlive a test: handlers that hang are told to stop, this is for the rest
SHUTDOWN_S = 0.3


def dead_port(port: int = 0) -> socket.socket:
    """Reserve a loopback port on which nobody listens: connecting to it is refused."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    held.setblocking(False)
    return held


class Listener:
    """Serve an application; the port stays ours, whether it listens or refuses."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
        )
        self._held: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen; port 0 takes any free one."""
        await self._runner.setup()
        self._held = dead_port(port)
        self.port = self._held.getsockname()[1]
        await self._listen()

    async def _listen(self) -> None:
        if self._held is None or self._runner.server is None:
            return
        held, self._held = self._held, None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._runner.server, sock=held, backlog=1024)

    def refuse(self) -> None:
        """Close the listening socket and every connection, as a process that died does."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._held = dead_port(self.port)
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    def accept(self) -> None:
        """Listen again; a connection made from this call on is served."""
        if self._held is None:
            return
        # listen() at once, so that no connect is refused until the task has run
        self._held.listen(1024)
        self._reopening = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._reopening is not None:
            await self._reopening
        if self._server is not None:
            self._server.close()
        if self._held is not None:
            self._held.close()
            self._held = None
        await self._runner.cleanup()
