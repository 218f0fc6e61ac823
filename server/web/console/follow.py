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


class Handed(NamedTuple):
    """A connection and what decides which rows it was handed. `gaps` are its own, from and to."""

    connection: ConnectionRow
    stays: list[Stay]
    gaps: list[tuple[int, int]]

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
            first <= entry.id <= last for first, last in self.gaps
        )

    def _was_open(self, ts: int) -> bool:
        row = self.connection
        return row.opened_at <= ts and (not row.closed_at or ts <= row.closed_at + GRACE_MS)

    def _wants(self, entry_type: str) -> bool:
        types = self.connection.types
        return not types or entry_type not in LIVE_EVENT_TYPES or entry_type in types.split(",")

    @property
    def first_id(self) -> int:
        """The least id that can be among its rows."""
        return min((stay.from_id for stay in self.stays), default=0)


def _covers(stay: Stay, entry: Entry) -> bool:
    if entry.creator != stay.creator or entry.id < stay.from_id:
        return False
    if stay.to_id and entry.id > stay.to_id:
        return False
    return entry.type != "status" or entry.id > stay.live_from


async def handed(store: LogStore, connection: ConnectionRow, stays: list[Stay]) -> Handed:
    """Gather what decides. Raises StoreUnavailable."""
    own = await store.page(
        LogQuery(types=("gap",), user_ids=(connection.user_id,), since_ms=connection.opened_at),
        limit=CHUNK_ROWS,
    )
    gaps = [
        (frame.get("from_id", 0), frame.get("to_id", 0))
        for entry in own
        if entry.connection_id == connection.connection_id
        for frame in (_decode(entry.frame),)
    ]
    return Handed(connection, stays, gaps)


async def rows(
    store: LogStore, what: Handed, *, before: int | None = None, limit: int
) -> list[Entry]:
    """The newest rows that the phone was handed, the latest first. Raises StoreUnavailable."""
    found: list[Entry] = []
    async for entry in _candidates(store, what, before):
        if what.was_handed(entry):
            found.append(as_shown(entry, what.connection))
            if len(found) == limit:
                break
    return found


async def _candidates(store: LogStore, what: Handed, before: int | None) -> AsyncIterator[Entry]:
    row = what.connection
    creators = tuple(dict.fromkeys(stay.creator for stay in what.stays))
    until_ms = row.closed_at + GRACE_MS if row.closed_at else 0
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
