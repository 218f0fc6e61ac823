"""What one room may ask of the sign server, whatever the budgets say.

Pure; times are monotonic seconds.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Rate(NamedTuple):
    """At most `most` in any `window_s` seconds."""

    most: int
    window_s: float


#: A room that keeps dying must not eat everybody's budget.
RATES: Final = (Rate(3, 600.0), Rate(6, 3_600.0))
LONGEST_S: Final = max(rate.window_s for rate in RATES)
#: Rooms remembered; beyond it those that are free again, or were blocked first, are forgotten.
MAX_ROOMS: Final = 10_000


class RoomLimits:
    """Requests of each room, and the sign server's limits of single rooms."""

    def __init__(self) -> None:
        self._asked: dict[str, list[float]] = {}
        self._blocks: dict[str, float] = {}

    def blocked_until(self, creator: str, now: float) -> float:
        """Until when the sign server limits this room, `now` when it does not."""
        return max(now, self._blocks.get(creator, now))

    def opens_at(self, creator: str, now: float) -> float:
        """When the room may ask again: `now`, or later when it has asked too often."""
        asked = self._lately(creator, now)
        opens = [asked[-rate.most] + rate.window_s for rate in RATES if len(asked) >= rate.most]
        return max([now, *opens])

    def block(self, creator: str, until: float) -> None:
        """The sign server limits this room alone."""
        self._blocks.pop(creator, None)
        self._blocks[creator] = until
        while len(self._blocks) > MAX_ROOMS:
            del self._blocks[next(iter(self._blocks))]

    def take(self, creator: str, at: float) -> None:
        """The room asks."""
        self._asked[creator] = [*self._lately(creator, at), at]
        if len(self._asked) > MAX_ROOMS:
            self._asked = {c: asked for c, asked in self._asked.items() if self._lately(c, at)}

    def give_back(self, creator: str, at: float) -> None:
        """That request says nothing of the room."""
        asked = self._asked.get(creator, [])
        if at in asked:
            asked.remove(at)

    def _lately(self, creator: str, now: float) -> list[float]:
        return [at for at in self._asked.get(creator, ()) if at > now - LONGEST_S]
