"""Time as the server takes it: one clock to wait by, one to tell and to write down.

Nothing here is read at import; whoever keeps times is given a Clock, and tests give it another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple


def _since_boot() -> float:
    """Monotonic seconds that go on while the machine sleeps, where the system has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Clock(NamedTuple):
    """`mono` never jumps, and means nothing to others; `wall` is epoch seconds, and may jump."""

    mono: Callable[[], float] = _since_boot
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def wall_at(self, mono: float) -> float:
        """What the wall clock will show at a monotonic time, as it goes now."""
        return self.wall() + mono - self.mono()

    def mono_at(self, wall: float) -> float:
        """The monotonic time at which the wall clock will show `wall`, as it goes now."""
        return self.mono() + wall - self.wall()

    async def sleep_until(self, mono: float) -> None:
        """Sleep until a monotonic time; a sleep that ends early is gone on with."""
        while (left := mono - self.mono()) > 0:
            await self.sleep(left)
