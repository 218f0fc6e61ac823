"""The sign budget: who may ask the sign server now, and when the others may come back.

One budget per key (no key is a key too): spacing, the windows' limits, and the block after a 429.
The wait of whoever is refused is a reserved place, so that a hundred who were told to come back
do not meet at one second.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from server.config import SignLimits, SignSettings
from server.errors import RateLimited

logger = logging.getLogger(__name__)

#: Windows of the limits, in seconds, longest first.
WINDOWS_S: Final = {"day": 86_400.0, "hour": 3_600.0, "minute": 60.0}
#: Clients that are told to come back are sent away this far apart at most in total.
MAX_RESERVED_S: Final = 86_400.0


class Budget:
    """What one key has spent and when it may spend again. All times are epoch seconds."""

    def __init__(self, limits: SignLimits | None, min_interval_s: float) -> None:
        self._limits = limits
        self._min_interval_s = min_interval_s
        self._spent: deque[float] = deque()
        self._next_place = 0.0
        self._reserved_until = 0.0
        self.blocked_until = 0.0

    def place(self, now: float) -> float:
        """The next free moment for a request: after the block, spaced, within every window."""
        return max(now, self.blocked_until, self._next_place, self._windows_open_at(now))

    def take(self, at: float) -> None:
        """Write a request down as spent at its place."""
        self._spent.append(at)
        self._next_place = at + self._min_interval_s

    def give_back(self, at: float) -> None:
        """A request that never reached the sign server costs nothing."""
        if at in self._spent:
            self._spent.remove(at)

    def reserve_return(self, now: float) -> float:
        """When somebody refused now should come back: the next place nobody else was given."""
        at = max(self.place(now), self._reserved_until + self._min_interval_s)
        at = min(at, now + MAX_RESERVED_S)
        self._reserved_until = at
        return at

    def block(self, until: float) -> None:
        """Nothing is asked before `until`: the sign server has said so."""
        self.blocked_until = max(self.blocked_until, until)
        self._reserved_until = 0.0

    def _windows_open_at(self, now: float) -> float:
        while self._spent and self._spent[0] <= now - WINDOWS_S["day"]:
            self._spent.popleft()
        if self._limits is None:
            return now
        opens = now
        for window, length_s in WINDOWS_S.items():
            limit: int = getattr(self._limits, window)
            if len(self._spent) >= limit and self._spent[-limit] > now - length_s:
                opens = max(opens, self._spent[-limit] + length_s)
        return opens


class Permit:
    """Leave to send one sign request. It counts as spent from the moment it is given."""

    def __init__(self, budget: Budget, key: str, at: float) -> None:
        self._budget = budget
        self._at = at
        self.key = key

    def never_sent(self) -> None:
        """The sign server refused the connection: nothing was spent."""
        self._budget.give_back(self._at)

    def rate_limited(self, until: float) -> None:
        """The sign server answered 429: this key waits until then (epoch seconds)."""
        self._budget.block(until)


class Guard:
    """Stands before every sign request, for every key. Requests go in order of arrival."""

    def __init__(
        self,
        settings: SignSettings,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._budgets: dict[str, Budget] = {}

    def blocked_until(self, key: str) -> float:
        """Until when the sign server refuses a key (epoch seconds), 0 when it does not."""
        until = self._budget(key).blocked_until
        return until if until > self._clock() else 0.0

    async def admit(self, key: str) -> Permit:
        """Wait for a place, at most sign.max_wait_s. Raises RateLimited with a reserved time.

        A block after a 429 is never waited out here, however short: the phone is told.
        """
        budget = self._budget(key)
        now = self._clock()
        at = budget.place(now)
        if budget.blocked_until > now or at - now > self._settings.max_wait_s:
            raise RateLimited(
                f"guard: {at - now:.0f} s until a place", retry_at=budget.reserve_return(now)
            )
        budget.take(at)
        permit = Permit(budget, key, at)
        try:
            while (wait := at - self._clock()) > 0:
                await self._sleep(wait)
        except asyncio.CancelledError:
            permit.never_sent()
            raise
        blocked_until = budget.blocked_until
        if blocked_until > self._clock():
            permit.never_sent()
            now = self._clock()
            raise RateLimited("guard: blocked while waiting", retry_at=budget.reserve_return(now))
        return permit

    def _budget(self, key: str) -> Budget:
        name = hashlib.sha256(key.encode()).hexdigest() if key else "anonymous"
        if name not in self._budgets:
            limits = None if key else self._settings.anonymous_limits
            self._budgets[name] = Budget(limits, self._settings.min_interval_s)
        return self._budgets[name]
