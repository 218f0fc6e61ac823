"""What one room may ask of the sign server, whatever the budgets say.

Pure; times are monotonic seconds.
"""

from __future__ import annotations

from typing import Final

from server.upstream.guard.quota import Quota, Rate

#: A room that keeps dying must not eat everybody's budget.
ROOM_RATES: Final = (Rate(3, 600.0), Rate(6, 3_600.0))
#: Rooms remembered as limited by the sign server.
MAX_BLOCKS: Final = 10_000


class RoomLimits:
    """Requests of each room, and the sign server's limits of single rooms."""

    def __init__(self) -> None:
        self._asked: Quota[str] = Quota(*ROOM_RATES)
        self._blocks: dict[str, float] = {}

    def blocked_until(self, creator: str, now: float) -> float:
        """Until when the sign server limits this room, `now` when it does not."""
        return max(now, self._blocks.get(creator, now))

    def opens_at(self, creator: str, now: float) -> float:
        """When the room may ask again: `now`, or later when it has asked too often."""
        return self._asked.opens_at(creator, now)

    def block(self, creator: str, until: float) -> None:
        """The sign server limits this room alone."""
        self._blocks.pop(creator, None)
        self._blocks[creator] = until
        while len(self._blocks) > MAX_BLOCKS:
            del self._blocks[next(iter(self._blocks))]

    def take(self, creator: str, at: float) -> None:
        """The room asks."""
        self._asked.take(creator, at)

    def give_back(self, creator: str, at: float) -> None:
        """That request says nothing of the room."""
        self._asked.give_back(creator, at)
