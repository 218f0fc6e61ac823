"""The event log's tables: entries, ids, epochs. Which user was given what is in visits.py."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final, Literal

import aiosqlite
import msgspec

from server.events import LIVE_EVENT_TYPES
from server.store.link import Link
from server.store.logquery import EVERYTHING, LogQuery

Level = Literal["info", "warning", "error"]

COLUMNS: Final = (
    "id, ts, type, level, creator, user_id, code, ref, text, frame, msg_id, connection_id"
)
#: The same where events_text is joined, which has a text too.
_EVENT_COLUMNS: Final = ", ".join(f"events.{name.strip()}" for name in COLUMNS.split(","))
_MARKS: Final = ", ".join("?" for _ in COLUMNS.split(","))
#: Rows deleted in one transaction, and read in one go by an export: the lock is never held long.
CHUNK_ROWS: Final = 1000
#: SQLite's largest integer.
MAX_ID: Final = (1 << 63) - 1
EPOCH_BYTES: Final = 9


class Entry(msgspec.Struct, frozen=True):
    """A row of the log. `ts` in ms; `user_id` 0 is the whole room; `frame` the JSON phones got;
    `msg_id` TikTok's own number of the message, 0 when it has none. `connection_id` names the one
    phone that was told it; 0 is every phone of the user, or of the room.
    """

    id: int
    ts: int
    type: str
    level: Level
    creator: str
    user_id: int
    code: str
    ref: str
    text: str
    frame: str
    msg_id: int = 0
    connection_id: int = 0


def new_epoch() -> str:
    """An opaque name that nothing else has."""
    return secrets.token_urlsafe(EPOCH_BYTES)


class LogStore:
    """Entries on disk. Methods raise StoreUnavailable."""

    def __init__(self, writer: Link, reader: Link) -> None:
        self._writer = writer
        self._reader = reader

    # ---- writing

    async def append(self, entries: Sequence[Entry]) -> None:
        """Write entries in one transaction; one that is there already stays as it is."""
        rows = [msgspec.structs.astuple(entry) for entry in entries]

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                f"INSERT OR IGNORE INTO events ({COLUMNS}) VALUES ({_MARKS})",
                rows,
            )

        await self._writer.write(work)

    async def forget_user(self, user_id: int) -> None:
        """Delete what one user was told."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM events WHERE user_id = ?", (user_id,))

        await self._writer.write(work)

    async def reserve_ids(self, count: int) -> int:
        """The first of `count` ids that nobody was ever given; the disk has it on return."""

        async def work(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                "UPDATE meta SET value = value + ? WHERE key = 'next_id' RETURNING value", (count,)
            )
            row = await cursor.fetchone()
            return int(row[0]) - count if row else 1

        return await self._writer.write(work, durable=True)

    async def epoch(self, creator: str) -> str:
        """The opaque name of this database's log of a creator, made on first need."""
        row = await self._reader.row("SELECT epoch FROM epochs WHERE creator = ?", (creator,))
        if row:
            return str(row[0])
        made = new_epoch()

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR IGNORE INTO epochs (creator, epoch) VALUES (?, ?)", (creator, made)
            )

        await self._writer.write(work)
        return await self.epoch(creator)

    async def mark_running(self) -> int | None:
        """Note that a server runs. When the last one did not stop cleanly: the newest id it had.

        Its open visits end there.
        """

        async def work(connection: aiosqlite.Connection) -> int | None:
            cursor = await connection.execute(
                "SELECT (SELECT value FROM meta WHERE key = 'running'), "
                "(SELECT value FROM meta WHERE key = 'next_id')"
            )
            row = await cursor.fetchone()
            running, next_id = row if row else (0, 1)
            await connection.execute("UPDATE meta SET value = 1 WHERE key = 'running'")
            await connection.execute(
                "UPDATE visits SET to_id = ? WHERE to_id = 0", (max(1, next_id - 1),)
            )
            return int(next_id) - 1 if running and next_id > 1 else None

        return await self._writer.write(work)

    async def mark_clean(self) -> None:
        """Note that the server has written everything and stops."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute("UPDATE meta SET value = 0 WHERE key = 'running'")

        await self._writer.write(work)

    async def prune(self, *, keep_days: int, max_rows: int, now_ms: int) -> int:
        """Delete what is older or more than asked for; returns how many rows went."""
        oldest_ms = now_ms - keep_days * 86_400_000
        removed = await self._delete_while("ts < ? ORDER BY ts", oldest_ms)
        row = await self._reader.row(
            "SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?", (max_rows,)
        )
        if row:
            removed += await self._delete_while("id <= ? ORDER BY id", row[0])
        if removed:
            await self._writer.write(_forget_visits)
        return removed

    async def _delete_while(self, condition: str, value: int) -> int:
        async def work(connection: aiosqlite.Connection) -> int:
            found = await connection.execute_fetchall(
                f"SELECT id FROM events WHERE {condition} LIMIT {CHUNK_ROWS}", (value,)
            )
            ids = [row[0] for row in found]
            if ids:
                await connection.executemany("DELETE FROM events WHERE id = ?", [(i,) for i in ids])
                await connection.execute(
                    "INSERT INTO meta (key, value) VALUES ('pruned_id', ?) ON CONFLICT (key) "
                    "DO UPDATE SET value = max(value, excluded.value)",
                    (max(ids),),
                )
            return len(ids)

        removed = 0
        while count := await self._writer.write(work):
            removed += count
        return removed

    async def pruned_id(self) -> int:
        """The newest id that was ever pruned, 0 when none was."""
        row = await self._reader.row("SELECT value FROM meta WHERE key = 'pruned_id'")
        return int(row[0]) if row else 0

    # ---- reading

    async def get(self, entry_id: int) -> Entry | None:
        """One entry."""
        found = await select(self._reader, "id = ?", [entry_id], 1)
        return found[0] if found else None

    async def of_ref(self, ref: str, *, limit: int = 100) -> list[Entry]:
        """Every row of one incident, newest first."""
        return await select(self._reader, "ref = ? AND ref <> ''", [ref], limit)

    async def tail(self, creator: str, *, limit: int) -> list[Entry]:
        """A creator's newest live events, oldest first."""
        marks = ", ".join("?" for _ in LIVE_EVENT_TYPES)
        found = await select(
            self._reader, f"creator = ? AND +type IN ({marks})", [creator, *LIVE_EVENT_TYPES], limit
        )
        return found[::-1]

    async def page(
        self,
        query: LogQuery = EVERYTHING,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """Entries that match everything asked for, newest first."""
        return await self._matching(query, "DESC", limit, before=before, after=after)

    async def first(self, query: LogQuery, *, after: int, limit: int) -> list[Entry]:
        """The next ones that match, after an id, oldest first."""
        return await self._matching(query, "ASC", limit, after=after)

    async def _matching(
        self,
        query: LogQuery,
        order: Literal["ASC", "DESC"],
        limit: int,
        *,
        before: int | None = None,
        after: int | None = None,
    ) -> list[Entry]:
        asked = query.conditions(before=before, after=after)
        rows = await self._reader.rows(
            f"SELECT {_EVENT_COLUMNS} FROM {asked.tables} WHERE {asked.where} "
            f"ORDER BY {asked.number} {order} LIMIT ?",
            (*asked.values, limit),
        )
        return [Entry(*row) for row in rows]

    async def of_phone(
        self,
        user_id: int,
        creators: Collection[str],
        *,
        from_id: int,
        since_ms: int,
        until_ms: int,
        before: int | None,
        limit: int,
    ) -> list[Entry]:
        """Rows that a connection may have been handed, newest first: the user's own of that time,
        and the rooms' from an id on. web/console/follow.py says which of them it was.
        """
        top = MAX_ID if before is None else before
        marks = ", ".join("?" for _ in creators)
        own = "user_id = ? AND ts >= ? AND (? = 0 OR ts <= ?) AND id < ?"
        room = f"creator IN ({marks}) AND user_id = 0 AND id >= ? AND id < ?"
        rows = await self._reader.rows(
            f"SELECT * FROM (SELECT {COLUMNS} FROM events WHERE {own} ORDER BY id DESC LIMIT ?) "
            f"UNION ALL SELECT * FROM (SELECT {COLUMNS} FROM events WHERE {room} "
            "ORDER BY id DESC LIMIT ?) ORDER BY id DESC LIMIT ?",
            (
                *(user_id, since_ms, until_ms, until_ms, top, limit),
                *(*creators, from_id, top, limit),
                limit,
            ),
        )
        return [Entry(*row) for row in rows]

    async def export(self, query: LogQuery = EVERYTHING) -> AsyncIterator[Entry]:
        """Every entry that matches, oldest first, read in chunks."""
        last_id = 0
        while True:
            entries = await self.first(query, after=last_id, limit=CHUNK_ROWS)
            for entry in entries:
                yield entry
            if len(entries) < CHUNK_ROWS:
                return
            last_id = entries[-1].id


async def select(reader: Link, condition: str, values: Sequence[Any], limit: int) -> list[Entry]:
    """The newest entries for which an SQL condition holds, the latest first."""
    rows = await reader.rows(
        f"SELECT {COLUMNS} FROM events WHERE {condition} ORDER BY id DESC LIMIT ?",
        (*values, limit),
    )
    return [Entry(*row) for row in rows]


async def _forget_visits(connection: aiosqlite.Connection) -> None:
    """Visits to rows that are all gone."""
    await connection.execute(
        "DELETE FROM visits WHERE to_id > 0 AND to_id < "
        "coalesce((SELECT min(id) FROM events), (SELECT value FROM meta WHERE key = 'next_id'))"
    )
