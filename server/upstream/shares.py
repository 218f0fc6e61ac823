"""One user's share of a key that is everybody's: so many rooms started in so much time.

Without it, one token empties the hour for everyone. Pure; times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ROOMS: Final = 3
WINDOW_S: Final = 600.0
#: Users remembered; beyond it those whose last start is longest ago are forgotten.
MAX_USERS: Final = 10_000


class Shares:
    """Which users have started rooms lately."""

    def __init__(self) -> None:
        self._started: dict[int, list[float]] = {}

    def free(self, user_ids: Sequence[int], now: float) -> int:
        """The first user who may start another room, 0 when nobody may."""
        return next((user for user in user_ids if len(self._lately(user, now)) < ROOMS), 0)

    def opens_at(self, user_ids: Sequence[int], now: float) -> float:
        """When the first of the users may start another room."""
        return min(self._lately(user, now)[-ROOMS] + WINDOW_S for user in user_ids)

    def start(self, user_id: int, at: float) -> None:
        """A user starts a room."""
        self._started[user_id] = [*self._lately(user_id, at), at]
        if len(self._started) > MAX_USERS:
            self._started = {u: s for u, s in self._started.items() if s[-1] > at - WINDOW_S}

    def give_back(self, user_id: int, at: float) -> None:
        """It came to nothing, and nothing was spent."""
        started = self._started.get(user_id, [])
        if at in started:
            started.remove(at)

    def _lately(self, user_id: int, now: float) -> list[float]:
        return [at for at in self._started.get(user_id, ()) if at > now - WINDOW_S]
