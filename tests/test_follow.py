"""Follow a user: the page says what was handed to that phone's socket, frame by frame."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from server.relay.rows import row_text
from server.store.connections import ConnectionRow
from server.store.users import User
from tests.conftest import Serve
from tests.liverelay import LiveRelay
from tests.phone import Phone
from tests.test_console import browser, enter, page
from tests.tiktok import SignAnswer, TikTok, frames
from tests.tiktok.traffic import Traffic


@pytest.fixture
async def staff(relay: LiveRelay) -> AsyncIterator[aiohttp.ClientSession]:
    async with browser() as session:
        await enter(relay, session)
        yield session


async def shown(
    relay: LiveRelay, staff: aiohttp.ClientSession, user: User, **query: Any
) -> list[str]:
    """What the page says of each row, oldest first."""
    text = await page(staff, f"{relay.url}/console/users/{user.user_id}", **query)
    body = text.split('<tbody id="rows">')[1].split("</tbody>")[0]
    rows = re.findall(r'data-type="(\w+)".*?class="text"><bdi>(.*?)</bdi>', body, re.DOTALL)
    return [
        f"[{kind}] {html.unescape(re.sub('<[^>]+>', '', said))}" for kind, said in reversed(rows)
    ]


def told(phone: Phone, lang: str = "ru") -> list[str]:
    """What the phone was handed, as rows: all but frames that no log has, oldest first."""
    kept = [f for f in phone.frames if "id" in f or f["type"] in {"error", "gap"}]
    assert lang in {"ru", "en"}
    return [f"[{f['type']}] {row_text(f['type'], f, lang)}" for f in kept]  # type: ignore[arg-type]


async def live(relay: LiveRelay, tiktok: TikTok, **query: Any) -> tuple[Any, Phone, User, str]:
    creator = tiktok.creator("masha", live=True)
    user, token = await relay.user("masha", "Маша")
    phone = await relay.phone(token, **query)
    await phone.expect_live()
    return creator, phone, user, token


async def connections_ended(relay: LiveRelay, user: User, count: int) -> list[ConnectionRow]:
    """A user's connections, the latest first, once all have ended."""
    while True:
        await relay.phones.recorder.flush()
        rows: list[ConnectionRow] = await relay.connections.of_user(user.user_id)
        if len(rows) == count and all(row.closed_at for row in rows):
            return rows


