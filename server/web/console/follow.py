"""What was handed to one phone's socket, frame by frame: its stays in rooms laid over the rooms'
log, and the rows that it alone was told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec

from server.events import LIVE_EVENT_TYPES
from server.relay.notices import Lang, state_text
from server.relay.rows import row_text
from server.store.connections import ConnectionRow, Stay
from server.store.log import Entry, LogStore
from server.store.logquery import LogQuery

#: Rows that are read at once to fill a page.
CHUNK_ROWS: Final = 500
#: A page gives up filling itself after so many chunks: filters may leave little of them.
MAX_CHUNKS: Final = 20
#: Errors come a moment after the connection is noted as closed.
GRACE_MS: Final = 2_000

_decode = msgspec.json.Decoder(dict).decode


class OwnGap(NamedTuple):
    """A hole that this phone alone was told of, in place of the rows from `from_id` to `to_id`
    (both 0 when nobody knows them). It stands after all rows up to the id `place`.
    """

    row: Entry
    place: int
    from_id: int
    to_id: int


class Handed(NamedTuple):
    """A connection and what decides which rows it was handed; its own gaps, the last first."""

    connection: ConnectionRow
    stays: list[Stay]
    gaps: list[OwnGap]

    def was_handed(self, entry: Entry) -> bool:
        """Whether this phone was given the row."""
        row = self.connection
        if entry.user_id:
            if entry.user_id != row.user_id:
                return False
            if entry.connection_id:
                return entry.connection_id == row.connection_id
            return self._was_open(entry.ts) and any(
                stay.creator == entry.creator for stay in self.stays
            )
        if not self._wants(entry.type):
            return False
        return any(_covers(stay, entry) for stay in self.stays) and not any(
            gap.from_id <= entry.id <= gap.to_id for gap in self.gaps
        )

    def _was_open(self, ts: int) -> bool:
        row = self.connection
        return row.opened_at <= ts and (not row.closed_at or ts <= _last_ms(row))

    def _wants(self, entry_type: str) -> bool:
        types = self.connection.types
        return not types or entry_type not in LIVE_EVENT_TYPES or entry_type in types.split(",")

    @property
    def first_id(self) -> int:
        """The least id that can be among its rows."""
        return min((stay.from_id for stay in self.stays), default=0)


def _last_ms(row: ConnectionRow) -> int:
    """When the last row of a connection can have been written, 0 while it is open."""
    return row.closed_at + GRACE_MS if row.closed_at else 0


def _covers(stay: Stay, entry: Entry) -> bool:
    if entry.creator != stay.creator or entry.id < stay.from_id:
        return False
    if stay.to_id and entry.id > stay.to_id:
        return False
    return entry.type != "status" or entry.id > stay.live_from


async def handed(store: LogStore, connection: ConnectionRow, stays: list[Stay]) -> Handed:
    """Gather what decides. Raises StoreUnavailable."""
    own = await store.page(
        LogQuery(
            types=("gap",),
            user_ids=(connection.user_id,),
            since_ms=connection.opened_at,
            until_ms=_last_ms(connection),
        ),
        limit=CHUNK_ROWS,
    )
    gaps = [_own_gap(row, stays) for row in own if row.connection_id == connection.connection_id]
    gaps.sort(key=lambda gap: (gap.place, gap.row.id), reverse=True)
    return Handed(connection, stays, gaps)


def _own_gap(row: Entry, stays: list[Stay]) -> OwnGap:
    """Where a gap stood: it is logged when the phone joins, and handed amid the replay.

    Without ids, one for a phone that had been too slow is what its replay began with; any other is
    the last of what a room was opened with.
    """
    frame = _decode(row.frame)
    from_id, to_id = frame.get("from_id", 0), frame.get("to_id", 0)
    place = to_id or row.id
    if not to_id and row.code == "too_slow":
        begun = (stay.from_id for stay in reversed(stays) if stay.live_from < row.id)
        place = next(begun, row.id + 1) - 1
    return OwnGap(row, place, from_id, to_id)


class Rows(NamedTuple):
    """Some of what a phone was handed, the latest first. `before` asks for those before them, None
    when there are none.
    """

    entries: list[Entry]
    before: int | None


async def rows(store: LogStore, what: Handed, *, before: int | None = None, limit: int) -> Rows:
    """The newest rows that the phone was handed. Raises StoreUnavailable."""
    found: list[tuple[int, Entry]] = []
    async for place, entry in _in_order(store, what, before):
        if len(found) == limit:
            return Rows([entry for _, entry in found], found[-1][0])
        found.append((place, as_shown(entry, what.connection)))
    return Rows([entry for _, entry in found], None)


async def _in_order(
    store: LogStore, what: Handed, before: int | None
) -> AsyncIterator[tuple[int, Entry]]:
    """Every row and its place, the latest first. No row of a room's has the place of a gap."""
    gaps = [gap for gap in what.gaps if before is None or gap.place < before]
    placed = {gap.row.id for gap in what.gaps}
    async for entry in _candidates(store, what, before):
        while gaps and gaps[0].place > entry.id:
            gap = gaps.pop(0)
            yield gap.place, gap.row
        if entry.id not in placed and what.was_handed(entry):
            yield entry.id, entry
    for gap in gaps:
        yield gap.place, gap.row


async def _candidates(store: LogStore, what: Handed, before: int | None) -> AsyncIterator[Entry]:
    row = what.connection
    creators = tuple(dict.fromkeys(stay.creator for stay in what.stays))
    until_ms = _last_ms(row)
    for _ in range(MAX_CHUNKS):
        chunk = await store.of_phone(
            row.user_id,
            creators,
            from_id=what.first_id,
            since_ms=row.opened_at,
            until_ms=until_ms,
            before=before,
            limit=CHUNK_ROWS,
        )
        for entry in chunk:
            yield entry
        if len(chunk) < CHUNK_ROWS:
            return
        before = chunk[-1].id


def as_shown(entry: Entry, connection: ConnectionRow) -> Entry:
    """The row in the phone's language: a status is told to each in theirs."""
    lang = lang_of(connection)
    frame: dict[str, Any] = _decode(entry.frame)
    if entry.type == "status":
        frame["message"] = state_text(frame["state"], lang, creator=entry.creator)
    return msgspec.structs.replace(entry, text=row_text(entry.type, frame, lang))


def lang_of(connection: ConnectionRow) -> Lang:
    """The language in which the phone was told everything."""
    return "en" if connection.lang == "en" else "ru"
