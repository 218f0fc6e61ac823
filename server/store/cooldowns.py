"""Remembered failures on disk, so that a restart gives phones the same answer and asks nobody."""

from __future__ import annotations

import aiosqlite
import msgspec

from server.store.link import Link


class CooldownRow(msgspec.Struct, frozen=True):
    """What was told of a creator at `at`, and stands until `until` (ms). `user_id` 0 is everybody;
    `strikes` counts how often it has happened in a row.
    """

    creator: str
    user_id: int
    code: str
    variant: str
    ref: str
    strikes: int
    at: int
    until: int


class CooldownStore:
    """The cooldowns table. Methods raise StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def save(self, rows: list[CooldownRow], *, lapsed_ms: int) -> None:
        """Write failures down in place of the last ones; those over before `lapsed_ms` go."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM cooldowns WHERE until < ?", (lapsed_ms,))
            await connection.executemany(
                "INSERT OR REPLACE INTO cooldowns "
                "(creator, user_id, code, variant, ref, strikes, at, until) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [msgspec.structs.astuple(row) for row in rows],
            )

        await self._link.write(work, durable=True)

    async def forget(self, creator: str, user_id: int) -> None:
        """A failure no longer stands."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM cooldowns WHERE creator = ? AND user_id = ?", (creator, user_id)
            )

        await self._link.write(work)

    async def all(self) -> list[CooldownRow]:
        """Every failure that is kept, the one that ends first first."""
        rows = await self._link.rows(
            "SELECT creator, user_id, code, variant, ref, strikes, at, until FROM cooldowns "
            "ORDER BY until"
        )
        return [CooldownRow(*row) for row in rows]
