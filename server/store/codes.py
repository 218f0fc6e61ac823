"""One-time codes, for pairing phones and for entering the console: made, redeemed once, expired."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Final

import aiosqlite

from server.store.link import RefusedWrite

#: A code is read from a screen and typed: no 0/O, no 1/I/L. 12 of 31 letters are 59 bits.
ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
CODE_LETTERS: Final = 12
GROUP_LETTERS: Final = 4
CODE_LIFE_S: Final = 600
#: Longer ones are none of ours and are not worth hashing.
MAX_CODE: Final = 64
TOKEN_BYTES: Final = 24


class CodeUnknown(RefusedWrite):
    """There is no such code."""


class CodeUsed(RefusedWrite):
    """The code was used, or its ten minutes are over."""


def new_code() -> str:
    """A random code in groups that are easy to read out."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LETTERS))
    groups = range(0, CODE_LETTERS, GROUP_LETTERS)
    return "-".join(letters[start : start + GROUP_LETTERS] for start in groups)


def new_token() -> str:
    """A secret for a phone or a browser, 192 bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """How a token is stored. It is random, so a plain hash keeps it."""
    return hashlib.sha256(token.encode()).digest()


def code_hash(code: str) -> bytes:
    """How a code is stored; case, dashes and spaces do not matter."""
    letters = "".join(c for c in code[:MAX_CODE].upper() if c in ALPHABET)
    return hashlib.sha256(letters.encode()).digest()


async def add(connection: aiosqlite.Connection, user_id: int | None) -> str:
    """Store a new code, of a user or of the console, and forget the expired ones."""
    code, now = new_code(), int(time.time())
    await connection.execute("DELETE FROM codes WHERE expires_at < ?", (now - CODE_LIFE_S,))
    await connection.execute(
        "INSERT INTO codes (code_hash, user_id, expires_at) VALUES (?, ?, ?)",
        (code_hash(code), user_id, now + CODE_LIFE_S),
    )
    return code


async def redeem(connection: aiosqlite.Connection, code: str, *, console: bool) -> int | None:
    """Use a code up; returns whose it is. Raises CodeUnknown or CodeUsed."""
    hashed = code_hash(code)
    kind = "user_id IS NULL" if console else "user_id IS NOT NULL"
    cursor = await connection.execute(
        f"SELECT user_id, expires_at, used FROM codes WHERE code_hash = ? AND {kind}", (hashed,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise CodeUnknown
    user_id, expires_at, used = row
    if used or expires_at < time.time():
        raise CodeUsed
    await connection.execute("UPDATE codes SET used = 1 WHERE code_hash = ?", (hashed,))
    return int(user_id) if user_id is not None else None
