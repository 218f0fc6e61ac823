"""One key's budget at the sign server: what was spent, what is promised, when the next may go.

Pure arithmetic over the times it is given (monotonic seconds); guard.py waits, writes and asks.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final, NamedTuple

#: Windows of the limits, in seconds.
WINDOWS_S: Final = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
#: Of the hour, this much is kept for rooms whose phones have lost their stream.
KEPT_OF_HOUR: Final = 0.3
#: A promised place is held this long for who does not come.
HELD_S: Final = 60.0
MAX_PROMISES: Final = 2_000


class Spend(NamedTuple):
    """One request; `again` when it brought a lost stream back."""

    at: float
    again: bool


class Closed(NamedTuple):
    """The sign server itself says that a window is used up."""

    left: int
    since: float
    until: float


class Budget:
    """The requests of one key. A place is the time at which a request may be sent."""

    def __init__(self, limits: dict[str, int], interval_s: float) -> None:
        #: Window -> requests allowed in it; a window that is not there has no limit.
        self.limits = limits
        self.blocked_until = -math.inf
        self._interval_s = interval_s
        self._spent: list[Spend] = []
        self._promised: dict[str, float] = {}
        self._closed: dict[str, Closed] = {}

    # ---- asking

    def place(self, now: float, *, again: bool = False, holder: str = "") -> float:
        """When a request may go that is asked for now.

        Who holds a promise and comes at or after its time waits for nothing but what is really
        spent, and so does `again`, which may draw on the kept part; everybody else comes after all
        promises.
        """
        self._forget(now)
        promised = self._promised.get(holder)
        overtakes = again or promised is not None
        others = [] if overtakes else list(self._promised.values())
        return self._after(max(now, promised or now), others, again=again)

    def take(self, at: float, *, again: bool = False, holder: str = "") -> None:
        """Count a request at its place; the holder's promise is kept."""
        self._promised.pop(holder, None)
        self._spent.insert(bisect_right(self._spent, at, key=_at), Spend(at, again))

    def give_back(self, at: float) -> None:
        """The request at this place never reached the sign server."""
        for index, spend in enumerate(self._spent):
            if spend.at == at:
                del self._spent[index]
                return

    def promise(self, now: float, *, again: bool = False, holder: str = "") -> float:
        """Keep a place for somebody who is sent away; they may come back at or after it."""
        at = self.place(now, again=again, holder=holder)
        self._promised.pop(holder, None)
        self._promised[holder] = at
        while len(self._promised) > MAX_PROMISES:
            del self._promised[next(iter(self._promised))]
        return at

    # ---- being told

    def block(self, until: float) -> None:
        """Nothing goes before `until`; promises made before it are void."""
        self.blocked_until = max(self.blocked_until, until)
        self._promised.clear()

    def close_window(self, window: str, *, left: int, now: float, until: float) -> None:
        """The sign server says how many requests a window still allows, until it resets."""
        self._closed[window] = Closed(left, now, until)

    # ---- looking

    def used(self, window: str, now: float) -> int:
        """Requests within a window that ends now."""
        return self._count(now, WINDOWS_S[window], self._times(None))

    def _after(self, earliest: float, others: list[float], *, again: bool) -> float:
        at = max(earliest, self.blocked_until)
        taken = sorted([*self._times(None), *others])
        # A step per limit at most moves the place; each moves it forward, so this ends.
        while (later := self._first_free(at, taken, others, again=again)) > at:
            at = later
        return at

    def _first_free(
        self, at: float, taken: list[float], others: list[float], *, again: bool
    ) -> float:
        """`at` if a request may go then, else the next time worth asking about."""
        if taken:
            at = max(at, taken[-1] + self._interval_s)
        for window, limit in self.limits.items():
            length = WINDOWS_S[window]
            at = max(at, _opens(taken, limit, length, at))
            if window == "hour" and not again:
                fresh = sorted([*self._times(False), *others])
                share = max(1, math.floor(limit * (1 - KEPT_OF_HOUR)))
                at = max(at, _opens(fresh, share, length, at))
        for closed in self._closed.values():
            since = [t for t in taken if t >= closed.since]
            if at < closed.until and len(since) >= closed.left:
                at = closed.until
        return at

    def _times(self, again: bool | None) -> list[float]:
        return [s.at for s in self._spent if again is None or s.again is again]

    @staticmethod
    def _count(now: float, length: float, times: list[float]) -> int:
        return sum(1 for at in times if now - length < at <= now)

    def _forget(self, now: float) -> None:
        oldest = now - WINDOWS_S["day"]
        self._spent = [spend for spend in self._spent if spend.at > oldest]
        self._promised = {k: at for k, at in self._promised.items() if at > now - HELD_S}
        self._closed = {k: c for k, c in self._closed.items() if c.until > now}


def _opens(times: list[float], limit: int, length: float, at: float) -> float:
    """When a window of `length` holds fewer than `limit` of the sorted `times`."""
    return times[-limit] + length if len(times) >= limit and times[-limit] > at - length else at


def _at(spend: Spend) -> float:
    return spend.at
