"""A room's last frames, encoded: everyone's outbox and the source of replay. No sockets here.

Positions (`seq`) count this ring's slots from 0 and never go back; ids are the wire's, server-
wide, and only grow. A phone is a position; what it has not had is the slots from there to `end`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from server.relay.messages import GapReason

Combo = Literal["final", "live"]

#: What one room may keep, and all rooms together, whatever the settings ask for.
RING_BYTES: Final = 16 << 20
ALL_RINGS_BYTES: Final = 256 << 20
#: Dropping slots one by one would move the whole list each time.
TRIM_SLOTS: Final = 256


class Group(NamedTuple):
    """Phones that are sent the same bytes: same live events, same combos, same language."""

    types: frozenset[str] | None
    combo: Combo
    lang: str


class Slot(NamedTuple):
    """One frame. `id` is its own, or, for a gap that the log has no row of, that of the frame
    before it.

    `wire` is the WebSocket frame's bytes, per language where it holds a text of ours. `at` is
    monotonic seconds. `live_steps` marks a combo's step, which only combo=live phones get. `until`
    is the last id that a restart's gap stands for.
    """

    id: int
    type: str
    wire: bytes | dict[str, bytes]
    at: float
    live_steps: bool = False
    until: int = 0

    def bytes_for(self, group: Group) -> bytes:
        """What phones of this group are sent for the slot; empty when it is not for them."""
        wire = self.wire
        if isinstance(wire, dict):
            return wire[group.lang]
        if self.type == "gap":
            return wire
        if group.types is not None and self.type not in group.types:
            return b""
        if self.live_steps and group.combo == "final":
            return b""
        return wire


class RingBudget:
    """The bytes that all rings of the process hold."""

    def __init__(self, limit: int = ALL_RINGS_BYTES) -> None:
        self.limit = limit
        self.used = 0


class Missing(NamedTuple):
    """What a replay cannot bring back: the gap to send in its place."""

    reason: GapReason
    from_id: int | None
    to_id: int | None


class Ring:
    """The longer of the last `count` frames and `seconds`, within RING_BYTES and the budget.

    `floor_id` is the newest id known to be gone (evicted here, or published before this ring was
    made); replay from below it begins with a gap, for which `floor_reason` says why.
    """

    def __init__(
        self,
        *,
        count: int,
        seconds: float,
        budget: RingBudget,
        clock: Callable[[], float],
    ) -> None:
        self._count = count
        self._seconds = seconds
        self._budget = budget
        self._clock = clock
        self._slots: list[Slot] = []
        self._base = 0
        self._bytes = 0
        self.last_id = 0
        self.floor_id = 0
        self.floor_reason: GapReason = "window"

    @property
    def begin(self) -> int:
        """Position of the oldest slot."""
        return self._base

    @property
    def end(self) -> int:
        """Position after the newest slot."""
        return self._base + len(self._slots)

    def append(self, slot: Slot) -> None:
        """Keep a frame and let go of what is too old or too much."""
        self._slots.append(slot)
        self.last_id = max(self.last_id, slot.id)
        self._grow(_size(slot))
        self._trim()

    def between(self, begin: int, end: int) -> list[Slot]:
        """Slots from position `begin` up to `end`; both must be within the ring."""
        return self._slots[begin - self._base : end - self._base]

    def after(self, since_id: int) -> tuple[int, Missing | None]:
        """Where replay after `since_id` begins, and what is missing before that, if anything.

        A gap that stands right after `since_id` is replayed, for the phone may not have had it. Of
        a restart's gap that began before it, the rest is missing.
        """
        if since_id < self.floor_id:
            return self._base, Missing(self.floor_reason, since_id + 1, self.floor_id)
        begin = bisect_right(self._slots, since_id, key=_id)
        hole = self._slots[begin - 1] if begin else None
        if hole is not None and hole.id < since_id < hole.until:
            return self._base + begin, Missing("restart", since_id + 1, hole.until)
        first_equal = bisect_left(self._slots, since_id, key=_id)
        while begin > first_equal and self._slots[begin - 1].type == "gap":
            begin -= 1
        return self._base + begin, None

    def clear(self) -> None:
        """Give the bytes back; the ring is not used after this."""
        self._grow(-self._bytes)
        self._base += len(self._slots)
        self._slots.clear()

    def _trim(self) -> None:
        """Evict from the front; a few slots more than asked for are kept, for the list's sake."""
        spare = len(self._slots) - self._count
        over = self._bytes > RING_BYTES or self._budget.used > self._budget.limit
        if not over and spare < TRIM_SLOTS:
            return
        horizon = self._clock() - self._seconds
        drop = size = 0
        while drop < len(self._slots) - 1:
            slot = self._slots[drop]
            over = self._bytes - size > RING_BYTES or self._budget.used - size > self._budget.limit
            if not over and (drop >= spare or slot.at >= horizon):
                break
            size += _size(slot)
            drop += 1
        if drop:
            gone = self._slots[:drop]
            self.floor_id = max(self.floor_id, gone[-1].id, max(slot.until for slot in gone))
            self.floor_reason = "window"
            del self._slots[:drop]
            self._base += drop
            self._grow(-size)

    def _grow(self, size: int) -> None:
        self._bytes += size
        self._budget.used += size


def _id(slot: Slot) -> int:
    return slot.id


def _size(slot: Slot) -> int:
    wire = slot.wire
    return sum(map(len, wire.values())) if isinstance(wire, dict) else len(wire)
