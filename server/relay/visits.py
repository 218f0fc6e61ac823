"""Who was in which room when: intervals of ids, from which a user's own log is read back.

A visit outlives the phone's reconnects: it ends when the user has been away for the time a room
lingers, or with the room. Written behind the phone's back; a store that refuses costs history only.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

import msgspec

from server.errors import StoreUnavailable
from server.store.visits import VisitStore
from server.tasks import TaskOwner

logger = logging.getLogger(__name__)


class _Key(NamedTuple):
    creator: str
    user_id: int


class _Visit(msgspec.Struct):
    """`ending` and `left_at` while the user is away: the timer, and the last id they were given."""

    opening: asyncio.Task[int]
    ending: asyncio.TimerHandle | None = None
    left_at: int = 0


class Visits:
    """Open visits of every room."""

    def __init__(self, store: VisitStore, linger_s: float) -> None:
        self._store = store
        self._linger_s = linger_s
        self._open: dict[_Key, _Visit] = {}
        self._tasks = TaskOwner("visits")

    def joined(self, creator: str, user_id: int, from_id: int) -> None:
        """A phone of the user is in the room and gets what comes from `from_id` on."""
        key = _Key(creator, user_id)
        visit = self._open.get(key)
        if visit is None:
            work = self._begin(key, from_id)
            self._open[key] = _Visit(self._tasks.start(work, name=f"open @{creator}"))
        elif visit.ending is not None:
            visit.ending.cancel()
            visit.ending, visit.left_at = None, 0

    def left(self, creator: str, user_id: int, to_id: int) -> None:
        """The user's last phone has left the room."""
        key = _Key(creator, user_id)
        visit = self._open.get(key)
        if visit is not None and visit.ending is None:
            loop = asyncio.get_running_loop()
            visit.ending = loop.call_later(self._linger_s, self._end, key, to_id)
            visit.left_at = to_id

    def room_closed(self, creator: str, to_id: int) -> None:
        """End every visit of a room."""
        for key in [key for key in self._open if key.creator == creator]:
            self._end(key, to_id)

    def left_at(self, user_id: int) -> dict[str, int]:
        """Creator -> last id, of the rooms a user is away from, whose visits are open on disk."""
        return {
            key.creator: visit.left_at
            for key, visit in self._open.items()
            if key.user_id == user_id and visit.ending is not None
        }

    async def close(self) -> None:
        """Write what is under way."""
        await self._tasks.drained()
        await self._tasks.close()

    def _end(self, key: _Key, to_id: int) -> None:
        visit = self._open.pop(key, None)
        if visit is None:
            return
        if visit.ending is not None:
            visit.ending.cancel()
            to_id = visit.left_at
        self._tasks.start(self._finish(visit, to_id), name=f"close @{key.creator}")

    async def _begin(self, key: _Key, from_id: int) -> int:
        try:
            return await self._store.open(key.user_id, key.creator, from_id)
        except StoreUnavailable as error:
            logger.warning("Visit of user_id=%s not recorded: %s", key.user_id, error.detail)
            return 0

    async def _finish(self, visit: _Visit, to_id: int) -> None:
        visit_id = await visit.opening
        if not visit_id:
            return
        try:
            await self._store.close(visit_id, to_id)
        except StoreUnavailable as error:
            logger.warning("End of a visit not recorded: %s", error.detail)
