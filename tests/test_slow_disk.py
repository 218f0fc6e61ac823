"""A disk that does not answer is as good as one that refuses: told in seconds, and nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.liverelay import LiveRelay
from tests.test_console import browser, enter, page
from tests.tiktok import TikTok, frames


@asynccontextmanager
async def hanging(*links: Any) -> AsyncIterator[None]:
    """Whatever these connections are asked for waits behind a call that does not return."""
    release = threading.Event()
    calls = []
    for link in links:
        connection = link._connection
        await connection.create_function("hang", 0, lambda: release.wait() or 1)
        calls.append(asyncio.create_task(connection.execute_fetchall("SELECT hang()")))
    try:
        yield
    finally:
        release.set()
        await asyncio.gather(*calls)


async def failing(relay: LiveRelay, value: int) -> None:
    """Wait until the metric says so."""
    async with asyncio.timeout(15):
        while True:
            async with relay.http.get(f"{relay.url}/metrics") as answer:
                if f"liverelay_event_log_failing {value}.0" in await answer.text():
                    return
            await asyncio.sleep(0.05)


async def test_a_log_that_hangs_is_told_and_no_phone_waits_for_it(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator, other = (tiktok.creator(name, live=True) for name in ("anna", "boris"))
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    async with browser() as staff:
        await enter(relay, staff)
        async with hanging(relay.log._writer):
            begun = time.monotonic()
            await creator.send(frames.chat("fan", "0"))
            await phone.expect("chat", message="0")
            await failing(relay, 1)
            noticed_s = time.monotonic() - begun
            for number in range(1, 50):
                await creator.send(frames.chat("fan", str(number)))
            await phone.expect("chat", message="49")
            late = await relay.phone_of("boris")
            await late.expect_live()
            await other.send(frames.chat("fan", "hello"))
            await late.expect("chat", message="hello")
            assert 'role="alert"' in await page(staff, f"{relay.url}/console/")
        await failing(relay, 0)
        assert 'role="alert"' not in await page(staff, f"{relay.url}/console/")
    print(f"noticed after {noticed_s:.1f} s")
    kept = await relay.event_log.tail("anna", limit=100)
    assert len(kept) == 50
    assert len({entry.id for entry in kept}) == 50
    assert relay.event_log.dropped == 0
    assert not phone.of("error", "gap")


async def test_settings_that_hang_are_refused_and_work_again(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    user, token = await relay.user("anna")
    bearer = {"Authorization": f"Bearer {token}"}
    url = f"{relay.url}/api/me/tiktok-username"
    async with relay.http.put(url, json={"tiktok_username": "anna"}, headers=bearer) as answer:
        assert answer.status == 200
    async with hanging(relay.users._link):
        async with relay.http.put(url, json={"tiktok_username": "boris"}, headers=bearer) as answer:
            assert answer.status == 503
            assert answer.headers[aiohttp.hdrs.RETRY_AFTER] == "30"
    async with relay.http.put(url, json={"tiktok_username": "carla"}, headers=bearer) as answer:
        assert answer.status == 200
    assert (await relay.users.get(user.user_id)).tiktok_username == "carla"


async def test_connections_written_twice_are_there_once(relay: LiveRelay, tiktok: TikTok) -> None:
    tiktok.creator("anna", live=True)
    user, token = await relay.user("anna")
    phone = await relay.phone(token)
    await phone.expect_live()
    await relay.phones.recorder.flush()
    rows = await relay.connections.of_user(user.user_id)
    stays = await relay.connections.stays(rows[0].connection_id)
    assert (len(rows), len(stays)) == (1, 1)
    await relay.connections.apply([*rows, *stays])
    assert await relay.connections.of_user(user.user_id) == rows
    assert await relay.connections.stays(rows[0].connection_id) == stays
