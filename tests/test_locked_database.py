"""While another process holds the database: a clear answer, nothing half written, and then on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.liverelay import LiveRelay
from tests.tiktok import TikTok, frames


@asynccontextmanager
async def locked(relay: LiveRelay) -> AsyncIterator[None]:
    """Hold the write lock. Taken in a thread, for the server beside us may hold it and be about
    to commit.
    """
    other = sqlite3.connect(
        relay.config.database.path, isolation_level=None, check_same_thread=False
    )
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_what_must_be_stored_is_refused_with_a_time_to_come_back(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    tiktok.creator("anna")
    user, token = await relay.user()
    bearer = {"Authorization": f"Bearer {token}"}
    phone = await relay.phone(token, live="manual")
    async with locked(relay):
        await phone.send(action="connect_tiktok", username="anna")
        error = await phone.expect_error("store_unavailable")
        assert phone.close_code == 1011
        assert 28 <= error["retry_after"] <= 30
        async with relay.http.put(
            f"{relay.url}/api/me/tiktok-username", json={"tiktok_username": "x1"}, headers=bearer
        ) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "30"
            assert (await answer.json())["code"] == "store_unavailable"
        async with relay.http.get(f"{relay.url}/api/me", headers=bearer) as answer:
            assert (await answer.json())["tiktok_username"] == ""
    stored = await relay.users.get(user.user_id)
    assert stored is not None
    assert stored.tiktok_username == ""
    phone = await relay.phone(token, live="manual")
    await phone.send(action="connect_tiktok", username="anna")
    await phone.expect("status", state="waiting")


async def test_a_live_that_is_running_does_not_notice(relay: LiveRelay, tiktok: TikTok) -> None:
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    await creator.wait_connected()
    async with locked(relay):
        for number in range(20):
            await creator.send(frames.chat("fan", str(number)))
        await phone.expect("chat", message="19")
    assert not phone.of("error", "gap")
