"""The sign budget on disk: every request before it is sent, every block after a 429.

Written with synchronous=FULL on a connection of its own: what was spent must outlive a power cut,
and must not wait behind the event log.
"""

from __future__ import annotations

import aiosqlite
import msgspec

from server.store.link import Link


class SpentRow(msgspec.Struct, frozen=True):
    """One request to the sign server. `at` in ms; `user_id` 0 when nobody in particular asked."""

    key_name: str
    creator: str
    user_id: int
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


class LimitStore:
    """The ledger. Methods raise StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def spend(self, row: SpentRow) -> int:
        """Write a request down before it is sent; returns its id. The disk has it on return."""

        async def work(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                "INSERT INTO sign_requests (key_name, creator, user_id, at) VALUES (?, ?, ?, ?)",
                msgspec.structs.astuple(row),
            )
            return cursor.lastrowid or 0

        return await self._link.write(work, durable=True)

    async def give_back(self, request_id: int) -> None:
        """The request never reached the sign server."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM sign_requests WHERE request_id = ?", (request_id,)
            )

        await self._link.write(work, durable=True)

    async def note_outcome(self, request_id: int, outcome: str) -> None:
        """What a request came to; an error's code, or "ok"."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "UPDATE sign_requests SET outcome = ? WHERE request_id = ?", (outcome, request_id)
            )

        await self._link.write(work)

    async def block(self, row: BlockRow) -> None:
        """Write a block down, in place of the key's last one."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR REPLACE INTO sign_blocks "
                "(key_name, creator, at, until, source, headers) VALUES (?, ?, ?, ?, ?, ?)",
                msgspec.structs.astuple(row),
            )

        await self._link.write(work, durable=True)

    async def spent(self) -> list[SpentRow]:
        """Every request that is kept, oldest first."""
        rows = await self._link.rows(
            "SELECT key_name, creator, user_id, at FROM sign_requests ORDER BY request_id"
        )
        return [SpentRow(*row) for row in rows]

    async def blocks(self) -> list[BlockRow]:
        """The last block of every key, whether or not it is over."""
        rows = await self._link.rows(
            "SELECT key_name, creator, at, until, source, headers FROM sign_blocks"
        )
        return [BlockRow(*row) for row in rows]

    async def prune(self, before_ms: int) -> None:
        """Forget requests and blocks that no window reaches back to."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM sign_requests WHERE at < ?", (before_ms,))
            await connection.execute("DELETE FROM sign_blocks WHERE until < ?", (before_ms,))

        await self._link.write(work)
