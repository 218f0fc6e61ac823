"""What a returning phone is owed: where it left off, the gaps that its replay begins with, and a
new room's ring filled from the log.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from server.relay import messages
from server.relay.eventlog import EventLog
from server.relay.messages import Gap
from server.relay.ring import Missing, Ring, Slot
from server.store.log import Entry


class Since(NamedTuple):
    """Where a returning phone left off.

    From its query (`since`, `epoch`), or, when `cut_off`, from our own note about a phone that was
    too slow: then what its transport still held is lost as well.
    """

    id: int
    epoch: str
    cut_off: bool = False
    asked: bool = True


class Refilled(NamedTuple):
    """What a new ring was given: the log's entries, oldest first, and the gaps that no row of the
    log stands for, with their positions.
    """

    entries: list[Entry]
    gaps: list[tuple[int, Gap]]


async def refill(ring: Ring, log: EventLog, creator: str, backlog: int) -> Refilled:
    """Fill a new room's ring with what the log has of its creator.

    What a crash may have lost is a gap in its place. So is the time in which there was no room:
    nobody listened to TikTok then. Raises StoreUnavailable.
    """
    last_id = log.last_id
    entries = await log.tail(creator, limit=backlog)
    if not log.keeps_live_events:
        ring.floor_id = last_id
    elif len(entries) < backlog:  # all that the log still has
        ring.floor_id = await log.pruned_id()
    else:
        ring.floor_id = entries[0].id - 1
    lost_until = log.lost_until_id
    gaps: list[tuple[int, Gap]] = []
    before = [entry for entry in entries if entry.id <= lost_until]
    for entry in before:
        ring.append(_slot(entry))
    if lost_until:
        from_id = ring.last_id + 1
        gap = Gap(ts=_now_ms(), reason="restart", from_id=from_id, to_id=lost_until)
        gaps.append((ring.end, gap))
        ring.append(_gap_slot(gap, from_id - 1, until=lost_until))
    for entry in entries[len(before) :]:
        ring.append(_slot(entry))
    unheard = Gap(ts=_now_ms(), reason="upstream")
    gaps.append((ring.end, unheard))
    ring.append(_gap_slot(unheard, last_id))
    ring.last_id = max(ring.last_id, last_id)
    return Refilled(entries, gaps)


def gaps(since: Since | None, missing: Missing | None) -> list[Gap]:
    """What a replay begins with when it is not whole."""
    if since is not None and since.cut_off:
        if missing is not None:
            return [
                Gap(ts=_now_ms(), reason="too_slow", from_id=missing.from_id, to_id=missing.to_id)
            ]
        return [] if since.asked else [Gap(ts=_now_ms(), reason="too_slow")]
    if missing is None:
        return []
    return [Gap(ts=_now_ms(), reason=missing.reason, from_id=missing.from_id, to_id=missing.to_id)]


def _slot(entry: Entry) -> Slot:
    """A frame of the log, as it was sent."""
    wire = messages.text_frame(entry.frame.encode())
    return Slot(entry.id, entry.type, wire, time.monotonic())


def _gap_slot(gap: Gap, entry_id: int, *, until: int = 0) -> Slot:
    return Slot(entry_id, "gap", messages.wire(gap), time.monotonic(), until=until)


def _now_ms() -> int:
    return int(time.time() * 1000)
