"""How a room's live goes: events a second and viewers over the last minutes, for the console."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from server.events import LiveEvent, Viewer

#: One sample, and how many are kept: a quarter of an hour.
SAMPLE_S: Final = 10.0
SAMPLES: Final = 90


class Pulse:
    """Counts without a timer: samples are closed when somebody comes by later."""

    __slots__ = ("_clock", "_count", "_ends", "_samples", "viewers")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        self._count = 0
        self._ends = clock() + SAMPLE_S
        #: As TikTok said last; 0 before it did.
        self.viewers = 0

    def event(self, event: LiveEvent) -> None:
        """One more."""
        if self._clock() >= self._ends:
            self._close_samples()
        self._count += 1
        if type(event) is Viewer:
            self.viewers = event.current

    def events_per_s(self) -> list[float]:
        """Sample by sample, oldest first; the one that is not over is left out."""
        self._close_samples()
        return [count / SAMPLE_S for count, _ in self._samples]

    def viewers_then(self) -> list[int]:
        """Viewers at the end of each sample, oldest first."""
        self._close_samples()
        return [viewers for _, viewers in self._samples]

    def _close_samples(self) -> None:
        over = int((self._clock() - self._ends) // SAMPLE_S) + 1
        if over <= 0:
            return
        for _ in range(min(over, SAMPLES)):
            self._samples.append((self._count, self.viewers))
            self._count = 0
        self._ends += over * SAMPLE_S
