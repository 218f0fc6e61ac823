"""Is the creator live, and where: the unsigned look-ups of one room, and when to believe them.

TikTok lies: "offline" and "not found" come for creators who are live, and lives that have ended are
offered as live. So what it says against what was seen before is asked again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Final

from server.config import Config
from server.errors import AppError, Blocked, ConnectFailed, CreatorNotFound, CreatorOffline
from server.relay.ended import EndedLives
from server.relay.room import Room
from server.upstream.tiktok import TikTok

logger = logging.getLogger(__name__)

#: How far the look-ups of a waiting room slow down, as a multiple of rooms.offline_poll_s.
POLL_GROWTH: Final = 1.5
MAX_POLL_FACTOR: Final = 3.0
POLL_JITTER: Final = 0.2
#: Look-ups in a row that may fail for a creator who was seen before, before phones are told.
FAILURES: Final = 3
#: "Not found" for a creator who was never seen is asked again, after this.
CONFIRM_AFTER_S: Final = 0.3

#: Answers that may be a lie, or a trouble that passes.
DOUBTFUL: Final = (ConnectFailed, Blocked, CreatorNotFound)


class Lookout:
    """Looks for one room. `seen`: TikTok has known the creator."""

    def __init__(self, room: Room, config: Config, tiktok: TikTok, ended: EndedLives) -> None:
        self._room = room
        self._creator = room.creator
        self._settings = config.rooms
        self._tiktok = tiktok
        self._ended = ended
        self._seen = False

    async def until_live(self) -> int:
        """Look until the creator is live in a room that has not ended; TikTok's id of that room."""
        poll_s = self._settings.offline_poll_s
        failures = 0
        while True:
            try:
                room_id = await self.look()
                if room_id not in self._ended:
                    return room_id
                failures = 0
            except CreatorOffline:
                if self._settings.when_offline == "close":
                    raise
                failures = 0
            except DOUBTFUL as error:
                failures += 1
                if failures >= self._patience(error):
                    raise
                if not self._seen:
                    await asyncio.sleep(CONFIRM_AFTER_S)
                    continue
            delay = poll_s * random.uniform(1 - POLL_JITTER, 1 + POLL_JITTER)
            self._room.set_state("waiting", retry_at=time.time() + delay)
            knocked = await self._wait(delay)
            base_s = self._settings.offline_poll_s
            poll_s = base_s if knocked else min(poll_s * POLL_GROWTH, base_s * MAX_POLL_FACTOR)

    async def look(self) -> int:
        """One look: TikTok's id of the room that is live. Raises AppError."""
        try:
            room_id = await self._tiktok.live_room_id(
                self._creator, timeout_s=self._settings.connect_timeout_s
            )
        except CreatorOffline:
            self._seen = True
            raise
        self._seen = True
        return room_id

    async def goes_on(self, room_id: int) -> bool:
        """Whether a live that has gone silent goes on. A check that fails says nothing."""
        try:
            if await self._tiktok.still_live(room_id):
                return True
            return await self.look() == room_id
        except CreatorOffline:
            return False
        except AppError as error:
            logger.info("Live check of @%s failed: %s", self._creator, error.detail)
            return True

    def _patience(self, error: AppError) -> int:
        if self._seen:
            return FAILURES
        return 2 if isinstance(error, CreatorNotFound) else 1

    async def _wait(self, delay_s: float) -> bool:
        """Wait for the next look; a phone that joins makes it no later than one basic interval."""
        self._room.knock.clear()
        started = time.monotonic()
        try:
            async with asyncio.timeout(delay_s):
                await self._room.knock.wait()
        except TimeoutError:
            return False
        left_s = delay_s - (time.monotonic() - started)
        await asyncio.sleep(min(left_s, self._settings.offline_poll_s))
        return True
