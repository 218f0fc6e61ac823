"""Who was in which room when, and from that what a user was given: the table visits, laid over the
event log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final

import aiosqlite

from server.store.link import Link
from server.store.log import MAX_ID, Entry, select

#: Visits read in one go.
CHUNK_VISITS: Final = 200


class VisitStore:
    """The table visits: intervals of ids; `to_id` is 0 while one is open. Methods raise
    StoreUnavailable.
    """

    def __init__(self, writer: Link, reader: Link) -> None:
        self._writer = writer
        self._reader = reader

    async def open(self, user_id: int, creator: str, from_id: int) -> int:
        """A user's phone is given a room's log from `from_id` on; returns the visit's id.

        0 when the user has been deleted meanwhile.
        """

        async def work(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                "INSERT INTO visits (user_id, creator, from_id) "
                "SELECT user_id, ?, ? FROM users WHERE user_id = ?",
                (creator, from_id, user_id),
            )
            return cursor.lastrowid or 0 if cursor.rowcount else 0

        return await self._writer.write(work)

    async def close(self, visit_id: int, to_id: int) -> None:
        """The visit ends; one that saw nothing is forgotten."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM visits WHERE visit_id = ? AND from_id > ?", (visit_id, to_id)
            )
            await connection.execute(
                "UPDATE visits SET to_id = ? WHERE visit_id = ?", (to_id, visit_id)
            )

        await self._writer.write(work)

    async def page(
        self,
        user_id: int,
        *,
        before: int | None,
        limit: int,
        types: Collection[str] = (),
        left_at: Mapping[str, int] | None = None,
    ) -> list[Entry]:
        """What a user was given: own rows, and the rooms' rows during the visits, newest first.

        `left_at` has, by creator, where visits end that are still open here.
        """
        top = before if before is not None else MAX_ID
        kind_values = tuple(types)
        extra = f" AND type IN ({', '.join('?' for _ in kind_values)})" if kind_values else ""
        found = {
            entry.id: entry
            for entry in await select(
                self._reader, "user_id = ? AND id < ?" + extra, [user_id, top, *kind_values], limit
            )
        }
        async for creator, from_id, to_id in self._of_user(user_id, top):
            page = sorted(found, reverse=True)[:limit]
            until = min(top - 1, to_id or (left_at or {}).get(creator, top - 1))
            if len(page) == limit and until < page[-1]:
                continue
            for entry in await select(
                self._reader,
                "creator = ? AND user_id = 0 AND id BETWEEN ? AND ?" + extra,
                [creator, from_id, until, *kind_values],
                limit,
            ):
                found[entry.id] = entry
        return sorted(found.values(), key=lambda entry: entry.id, reverse=True)[:limit]

    async def _of_user(self, user_id: int, top: int) -> AsyncIterator[tuple[str, int, int]]:
        """A user's visits from before an id, the latest first, read in chunks."""
        before = MAX_ID
        while True:
            rows = await self._reader.rows(
                "SELECT creator, from_id, to_id, visit_id FROM visits "
                "WHERE user_id = ? AND from_id < ? AND visit_id < ? "
                f"ORDER BY visit_id DESC LIMIT {CHUNK_VISITS}",
                (user_id, top, before),
            )
            for creator, from_id, to_id, _ in rows:
                yield creator, from_id, to_id
            if len(rows) < CHUNK_VISITS:
                return
            before = rows[-1][3]
