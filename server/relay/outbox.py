"""One phone's way out: its position in the room's ring and its transport. Writing never waits."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final, Protocol

from server.relay.messages import Gap, wire
from server.relay.notices import Notice
from server.relay.ring import Group, Ring

#: Types that belong to the moment: a replay brings live events, never an old status.
NOT_REPLAYED: Final = frozenset({"status"})


class Place(Enum):
    """Where a phone stands in its room's fan-out; see fanout.py."""

    AWAY = "away"
    FRONT = "front"
    APART = "apart"
    BEHIND = "behind"


class Owner(Protocol):
    """Whose an outbox is; an object and no callables, for there are thousands."""

    def cut_off(self, last_id: int) -> None:
        """The phone has been given up as too slow; `last_id` is what it was handed last."""

    def missed(self, gap: Gap) -> None:
        """It is sent this gap for being too slow."""

    def dismiss(self, notice: Notice) -> None:
        """Its room has failed."""

    def close_going_away(self) -> None:
        """Its room is closed, and nothing is wrong."""


class Outbox:
    """What one phone has had and what it is sent next.

    `cursor` is a position in the ring of the room the phone is in, and `last_id` the id of what it
    was handed last; of a phone at the front, the fan-out keeps both for all. `replay_end` is where
    the ring stood when the phone joined: statuses before it are old news.
    """

    __slots__ = (
        "_last_size",
        "_progress_at",
        "cursor",
        "group",
        "last_id",
        "owner",
        "place",
        "replay_end",
        "transport",
    )

    def __init__(self, transport: asyncio.Transport, group: Group, owner: Owner) -> None:
        self.transport = transport
        self.group = group
        self.owner = owner
        self.cursor = 0
        self.replay_end = 0
        self.last_id = 0
        self.place = Place.AWAY
        self._last_size = 0
        self._progress_at = 0.0

    @property
    def held(self) -> int:
        """Bytes the transport could not send yet."""
        return self.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport, unless the peer is gone."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def write_piece(self, ring: Ring, limit_bytes: int, now_ms: int) -> None:
        """Write from the cursor on, at most `limit_bytes` (always one frame at least).

        The transport copies what it cannot send, so a long replay goes out piece by piece. When the
        ring has moved past the cursor, the phone gets a gap in place of what is gone.
        """
        parts: list[bytes] = []
        if self.cursor < ring.begin:
            gap = Gap(ts=now_ms, reason="too_slow", from_id=self.last_id + 1, to_id=ring.floor_id)
            parts.append(wire(gap))
            self.owner.missed(gap)
            self.cursor = ring.begin
        size = 0
        for slot in ring.between(self.cursor, ring.end):
            self.cursor += 1
            self.last_id = slot.id
            if self.cursor <= self.replay_end and slot.type in NOT_REPLAYED:
                continue
            data = slot.bytes_for(self.group)
            if data:
                parts.append(data)
                size += len(data)
                if size >= limit_bytes:
                    break
        if parts:
            self.write(b"".join(parts))

    def start_watch(self, now: float) -> None:
        """Begin to measure progress: the phone has fallen behind."""
        self._last_size = self.held
        self._progress_at = now

    def stalled_for(self, now: float) -> float:
        """Seconds since the transport last got rid of anything."""
        size = self.held
        if size < self._last_size or size == 0:
            self._progress_at = now
        self._last_size = size
        return now - self._progress_at
