"""The breaker over the sign server: when it fails again and again, nobody asks it for a while.

Pure; times are monotonic seconds.
"""

from __future__ import annotations

import math
from typing import Final

#: Failures in a row that open the breaker, and for how long it stays open: first and longest.
STRIKES: Final = 3
FIRST_S, LONGEST_S = 60.0, 900.0
#: While one request tries whether the server is back, the others are sent away for so long.
TRYING_S: Final = 15.0


class Breaker:
    """Closed, or open until a time; then one request at a time tries."""

    def __init__(self) -> None:
        self._strikes = 0
        self._open_s = FIRST_S
        self._open_until = -math.inf

    def open_until(self, now: float) -> float | None:
        """Until when nobody may ask; None when a request may go."""
        return self._open_until if now < self._open_until else None

    def trying(self, now: float) -> None:
        """A request goes. While the breaker has not closed again, it is the only one."""
        if self._strikes >= STRIKES:
            self._open_until = now + TRYING_S

    def failed(self, now: float) -> None:
        """The sign server failed: no usable answer."""
        self._strikes += 1
        if self._strikes < STRIKES:
            return
        self._open_until = now + self._open_s
        self._open_s = min(self._open_s * 2, LONGEST_S)

    def answered(self) -> None:
        """The sign server works, whatever it answered."""
        self._strikes = 0
        self._open_s = FIRST_S
        self._open_until = -math.inf
