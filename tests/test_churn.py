"""Rooms that come and go leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter

from aiohttp import web

from server.config import SignLimits
from server.relay.room import Room
from server.upstream.client import RelayClient
from server.upstream.source import Source
from server.web.connection import Connection
from tests.conftest import Serve
from tests.tiktok import TikTok, frames

ROOMS, AT_ONCE = 500, 25
PLENTY = SignLimits(minute=100_000, hour=100_000, day=100_000)
#: What a room is made of.
PARTS = (Room, Source, RelayClient, Connection, web.WebSocketResponse)


def held() -> Counter[str]:
    """Open descriptors, running tasks, and parts of rooms that are still there."""
    gc.collect()
    found = Counter(type(item).__name__ for item in gc.get_objects() if type(item) in PARTS)
    found["descriptors"] = len(os.listdir("/proc/self/fd"))
    found["tasks"] = len(asyncio.all_tasks())
    return found


async def test_five_hundred_rooms_that_come_and_go_leave_nothing_behind(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve(sign={"anonymous_limits": PLENTY}, rooms={"linger_s": 0.0})

    async def come_and_go(name: str) -> None:
        creator = tiktok.creator(name, live=True)
        phone = await relay.phone_of(name)
        await phone.expect_live()
        await creator.send(frames.chat("fan", f"in {name}"))
        await phone.expect("chat", message=f"in {name}")
        await phone.close()

    before = held()
    for start in range(0, ROOMS, AT_ONCE):
        names = [f"creator{number}" for number in range(start, start + AT_ONCE)]
        await asyncio.gather(*(come_and_go(name) for name in names))
    assert len(tiktok.sign.requests) == ROOMS
    assert await what_stays(before) == Counter()


async def what_stays(before: Counter[str]) -> Counter[str]:
    """What is there and was not before, once all that was closing has closed."""
    for _ in range(100):
        stays = held() - before
        if not stays:
            break
        await asyncio.sleep(0.1)
    return stays
