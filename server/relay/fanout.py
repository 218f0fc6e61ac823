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
from server.relay.outbox import Outbox
from server.relay.ring import Group, Ring

#: The pause after a flush that took T is 2T within these bounds (measured; see docs/decisions).
MIN_PAUSE_S: Final = 0.005
MAX_PAUSE_S: Final = 0.050
PAUSE_PER_FLUSH_TIME: Final = 2.0
#: Phones written to in one go; then accepts and pongs of others get their turn.
SLICE_PHONES: Final = 512
#: How often phones that are behind are looked at.
LOOK_AGAIN_S: Final = 0.1


class Fanout:
    """Keeps every phone of a room at the end of its ring."""

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
        self._phones: dict[Outbox, None] = {}
        self._behind: dict[Outbox, None] = {}
        self._todo: list[Outbox] = []
        self._blobs: dict[tuple[int, Group], bytes] = {}
        self._front = 0
        self._front_id = 0
        self._spent_s = 0.0
        self._not_before = 0.0
        self._flush_handle: asyncio.Handle | None = None
        self._look_handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._phones)

    @property
    def phones(self) -> list[Outbox]:
        """The phones, in order of arrival."""
        return list(self._phones)

    def add(self, outbox: Outbox, cursor: int) -> None:
        """Let a phone in at a position of the ring; what lies before the end is its replay."""
        outbox.cursor = cursor
        outbox.replay_end = self._ring.end
        self._phones[outbox] = None
        if cursor < self._ring.end:
            self._fell_behind(outbox)
            self._catch_up(outbox)

    def remove(self, outbox: Outbox) -> None:
        """Forget a phone; harmless when it is not here."""
        self._phones.pop(outbox, None)
        self._behind.pop(outbox, None)

    def close(self) -> None:
        """Stop the timers."""
        for handle in (self._flush_handle, self._look_handle):
            if handle is not None:
                handle.cancel()
        self._flush_handle = self._look_handle = None
        self._phones.clear()
        self._behind.clear()
        self._todo.clear()

    def wake(self) -> None:
        """Something new is in the ring: flush in this turn of the loop, or when the pause ends."""
        if self._flush_handle is not None or not self._phones:
            return
        wait = self._not_before - self._clock()
        if wait <= 0:
            self._flush_handle = self._loop.call_soon(self._begin)
        else:
            self._flush_handle = self._loop.call_later(wait, self._begin)

    def bring_to_front(self, outbox: Outbox) -> None:
        """Write all a phone has not had, so that a frame of its own comes after it.

        A phone that is behind stays so: its own frame overtakes what it could not take in yet.
        """
        if outbox in self._phones and outbox not in self._behind:
            self._write(outbox, self._ring.end, self._ring.last_id)

    def _begin(self) -> None:
        self._front, self._front_id = self._ring.end, self._ring.last_id
        self._blobs.clear()
        self._spent_s = 0.0
        self._todo = list(self._phones)
        self._todo.reverse()
        self._flush_slice()

    def _flush_slice(self) -> None:
        started = self._clock()
        todo, phones, behind, front = self._todo, self._phones, self._behind, self._front
        for _ in range(min(SLICE_PHONES, len(todo))):
            outbox = todo.pop()
            if outbox.cursor < front and outbox in phones and outbox not in behind:
                self._write(outbox, front, self._front_id)
        now = self._clock()
        self._spent_s += now - started
        if todo:
            self._flush_handle = self._loop.call_soon(self._flush_slice)
            return
        pause = min(max(MIN_PAUSE_S, PAUSE_PER_FLUSH_TIME * self._spent_s), MAX_PAUSE_S)
        self._not_before = now + pause
        self._flush_handle = None
        self._blobs.clear()
        if self._front < self._ring.end:
            self.wake()

    def _write(self, outbox: Outbox, front: int, front_id: int) -> None:
        if outbox.transport.is_closing():
            return
        if outbox.held > self._limits.lag_bytes or outbox.cursor < self._ring.begin:
            self._fell_behind(outbox)
            return
        data = self._blob(outbox.cursor, front, outbox.group)
        outbox.cursor = front
        outbox.last_id = front_id
        if data:
            outbox.transport.write(data)

    def _blob(self, begin: int, end: int, group: Group) -> bytes:
        key = (begin, group)
        cached = self._blobs.get(key) if end == self._front else None
        if cached is None:
            cached = b"".join([slot.bytes_for(group) for slot in self._ring.between(begin, end)])
            if end == self._front:
                self._blobs[key] = cached
        return cached

    def _fell_behind(self, outbox: Outbox) -> None:
        outbox.start_watch(self._clock())
        self._behind[outbox] = None
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
                outbox.cut_off(outbox)
            else:
                self._catch_up(outbox)
        if self._behind and self._look_handle is None:
            self._look_handle = self._loop.call_later(LOOK_AGAIN_S, self._look_again)

    def _catch_up(self, outbox: Outbox) -> None:
        """Write the next pieces to a phone that is behind while its transport takes them."""
        while outbox.held <= self._limits.lag_bytes:
            if outbox.cursor == self._ring.end:
                self._behind.pop(outbox, None)
                return
            outbox.write_piece(self._ring, self._limits.lag_bytes, int(self._wall() * 1000))
