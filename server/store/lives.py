"""Lives that have ended, by TikTok's room id."""

from __future__ import annotations

import aiosqlite

from server.store.link import Link


class LiveStore:
    """The ended_lives table; times are ms. Methods raise StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def end(self, room_id: int, until_ms: int, *, now_ms: int) -> None:
        """A live is over until then; those of long ago are forgotten."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM ended_lives WHERE until < ?", (now_ms,))
            await connection.execute(
                "INSERT OR REPLACE INTO ended_lives (room_id, until) VALUES (?, ?)",
                (room_id, until_ms),
            )

        await self._link.write(work)

    async def ended(self) -> list[tuple[int, int]]:
        """(TikTok's room id, until when) of each."""
        rows = await self._link.rows("SELECT room_id, until FROM ended_lives")
        return [(room_id, until) for room_id, until in rows]
