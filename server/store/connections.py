"""Connections of phones, and what each was handed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import aiosqlite
import msgspec

from server.store.link import Link

_COLUMNS: Final = (
    "connection_id, user_id, phone, ip, platform, os, device, lang, types, combo, since_id, "
    "opened_at, closed_at, close_code, close_reason"
)
_MARKS: Final = ", ".join("?" for _ in _COLUMNS.split(","))
# A disk that was too slow may have written all of this already: the second time does nothing.
_INSERT_ROW: Final = (
    f"INSERT OR IGNORE INTO connections ({_COLUMNS}) SELECT {_MARKS} "
    "WHERE EXISTS (SELECT 1 FROM users WHERE user_id = ?)"
)
_INSERT_STAY: Final = (
    "INSERT INTO stays (connection_id, creator, state, began_at, from_id, live_from, to_id) "
    "SELECT ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM connections WHERE connection_id = ?) "
    "AND NOT EXISTS (SELECT 1 FROM stays WHERE (connection_id, began_at, from_id) = (?, ?, ?))"
)
_END_STAY: Final = "UPDATE stays SET to_id = ? WHERE connection_id = ? AND to_id = 0"
_END_ROW: Final = (
    "UPDATE connections SET closed_at = ?, close_code = ?, close_reason = ? WHERE connection_id = ?"
)
#: Ends of those that a crash left open.
CRASHED: Final = "restart"
#: Rows deleted in one transaction.
CHUNK_ROWS: Final = 1000
#: Connections that are kept of one user: a phone that comes and goes all day is still told of.
KEPT_PER_USER: Final = 2000


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket. Times in ms; `phone` names the token, not the device; `types` is a list with
    commas, "" for all; `since_id` is what the phone asked for, None for nothing.
    """

    connection_id: int
    user_id: int
    phone: str
    ip: str
    platform: str
    os: str
    device: str
    lang: str
    types: str
    combo: str
    since_id: int | None
    opened_at: int
    closed_at: int = 0
    close_code: int = 0
    close_reason: str = ""


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A connection in one room: it was handed the room's rows from `from_id` to `to_id`, statuses
    only after `live_from`. `state` is what the first status said.
    """

    connection_id: int
    creator: str
    state: str
    began_at: int
    from_id: int
    live_from: int
    to_id: int = 0


class Left(NamedTuple):
    """A connection has left its room."""

    connection_id: int
    to_id: int


class Closed(NamedTuple):
    """A connection has ended."""

    connection_id: int
    closed_at: int
    close_code: int
    close_reason: str


Change = ConnectionRow | Stay | Left | Closed


class ConnectionStore:
    """The tables connections and stays. Methods raise StoreUnavailable."""

    def __init__(self, writer: Link, reader: Link) -> None:
        self._writer = writer
        self._reader = reader

    async def begin(self, now_ms: int, last_id: int) -> int:
        """End what a crash left open, at this moment and this id; returns the next number."""

        async def work(connection: aiosqlite.Connection) -> int:
            await connection.execute("UPDATE stays SET to_id = ? WHERE to_id = 0", (last_id,))
            await connection.execute(
                "UPDATE connections SET closed_at = ?, close_reason = ? WHERE closed_at = 0",
                (now_ms, CRASHED),
            )
            cursor = await connection.execute("SELECT max(connection_id) FROM connections")
            row = await cursor.fetchone()
            return (row[0] or 0) + 1 if row else 1

        return await self._writer.write(work)

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write changes in their order, in one transaction; those of a deleted user are dropped."""
        statements = _Folded(changes).statements()

        async def work(connection: aiosqlite.Connection) -> None:
            for statement, values in statements:
                await connection.executemany(statement, values)

        await self._writer.write(work)

    async def prune(self, before_ms: int, *, per_user: int = KEPT_PER_USER) -> int:
        """Delete connections that ended before a moment, and of each user's all ended ones but the
        latest `per_user`; returns how many.
        """
        removed = await self._delete("closed_at < ?", (before_ms,))
        crowded = await self._reader.rows(
            "SELECT user_id FROM connections GROUP BY user_id HAVING count(*) > ?", (per_user,)
        )
        for (user_id,) in crowded:
            newest = await self._reader.row(
                "SELECT connection_id FROM connections WHERE user_id = ? "
                "ORDER BY connection_id DESC LIMIT 1 OFFSET ?",
                (user_id, per_user),
            )
            if newest is not None:
                removed += await self._delete(
                    "user_id = ? AND connection_id <= ?", (user_id, newest[0])
                )
        return removed

    async def _delete(self, condition: str, values: tuple[int, ...]) -> int:
        async def work(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                "DELETE FROM connections WHERE connection_id IN (SELECT connection_id "
                f"FROM connections WHERE closed_at > 0 AND {condition} LIMIT ?)",
                (*values, CHUNK_ROWS),
            )
            return cursor.rowcount

        removed = 0
        while count := await self._writer.write(work):
            removed += count
        return removed

    async def of_user(
        self, user_id: int, *, before: int | None = None, limit: int = 50
    ) -> list[ConnectionRow]:
        """A user's connections, the latest first."""
        rows = await self._reader.rows(
            f"SELECT {_COLUMNS} FROM connections WHERE user_id = ? AND connection_id < ? "
            "ORDER BY connection_id DESC LIMIT ?",
            (user_id, (1 << 63) - 1 if before is None else before, limit),
        )
        return [_connection(row) for row in rows]

    async def get(self, connection_id: int) -> ConnectionRow | None:
        """One of them."""
        row = await self._reader.row(
            f"SELECT {_COLUMNS} FROM connections WHERE connection_id = ?", (connection_id,)
        )
        return _connection(row) if row else None

    async def stays(self, connection_id: int) -> list[Stay]:
        """The rooms a connection was in, in order."""
        rows = await self._reader.rows(
            "SELECT connection_id, creator, state, began_at, from_id, live_from, to_id "
            "FROM stays WHERE connection_id = ? ORDER BY stay_id",
            (connection_id,),
        )
        names = Stay.__struct_fields__
        return [Stay(**dict(zip(names, row, strict=True))) for row in rows]


