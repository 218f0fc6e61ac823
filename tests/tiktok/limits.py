"""Limits: how many signatures a key may ask for, per sliding minute, hour and day.

A real limit, not a script: what the server under test must live with. No HTTP here; see sign.py.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

WINDOWS = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}
ANONYMOUS = ""
# "No limits" is a paid plan's: so high that no test gets there, but reported all the same
UNLIMITED = dict.fromkeys(WINDOWS, 1_000_000)


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one key as it stands now."""

    name: str
    max: int
    remaining: int
    reset_at: float

    @property
    def label(self) -> str:
        return f"rate_limit_account_{self.name}"


class Limits:
    """Count the signatures of every key; without limits everything is let through."""

    def __init__(
        self, limits: Mapping[str, int] | None, clock: Callable[[], float] = time.time
    ) -> None:
        self.default = UNLIMITED if limits is None else limits
        self.by_key: dict[str, Mapping[str, int]] = {}
        self._clock = clock
        self._spent: dict[str, deque[float]] = {}

    def spend(self, key: str) -> Window | None:
        """Take one signature, or name the exhausted window that frees up last."""
        exhausted = [window for window in self.windows(key) if not window.remaining]
        if exhausted:
            return max(exhausted, key=lambda window: window.reset_at)
        self._spent.setdefault(key, deque()).append(self._clock())
        return None

    def windows(self, key: str) -> list[Window]:
        """Show where a key stands, smallest window first."""
        now = self._clock()
        spent = self._spent.get(key, deque())
        while spent and spent[0] <= now - WINDOWS["day"]:
            spent.popleft()
        limits = self.by_key.get(key, self.default)
        return [
            self._window(name, limits[name], [at for at in spent if at > now - length], now)
            for name, length in WINDOWS.items()
            if name in limits
        ]

    @staticmethod
    def _window(name: str, limit: int, spent: list[float], now: float) -> Window:
        remaining = max(0, limit - len(spent))
        # the window frees up when as many of the oldest have left it as are one too many
        leaving = spent[len(spent) - limit] if spent and not remaining and limit else None
        reset_at = (leaving if leaving is not None else now) + WINDOWS[name]
        return Window(name, limit, remaining, reset_at)
