"""Users, their phones' tokens and pairing codes, their settings."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

import aiosqlite
import msgspec

from server.errors import Unauthorized
from server.store import codes
from server.store.codes import CodeUnknown, CodeUsed
from server.store.link import Link, RefusedWrite
from server.store.secretbox import SecretBox

__all__ = ["CodeUnknown", "CodeUsed", "TokenOwner", "User", "UserUnknown", "Users"]

#: Of a token's hash, in hexadecimal, this much names its phone.
PHONE_CHARS: Final = 8
_COLUMNS: Final = "user_id, name, tiktok_username, lang, sign_key_last4"


class User(msgspec.Struct, frozen=True):
    """A user as stored. `lang` and `tiktok_username` are "" until they are set."""

    user_id: int
    name: str
    tiktok_username: str
    lang: str
    sign_key_last4: str


class TokenOwner(msgspec.Struct, frozen=True):
    """Whose a token is; `token_hash` names the phone."""

    user_id: int
    token_hash: bytes


class PairedPhone(NamedTuple):
    """A token as it may be shown; `created_at` in epoch seconds."""

    phone: str
    created_at: int


class UserUnknown(Unauthorized, RefusedWrite):
    """There is no such user; a phone whose user was deleted meanwhile is no longer let in."""


class Users:
    """The users table and what hangs on it. Methods raise StoreUnavailable."""

    def __init__(self, link: Link, reader: Link, box: SecretBox) -> None:
        self._link = link
        self._reader = reader
        self._box = box

    async def create(self, name: str, tiktok_username: str = "") -> User:
        """Add a user; the username is normalised already."""

        async def work(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                "INSERT INTO users (name, tiktok_username, created_at) VALUES (?, ?, ?)",
                (name, tiktok_username, int(time.time())),
            )
            return cursor.lastrowid or 0

        user_id = await self._link.write(work)
        return User(user_id, name, tiktok_username, "", "")

    async def get(self, user_id: int) -> User | None:
        """One user."""
        row = await self._reader.row(f"SELECT {_COLUMNS} FROM users WHERE user_id = ?", (user_id,))
        return User(*row) if row else None

    async def all(self) -> list[User]:
        """Every user, oldest first."""
        rows = await self._reader.rows(f"SELECT {_COLUMNS} FROM users ORDER BY user_id")
        return [User(*row) for row in rows]

    async def search(self, asked: str = "", *, after: int = 0, limit: int = 100) -> list[User]:
        """Users whose name or TikTok username has `asked` in it, in any case; oldest first."""
        rows = await self._reader.rows(
            f"SELECT {_COLUMNS} FROM users WHERE user_id > ? "
            "AND (? = '' OR instr(folded(name), ?) OR instr(tiktok_username, ?)) "
            "ORDER BY user_id LIMIT ?",
            (after, asked, asked.casefold(), asked.casefold().removeprefix("@"), limit),
        )
        return [User(*row) for row in rows]

    async def delete(self, user_id: int) -> bool:
        """Remove a user with tokens, codes, visits and own log rows; False when there is none."""

        async def work(connection: aiosqlite.Connection) -> bool:
            await connection.execute("DELETE FROM events WHERE user_id = ?", (user_id,))
            cursor = await connection.execute("DELETE FROM users WHERE user_id = ?", (user_id,))
            return cursor.rowcount > 0

        return await self._link.write(work)

    # ---- settings

    async def set_tiktok_username(self, user_id: int, username: str) -> User:
        """Store a normalised username, "" to clear it. Raises UserUnknown."""
        return await self._update(user_id, tiktok_username=username)

    async def set_language(self, user_id: int, lang: str) -> User:
        """Store the language of texts. Raises UserUnknown."""
        return await self._update(user_id, lang=lang)

    async def set_sign_key(self, user_id: int, key: str) -> User:
        """Store an own EulerStream key, encrypted; "" removes it. Raises UserUnknown."""
        box = self._box.seal(key, str(user_id)) if key else None
        return await self._update(user_id, sign_key=box, sign_key_last4=key[-4:])

    async def sign_key(self, user_id: int) -> str:
        """The own EulerStream key, "" when there is none."""
        row = await self._reader.row("SELECT sign_key FROM users WHERE user_id = ?", (user_id,))
        return self._box.open(row[0], str(user_id)) if row and row[0] else ""

    async def _update(self, user_id: int, **values: Any) -> User:
        columns = ", ".join(f"{column} = ?" for column in values)

        async def work(connection: aiosqlite.Connection) -> User:
            cursor = await connection.execute(
                f"UPDATE users SET {columns} WHERE user_id = ? RETURNING {_COLUMNS}",
                (*values.values(), user_id),
            )
            row = await cursor.fetchone()
            if row is None:
                raise UserUnknown
            return User(*row)

        return await self._link.write(work)

    # ---- tokens

    async def add_token(self, user_id: int) -> str:
        """A new token, readable only now. Raises UserUnknown."""

        async def work(connection: aiosqlite.Connection) -> str:
            return await _add_token(connection, user_id)

        return await self._link.write(work)

    async def replace_tokens(self, user_id: int) -> str:
        """A new token in place of all the old ones. Raises UserUnknown."""

        async def work(connection: aiosqlite.Connection) -> str:
            await connection.execute("DELETE FROM tokens WHERE user_id = ?", (user_id,))
            return await _add_token(connection, user_id)

        return await self._link.write(work)

    async def find_token(self, token: str) -> TokenOwner | None:
        """Whose a token is."""
        hashed = codes.token_hash(token)
        row = await self._reader.row("SELECT user_id FROM tokens WHERE token_hash = ?", (hashed,))
        return TokenOwner(row[0], hashed) if row else None

    async def token_hashes(self) -> set[bytes]:
        """Every token that is valid now, as stored."""
        return {row[0] for row in await self._reader.rows("SELECT token_hash FROM tokens")}

    async def revoke_token(self, token_hash: bytes) -> bool:
        """End one token; False when it had ended before."""

        async def work(connection: aiosqlite.Connection) -> bool:
            cursor = await connection.execute(
                "DELETE FROM tokens WHERE token_hash = ?", (token_hash,)
            )
            return cursor.rowcount > 0

        return await self._link.write(work)

    async def phones(self, user_id: int) -> list[PairedPhone]:
        """The user's tokens, oldest first, by what may be shown of them."""
        rows = await self._reader.rows(
            "SELECT lower(hex(token_hash)), created_at FROM tokens WHERE user_id = ? "
            "ORDER BY created_at, token_hash",
            (user_id,),
        )
        return [PairedPhone(hashed[:PHONE_CHARS], created_at) for hashed, created_at in rows]

    async def token_of(self, user_id: int, phone: str) -> bytes | None:
        """The hash of the token that a name of phones() stands for."""
        rows = await self._reader.rows(
            "SELECT token_hash FROM tokens "
            "WHERE user_id = ? AND substr(lower(hex(token_hash)), 1, ?) = ?",
            (user_id, PHONE_CHARS, phone),
        )
        return rows[0][0] if len(rows) == 1 else None

    # ---- pairing

    async def add_pairing_code(self, user_id: int) -> str:
        """A code that pairs one phone within ten minutes. Raises UserUnknown."""

        async def work(connection: aiosqlite.Connection) -> str:
            await _must_exist(connection, user_id)
            return await codes.add(connection, user_id)

        return await self._link.write(work)

    async def redeem_pairing_code(self, code: str) -> tuple[int, str]:
        """Use a code up: (user_id, new token). Raises CodeUnknown or CodeUsed."""

        async def work(connection: aiosqlite.Connection) -> tuple[int, str]:
            user_id = await codes.redeem(connection, code, console=False)
            if user_id is None:
                raise CodeUnknown
            await connection.execute("UPDATE users SET paired = 1 WHERE user_id = ?", (user_id,))
            return user_id, await _add_token(connection, user_id)

        return await self._link.write(work)

    async def paired(self, user_id: int) -> bool:
        """Whether a pairing code of the user was ever used."""
        row = await self._reader.row("SELECT paired FROM users WHERE user_id = ?", (user_id,))
        return bool(row and row[0])

    async def revision(self) -> int:
        """Grows with every change of users and tokens, by any process."""
        row = await self._reader.row("SELECT value FROM meta WHERE key = 'revision'")
        return int(row[0]) if row else 0


async def _must_exist(connection: aiosqlite.Connection, user_id: int) -> None:
    cursor = await connection.execute("SELECT 1 FROM users WHERE user_id = ?", (user_id,))
    if await cursor.fetchone() is None:
        raise UserUnknown


async def _add_token(connection: aiosqlite.Connection, user_id: int) -> str:
    await _must_exist(connection, user_id)
    token = codes.new_token()
    await connection.execute(
        "INSERT INTO tokens (token_hash, user_id, created_at) VALUES (?, ?, ?)",
        (codes.token_hash(token), user_id, int(time.time())),
    )
    return token
