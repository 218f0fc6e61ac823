"""A guard over a real ledger, by a clock that a test moves, which can be restarted or killed."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from server.clock import Clock
from server.config import SignLimits, SignSettings
from server.store.database import Database
from server.upstream.guard import Guard
from server.upstream.probe import LimitsLeft
from server.upstream.retry_after import LimitLabel, SignRateLimited, Wait

T = TypeVar("T")

#: Turns of the loop in which nothing new may happen before a house counts as quiet.
QUIET_TURNS = 5


class Time:
    """Both clocks. Sleepers wake only when the time is moved, in order."""

    def __init__(self) -> None:
        self.mono = 1_000.0
        self.wall = 1_790_000_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def clock(self) -> Clock:
        return Clock(lambda: self.mono, lambda: self.wall, self._sleep)

    def jump(self, seconds: float) -> None:
        """The wall clock is set."""
        self.wall += seconds

    def move(self, seconds: float) -> None:
        """Time passes at once, without anybody waking in between."""
        self.mono += seconds
        self.wall += seconds

    def wake_next(self, until: float | None = None) -> bool:
        """Move to the next sleeper, if there is one before `until`, and wake it."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers or (until is not None and self._sleepers[0][0] > until):
            return False
        at, _, sleeper = heapq.heappop(self._sleepers)
        self.move(max(0.0, at - self.mono))
        sleeper.set_result(None)
        return True

    async def _sleep(self, seconds: float) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.mono + seconds, next(self._order), sleeper))
        await sleeper


class Shifted:
    """The real clocks, which a test can set forward and back."""

    def __init__(self) -> None:
        self._real = Clock()
        self._mono = self._wall = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self._real.mono() + self._mono, self.wall, self._real.sleep)

    def wall(self) -> float:
        return self._real.wall() + self._wall

    def jump(self, seconds: float) -> None:
        """The wall clock is set."""
        self._wall += seconds

    def move(self, seconds: float) -> None:
        """Time passes."""
        self._mono += seconds
        self._wall += seconds


class House:
    """`settings` and `reported` may be changed; a restart makes new settings hold."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.time = Time()
        self.settings: dict[str, Any] = {
            "min_interval_s": 1.0,
            "max_wait_s": 15.0,
            "anonymous_limits": SignLimits(minute=2, hour=10, day=12),
            **settings,
        }
        self.reported: Sequence[LimitsLeft] = ()
        self.looked = 0
        self.database: Database
        self.guard: Guard

    async def start(self) -> Guard:
        self.database = await Database.open(self.path, serving=True)
        settings = SignSettings(**self.settings)
        self.guard = Guard(settings, self.database.limits, self._look, clock=self.time.clock())
        await self.guard.load()
        return self.guard

    async def stop(self) -> None:
        await self.guard.close()
        await self.database.close()

    async def restart(self) -> Guard:
        await self.stop()
        return await self.start()

    async def quiet(self) -> None:
        """Wait until nothing happens any more but by time passing or a test's doing."""
        transactions = self.database.limits._link._tasks
        turns = 0
        while turns < QUIET_TURNS:
            turns = 0 if len(transactions) else turns + 1
            await asyncio.sleep(0)

    async def drive(self, work: Awaitable[T]) -> T:
        """Run `work` to its end, moving the time whenever only that can help."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await self.quiet()
            if not task.done() and not self.time.wake_next():
                task.cancel()
                raise AssertionError("nothing will ever end this")
        return await task

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, with everybody waking at their time."""
        until = self.time.mono + seconds
        await self.quiet()
        while self.time.wake_next(until):
            await self.quiet()
        self.time.move(until - self.time.mono)

    def limited(
        self, wait_s: float, *, source: str = "retry-after", room: bool = False
    ) -> SignRateLimited:
        """The sign server's 429, received now."""
        label = LimitLabel("room_id", "minute") if room else None
        wait = Wait(wait_s, source)  # type: ignore[arg-type]
        headers = [("Retry-After", str(wait_s)), ("X-Secret", "no")]
        return SignRateLimited("429", wait, label, headers)

    async def _look(self, _key: str) -> Sequence[LimitsLeft]:
        self.looked += 1
        return self.reported
