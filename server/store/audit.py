"""What staff looked at and changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import aiosqlite
import msgspec

from server.store.link import Link

#: The newest are kept.
MAX_ROWS: Final = 100_000


class AuditEntry(msgspec.Struct, frozen=True):
    """One look or change. `ts` in ms; `staff` names the session, not a person."""

    ts: int
    staff: str
    ip: str
    action: str
    subject: str
    audit_id: int = 0


class AuditStore:
    """The audit log. Methods raise StoreUnavailable."""

    def __init__(self, link: Link, reader: Link) -> None:
        self._link = link
        self._reader = reader

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries, and drop the oldest beyond MAX_ROWS."""
        rows = [(e.ts, e.staff, e.ip, e.action, e.subject) for e in entries]

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "INSERT INTO audit (ts, staff, ip, action, subject) VALUES (?, ?, ?, ?, ?)", rows
            )
            await connection.execute(
                "DELETE FROM audit WHERE audit_id <= (SELECT max(audit_id) FROM audit) - ?",
                (MAX_ROWS,),
            )

        await self._link.write(work)

    async def page(self, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """The newest, or those before one."""
        rows = await self._reader.rows(
            "SELECT ts, staff, ip, action, subject, audit_id FROM audit "
            "WHERE audit_id < ? ORDER BY audit_id DESC LIMIT ?",
            ((1 << 63) - 1 if before is None else before, limit),
        )
        return [AuditEntry(*row) for row in rows]
