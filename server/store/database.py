"""The database file: opened once, by one server at a time, and what is in it by subject."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from server.errors import StartupError, StoreUnavailable
from server.store.audit import AuditStore
from server.store.connections import ConnectionStore
from server.store.cooldowns import CooldownStore
from server.store.errorgroups import ErrorGroups
from server.store.limits import LimitStore
from server.store.link import Link
from server.store.lives import LiveStore
from server.store.log import LogStore
from server.store.migrate import prepare
from server.store.secretbox import SecretBox
from server.store.sessions import Sessions
from server.store.users import Users
from server.store.visits import VisitStore

#: Each has a connection of its own: one that waits for a lock or a slow query holds up no other.
ROLES: Final = ("settings", "settings reader", "log writer", "log reader", "limits")


class Database:
    """An open database: what is in it, by subject."""

    def __init__(self, links: Sequence[Link], box: SecretBox, lock: int | None) -> None:
        settings, settings_reader, writer, reader, limits = self._links = tuple(links)
        self._reader = reader
        self._lock = lock
        self.users = Users(settings, settings_reader, box)
        self.sessions = Sessions(settings, settings_reader)
        self.log = LogStore(writer, reader)
        self.visits = VisitStore(writer, reader)
        self.errors = ErrorGroups(reader)
        self.connections = ConnectionStore(writer, reader)
        self.audit = AuditStore(settings, settings_reader)
        self.limits = LimitStore(limits)
        self.cooldowns = CooldownStore(limits)
        self.lives = LiveStore(limits)

    @classmethod
    async def open(cls, path: Path, *, serving: bool) -> Self:
        """Open the file at `path`, making it when there is none.

        With `serving` no other server may have it. Raises StartupError with one line.
        """
        await asyncio.to_thread(prepare, path)
        lock = _lock(path) if serving else None
        links: list[Link] = []
        try:
            for role in ROLES:
                links.append(await Link.open(path, role))
        except StoreUnavailable as error:
            for link in links:
                await link.close()
            _unlock(lock)
            raise StartupError(f"{path}: the database cannot be used: {error.detail}") from None
        return cls(links, SecretBox(path.with_name(path.name + ".key")), lock)

    async def close(self) -> None:
        """Close every connection; what was begun is ended first."""
        for link in self._links:
            await link.close()
        _unlock(self._lock)
        self._lock = None

    async def ready(self) -> bool:
        """Whether the database answers."""
        try:
            return await self._reader.row("SELECT 1") is not None
        except StoreUnavailable:
            return False


def _lock(path: Path) -> int:
    """Claim the file for this server, as long as the process lives.

    flock(2), which SQLite's own locks (fcntl) do not meet. The descriptor must stay open until
    SQLite has closed the file: closing any descriptor of it would drop SQLite's locks.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartupError(
            f"{path}: another LiveRelay server is running on this database; "
            "stop it, or give this one another database.path"
        ) from None
    return descriptor


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