async def test_the_page_says_what_the_phone_was_handed(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator, phone, user, _ = await live(relay, tiktok)
    for message in Traffic(5).take(60):
        await creator.send(message)
    await creator.send(frames.chat("fan", "the last"))
    await phone.expect("chat", message="the last")
    rows = await shown(relay, staff, user)
    assert rows == told(phone)
    assert len(rows) > 40


async def test_a_phone_that_asked_for_some_types_in_english_is_shown_those(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator, phone, user, _ = await live(relay, tiktok, types="chat,gift", lang="en")
    for message in Traffic(6).take(60):
        await creator.send(message)
    await creator.send(frames.chat("fan", "the last"))
    await phone.expect("chat", message="the last")
    rows = await shown(relay, staff, user)
    assert [row for row in rows if row.startswith("[status]")] == [
        row for row in told(phone, "en") if row.startswith("[status]")
    ]
    assert {row.split("]")[0] for row in rows} <= {"[status", "[chat", "[gift"}
    assert len(rows) == len(told(phone, "en"))


async def test_a_return_shows_the_replay_and_no_status_of_old(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator, phone, user, token = await live(relay, tiktok)
    stays = await relay.phone_of("masha")
    await stays.expect_live()
    await creator.send(frames.chat("fan", "before"))
    got = await phone.expect("chat", message="before")
    epoch = next(f["epoch"] for f in phone.frames if "epoch" in f)
    await phone.close()
    for number in range(5):
        await creator.send(frames.chat("fan", f"missed {number}"))
    await stays.expect("chat", message="missed 4")
    back = await relay.phone(token, since=str(got["id"]), epoch=epoch)
    await creator.send(frames.chat("fan", "after"))
    await back.expect("chat", message="after")
    rows = await shown(relay, staff, user)
    assert rows == told(back)
    assert rows[0].endswith("missed 0")
    connections = await relay.connections.of_user(user.user_id)
    assert [row.since_id for row in connections] == [got["id"], None]
    first = await shown(relay, staff, user, connection=connections[1].connection_id)
    assert first == told(phone)


async def test_what_the_ring_had_lost_is_a_gap_and_not_shown_as_handed(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve(rooms={"backlog": 3, "backlog_s": 0.0})
    async with browser() as staff:
        await enter(relay, staff)
        creator, phone, user, token = await live(relay, tiktok)
        stays = await relay.phone_of("masha")
        await stays.expect_live()
        await creator.send(frames.chat("fan", "before"))
        got = await phone.expect("chat", message="before")
        epoch = next(f["epoch"] for f in phone.frames if "epoch" in f)
        await phone.close()
        for number in range(400):
            await creator.send(frames.chat("fan", f"missed {number}"))
        await stays.expect("chat", message="missed 399")
        back = await relay.phone(token, since=str(got["id"]), epoch=epoch)
        await creator.send(frames.chat("fan", "after"))
        await back.expect("chat", message="after")
        assert len(back.of("gap")) == 1
        assert await shown(relay, staff, user) == told(back)


async def test_a_reopened_room_s_gap_is_shown_to_whom_it_was_handed(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve(rooms={"linger_s": 0.0})
    async with browser() as staff:
        await enter(relay, staff)
        creator, phone, user, token = await live(relay, tiktok)
        await creator.send(frames.chat("fan", "before"), frames.chat("fan", "also before"))
        got = await phone.expect("chat", message="before")
        epoch = next(f["epoch"] for f in phone.frames if "epoch" in f)
        await phone.close()
        await creator.wait_gone()
        assert not len(relay.rooms)
        back = await relay.phone(token, since=str(got["id"]), epoch=epoch)
        await back.expect_live()
        fresh = await relay.phone(token)
        await creator.send(frames.chat("fan", "after"))
        for each in (back, fresh):
            await each.expect("chat", message="after")
        assert [gap["reason"] for gap in back.of("gap")] == ["upstream"]
        assert await shown(relay, staff, user) == told(fresh)
        second = (await relay.connections.of_user(user.user_id))[1].connection_id
        rows = await shown(relay, staff, user, connection=second)
        assert rows == told(back)
        assert rows[0].endswith("also before")


async def test_a_phone_that_leaves_amid_an_outage_is_shown_its_gap(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator, phone, user, token = await live(relay, tiktok)
    tiktok.sign.hold = asyncio.Event()  # the room does not come back
    creator.drop()
    await phone.expect("gap", reason="upstream")
    await phone.close()
    late = await relay.phone(token)
    await late.expect("status", state="reconnecting")
    await late.close()
    second, first = await connections_ended(relay, user, 2)
    assert await shown(relay, staff, user, connection=first.connection_id) == told(phone)
    assert await shown(relay, staff, user, connection=second.connection_id) == []


async def test_a_phone_that_is_not_let_in_leaves_its_connection(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve(limits={"max_connections": 0})
    async with browser() as staff:
        await enter(relay, staff)
        user, token = await relay.user("masha", "Маша")
        phone = await relay.phone(token, device="Pixel 8")
        error = await phone.expect_error("server_full")
        assert await shown(relay, staff, user) == told(phone)
        (row,) = await relay.connections.of_user(user.user_id)
        assert (row.device, row.close_code) == ("Pixel 8", 1011)
        assert row.close_reason == phone.close_reason
        text = await page(staff, f"{relay.url}/console/users/{user.user_id}")
        assert error["ref"] in text


async def test_phones_of_one_user_are_each_shown_a_failure_in_their_language(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator = tiktok.creator("ivan", live=True)
    tiktok.sign.hold = asyncio.Event()
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    user, token = await relay.user("ivan", "Иван")
    russian = await relay.phone(token, lang="ru")
    english = await relay.phone(token, lang="en")
    for phone in (russian, english):
        await phone.expect("status", state="connecting")
    tiktok.sign.hold.set()
    errors = [await phone.expect_error("rate_limited") for phone in (russian, english)]
    assert errors[0]["ref"] == errors[1]["ref"]
    assert errors[0]["message"] != errors[1]["message"]
    second, first = await connections_ended(relay, user, 2)
    assert await shown(relay, staff, user, connection=first.connection_id) == told(russian)
    assert await shown(relay, staff, user, connection=second.connection_id) == told(english, "en")


async def test_a_user_s_latest_connections_are_kept(relay: LiveRelay, tiktok: TikTok) -> None:
    user, token = await relay.user()
    other, others = await relay.user()
    for each in (token, token, others, token, token):
        await (await relay.phone(each)).expect_error("username_required")
    before = await connections_ended(relay, user, 4)
    assert await relay.connections.prune(0, per_user=2) == 2
    assert await relay.connections.of_user(user.user_id) == before[:2]
    assert len(await relay.connections.of_user(other.user_id)) == 1


async def test_an_error_is_shown_as_the_phone_draws_it_with_its_close(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator = tiktok.creator("ivan", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    user, token = await relay.user("ivan", "Иван")
    phone = await relay.phone(token, device="Pixel 8", platform="android", os="15")
    error = await phone.expect_error("rate_limited")
    text = html.unescape(await page(staff, f"{relay.url}/console/users/{user.user_id}"))
    drawn = text.split('class="as-shown"')[1].split("</section>")[0]
    for part in (error["message"], error["details"], error["ref"], error["retry_at"]):
        assert part in drawn
    assert "Pixel 8 · android · 15" in text
    assert f"1008 {phone.close_reason}" in text
    assert await shown(relay, staff, user) == told(phone)


async def test_a_second_phone_of_the_user_is_told_apart(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator, phone, user, token = await live(relay, tiktok)
    other = await relay.phone(token)
    await other.send(action="dance")
    await other.expect("error", code="bad_message")
    await creator.send(frames.chat("fan", "both"))
    for each in (phone, other):
        await each.expect("chat", message="both")
    await relay.phones.recorder.flush()
    second, first = await relay.connections.of_user(user.user_id)
    assert await shown(relay, staff, user, connection=first.connection_id) == told(phone)
    assert await shown(relay, staff, user, connection=second.connection_id) == told(other)


async def test_the_reference_that_a_user_reads_out_leads_to_the_connection(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    user, token = await relay.user("", "Ольга")
    phone = await relay.phone(token)
    ref = (await phone.expect_error("username_required"))["ref"]
    await (await relay.phone(token)).expect_error("username_required")
    spoken = f"{ref[:4].lower()} {ref[4:]}"
    async with staff.get(f"{relay.url}/console/users", params={"q": spoken}) as answer:
        assert answer.url.path == f"/console/users/{user.user_id}"
        assert answer.url.query["ref"] == ref
        assert ref in await answer.text()
    async with staff.get(f"{relay.url}/console/users", params={"q": "ОЛЬГ"}) as answer:
        assert "Ольга" in await answer.text()


async def test_a_crash_ends_what_was_open(serve: Serve, tiktok: TikTok) -> None:
    relay = await serve()
    _, _, user, _ = await live(relay, tiktok)
    await relay.phones.recorder.flush()
    store = relay.connections
    assert (await store.of_user(user.user_id))[0].closed_at == 0
    next_id = await store.begin(5_000, 77)
    (row,) = await store.of_user(user.user_id)
    assert (row.closed_at, row.close_reason) == (5_000, "restart")
    assert next_id == row.connection_id + 1
    assert [stay.to_id for stay in await store.stays(row.connection_id)] == [77]


async def test_the_live_page_gets_exactly_what_the_phone_gets(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator, phone, user, _ = await live(relay, tiktok, types="chat")
    tiktok.creator("other", live=True)
    stranger = await relay.phone_of("other")
    await stranger.expect_live()
    await relay.phones.recorder.flush()
    (row,) = await relay.connections.of_user(user.user_id)
    query = {"connection": str(row.connection_id), "after": str(relay.event_log.last_id)}
    async with staff.ws_connect(f"{relay.url}/console/live", params=query) as ws:
        await creator.send(frames.follow("fan"), frames.chat("fan", "hello"))
        await phone.expect("chat", message="hello")
        batch = await ws.receive_json()
    assert [(r["type"], r["text"]) for r in batch["rows"]] == [("chat", "fan: hello")]
