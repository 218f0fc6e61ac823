"""What one phone may send, and how often it may get it wrong, before its socket is closed."""

from __future__ import annotations

import time
from typing import Final

from server.errors import BadMessage

#: Frames that a phone may send at once, and for ever; each one more is a bad message.
FRAMES_BURST, FRAMES_PER_S = 20, 5.0
#: Usernames that it may give: each is stored, looked up, and opens a room.
NAMES_BURST, NAMES_PER_S = 10, 10 / 60
#: Bad messages: this many a minute are answered, one more closes.
BAD_PER_MINUTE: Final = 10
MINUTE_S: Final = 60.0


class _Bucket:
    """Holds `burst` tokens and gets `per_s` new ones a second."""

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Manners:
    """One connection's."""

    __slots__ = ("_bad", "_frames", "_names")

    def __init__(self) -> None:
        self._frames = _Bucket(FRAMES_BURST, FRAMES_PER_S)
        self._names = _Bucket(NAMES_BURST, NAMES_PER_S)
        self._bad: tuple[float, ...] = ()

    def frame(self) -> None:
        """A frame has come. Raises BadMessage when they are too many."""
        if not self._frames.take():
            raise BadMessage("too many frames")

    def username(self) -> None:
        """The frame gives a username. Raises BadMessage when they are too many."""
        if not self._names.take():
            raise BadMessage("too many usernames")

    def bad(self) -> bool:
        """A bad message has come; True when that is one too many."""
        now = time.monotonic()
        recent = [at for at in self._bad if at > now - MINUTE_S]
        self._bad = (*recent, now)
        return len(self._bad) > BAD_PER_MINUTE
