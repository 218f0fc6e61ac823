"""Fixtures: TikTok on loopback, LiveRelay in front of it, phones in front of that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.liverelay import LiveRelay, config_for
from tests.tiktok import TikTok

Serve = Callable[..., Awaitable[LiveRelay]]


@pytest.fixture
async def tiktok() -> AsyncIterator[TikTok]:
    """TikTok and its sign server, unlimited."""
    async with TikTok(ping_interval=1.0) as stand_in:
        yield stand_in


@pytest.fixture
async def serve(tiktok: TikTok, tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a server with changed settings: `await serve(rooms={"linger_s": 0})`."""
    async with AsyncExitStack() as stack:

        async def start(**sections: dict[str, Any]) -> LiveRelay:
            relay = LiveRelay(config_for(tmp_path, tiktok, **sections))
            return await stack.enter_async_context(relay)

        yield start


@pytest.fixture
async def relay(serve: Serve) -> LiveRelay:
    """A server with default settings."""
    return await serve()
