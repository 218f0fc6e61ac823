"""The sign budget on disk: every request before it is sent, every block after a 429, every place
that is promised.

Written with synchronous=FULL on a connection of its own: what was spent must outlive a power cut,
and must not wait behind the event log.
"""

from __future__ import annotations

from typing import Final

import aiosqlite
import msgspec

from server.store.link import Link

#: No window of the sign server reaches further back; an hour more is for clocks that differ.
KEPT_MS: Final = 25 * 3_600_000
#: A request whose answer nobody has seen: its process died.
UNKNOWN: Final = "unknown"


class SpentRow(msgspec.Struct, frozen=True):
    """One request to the sign server, at `at` ms. `user_id` 0 when nobody's share was taken;
    `again` when it brought a lost stream back.
    """

    key_name: str
    creator: str
    user_id: int
    again: bool
    at: int


class BlockRow(msgspec.Struct, frozen=True):
    """A block after a 429, from `at` until `until` (ms). `creator` "" blocks the whole key;
    `headers` is JSON, as the answer had them.
    """

    key_name: str
    creator: str
    at: int
    until: int
    source: str
    headers: str


class PromiseRow(msgspec.Struct, frozen=True):
    """A place kept for a room at `at` ms; `user_id` is whose share it takes."""

    key_name: str
    creator: str
    user_id: int
    at: int


class LimitStore:
    """The ledger's tables. Methods raise StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    # ---- requests

    async def spend(self, row: SpentRow) -> int:
        """Write a request down before it is sent; returns its id. The disk has it on return.

        A promise to the room is kept with that; requests of long ago are forgotten.
        """

        async def work(connection: aiosqlite.Connection) -> int:
            await connection.execute("DELETE FROM sign_requests WHERE at < ?", (row.at - KEPT_MS,))
            await connection.execute(
                "DELETE FROM sign_promises WHERE key_name = ? AND creator = ?",
                (row.key_name, row.creator),
            )
            cursor = await connection.execute(
                "INSERT INTO sign_requests (key_name, creator, user_id, again, at) "
                "VALUES (?, ?, ?, ?, ?)",
                msgspec.structs.astuple(row),
            )
            return cursor.lastrowid or 0

        return await self._link.write(work, durable=True)

    async def give_back(self, request_id: int) -> None:
        """The request never reached the sign server."""
        await self._run("DELETE FROM sign_requests WHERE request_id = ?", request_id, durable=True)

    async def answered(self, request_id: int, outcome: str, at_ms: int) -> None:
        """What a request came to, an error's code or "ok", and when."""
        await self._run(
            "UPDATE sign_requests SET outcome = ?, at = max(at, ?) WHERE request_id = ?",
            outcome,
            at_ms,
            request_id,
        )

    async def take_up(self, *, now_ms: int) -> None:
        """A request without an answer was on its way when its process died; it may have been
        counted as late as now.
        """
        await self._run(
            "UPDATE sign_requests SET outcome = ?, at = max(at, ?) WHERE outcome = ''",
            UNKNOWN,
            now_ms,
        )

    async def last_ok_ms(self) -> int:
        """When the sign server last let a request through; 0 when none that is kept was."""
        rows = await self._link.rows(
            "SELECT coalesce(max(at), 0) FROM sign_requests WHERE outcome = 'ok'"
        )
        last: int = rows[0][0]
        return last

    async def spent(self) -> list[SpentRow]:
        """Every request that is kept, oldest first."""
        rows = await self._link.rows(
            "SELECT key_name, creator, user_id, again, at FROM sign_requests ORDER BY request_id"
        )
        return [
            SpentRow(key_name, creator, user_id, bool(again), at)
            for key_name, creator, user_id, again, at in rows
        ]

    # ---- blocks

    async def block(self, row: BlockRow) -> None:
        """Write a block down, in place of the last one; blocks of rooms that are over go."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM sign_blocks WHERE creator <> '' AND until < ?", (row.at,)
            )
            await connection.execute(
                "INSERT OR REPLACE INTO sign_blocks "
                "(key_name, creator, at, until, source, headers) VALUES (?, ?, ?, ?, ?, ?)",
                msgspec.structs.astuple(row),
            )
            if not row.creator:
                await connection.execute(
                    "DELETE FROM sign_promises WHERE key_name = ?", (row.key_name,)
                )

        await self._link.write(work, durable=True)

    async def unblock(self, key_name: str) -> None:
        """The sign server lets the key through again."""
        await self._run("DELETE FROM sign_blocks WHERE key_name = ? AND creator = ''", key_name)

    async def blocks(self) -> list[BlockRow]:
        """The last block of every key and room, whether or not it is over."""
        rows = await self._link.rows(
            "SELECT key_name, creator, at, until, source, headers FROM sign_blocks"
        )
        return [BlockRow(*row) for row in rows]

    # ---- promises

    async def promise(self, row: PromiseRow, *, lapsed_ms: int) -> None:
        """Keep a place for a room; those for a time before `lapsed_ms` were not come for."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM sign_promises WHERE at < ?", (lapsed_ms,))
            await connection.execute(
                "INSERT OR REPLACE INTO sign_promises (key_name, creator, user_id, at) "
                "VALUES (?, ?, ?, ?)",
                msgspec.structs.astuple(row),
            )

        await self._link.write(work)

    async def promises(self) -> list[PromiseRow]:
        """Every place that is kept, in order."""
        rows = await self._link.rows(
            "SELECT key_name, creator, user_id, at FROM sign_promises ORDER BY at"
        )
        return [PromiseRow(*row) for row in rows]

    async def _run(self, sql: str, *values: str | int, durable: bool = False) -> None:
        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(sql, values)

        await self._link.write(work, durable=durable)
