"""What the sign server itself says is left of a key: asked rarely, unsigned, never waited for
long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from server.clock import Clock
from server.tasks import TaskOwner
from server.upstream.guard.account import Account
from server.upstream.probe import LimitsLeft

LOOK_EVERY_S: Final = 900.0
LOOK_TIMEOUT_S: Final = 2.0

#: Asks the sign server what is left of a key's limits; nothing when it does not tell.
Look = Callable[[str], Awaitable[Sequence[LimitsLeft]]]


class Looks:
    """Holds accounts to what the sign server reports."""

    def __init__(self, look: Look, clock: Clock, tasks: TaskOwner) -> None:
        self._look = look
        self._clock = clock
        self._tasks = tasks

    def later(self, account: Account) -> None:
        """Look in a task, unless that was done lately."""
        now = self._clock.mono()
        if now - account.looked_at >= LOOK_EVERY_S:
            account.looked_at = now
            self._tasks.start(self.now(account), name="limits")

    async def now(self, account: Account) -> Sequence[LimitsLeft]:
        """Look, within LOOK_TIMEOUT_S; nothing when nothing was told."""
        begun = self._clock.mono()
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                limits = await self._look(account.key)
        except TimeoutError:
            return ()
        account.hold_to(limits, begun, self._clock)
        return limits
