"""How late the event loop is: everything the server does has its turn there, so a call that blocks
it keeps every phone waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Final

logger = logging.getLogger(__name__)

#: How often the loop is looked at.
PERIOD_S: Final = 0.05
#: A loop that is later than this is worth a line.
BLOCKED_S: Final = 0.25
#: Looks that are kept: a minute of them.
KEPT: Final = 1200


class LoopLag:
    """Looks at the loop it was started in, for as long as that runs."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=KEPT)
        self._handle: asyncio.TimerHandle | None = None
        self._due = self._cpu = 0.0
        #: The longest time between two looks, of the loop's thread at work (seconds of CPU). What
        #: others on the machine take from it does not count.
        self.longest_turn_s = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._cpu = time.thread_time()
        self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    @property
    def worst_s(self) -> float:
        """The most that the loop was late within the last minute."""
        return max(self._lags, default=0.0)

    @property
    def p999_s(self) -> float:
        """How late the loop was in all but one of a thousand looks of the last minute."""
        ordered = sorted(self._lags)
        return ordered[int(len(ordered) * 0.999) - 1] if len(ordered) > 1 else self.worst_s

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + PERIOD_S
        self._handle = loop.call_at(self._due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        late, cpu = loop.time() - self._due, time.thread_time()
        self._lags.append(late)
        self.longest_turn_s = max(self.longest_turn_s, cpu - self._cpu - PERIOD_S)
        self._cpu = cpu
        if late > BLOCKED_S:
            logger.warning("The event loop was blocked for %.0f ms", late * 1000)
        self._schedule(loop)
