"""Users remembered between connects: never older than the last change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.store.database import Database
from server.store.usercache import UserCache
from server.store.users import User, Users


class SlowUsers(Users):
    """The store, on a disk that answers when the test lets it."""

    def answer_when(self, gate: asyncio.Event) -> None:
        self.reading = asyncio.Event()
        self._gate = gate
        self.reads = 0

    async def get(self, user_id: int) -> User | None:
        user = await super().get(user_id)
        self.reads += 1
        self.reading.set()
        await self._gate.wait()
        return user


@pytest.fixture
async def users(tmp_path: Path) -> AsyncIterator[SlowUsers]:
    database = await Database.open(tmp_path / "liverelay.db", serving=True)
    stored = database.users
    slow = SlowUsers(stored._link, stored._reader, stored._box)
    gate = asyncio.Event()
    gate.set()
    slow.answer_when(gate)
    yield slow
    await database.close()


async def test_a_user_is_read_once_and_again_after_a_change(users: SlowUsers) -> None:
    user = await users.create("Anna", "anna")
    cache = UserCache(users)
    for _ in range(3):
        known = await cache.get(user.user_id)
        assert known is not None
        assert (known.user.tiktok_username, known.sign_key) == ("anna", "")
    assert users.reads == 1
    await users.set_tiktok_username(user.user_id, "masha")
    await users.set_sign_key(user.user_id, "euler_key_1234")
    cache.forget()
    known = await cache.get(user.user_id)
    assert known is not None
    assert (known.user.tiktok_username, known.sign_key) == ("masha", "euler_key_1234")


async def test_what_was_read_before_a_change_and_comes_after_it_is_not_kept(
    users: SlowUsers,
) -> None:
    user = await users.create("Anna", "anna")
    cache, gate = UserCache(users), asyncio.Event()
    users.answer_when(gate)
    reading = asyncio.ensure_future(cache.get(user.user_id))
    await users.reading.wait()
    await users.set_tiktok_username(user.user_id, "masha")
    cache.forget()
    gate.set()
    await reading
    known = await cache.get(user.user_id)
    assert known is not None
    assert known.user.tiktok_username == "masha"


async def test_an_unknown_user_is_asked_for_again(users: SlowUsers) -> None:
    cache = UserCache(users)
    assert await cache.get(7) is None
    user = await users.create("Anna")
    assert await cache.get(user.user_id) is not None


async def test_the_user_not_asked_for_the_longest_is_forgotten_first(users: SlowUsers) -> None:
    cache = UserCache(users, max_users=2)
    anna, masha, olga = [(await users.create(name)).user_id for name in ("a", "m", "o")]
    for user_id in (anna, masha, anna, olga):
        await cache.get(user_id)
    assert users.reads == 3
    await cache.get(anna)
    assert users.reads == 3
    await cache.get(masha)
    assert users.reads == 4
