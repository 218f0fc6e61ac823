"""One connection to the database, for one role: reads, and whole transactions.

A task that is cancelled in the middle of a transaction would leave it open, and the next commit
would commit the half: so a transaction runs shielded, and ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite

from server.errors import StoreUnavailable
from server.store.migrate import BUSY_TIMEOUT_S
from server.tasks import TaskOwner

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A disk that takes longer counts as one that refuses. What was begun may still be committed when
#: it comes round: whoever writes again must be able to.
WRITE_TIMEOUT_S: Final = BUSY_TIMEOUT_S + 0.5
READ_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0


class Link:
    """An aiosqlite connection. Every method raises StoreUnavailable when SQLite refuses, and when
    the disk does not answer: SQLite itself waits for that without end.
    """

    def __init__(self, connection: aiosqlite.Connection, role: str) -> None:
        self._connection = connection
        self._writing = asyncio.Lock()
        #: Pragmas as they were set last.
        self._pragmas: dict[str, str | int] = {}
        self._tasks = TaskOwner(f"database {role}")

    @classmethod
    async def open(cls, path: Path, role: str) -> Link:
        """Connect to a database that prepare() has seen."""
        try:
            connection = await aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            for pragma in ("foreign_keys = ON", "synchronous = NORMAL"):
                await connection.execute(f"PRAGMA {pragma}")
            # SQLite's own lower() and LIKE know ASCII only.
            await connection.create_function("folded", 1, str.casefold, deterministic=True)
        except sqlite3.Error as error:
            raise _translated(error) from None
        return cls(connection, role)

    async def close(self) -> None:
        """Let the transactions end, then close; a disk that hangs is left to the end of the
        process.
        """
        await self._tasks.drained(CLOSE_TIMEOUT_S)
        closing = self._tasks.start(self._connection.close(), name="close")
        _, hanging = await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        if hanging:
            logger.error("The database does not answer; it is left as it is")

    async def rows(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return [tuple(row) for row in await self._connection.execute_fetchall(sql, values)]
        except TimeoutError:
            raise _too_slow(READ_TIMEOUT_S) from None
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
        done, _ = await asyncio.wait({task}, timeout=WRITE_TIMEOUT_S)
        if not done:
            raise _too_slow(WRITE_TIMEOUT_S)
        outcome = task.result()
        if isinstance(outcome, _Failed):
            raise outcome.error
        return outcome

    async def _transaction(
        self, work: Callable[[aiosqlite.Connection], Awaitable[T]], *, durable: bool
    ) -> T | _Failed:
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(BUSY_TIMEOUT_S):
                await self._writing.acquire()
        except TimeoutError:
            return _Failed(StoreUnavailable(f"others write for more than {BUSY_TIMEOUT_S:.0f} s"))
        waited_s = asyncio.get_running_loop().time() - begun
        try:
            await self._pragma(synchronous="FULL" if durable else "NORMAL")
            # Waiting for each other and for other processes is one wait; in whole seconds, so that
            # it seldom has to be set.
            await self._pragma(busy_timeout=int(BUSY_TIMEOUT_S - waited_s) * 1000)
            return await self._committed(work)
        except (sqlite3.Error, ValueError) as error:
            return _Failed(_translated(error))
        except RefusedWrite as refusal:
            return _Failed(refusal)
        finally:
            self._writing.release()

    async def _pragma(self, **values: str | int) -> None:
        """Set what is not set yet."""
        for name, value in values.items():
            if self._pragmas.get(name) != value:
                await self._connection.execute(f"PRAGMA {name} = {value}")
                self._pragmas[name] = value

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


def _too_slow(limit_s: float) -> StoreUnavailable:
    return StoreUnavailable(f"the disk takes longer than {limit_s:g} s")


def _translated(error: Exception) -> StoreUnavailable:
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    return StoreUnavailable(f"{name}: {error}")
