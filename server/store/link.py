"""One connection to the database, for one role: reads, and whole transactions.

A task that is cancelled in the middle of a transaction would leave it open, and the next commit
would commit the half: so a transaction runs shielded, and ends by itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from server.errors import StoreUnavailable
from server.store.migrate import BUSY_TIMEOUT_S
from server.tasks import TaskOwner

T = TypeVar("T")


class Link:
    """An aiosqlite connection. Every method raises StoreUnavailable when SQLite refuses."""

    def __init__(self, connection: aiosqlite.Connection, role: str) -> None:
        self._connection = connection
        self._writing = asyncio.Lock()
        self._tasks = TaskOwner(f"database {role}")

    @classmethod
    async def open(cls, path: Path, role: str) -> Link:
        """Connect to a database that prepare() has seen."""
        try:
            connection = await aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            for pragma in ("foreign_keys = ON", "synchronous = NORMAL"):
                await connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise _translated(error) from None
        return cls(connection, role)

    async def close(self) -> None:
        """Let the transactions end, then close."""
        await self._tasks.drained()
        await self._connection.close()

    async def rows(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        try:
            return [tuple(row) for row in await self._connection.execute_fetchall(sql, values)]
        except (sqlite3.Error, ValueError) as error:  # ValueError: the connection is closed
            raise _translated(error) from None

    async def row(self, sql: str, values: Iterable[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query."""
        found = await self.rows(sql, values)
        return found[0] if found else None

    async def write(
        self,
        work: Callable[[aiosqlite.Connection], Awaitable[T]],
        *,
        durable: bool = False,
    ) -> T:
        """Run `work` as one transaction; `durable` waits until the disk has it."""
        task = self._tasks.start(self._transaction(work, durable=durable), name="transaction")
        outcome = await asyncio.shield(task)
        if isinstance(outcome, _Failed):
            raise outcome.error
        return outcome

    async def _transaction(
        self, work: Callable[[aiosqlite.Connection], Awaitable[T]], *, durable: bool
    ) -> T | _Failed:
        async with self._writing:
            try:
                if durable:
                    await self._connection.execute("PRAGMA synchronous = FULL")
                return await self._committed(work)
            except (sqlite3.Error, ValueError) as error:
                return _Failed(_translated(error))
            except RefusedWrite as refusal:
                return _Failed(refusal)
            finally:
                if durable:
                    with suppress(sqlite3.Error, ValueError):
                        await self._connection.execute("PRAGMA synchronous = NORMAL")

    async def _committed(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        await self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = await work(self._connection)
            await self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
        return result


class RefusedWrite(Exception):
    """Raised inside a transaction to undo it and tell the caller; not a failure of the store."""


class _Failed:
    """A transaction's error, carried out of its task: nobody may be waiting for it any more."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _translated(error: Exception) -> StoreUnavailable:
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    return StoreUnavailable(f"{name}: {error}")