def _connection(row: tuple[Any, ...]) -> ConnectionRow:
    return ConnectionRow(**dict(zip(ConnectionRow.__struct_fields__, row, strict=True)))


class _Folded:
    """What many changes come to, so that each table is written to once: a crowd that connects at
    once is thousands of rows.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        self._rows: dict[int, ConnectionRow] = {}
        self._stays: dict[int, list[Stay]] = {}
        # Of stays and connections that were written before.
        self._left: list[Left] = []
        self._closed: list[Closed] = []
        for change in changes:
            self._add(change)

    def _add(self, change: Change) -> None:
        match change:
            case ConnectionRow(connection_id=number):
                self._rows[number] = change
            case Stay(connection_id=number):
                self._stays.setdefault(number, []).append(change)
            case Left(number, to_id):
                stays = self._stays.get(number)
                if stays is None:
                    self._left.append(change)
                elif not stays[-1].to_id:
                    stays[-1] = msgspec.structs.replace(stays[-1], to_id=to_id)
            case Closed(number):
                row = self._rows.get(number)
                if row is None:
                    self._closed.append(change)
                else:
                    ended = dict(zip(Closed._fields[1:], change[1:], strict=True))
                    self._rows[number] = msgspec.structs.replace(row, **ended)

    def statements(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """SQL and its many values. Stays that end come before those that begin."""
        every = (
            (_INSERT_ROW, [(*msgspec.structs.astuple(r), r.user_id) for r in self._rows.values()]),
            (_END_STAY, [(to_id, number) for number, to_id in self._left]),
            (
                _INSERT_STAY,
                [
                    (*msgspec.structs.astuple(stay), number, number, stay.began_at, stay.from_id)
                    for number, stays in self._stays.items()
                    for stay in stays
                ],
            ),
            (_END_ROW, [(*ended[1:], ended.connection_id) for ended in self._closed]),
        )
        return [(statement, values) for statement, values in every if values]
