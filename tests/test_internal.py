"""A bug of ours is told as one, under a reference, and does not stay: mended, the same works."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from tests.liverelay import LiveRelay
from tests.tiktok import TikTok


def break_the_log(relay: LiveRelay) -> None:
    """Put something into the log that no version of ours has written, so that reading it fails.

    In a thread: the server's own writer may be about to commit, and needs its turn for that.
    """
    with sqlite3.connect(relay.config.database.path) as other:
        other.execute(
            "INSERT INTO events (id, ts, type, level, creator, user_id, code, ref, text, frame) "
            "VALUES (1, 1, 'gift', 'info', 'anna', 0, '', '', '', 'no JSON')"
        )
    other.close()


def mend_the_log(relay: LiveRelay) -> None:
    with sqlite3.connect(relay.config.database.path) as other:
        other.execute("DELETE FROM events WHERE id = 1")
    other.close()


async def test_a_room_that_cannot_be_loaded_is_told_and_works_once_it_can(
    relay: LiveRelay, tiktok: TikTok, caplog: pytest.LogCaptureFixture
) -> None:
    tiktok.creator("anna", live=True)
    await asyncio.to_thread(break_the_log, relay)
    for _ in range(2):
        phone = await relay.phone_of("anna", lang="en")
        error = await phone.expect_error("internal")
        assert (phone.close_code, phone.close_reason) == (1011, "internal")
        assert error["ref"] in error["details"]
        assert "JSON" not in str(error), "nothing private"
        assert any(error["ref"] in record.getMessage() for record in caplog.records)
    assert any(record.exc_info for record in caplog.records), "the process log has the traceback"
    await asyncio.to_thread(mend_the_log, relay)
    await (await relay.phone_of("anna")).expect_live()


async def test_a_setting_that_meets_a_bug_is_stored_and_the_other_phones_are_told(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    for name in ("anna", "boris"):
        tiktok.creator(name, live=True)
    _, token = await relay.user("boris")
    phones = [await relay.phone(token) for _ in range(2)]
    for phone in phones:
        await phone.expect_live()
    await asyncio.to_thread(break_the_log, relay)
    headers = {"Authorization": f"Bearer {token}"}
    body = {"tiktok_username": "anna"}
    async with relay.http.put(
        f"{relay.url}/api/me/tiktok-username", json=body, headers=headers
    ) as answer:
        assert answer.status == 200
    for phone in phones:
        await phone.expect_error("internal")
