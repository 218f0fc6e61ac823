"""One user's share of the key that is everybody's: so many rooms started in so much time.

Without it, one token that goes from creator to creator empties the hour for everyone. A room that
is started once more counts once; roomlimits.py bounds those. Pure; times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ROOMS: Final = 3
WINDOW_S: Final = 600.0
#: Users remembered; beyond it those who have started nothing lately are forgotten.
MAX_USERS: Final = 10_000


class Shares:
    """Which rooms each user has started lately, and when."""

    def __init__(self) -> None:
        self._started: dict[int, dict[str, float]] = {}

    def opens_at(
        self, user_id: int, creator: str, now: float, promised: Iterable[float] = ()
    ) -> float:
        """When the user may start this room: `now`, or later. Promised places count too."""
        started = self._lately(user_id, now)
        if creator in started:
            return now
        times = sorted([*started.values(), *promised])
        return max(now, times[-ROOMS] + WINDOW_S) if len(times) >= ROOMS else now

    def take(self, user_id: int, creator: str, at: float) -> None:
        """The user starts a room."""
        self._started[user_id] = {**self._lately(user_id, at), creator: at}
        if len(self._started) > MAX_USERS:
            self._started = {user: s for user, s in self._started.items() if self._lately(user, at)}

    def give_back(self, user_id: int, creator: str, at: float) -> None:
        """It came to nothing, and nothing was spent."""
        started = self._started.get(user_id, {})
        if started.get(creator) == at:
            del started[creator]

    def _lately(self, user_id: int, now: float) -> dict[str, float]:
        started = self._started.get(user_id, {})
        return {creator: at for creator, at in started.items() if at > now - WINDOW_S}
