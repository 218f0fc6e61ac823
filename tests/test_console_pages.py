"""The console's pages beside the live log: what they say, and what staff change through them."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from server.store.log import Entry
from server.store.logquery import LogQuery, words_of
from server.web.console import CHANGES, PAGES
from server.web.console.charts import bars, gauge, line
from tests.liverelay import LiveRelay
from tests.test_console import browser, enter, ids_of, page
from tests.tiktok import SignAnswer, TikTok, frames

NOW_MS = 1_790_000_000_000


@pytest.fixture
async def staff(relay: LiveRelay) -> AsyncIterator[aiohttp.ClientSession]:
    async with browser() as session:
        await enter(relay, session)
        yield session


def entry(number: int, **fields: Any) -> Entry:
    given = {
        "ts": NOW_MS + number,
        "type": "chat",
        "level": "info",
        "creator": "anna",
        "user_id": 0,
        "code": "",
        "ref": "",
        "text": f"№{number}",
        "frame": '{"type":"chat"}',
    }
    return Entry(id=number, **(given | fields))


async def post(
    relay: LiveRelay, staff: aiohttp.ClientSession, path: str, **fields: str
) -> tuple[int, str, str]:
    """Status, address and text of where a form leads."""
    async with staff.post(f"{relay.url}{path}", data=fields) as answer:
        return answer.status, str(answer.url.relative()), await answer.text()


# ---- the log's filters


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("привет", {1}),
        ("ПРИВЕТ казани", {1}),
        ("прив", {1}),
        ("Аня", {1, 2}),
        ("аня спокойной", {2}),
        ("аня привет нет", set()),
        ("rose", {3}),
        ('"rose* OR x', set()),
        ("a:b -c (d", set()),
    ],
)
async def test_words_are_found_in_any_case_and_by_their_beginning(
    asked: str, found: set[int], relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    rows = [
        entry(1, text="Аня: Привет из Казани!"),
        entry(2, text="аня: спокойной ночи"),
        entry(3, text="Max дарит Rose ×3"),
    ]
    await relay.log.append(rows)
    assert set(ids_of(await page(staff, f"{relay.url}/console/", q=asked))) == found
    # What comes live is held against the same words.
    query = LogQuery(words=words_of(asked))
    assert {row.id for row in rows if query.match(row)} == found


async def test_filters_combine_and_stay_in_the_address(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    user, _ = await relay.user("anna", "Ольга Петрова")
    await relay.log.append(
        [
            entry(1, type="error", level="error", code="rate_limited", user_id=user.user_id),
            entry(2, type="error", level="warning", code="bad_message", user_id=user.user_id),
            entry(3, type="error", level="error", code="rate_limited", creator="boris"),
            entry(4, user_id=0),
        ]
    )

    async def found(**query: str) -> list[int]:
        return ids_of(await page(staff, f"{relay.url}/console/", **query))

    assert await found(level="error") == [3, 1]
    assert await found(code="rate_limited") == [3, 1]
    assert await found(user="ольга") == [2, 1]
    assert await found(user="nobody") == []
    assert await found(level="error", user="петров", creator="@anna") == [1]
    text = await page(staff, f"{relay.url}/console/", level="error", code="rate_limited")
    assert "level=error" in text.split("/console/export?")[1].split('"')[0]
    assert '<span class="badge">2</span>' in text


async def test_a_span_of_time_is_asked_for_in_utc(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    await relay.log.append([entry(number, ts=number * 60_000) for number in range(1, 6)])
    query = {"from": "1970-01-01T00:02:00", "to": "1970-01-01T00:04"}
    assert ids_of(await page(staff, f"{relay.url}/console/", **query)) == [3, 2]
    assert ids_of(await page(staff, f"{relay.url}/console/", last="1h")) == []


async def test_a_hundred_thousand_rows_are_searched_by_index(relay: LiveRelay) -> None:
    reader = relay.log._reader

    async def plan(query: LogQuery) -> str:
        asked = query.conditions(before=10**12)
        sql = f"SELECT events.id FROM {asked.tables} WHERE {asked.where} ORDER BY {asked.number}"
        rows = await reader.rows(f"EXPLAIN QUERY PLAN {sql} DESC LIMIT 100", asked.values)
        return " / ".join(str(row[3]) for row in rows)

    for query, used in (
        (LogQuery(), "PRIMARY KEY"),
        (LogQuery(words=("привет",)), "VIRTUAL TABLE INDEX"),
        (LogQuery(creator="anna"), "events_of_creator"),
        (LogQuery(types=("error",)), "events_of_type"),
        (LogQuery(user_ids=(7,)), "events_of_user"),
        (LogQuery(ref="7KQ2M9XA"), "events_by_ref"),
        (LogQuery(code="rate_limited"), "events_by_code"),
    ):
        found = await plan(query)
        assert used in found, found
        assert "TEMP B-TREE" not in found, found


async def test_a_row_stands_by_itself_in_its_context(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    rows = [entry(number, frame=json.dumps({"n": number})) for number in range(1, 60)]
    await relay.log.append([*rows, entry(60, creator="boris")])
    text = await page(staff, f"{relay.url}/console/log/30")
    assert ids_of(text) == list(range(45, 14, -1))
    assert '"n": 30' in html.unescape(text)
    async with staff.get(f"{relay.url}/console/log/30", params={"format": "json"}) as answer:
        assert (await answer.json())["frame"] == {"n": 30}
    for nothing in ("61", "0", "x", "9" * 30):
        async with staff.get(f"{relay.url}/console/log/{nothing}") as answer:
            assert answer.status == 404


async def test_what_is_saved_is_what_was_found_and_reads_back(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    said = ["=cmd()", "+1", "@x", 'a,"b"\nc', "обычный ⏳", "'quoted"]
    await relay.log.append([entry(n, text=text) for n, text in enumerate(said, start=1)])
    await relay.log.append([entry(100, type="like")])
    query = {"type": "chat", "format": "csv"}
    async with staff.get(f"{relay.url}/console/export", params=query) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
        read = list(csv.DictReader(io.StringIO(await answer.text())))
    cells = [row["text"] for row in read]
    assert [cell.removeprefix("'") for cell in cells[:5]] == said[:5]
    assert all(cell.startswith("'") for cell in cells[:3])
    query["format"] = "ndjson"
    async with staff.get(f"{relay.url}/console/export", params=query) as answer:
        lines = [json.loads(row) for row in (await answer.text()).splitlines()]
    assert [line["text"] for line in lines] == said
    async with staff.get(f"{relay.url}/console/export", params={"format": "exe"}) as answer:
        assert answer.status == 404


# ---- errors, rooms, limits


async def test_one_failure_of_a_room_counts_once_for_all_its_phones(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator = tiktok.creator("ivan", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    for _ in range(3):
        await (await relay.phone_of("ivan")).expect_error("rate_limited")
    await relay.event_log.flush()
    text = html.unescape(await page(staff, f"{relay.url}/console/errors", lang="ru"))
    cells = re.findall(r'class="number">(\d+)<', text)
    assert cells == ["1", "3"]
    assert "@ivan" in text
    assert "Достигнут лимит подключений TikTok API" in text
    assert "Сбоев за сутки: 1" in text
    empty = await page(staff, f"{relay.url}/console/errors", lang="en")
    assert "[error]" not in empty


async def test_no_errors_is_said_to_be_as_it_should(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    assert "No errors within a day" in await page(staff, f"{relay.url}/console/errors", lang="en")
    assert "No rooms now" in await page(staff, f"{relay.url}/console/rooms", lang="en")
    assert "No signature was asked for" in await page(
        staff, f"{relay.url}/console/limits", lang="en"
    )


async def test_a_room_is_reconnected_by_hand_and_its_phones_stay(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator = tiktok.creator("masha", live=True)
    phone = await relay.phone_of("masha")
    await phone.expect_live()
    await creator.send(frames.viewers(1284), frames.chat("fan", "1"))
    await phone.expect("chat", message="1")
    text = await page(staff, f"{relay.url}/console/rooms", lang="en")
    assert "@masha" in text
    assert "1284" in text
    status, address, said = await post(relay, staff, "/console/rooms/masha/reconnect?lang=en")
    assert (status, address) == (200, "/console/rooms?said=room_reconnect&lang=en")
    assert "The room is reconnecting." in said
    await phone.expect("status", state="reconnecting")
    await phone.expect("status", state="live")
    await creator.send(frames.chat("fan", "2"))
    await phone.expect("chat", message="2")


async def test_a_remembered_failure_is_forgotten_by_hand(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    await (await relay.phone_of("masha")).expect_error("user_not_found")
    tiktok.creator("masha", live=True)
    assert "user_not_found" in await page(staff, f"{relay.url}/console/rooms")
    await post(relay, staff, "/console/rooms/masha/reconnect")
    await (await relay.phone_of("masha")).expect_live()


async def test_a_room_is_closed_by_hand_and_its_phones_may_come_back(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    tiktok.creator("masha", live=True)
    phone = await relay.phone_of("masha")
    await phone.expect_live()
    _, _, said = await post(relay, staff, "/console/rooms/masha/close?lang=en")
    assert "its phones are disconnected" in said
    assert await phone.expect_close() == (1001, "")
    assert relay.rooms.state("masha") == ""
    _, _, said = await post(relay, staff, "/console/rooms/masha/close?lang=en")
    assert "no such room" in said
    await (await relay.phone_of("masha")).expect_live()


async def test_the_limits_say_until_when_and_what_the_sign_server_answered(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator = tiktok.creator("ivan", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400", "Set-Cookie": "a=b"})
    await (await relay.phone_of("ivan")).expect_error("rate_limited")
    text = html.unescape(await page(staff, f"{relay.url}/console/limits", lang="en"))
    assert "Closed for" in text
    assert re.search(r"retry-after: 2400", text, re.IGNORECASE)
    assert "a=b" not in text
    assert re.search(r'aria-label="\d+ of \d+ used"', text)


# ---- users


async def test_a_user_is_added_found_paired_and_deleted(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    tiktok.creator("masha", live=True)
    status, address, _ = await post(
        relay, staff, "/console/users", name="Мария 🌸", tiktok_username="https://tiktok.com/@Masha"
    )
    user_id = int(re.findall(r"/console/users/(\d+)", address)[0])
    assert status == 200
    assert "@masha" in await page(staff, f"{relay.url}/console/users", q="МАРИЯ")
    _, _, text = await post(relay, staff, f"/console/users/{user_id}/pair")
    assert "<svg" in text
    code = re.findall(r"#pair=([\w-]+)", html.unescape(text))[0]
    async with relay.http.post(f"{relay.url}/api/pair", json={"code": code}) as answer:
        token = (await answer.json())["token"]
    phone = await relay.phone(token)
    await phone.expect_live()
    await post(relay, staff, f"/console/users/{user_id}/delete")
    assert await relay.users.get(user_id) is not None, "without the tick nothing is deleted"
    await post(relay, staff, f"/console/users/{user_id}/delete", sure=str(user_id))
    assert await relay.users.get(user_id) is None
    assert (await phone.expect_error("unauthorized"))["closing"]
    async with staff.get(f"{relay.url}/console/users/{user_id}") as answer:
        assert answer.status == 404


async def test_a_wrong_username_is_said_where_it_was_typed(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    status, _, text = await post(
        relay, staff, "/console/users?lang=ru", name="x", tiktok_username="мaша"
    )
    assert status == 422
    assert 'aria-invalid="true"' in text
    assert 'value="мaша"' in html.unescape(text)
    user, _ = await relay.user("anna")
    path = f"/console/users/{user.user_id}/username?lang=ru"
    _, _, text = await post(relay, staff, path, tiktok_username="a b")
    assert 'id="username-problem"' in text
    assert (await relay.users.get(user.user_id)).tiktok_username == "anna"


async def test_a_username_set_by_staff_moves_the_phone_at_once(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    for name in ("anna", "boris"):
        tiktok.creator(name, live=True)
    user, token = await relay.user("anna")
    phone = await relay.phone(token)
    await phone.expect_live()
    await post(relay, staff, f"/console/users/{user.user_id}/username", tiktok_username="@boris")
    await phone.expect("status", state="live", tiktok_username="boris")


async def test_a_phone_is_disconnected_and_another_one_revoked_by_hand(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    tiktok.creator("anna", live=True)
    user, token = await relay.user("anna")
    kept = await relay.users.add_token(user.user_id)
    phone = await relay.phone(token)
    await phone.expect_live()
    await post(relay, staff, f"/console/users/{user.user_id}/disconnect")
    assert await phone.expect_close() == (1001, "")
    phone, other = await relay.phone(token), await relay.phone(kept)
    for each in (phone, other):
        await each.expect_live()
    name = (await relay.users.find_token(token)).token_hash.hex()[:8]
    for wrong in ("", "%" * 8, "_" * 8):
        await post(relay, staff, f"/console/users/{user.user_id}/revoke", phone=wrong)
    await post(relay, staff, f"/console/users/{user.user_id}/revoke", phone=name)
    await phone.expect_error("unauthorized")
    await other.send(action="ping")
    await other.expect("pong")


# ---- who may, and what is noted


async def test_every_page_and_change_is_for_staff_alone(relay: LiveRelay) -> None:
    user, _ = await relay.user("anna")
    names = {"id": "1", "creator": "anna", "user_id": str(user.user_id), "name": "012abc"}
    async with browser() as stranger:
        for template in (*PAGES, *CHANGES):
            path = re.sub(r"\{action:(\w+)[^}]*\}", r"\1", template)
            path = re.sub(r"\{(\w+)(?::[^/]*)?\}", lambda found: names[found[1]], path)
            changes = template in CHANGES
            call = stranger.post if changes else stranger.get
            async with call(f"{relay.url}{path}", allow_redirects=False) as answer:
                assert answer.status == 303, path
                assert answer.headers["Location"].startswith("/console/login"), path
    assert (await relay.users.get(user.user_id)) is not None


async def test_another_sites_page_changes_nothing(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    user, _ = await relay.user("anna")
    path = f"{relay.url}/console/users/{user.user_id}/delete"
    headers = {"Origin": "https://evil.example"}
    async with staff.post(path, data={"sure": str(user.user_id)}, headers=headers) as answer:
        assert answer.status == 403
    assert await relay.users.get(user.user_id) is not None


async def test_a_session_that_was_left_open_is_ended_with_its_pages(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with browser() as left_open:
        await enter(relay, left_open)
        async with left_open.ws_connect(f"{relay.url}/console/live") as live:
            text = html.unescape(await page(staff, f"{relay.url}/console/audit", lang="en"))
            names = re.findall(r"/console/sessions/([0-9a-f]{6})/end", text)
            assert len(names) == 1
            assert "this browser" in text
            _, _, said = await post(relay, staff, f"/console/sessions/{names[0]}/end")
            assert "Сеанс завершён" in said
            assert (await live.receive()).type is aiohttp.WSMsgType.CLOSE
            assert live.close_code == 1008
        async with left_open.get(f"{relay.url}/console/") as answer:
            assert answer.url.path == "/console/login"
    _, _, said = await post(relay, staff, f"/console/sessions/{names[0]}/end")
    assert "Такого сеанса уже нет." in said
    text = await page(staff, f"{relay.url}/console/audit", lang="en")
    assert "/console/sessions/" not in text
    assert "ended a session" in text


async def test_every_look_and_change_is_in_the_audit_log(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    user, _ = await relay.user("anna", "Ольга")
    await page(staff, f"{relay.url}/console/users/{user.user_id}")
    await post(relay, staff, f"/console/users/{user.user_id}/username", tiktok_username="masha")
    await page(staff, f"{relay.url}/console/export", format="csv")
    text = html.unescape(await page(staff, f"{relay.url}/console/audit", lang="en"))
    for noted in (
        "logged in by link",
        "looked at a user",
        f"#{user.user_id} Ольга",
        "set a TikTok username",
        f"#{user.user_id} @masha",
        "saved the log",
        "127.0.0.1",
    ):
        assert noted in text
    token = next(iter(staff.cookie_jar)).value
    assert token not in text


async def test_the_audit_log_waits_for_a_disk_that_refuses(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    user, _ = await relay.user("anna")
    connection = relay.users._link._connection
    await connection.execute_fetchall("PRAGMA query_only = ON")
    await page(staff, f"{relay.url}/console/users/{user.user_id}")
    await connection.execute_fetchall("PRAGMA query_only = OFF")
    text = await page(staff, f"{relay.url}/console/audit", lang="en")
    assert "looked at a user" in text


# ---- pictures


def test_pictures_say_their_numbers_and_carry_no_markup() -> None:
    for picture in (bars([0, 1, 5], '"><script>'), line([], "none"), gauge(3, 0, "<b>")):
        assert picture.count("<svg") == 1
        assert "<script>" not in picture
        assert "<b>" not in picture
        assert "aria-label=" in picture
    assert bars([0, 0], "x").count("<rect") == 0
    assert 'class="chart gauge full"' in gauge(5, 5, "x")
    assert 'class="chart gauge fine"' in gauge(1, 5, "x")
