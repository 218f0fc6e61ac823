"""A row as a page's script fills it in; the template _log_row.html says the same."""

from __future__ import annotations

import msgspec

from server.store.log import Entry


class Row(msgspec.Struct, frozen=True):
    """An entry without what only its own page shows."""

    id: int
    ts: int
    type: str
    level: str
    creator: str
    user_id: int
    code: str
    ref: str
    text: str


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message: rows, oldest first. `skipped`: more had come than a page keeps.

    Of a flood `folded` says, by type, how many chats and likes there were besides the rows.
    """

    rows: list[Row]
    skipped: bool = False
    folded: dict[str, int] = {}


def row(entry: Entry) -> Row:
    """Of an entry."""
    return Row(
        id=entry.id,
        ts=entry.ts,
        type=entry.type,
        level=entry.level,
        creator=entry.creator,
        user_id=entry.user_id,
        code=entry.code,
        ref=entry.ref,
        text=entry.text,
    )
