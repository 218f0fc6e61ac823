"""From one ring to many phones: the adaptive flush, and the phones that fall behind.

Each flush joins what is new once per group and writes the same bytes to every phone at the front.
The more phones and events there are, the longer a flush takes, the longer the next one waits, and
the more it joins: a busy room is late by tens of milliseconds instead of collapsing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from server.config import LimitSettings
from server.relay.outbox import Outbox, Place
from server.relay.ring import Group, Ring

#: The pause after a flush that took T is this many T within these bounds (docs/decisions/0008).
PAUSE_PER_FLUSH_TIME: Final = 10.0
MIN_PAUSE_S: Final = 0.005
MAX_PAUSE_S: Final = 0.075
#: Phones written to in one go; then accepts and pongs of others get their turn.
SLICE_PHONES: Final = 512
#: How often phones that are behind are looked at.
LOOK_AGAIN_S: Final = 0.1
#: Groups that share their bytes; phones with still other wishes are joined for one by one.
MAX_GROUPS: Final = 16


class Fanout:
    """Keeps every phone of a room at the end of its ring.

    A phone is at the front, with all others of its group: it has had everything up to the last
    flush. Or it stands apart, with a cursor of its own: it has just come, has had a frame of its
    own, or is of no group. Or it is behind: its transport holds more than limits.lag_bytes.
    """

    def __init__(
        self,
        ring: Ring,
        limits: LimitSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ring = ring
        self._limits = limits
        self._clock = clock
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._groups: dict[Group, dict[Outbox, None]] = {}
        self._apart: dict[Outbox, None] = {}
        self._behind: dict[Outbox, None] = {}
        #: Where the front stands, in the ring and as an id.
        self._front = ring.end
        self._front_id = ring.last_id
        #: The flush under way: what is still to be written to whom, the last one first, and from
        #: where to where it goes.
        self._todo: list[tuple[Outbox, bytes]] = []
        self._from, self._from_id = self._front, self._front_id
        self._spent_s = 0.0
        self._not_before = 0.0
        self._flush_handle: asyncio.Handle | None = None
        self._look_handle: asyncio.TimerHandle | None = None

    # ---- phones

    def add(self, outbox: Outbox, cursor: int) -> None:
        """Let a phone in at a position of the ring; what lies before the end is its replay."""
        outbox.cursor = cursor
        outbox.replay_end = self._ring.end
        if cursor < self._ring.end:
            self._fell_behind(outbox)
            self._catch_up(outbox)
        else:
            self._stand_apart(outbox)

    def remove(self, outbox: Outbox) -> None:
        """Forget a phone; its `last_id` is what it was handed. Harmless when it is not here."""
        if outbox.place is Place.FRONT:
            waits = any(waiting is outbox for waiting, _ in self._todo)
            outbox.last_id = self._from_id if waits else self._front_id
        self._take_out(outbox)

    def _take_out(self, outbox: Outbox) -> None:
        if outbox.place is Place.FRONT:
            group = self._groups[outbox.group]
            del group[outbox]
            if not group:
                del self._groups[outbox.group]
        self._apart.pop(outbox, None)
        self._behind.pop(outbox, None)
        outbox.place = Place.AWAY

    def close(self) -> None:
        """Stop the timers and forget everybody."""
        for handle in (self._flush_handle, self._look_handle):
            if handle is not None:
                handle.cancel()
        self._flush_handle = self._look_handle = None
        for phones in (*self._groups.values(), self._apart, self._behind):
            for outbox in phones:
                outbox.place = Place.AWAY
        self._groups.clear()
        self._apart.clear()
        self._behind.clear()
        self._todo.clear()

    def bring_to_front(self, outbox: Outbox) -> None:
        """Write all a phone has not had, so that a frame of its own comes after it.

        A phone that is behind stays so: its own frame overtakes what it could not take in yet.
        """
        while self._todo:
            self._write_slice()
        if outbox.place is Place.FRONT:
            self._step_out(outbox, self._front, self._front_id)
        if outbox.place is Place.APART and outbox.cursor < self._ring.end:
            end, end_id = self._ring.end, self._ring.last_id
            if self._write(outbox, self._joined(outbox.cursor, end, outbox.group)):
                outbox.cursor, outbox.last_id = end, end_id

    # ---- the flush

    def wake(self) -> None:
        """Something new is in the ring: flush in this turn of the loop, or when the pause ends."""
        if self._flush_handle is not None or not (self._groups or self._apart):
            return
        wait = self._not_before - self._clock()
        if wait <= 0:
            self._flush_handle = self._loop.call_soon(self._begin)
        else:
            self._flush_handle = self._loop.call_later(wait, self._begin)

    def _begin(self) -> None:
        """Join what is new, once for each group, and begin to write it."""
        begun = self._clock()
        self._from, self._from_id = self._front, self._front_id
        self._front, self._front_id = self._ring.end, self._ring.last_id
        todo: list[tuple[Outbox, bytes]] = []
        for group, phones in list(self._groups.items()):
            if self._from < self._ring.begin:
                for outbox in list(phones):
                    self._step_out(outbox, self._from, self._from_id)
                    self._fell_behind(outbox)
                continue
            data = self._joined(self._from, self._front, group)
            if data:  # to a group that wants none of it there is nothing to do
                todo += [(outbox, data) for outbox in phones]
        blobs: dict[tuple[int, Group], bytes] = {}
        for outbox in self._apart:
            key = (outbox.cursor, outbox.group)
            if key not in blobs:
                blobs[key] = self._joined(outbox.cursor, self._front, outbox.group)
            todo.append((outbox, blobs[key]))
        todo.reverse()
        self._todo = todo
        self._spent_s = self._clock() - begun
        self._flush_slice()

    def _flush_slice(self) -> None:
        begun = self._clock()
        self._write_slice()
        now = self._clock()
        self._spent_s += now - begun
        if self._todo:
            self._flush_handle = self._loop.call_soon(self._flush_slice)
            return
        pause = min(max(MIN_PAUSE_S, PAUSE_PER_FLUSH_TIME * self._spent_s), MAX_PAUSE_S)
        self._not_before = now + pause
        self._flush_handle = None
        if self._front < self._ring.end:
            self.wake()

    def _write_slice(self) -> None:
        todo, limit = self._todo, self._limits.lag_bytes
        front = Place.FRONT
        for _ in range(min(SLICE_PHONES, len(todo))):
            outbox, data = todo.pop()
            if outbox.place is not front:
                self._write_apart(outbox, data)
                continue
            transport = outbox.transport
            if transport.get_write_buffer_size() > limit:
                self._step_out(outbox, self._from, self._from_id)
                self._fell_behind(outbox)
            elif not transport.is_closing():
                transport.write(data)

    def _write_apart(self, outbox: Outbox, data: bytes) -> None:
        """Bring a phone that stands apart to the front, and into its group if that has a place."""
        if outbox.place is not Place.APART or not self._write(outbox, data):
            return
        outbox.cursor, outbox.last_id = self._front, self._front_id
        group = self._groups.get(outbox.group)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                return
            group = self._groups[outbox.group] = {}
        del self._apart[outbox]
        group[outbox] = None
        outbox.place = Place.FRONT

    def _write(self, outbox: Outbox, data: bytes) -> bool:
        """Write to one phone, unless that is too late for it; whether it was not."""
        if outbox.held > self._limits.lag_bytes or outbox.cursor < self._ring.begin:
            self._fell_behind(outbox)
            return False
        if data:
            outbox.write(data)
        return True

    def _joined(self, begin: int, end: int, group: Group) -> bytes:
        if begin < self._ring.begin:
            return b""  # what is missing is told when the phone is found behind
        return b"".join([slot.bytes_for(group) for slot in self._ring.between(begin, end)])

    # ---- places

    def _step_out(self, outbox: Outbox, cursor: int, last_id: int) -> None:
        """A phone at the front gets a cursor of its own."""
        self._take_out(outbox)
        outbox.cursor, outbox.last_id = cursor, last_id
        self._stand_apart(outbox)

    def _stand_apart(self, outbox: Outbox) -> None:
        self._apart[outbox] = None
        outbox.place = Place.APART

    # ---- who is behind

    def _fell_behind(self, outbox: Outbox) -> None:
        outbox.start_watch(self._clock())
        self._apart.pop(outbox, None)
        self._behind[outbox] = None
        outbox.place = Place.BEHIND
        if self._look_handle is None:
            self._look_handle = self._loop.call_later(LOOK_AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        self._look_handle = None
        now = self._clock()
        for outbox in list(self._behind):
            if outbox.transport.is_closing():
                self.remove(outbox)
            elif outbox.stalled_for(now) >= self._limits.lag_s:
                self.remove(outbox)
                outbox.owner.cut_off(outbox.last_id)
            else:
                self._catch_up(outbox)
        if self._behind and self._look_handle is None:
            self._look_handle = self._loop.call_later(LOOK_AGAIN_S, self._look_again)

    def _catch_up(self, outbox: Outbox) -> None:
        """Write the next pieces to a phone that is behind while its transport takes them."""
        while outbox.held <= self._limits.lag_bytes:
            if outbox.cursor == self._ring.end:
                self._behind.pop(outbox, None)
                self._stand_apart(outbox)
                return
            outbox.write_piece(self._ring, self._limits.lag_bytes, int(self._wall() * 1000))
