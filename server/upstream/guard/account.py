"""One key at the sign server, as the guard keeps it: its budget, what it must prove, what it was
told last. No key is a key too.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from typing import Final

import msgspec

from server.clock import Clock
from server.config import SignSettings
from server.errors import AppError
from server.upstream.guard.budget import Budget, Reported
from server.upstream.guard.ledger import Block, Headers
from server.upstream.probe import LimitsLeft
from server.upstream.retry_after import WINDOWS_S, Window

ANONYMOUS: Final = "anonymous"
#: Of a key's name on disk (a hash) or of the key itself, this much is shown.
SHOWN_HASH: Final = 8
SHOWN_KEY: Final = 4
#: A key that the sign server refuses is not asked with again for so long.
KEY_FAULT_S: Final = 900.0


class WindowReport(msgspec.Struct, frozen=True):
    """One window of a budget. `left` and `limit` are None when nobody knows the limit."""

    window: str
    used: int
    left: int | None
    limit: int | None


class KeyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the console shows of a key. Times are epoch seconds, 0 for none."""

    name: str
    windows: list[WindowReport]
    blocked_until: float
    promises: int
    fault: str
    #: The last 429: when, what told its wait, and the headers that may have.
    limited_at: float
    source: str
    headers: Headers


class Account:
    """A key's state. Times are monotonic seconds unless they come from disk."""

    def __init__(self, name: str, settings: SignSettings, key: str = "") -> None:
        limits: dict[Window, int] = {}
        if name == ANONYMOUS:
            known = settings.anonymous_limits
            limits = {"minute": known.minute, "hour": known.hour, "day": known.day}
        self.name = name
        self.key = key
        self.budget = Budget(limits, settings.min_interval_s)
        #: At a start and after a block one request goes alone, until the sign server has let one
        #: through: what we remember may be wrong, as after a clock that jumped.
        self.proving = True
        #: Set when the request that proves the key is answered; None while none is under way.
        self.landed: asyncio.Event | None = None
        #: Places of the requests under way.
        self.flying: list[float] = []
        self.looked_at = -math.inf
        self.last_block: Block | None = None
        self._fault: AppError | None = None
        self._fault_until = -math.inf

    def blame(self, error: AppError, now: float) -> None:
        """The sign server refuses the key itself."""
        self._fault, self._fault_until = error, now + KEY_FAULT_S

    def fault(self, now: float) -> AppError | None:
        """Why the key is not asked with, as a new error."""
        if self._fault is None or now >= self._fault_until:
            return None
        return type(self._fault)(f"remembered of the key: {self._fault.detail}")

    def obey(self, block: Block) -> None:
        """Obey a block; that it is over has to be proven."""
        self.budget.block(block.until)
        self.proving = True
        self.last_block = block

    def hold_to(self, limits: Sequence[LimitsLeft], since: float, clock: Clock) -> None:
        """Hold the budget to what the sign server said of it, when asked at `since`."""
        # A request under way may have been counted already, or not yet.
        since = min([since, *self.flying])
        for limit in limits:
            length = WINDOWS_S[limit.window]
            reset_s = length if limit.reset_s is None else limit.reset_s
            until = clock.mono() + min(max(reset_s, 0.0), length)
            reported = Reported(limit.remaining, since, until)
            self.budget.report(limit.window, reported, maximum=limit.maximum)

    def report(self, clock: Clock) -> KeyReport:
        """The key for the console."""
        now, budget, block = clock.mono(), self.budget, self.last_block
        fault = self.fault(now)
        return KeyReport(
            name=self._shown_name(),
            windows=[self._window(window, now) for window in WINDOWS_S],
            blocked_until=clock.wall_at(budget.blocked_until) if budget.blocked_until > now else 0,
            promises=budget.promises,
            fault=fault.code if fault else "",
            limited_at=clock.wall_at(block.at) if block else 0,
            source=block.source if block else "",
            headers=block.headers if block else [],
        )

    def _window(self, window: Window, now: float) -> WindowReport:
        budget = self.budget
        return WindowReport(
            window=window,
            used=budget.used(window, now),
            left=budget.left(window, now),
            limit=budget.limits.get(window),
        )

    def _shown_name(self) -> str:
        if self.name == ANONYMOUS:
            return ANONYMOUS
        return f"…{self.key[-SHOWN_KEY:]}" if self.key else f"#{self.name[:SHOWN_HASH]}"


def account_name(key: str) -> str:
    """How a key is called on disk: never by itself."""
    return hashlib.sha256(key.encode()).hexdigest() if key else ANONYMOUS
