"""One key's budget at the sign server: what was spent, what is promised, when the next may go.

Pure arithmetic over the times it is given (monotonic seconds); guard.py waits, writes and asks.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import Final, NamedTuple

from server.upstream.retry_after import WINDOWS_S, Window

#: Of the hour, this much is kept for rooms whose phones have lost their stream.
KEPT_OF_HOUR: Final = 0.3
#: Who was promised a place may be this late, and is let in within this time; then it is free.
HELD_S: Final = 60.0
MAX_PROMISES: Final = 2_000


class Spend(NamedTuple):
    """One request; `again` when it brought a lost stream back."""

    at: float
    again: bool


class Promise(NamedTuple):
    """A place kept for who was sent away; `user_id` 0 when nobody's share was asked for it."""

    at: float
    user_id: int


class Reported(NamedTuple):
    """What the sign server itself said of a window: `left` from `since` on, until it resets."""

    left: int
    since: float
    until: float


class Budget:
    """The requests of one key. A place is the time at which a request may be sent."""

    def __init__(self, limits: dict[Window, int], interval_s: float) -> None:
        #: Window -> requests allowed in it; a window that is not there has no limit.
        self.limits = limits
        self.blocked_until = -math.inf
        self._interval_s = interval_s
        self._spent: list[Spend] = []
        self._promised: dict[str, Promise] = {}
        self._reported: dict[Window, Reported] = {}

    # ---- asking

    def place(self, now: float, *, again: bool = False, holder: str = "") -> float:
        """When a request may go that is asked for now.

        Who holds a promise that is due waits for nothing but what is really spent, and so does
        `again`, which may draw on the kept part; everybody else comes after all promises.
        """
        self._forget(now)
        own = self._promised.get(holder)
        overtakes = again or own is not None
        # A promise that is due and not redeemed may be at any moment.
        others = [] if overtakes else [max(p.at, now) for p in self._promised.values()]
        return self._after(max(now, own.at if own else now), others, again=again)

    def take(self, at: float, *, again: bool = False, holder: str = "") -> None:
        """Count a request at its place; the holder's promise is kept."""
        self._promised.pop(holder, None)
        insort(self._spent, Spend(at, again))

    def answered(self, at: float, now: float) -> None:
        """The request sent at `at` was answered now: the sign server counted it in between, so the
        later time is the safe one.
        """
        spend = self._remove(at)
        if spend is not None:
            insort(self._spent, Spend(max(at, now), spend.again))

    def give_back(self, at: float) -> None:
        """The request at this place never reached the sign server."""
        self._remove(at)

    def promise(
        self, now: float, *, again: bool = False, holder: str = "", user_id: int = 0
    ) -> float:
        """Keep a place for who is sent away; they may come back at or after it."""
        at = self.place(now, again=again, holder=holder)
        self.restore(holder, Promise(at, user_id))
        return at

    def restore(self, holder: str, promise: Promise) -> None:
        """Keep a promise that was made before."""
        self._promised.pop(holder, None)
        self._promised[holder] = promise
        while len(self._promised) > MAX_PROMISES:
            del self._promised[next(iter(self._promised))]

    # ---- being told

    def block(self, until: float) -> None:
        """Nothing goes before `until`; promises made before it are void."""
        self.blocked_until = max(self.blocked_until, until)
        self._promised.clear()

    def report(self, window: Window, reported: Reported, *, maximum: int) -> None:
        """Hold a window to what the sign server says of it."""
        self.limits[window] = maximum
        self._reported[window] = reported

    # ---- looking

    def is_due(self, holder: str, now: float) -> bool:
        """Whether a promise is to be kept now."""
        own = self._promised.get(holder)
        return own is not None and own.at <= now < own.at + HELD_S

    def promised_to(self, user_id: int, *, but: str) -> list[float]:
        """The places kept for a user's rooms, without the room `but`."""
        return [
            promise.at
            for holder, promise in self._promised.items()
            if promise.user_id == user_id and holder != but
        ]

    @property
    def promises(self) -> int:
        """How many places are kept."""
        return len(self._promised)

    def used(self, window: Window, now: float) -> int:
        """Requests within a window that ends now."""
        return sum(1 for s in self._spent if now - WINDOWS_S[window] < s.at <= now)

    def left(self, window: Window, now: float) -> int | None:
        """Requests that a window still allows, None when nobody knows its limit."""
        limit = self.limits.get(window)
        if limit is None:
            return None
        left = limit - self.used(window, now)
        reported = self._reported.get(window)
        if reported is not None and reported.until > now:
            since = sum(1 for s in self._spent if reported.since <= s.at <= now)
            left = min(left, reported.left - since)
        return max(0, left)

    def _after(self, earliest: float, others: list[float], *, again: bool) -> float:
        at = max(earliest, self.blocked_until)
        taken = sorted([*self._times(None), *others])
        # Each step moves the place forward to where some limit opens, so this ends.
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
            at = max(at, _opens(taken, limit, WINDOWS_S[window], at))
            if window == "hour" and not again:
                fresh = sorted([*self._times(False), *others])
                share = max(1, math.floor(limit * (1 - KEPT_OF_HOUR)))
                at = max(at, _opens(fresh, share, WINDOWS_S[window], at))
        for reported in self._reported.values():
            since = sum(1 for t in taken if t >= reported.since)
            if at < reported.until and since >= reported.left:
                at = reported.until
        return at

    def _remove(self, at: float) -> Spend | None:
        for index, spend in enumerate(self._spent):
            if spend.at == at:
                return self._spent.pop(index)
        return None

    def _times(self, again: bool | None) -> list[float]:
        return [s.at for s in self._spent if again is None or s.again is again]

    def _forget(self, now: float) -> None:
        oldest = now - WINDOWS_S["day"]
        self._spent = [spend for spend in self._spent if spend.at > oldest]
        self._promised = {k: p for k, p in self._promised.items() if p.at > now - HELD_S}
        self._reported = {k: r for k, r in self._reported.items() if r.until > now}


def _opens(times: list[float], limit: int, length: float, at: float) -> float:
    """When a window of `length` holds fewer than `limit` of the sorted `times`."""
    return times[-limit] + length if len(times) >= limit and times[-limit] > at - length else at
