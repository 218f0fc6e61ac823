"""A phone as tests hold it: a real WebSocket client that keeps every frame it got."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

#: Long enough for a loaded machine; a test that needs it has failed.
PATIENCE_S = 15.0


class Phone:
    """One connected phone. Frames are dicts, in order of arrival, in `frames`."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.frames: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.close_reason = ""

    async def next(self) -> dict[str, Any] | None:
        """The next frame, or None when the socket has closed."""
        message = await asyncio.wait_for(self.ws.receive(), PATIENCE_S)
        if message.type is aiohttp.WSMsgType.TEXT:
            frame: dict[str, Any] = json.loads(message.data)
            self.frames.append(frame)
            return frame
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.close_code, self.close_reason = message.data, message.extra or ""
        else:
            self.close_code = self.ws.close_code
        return None

    async def expect(self, frame_type: str, **fields: Any) -> dict[str, Any]:
        """Read on to the next frame of this type with these fields."""
        while (frame := await self.next()) is not None:
            if frame["type"] == frame_type and fields.items() <= frame.items():
                return frame
        raise AssertionError(
            f"closed {self.close_code} {self.close_reason!r} before {frame_type} {fields}; "
            f"got {self.frames}"
        )

    async def expect_live(self) -> dict[str, Any]:
        """Read on until the room is live."""
        return await self.expect("status", state="live")

    async def expect_close(self) -> tuple[int | None, str]:
        """Read to the end; the close code and reason."""
        while await self.next() is not None:
            pass
        return self.close_code, self.close_reason

    async def expect_error(self, code: str) -> dict[str, Any]:
        """Read to the end: exactly one error frame, and it is the last one."""
        await self.expect_close()
        errors = [frame for frame in self.frames if frame["type"] == "error"]
        assert [error["code"] for error in errors] == [code], self.frames
        assert self.frames[-1] is errors[0]
        return errors[0]

    def of(self, *types: str) -> list[dict[str, Any]]:
        """The frames of these types so far."""
        return [frame for frame in self.frames if frame["type"] in types]

    async def send(self, **command: Any) -> None:
        """Send a command."""
        await self.ws.send_json(command)

    async def close(self) -> None:
        """Hang up."""
        await self.ws.close()
