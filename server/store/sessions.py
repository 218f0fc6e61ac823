"""The console's staff: the password, one-time login codes, and sessions."""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

import aiosqlite
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.store import codes
from server.store.codes import CodeUnknown, CodeUsed
from server.store.link import Link

__all__ = ["CodeUnknown", "CodeUsed", "HashingBusy", "OpenSession", "Sessions", "session_name"]

SESSION_LIFE_S: Final = 12 * 3600
#: Longer passwords are refused, not hashed.
MAX_PASSWORD: Final = 1024
#: Passwords that wait to be checked, and the one that is.
MAX_QUEUED: Final = 4
#: Of a session's hash this many bytes name it, in hexadecimal.
NAME_BYTES: Final = 3


class OpenSession(NamedTuple):
    """A session that has not ended; times in ms."""

    name: str
    opened_at: int
    expires_at: int


def session_name(token: str) -> str:
    """How a session is called where its token must not be."""
    return codes.token_hash(token)[:NAME_BYTES].hex()


class HashingBusy(Exception):
    """Too many passwords are being checked; ask again in a second."""


class Sessions:
    """Who may look at the console. Methods raise StoreUnavailable."""

    def __init__(self, link: Link, reader: Link) -> None:
        self._link = link
        self._reader = reader
        self._hasher = PasswordHasher()
        # Argon2 takes 64 MiB and tens of milliseconds on purpose: one at a time is enough.
        self._hashing = asyncio.Lock()
        self._queued = 0

    async def has_password(self) -> bool:
        """Whether a password is set; without one, each start prints a login link."""
        return bool(await self._password_hash())

    async def set_password(self, password: str) -> None:
        """Set the password; login codes and sessions end at once."""
        async with self._hashing:
            hashed = await asyncio.to_thread(self._hasher.hash, password)

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT INTO meta (key, value) VALUES ('password', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (hashed,),
            )
            await connection.execute("DELETE FROM codes WHERE user_id IS NULL")
            await connection.execute("DELETE FROM console_sessions")

        await self._link.write(work)

    async def check_password(self, password: str) -> bool:
        """Whether this is the password. Raises HashingBusy."""
        hashed = await self._password_hash()
        if not hashed or len(password) > MAX_PASSWORD:
            return False
        if self._queued >= MAX_QUEUED:
            raise HashingBusy
        self._queued += 1
        try:
            async with self._hashing:
                return await asyncio.to_thread(self._matches, hashed, password)
        finally:
            self._queued -= 1

    async def add_login_code(self) -> str:
        """A code that opens the console once within ten minutes."""

        async def work(connection: aiosqlite.Connection) -> str:
            return await codes.add(connection, None)

        return await self._link.write(work)

    async def redeem_login_code(self, code: str) -> str:
        """Use a code up for a session. Raises CodeUnknown or CodeUsed."""

        async def work(connection: aiosqlite.Connection) -> str:
            await codes.redeem(connection, code, console=True)
            return await _open(connection)

        return await self._link.write(work)

    async def open(self) -> str:
        """A new session's token, readable only now."""
        return await self._link.write(_open)

    async def find(self, token: str) -> bool:
        """Whether a token is a session's that has not ended."""
        row = await self._reader.row(
            "SELECT expires_at FROM console_sessions WHERE token_hash = ?",
            (codes.token_hash(token),),
        )
        return bool(row and row[0] > time.time())

    async def revoke(self, token: str) -> None:
        """End a session."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM console_sessions WHERE token_hash = ?", (codes.token_hash(token),)
            )

        await self._link.write(work)

    async def open_ones(self) -> list[OpenSession]:
        """Every session that has not ended, the latest first."""
        rows = await self._reader.rows(
            "SELECT token_hash, expires_at FROM console_sessions WHERE expires_at > ? "
            "ORDER BY expires_at DESC",
            (int(time.time()),),
        )
        return [
            OpenSession(
                token_hash[:NAME_BYTES].hex(), (until - SESSION_LIFE_S) * 1000, until * 1000
            )
            for token_hash, until in rows
        ]

    async def end(self, name: str) -> bool:
        """End the session of that name; False when there is none."""

        async def work(connection: aiosqlite.Connection) -> bool:
            cursor = await connection.execute(
                "DELETE FROM console_sessions WHERE substr(token_hash, 1, ?) = ?",
                (NAME_BYTES, bytes.fromhex(name)),
            )
            return cursor.rowcount > 0

        return await self._link.write(work)

    async def _password_hash(self) -> str:
        row = await self._reader.row("SELECT value FROM meta WHERE key = 'password'")
        return str(row[0]) if row else ""

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


async def _open(connection: aiosqlite.Connection) -> str:
    token, now = codes.new_token(), int(time.time())
    await connection.execute("DELETE FROM console_sessions WHERE expires_at < ?", (now,))
    await connection.execute(
        "INSERT INTO console_sessions (token_hash, expires_at) VALUES (?, ?)",
        (codes.token_hash(token), now + SESSION_LIFE_S),
    )
    return token
