"""Lives that are over: TikTok goes on offering them as live for up to a quarter of an hour.

TikTok's room ids are never used again, so one that has ended is never signed again; that outlives
rooms, and the server.
"""

from __future__ import annotations

import logging
from typing import Final

from server.clock import Clock
from server.errors import StoreUnavailable
from server.store.lives import LiveStore
from server.tasks import TaskOwner

logger = logging.getLogger(__name__)

#: A live whose end TikTok itself has told.
TOLD_FOR_S: Final = 86_400.0
#: One whose end was only found out may go on after all.
FOUND_FOR_S: Final = 1_200.0
MAX_LIVES: Final = 10_000


class EndedLives:
    """TikTok's room id -> until when it is not believed to be live (monotonic seconds)."""

    def __init__(self, store: LiveStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._until: dict[int, float] = {}
        self._tasks = TaskOwner("ended lives")

    async def load(self) -> None:
        """Take up what an earlier run has seen end. Raises StoreUnavailable."""
        now = self._clock.mono()
        for room_id, until_ms in await self._store.ended():
            self._until[room_id] = min(self._clock.mono_at(until_ms / 1000), now + TOLD_FOR_S)

    async def close(self) -> None:
        """Write what is under way."""
        await self._tasks.drained()
        await self._tasks.close()

    def __contains__(self, room_id: int) -> bool:
        return self._until.get(room_id, 0.0) > self._clock.mono()

    def add(self, room_id: int, for_s: float) -> None:
        """A live is over."""
        until = self._clock.mono() + for_s
        self._until.pop(room_id, None)
        self._until[room_id] = until
        while len(self._until) > MAX_LIVES:
            del self._until[next(iter(self._until))]
        self._tasks.start(self._write(room_id, self._clock.wall_at(until)), name=str(room_id))

    async def _write(self, room_id: int, until: float) -> None:
        now_ms = int(self._clock.wall() * 1000)
        try:
            await self._store.end(room_id, int(until * 1000), now_ms=now_ms)
        except StoreUnavailable as error:
            logger.warning("The end of a live could not be written down: %s", error.detail)
