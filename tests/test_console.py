"""The console for support staff: its login, its log, and what it must never do."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs
from yarl import URL

from server.store.log import Entry
from server.web.console.log import MAX_ROWS
from tests import canaries
from tests.conftest import Serve
from tests.liverelay import LiveRelay
from tests.phone import PATIENCE_S
from tests.tiktok import TikTok, frames, gifts
from tests.tiktok.people import Person

PASSWORD = "correct horse battery"


@pytest.fixture
async def staff(relay: LiveRelay) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that is logged in."""
    async with browser() as session:
        await enter(relay, session)
        yield session


def browser() -> aiohttp.ClientSession:
    """A browser that keeps cookies from an IP address too."""
    return canaries.watched_session(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def enter(relay: LiveRelay, session: aiohttp.ClientSession) -> None:
    """Log in by a one-time link."""
    code = await relay.sessions.add_login_code()
    async with session.post(f"{relay.url}/console/login/{code}") as answer:
        assert (answer.status, answer.url.path) == (200, "/console/")


async def page(session: aiohttp.ClientSession, url: str, **query: Any) -> str:
    """A page's text."""
    async with session.get(url, params=query) as answer:
        assert answer.status == 200
        return await answer.text()


def raw_rows(text: str) -> list[str]:
    """The rows of a log page, as HTML."""
    body = text.split('<tbody id="rows">')[1].split("</tbody>")[0]
    return re.findall(r"<tr.*?</tr>", body, re.DOTALL)


def rows_of(text: str) -> list[str]:
    """The rows of a log page, as text."""
    return [
        html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row))).strip()
        for row in raw_rows(text)
    ]


def ids_of(text: str) -> list[int]:
    """The ids of a log page's rows, newest first."""
    return [int(number) for number in re.findall(r'data-id="(\d+)"', "".join(raw_rows(text)))]


async def logged(relay: LiveRelay, count: int) -> None:
    """Rows that only the disk has, numbered from 1."""
    await relay.log.append(
        [
            Entry(
                id=number,
                ts=1_790_000_000_000 + number,
                type="chat",
                level="info",
                creator="anna",
                user_id=0,
                code="",
                ref="",
                text=f"№{number}.",
                frame="{}",
            )
            for number in range(1, count + 1)
        ]
    )


def assert_signed_out(message: aiohttp.WSMessage) -> None:
    """The close that tells a page to stop trying."""
    assert (message.type, message.data, message.extra) == (
        aiohttp.WSMsgType.CLOSE,
        1008,
        "signed_out",
    )


async def live_socket(
    relay: LiveRelay, session: aiohttp.ClientSession, **query: Any
) -> aiohttp.ClientWebSocketResponse:
    """The socket of a console page."""
    return await session.ws_connect(f"{relay.url}/console/live", params=query)


async def next_rows(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    """The next rows, at least `count`."""
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        rows += (await asyncio.wait_for(ws.receive_json(), PATIENCE_S))["rows"]
    return rows


# ---- the login


@pytest.mark.parametrize("path", ["/console/", "/console/?type=error&creator=anna"])
async def test_without_a_login_every_page_leads_to_it_and_back(path: str, relay: LiveRelay) -> None:
    await relay.sessions.set_password(PASSWORD)
    async with browser() as session:
        async with session.get(relay.url + path) as answer:
            assert answer.url.path == "/console/login"
            login = answer.url
        async with session.post(login, data={"password": PASSWORD}) as answer:
            assert (answer.status, answer.url.path_qs) == (200, path)


async def test_the_console_is_found_without_its_slash(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with staff.get(f"{relay.url}/console") as answer:
        assert (answer.status, answer.url.path) == (200, "/console/")


async def test_a_wrong_password_is_said_and_opens_nothing(relay: LiveRelay) -> None:
    await relay.sessions.set_password(PASSWORD)
    async with browser() as session:
        login = f"{relay.url}/console/login?lang=en"
        for wrong in ("", PASSWORD + " ", "x" * 5000):
            async with session.post(login, data={"password": wrong}) as answer:
                assert answer.status == 403
                assert hdrs.SET_COOKIE not in answer.headers
                assert "The password does not match." in await answer.text()
        async with session.get(f"{relay.url}/console/") as answer:
            assert answer.url.path == "/console/login"


async def test_a_login_link_is_used_up_by_its_button_and_not_by_looking(relay: LiveRelay) -> None:
    url = f"{relay.url}/console/login/{await relay.sessions.add_login_code()}"
    async with browser() as session:
        for _ in range(2):
            assert "<form" in await page(session, url)
        async with session.post(url) as answer:
            assert answer.url.path == "/console/"
        async with session.post(url) as answer:
            assert answer.status == 410
        async with session.post(f"{relay.url}/console/login/WRONG") as answer:
            assert answer.status == 404


async def test_a_password_ends_every_link_and_every_session_at_once(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    url = f"{relay.url}/console/login/{await relay.sessions.add_login_code()}"
    await relay.sessions.set_password(PASSWORD)
    async with staff.get(f"{relay.url}/console/") as answer:
        assert answer.url.path == "/console/login"
    async with staff.post(url) as answer:
        assert answer.status == 404


async def test_passwords_wait_in_a_short_queue_and_no_longer_one(relay: LiveRelay) -> None:
    await relay.sessions.set_password(PASSWORD)
    url = f"{relay.url}/console/login"

    async def guess(session: aiohttp.ClientSession) -> int:
        async with session.post(url, data={"password": "wrong"}) as answer:
            assert (answer.status == 429) == (hdrs.RETRY_AFTER in answer.headers)
            return answer.status

    async with browser() as session:
        async with relay.sessions._hashing:  # nobody's turn comes
            guesses = [asyncio.create_task(guess(session)) for _ in range(5)]
            done, waiting = await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
            assert [guess.result() for guess in done] == [429]
        assert [await guess for guess in waiting] == [403] * 4


async def test_five_wrong_passwords_a_minute_are_enough(relay: LiveRelay) -> None:
    await relay.sessions.set_password(PASSWORD)
    url = f"{relay.url}/console/login"
    async with browser() as session:
        for _ in range(5):
            async with session.post(url, data={"password": "wrong"}) as answer:
                assert answer.status == 403
        async with session.post(url, data={"password": PASSWORD}) as answer:
            assert answer.status == 429
            assert 1 <= int(answer.headers[hdrs.RETRY_AFTER]) <= 60


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/console/",
        "/console/../../evil",
        "/console/%2e%2e/%2e%2e/evil",
        "/console/\\evil.example",
        "/console/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "/app/",
        "/console/login",
    ],
)
async def test_a_login_leads_nowhere_but_into_the_console(target: str, relay: LiveRelay) -> None:
    await relay.sessions.set_password(PASSWORD)
    async with browser() as session:
        url = f"{relay.url}/console/login"
        async with session.post(
            url, params={"next": target}, data={"password": PASSWORD}, allow_redirects=False
        ) as answer:
            assert answer.status == 303
            assert answer.headers[hdrs.LOCATION].startswith("/console/")
            assert answer.headers[hdrs.LOCATION].split("?")[0] == "/console/"


@pytest.mark.parametrize("path", ["/console/login", "/console/login/CODE", "/console/logout"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_another_sites_page_cannot_log_anyone_in_or_out(
    path: str, origin: str, relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with staff.post(
        relay.url + path, headers={"Origin": origin}, allow_redirects=False
    ) as answer:
        assert answer.status == 403
    assert "tbody" in await page(staff, f"{relay.url}/console/")


async def test_the_cookie_is_for_the_console_alone_and_out_of_scripts_reach(
    relay: LiveRelay,
) -> None:
    async with browser() as session:
        url = f"{relay.url}/console/login/{await relay.sessions.add_login_code()}"
        async with session.post(url, allow_redirects=False) as answer:
            (cookie,) = answer.cookies.values()
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/console"
    assert not cookie["secure"]  # plain HTTP; under TLS it is


async def test_under_tls_the_cookie_is_secure(serve: Serve) -> None:
    relay = await serve(server={"trusted_proxies": ("127.0.0.1",)})
    async with browser() as session:
        url = f"{relay.url}/console/login/{await relay.sessions.add_login_code()}"
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"}
        async with session.post(url, headers=headers, allow_redirects=False) as answer:
            (cookie,) = answer.cookies.values()
    assert cookie["secure"]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=b&" * 5000, b"=" * 40])
async def test_a_form_that_is_none_is_a_clear_refusal(body: bytes, relay: LiveRelay) -> None:
    headers = {hdrs.CONTENT_TYPE: "application/x-www-form-urlencoded; charset=klingon"}
    async with browser() as session:
        async with session.post(f"{relay.url}/console/login", data=body, headers=headers) as answer:
            assert answer.status in {400, 403, 413}


async def test_a_log_out_ends_the_session_and_its_live_pages(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    ws = await live_socket(relay, staff)
    async with staff.post(f"{relay.url}/console/logout") as answer:
        assert answer.url.path == "/console/login"
    assert_signed_out(await asyncio.wait_for(ws.receive(), PATIENCE_S))


async def test_a_cookie_that_was_kept_opens_nothing_after_the_log_out(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    url = f"{relay.url}/console/"
    (cookie,) = staff.cookie_jar.filter_cookies(URL(url)).values()
    kept = {hdrs.COOKIE: f"{cookie.key}={cookie.value}"}
    async with relay.http.get(url, headers=kept) as answer:
        assert answer.url.path == "/console/"
    async with staff.post(f"{relay.url}/console/logout", allow_redirects=False) as answer:
        assert answer.status == 303
    async with relay.http.get(url, headers=kept) as answer:
        assert answer.url.path == "/console/login"
    ws = await relay.http.ws_connect(f"{relay.url}/console/live", headers=kept)
    assert_signed_out(await asyncio.wait_for(ws.receive(), PATIENCE_S))


# ---- what every page promises


@pytest.mark.parametrize("path", ["/console/", "/console/?before=9&type=error", "/console/nowhere"])
async def test_a_page_of_the_console_is_kept_nowhere_and_runs_nothing_inline(
    path: str, relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with staff.get(relay.url + path) as answer:
        text = await answer.text()
        assert answer.url == URL(relay.url + path)
        assert answer.headers[hdrs.CACHE_CONTROL] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        policy = answer.headers["Content-Security-Policy"].split("; ")
    host = f"127.0.0.1:{relay.port}"
    assert {
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        f"connect-src 'self' ws://{host} wss://{host}",
    } <= set(policy)
    assert not re.search(r"<script(?![^>]*(src=|application/json))", text)
    assert not re.search(r"\son\w+=|style=|<style|javascript:", text)


@pytest.mark.parametrize("lang", ["ru", "en"])
async def test_a_language_that_was_asked_for_stays_through_the_login_and_back(
    lang: str, relay: LiveRelay
) -> None:
    await relay.sessions.set_password(PASSWORD)
    other = {hdrs.ACCEPT_LANGUAGE: "ru" if lang == "en" else "en"}
    async with browser() as session:
        async with session.get(f"{relay.url}/console/?lang={lang}", headers=other) as answer:
            assert f'<html lang="{lang}">' in await answer.text()
            login = answer.url
        async with session.post(login, data={"password": PASSWORD}, headers=other) as answer:
            assert f'<html lang="{lang}">' in await answer.text()
        async with session.post(f"{relay.url}/console/logout?lang={lang}", headers=other) as answer:
            assert answer.url.path_qs == f"/console/login?lang={lang}"


# ---- the log


async def test_support_sees_the_row_that_the_phone_saw(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    user, token = await relay.user()
    error = await (await relay.phone(token)).expect_error("username_required")
    (row,) = rows_of(await page(staff, f"{relay.url}/console/"))
    assert f"[error] {user.user_id} username_required {error['ref']}" in row
    assert f"{error['message']} — {error['details']}" in row


async def test_the_filters_find_by_type_creator_user_and_ref(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    for name in ("anna", "boris"):
        tiktok.creator(name, live=True)
        phone = await relay.phone_of(name)
        await phone.expect_live()
        await tiktok.creator(name).send(frames.chat("fan", f"to {name}"))
        await phone.expect("chat")
    user, token = await relay.user()
    ref = (await (await relay.phone(token)).expect_error("username_required"))["ref"]
    url = f"{relay.url}/console/"
    assert len(rows_of(await page(staff, url, type="chat"))) == 2
    for creator in ("anna", "@Anna", "https://www.tiktok.com/@anna/live"):
        (row,) = rows_of(await page(staff, url, type="chat", creator=creator))
        assert "to anna" in row
    for query in ({"user": str(user.user_id)}, {"user": f"#{user.user_id}"}, {"ref": ref.lower()}):
        (row,) = rows_of(await page(staff, url, **query))
        assert ref in row
    assert rows_of(await page(staff, url, type="gift")) == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"q": "!?"}, "хотя бы одна буква"),
        ({"from": "soon"}, "Такого времени нет"),
        ({"creator": "аnna"}, "«а»"),
        ({"before": "x"}, "не найдена"),
    ],
)
async def test_a_filter_that_cannot_be_is_said_and_the_page_still_shown(
    query: dict[str, str], said: str, relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    text = await page(staff, f"{relay.url}/console/", lang="ru", **query)
    assert said in html.unescape(text)
    assert 'id="rows"' in text


@pytest.mark.parametrize("ref", ["!!!", "01", "NOSUCHRE"])
async def test_a_reference_of_nobody_finds_nothing(
    ref: str, relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    await (await relay.phone_of("")).expect_error("username_required")
    text = await page(staff, f"{relay.url}/console/", ref=ref, lang="en")
    assert rows_of(text) == []
    assert "Nothing matches this filter." in text
    assert f'value="{ref}"' in text


async def test_a_reference_is_found_as_it_is_read_out(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    ref = (await (await relay.phone_of("")).expect_error("username_required"))["ref"]
    await (await relay.phone_of("")).expect_error("username_required")
    for spoken in (ref, f" {ref[:4]}-{ref[4:].lower()} ", " ".join(ref)):
        (row,) = rows_of(await page(staff, f"{relay.url}/console/", ref=spoken))
        assert ref in row


@pytest.mark.parametrize("query", ["type=%00", "creator=%ff%fe", "before=-1", "ref=%F0%9F%98%80"])
async def test_a_hostile_query_breaks_nothing(
    query: str, relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with staff.get(f"{relay.url}/console/?{query}") as answer:
        assert answer.status == 200


async def test_older_pages_join_without_a_hole(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    await logged(relay, 250)
    seen: list[str] = []
    url = f"{relay.url}/console/?lang=ru"
    while url:
        text = await page(staff, url)
        seen += rows_of(text)
        older = re.search(r'href="([^"]+)" rel="next"', text)
        url = relay.url + html.unescape(older[1]) if older else ""
    assert [re.search(r"№(\d+)\.", row)[1] for row in seen] == [  # type: ignore[index]
        str(number) for number in range(250, 0, -1)
    ]


async def test_hostile_text_is_shown_and_never_run(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    hostile = '</td><script>alert(1)</script><img src=x onerror=alert(1)> " \u202e {user}'
    await creator.send(frames.chat(Person("eve", hostile), hostile))
    await phone.expect("chat")
    text = await page(staff, f"{relay.url}/console/", type="chat")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    (row,) = rows_of(text)
    assert "{user}" in row
    # What turns the reading direction is seen, and turns nothing but itself.
    (cell,) = re.findall(r'<td class="text"><bdi>(.+?)</bdi></td>', raw_rows(text)[0])
    mark = '<span class="unseen" data-code="U+202E">\u202e</span>'
    assert cell.count(mark) == 2
    assert "<" not in cell.replace(mark, "")
    (entry,) = [entry for entry in relay.event_log.recent(0) if entry.type == "chat"]
    assert 'data-code="U+202E"' in await page(staff, f"{relay.url}/console/log/{entry.id}")


async def test_what_was_typed_comes_back_as_text(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    hostile = "\"'><script>alert(1)</script>\u202e"
    asked = {"creator": hostile, "user": hostile, "ref": hostile, "type": hostile}
    text = await page(staff, f"{relay.url}/console/", **asked)
    assert "<script>alert" not in text
    for name in ("creator", "user", "ref"):
        found = re.search(rf'<input name="{name}" value="([^"]*)"', text)
        assert found is not None
        assert html.unescape(found[1]) == hostile
    await relay.sessions.set_password(PASSWORD)  # ends the session
    text = await page(staff, f"{relay.url}/console/login", next=hostile)
    assert "<form" in text
    assert "<script>alert" not in text


# ---- live


async def test_new_rows_come_by_themselves_after_the_last_one_without_gap_or_repeat(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    for number in range(20):
        await creator.send(frames.chat("fan", str(number)))
    await phone.expect("chat", message="19")
    first = await live_socket(relay, staff, after="0", type="chat")
    rows = await next_rows(first, 20)
    second = await live_socket(relay, staff, after=str(rows[9]["id"]), type="chat")
    await creator.send(*(frames.chat("fan", str(number)) for number in range(20, 40)))
    rows += await next_rows(first, 20)
    assert [row["text"] for row in rows] == [f"fan: {number}" for number in range(40)]
    assert [row["id"] for row in await next_rows(second, 30)] == [row["id"] for row in rows[10:]]
    await first.close()
    await second.close()


async def test_an_error_comes_live_as_the_phone_got_it(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    ws = await live_socket(relay, staff, after="0")
    user, token = await relay.user()
    error = await (await relay.phone(token)).expect_error("username_required")
    (row,) = await next_rows(ws, 1)
    text = await page(staff, f"{relay.url}/console/")
    del row["ts"]  # the log's own, a moment after the frame's
    assert row == {
        "id": ids_of(text)[0],
        "type": "error",
        "level": "warning",
        "creator": "",
        "user_id": user.user_id,
        "code": "username_required",
        "ref": error["ref"],
        "text": f"{error['message']} — {error['details']}",
    }
    await ws.close()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"type": ("chat", "gift")},
        {"creator": "@Anna"},
        {"type": "error", "user": "#3"},
        {"creator": "boris", "type": "chat"},
    ],
)
async def test_the_rows_that_come_live_are_those_that_the_disk_finds(
    query: dict[str, Any], serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve()
    async with browser() as session:
        await enter(relay, session)
        ws = await live_socket(relay, session, after="0", **query)
        phones = {}
        for name in ("anna", "boris"):
            tiktok.creator(name, live=True)
            phones[name] = await relay.phone_of(name)
            await phones[name].expect_live()
        nameless = [await relay.user() for _ in range(2)]
        assert [user.user_id for user, _ in nameless] == [3, 4]
        for _ in range(2):
            for name, phone in phones.items():
                await tiktok.creator(name).send(
                    frames.chat("fan", "hi"), frames.gift("fan", gifts.GALAXY), frames.viewers(5)
                )
                await phone.expect("viewer")
            for _, token in nameless:
                await (await relay.phone(token)).expect_error("username_required")
        shown = ids_of(await page(session, f"{relay.url}/console/", **query))
        live: list[int] = []
        while not live or live[-1] < shown[0]:
            live += [row["id"] for row in await next_rows(ws, 1)]
        await ws.close()
        assert live == shown[::-1]
        # Nothing is in memory now; what the first server wrote when it stopped is not asked for.
        await relay.stop()
        relay = await serve()
        before = str(live[-1] + 1)
        on_disk = ids_of(await page(session, f"{relay.url}/console/", before=before, **query))
        assert on_disk == shown
        assert len(on_disk) >= 2


async def test_a_page_left_open_over_a_restart_misses_nothing(serve: Serve, tiktok: TikTok) -> None:
    tiktok.creator("anna", live=True)
    relay = await serve()
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    await tiktok.creator("anna").send(*(frames.chat("fan", str(number)) for number in range(10)))
    await phone.expect("chat", message="9")
    seen = phone.of("chat")[3]["id"]
    await relay.stop()

    relay = await serve()
    async with browser() as session:
        await enter(relay, session)
        ws = await live_socket(relay, session, after=str(seen), type="chat")
        rows = await next_rows(ws, 6)
        phone = await relay.phone_of("anna")
        await phone.expect_live()
        await tiktok.creator("anna").send(frames.chat("fan", "10"))
        rows += await next_rows(ws, 1)
        await ws.close()
    assert [row["text"] for row in rows] == [f"fan: {number}" for number in range(4, 11)]


async def test_of_more_rows_than_a_page_keeps_the_newest_come_and_the_hole_is_said(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    await logged(relay, MAX_ROWS + 5)
    ws = await live_socket(relay, staff, after="2")
    batches = []
    while sum(len(batch["rows"]) for batch in batches) < MAX_ROWS:
        batches.append(await asyncio.wait_for(ws.receive_json(), PATIENCE_S))
    await ws.close()
    ids = [row["id"] for batch in batches for row in batch["rows"]]
    assert ids == list(range(6, MAX_ROWS + 6))
    assert [batch.get("skipped", False) for batch in batches] == [True] + [False] * (
        len(batches) - 1
    )
    ws = await live_socket(relay, staff, after="5")
    assert "skipped" not in await asyncio.wait_for(ws.receive_json(), PATIENCE_S)
    await ws.close()


async def test_a_live_page_needs_a_session_and_a_page_of_ours(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with browser() as stranger:
        ws = await live_socket(relay, stranger)
        assert_signed_out(await asyncio.wait_for(ws.receive(), PATIENCE_S))
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await staff.ws_connect(
            f"{relay.url}/console/live", headers={"Origin": "https://evil.example"}
        )
    assert caught.value.status == 403


async def test_looking_opens_no_room_and_spends_no_signature(
    relay: LiveRelay, tiktok: TikTok, staff: aiohttp.ClientSession
) -> None:
    tiktok.creator("anna", live=True)
    await page(staff, f"{relay.url}/console/", creator="anna")
    ws = await live_socket(relay, staff, after="0", creator="anna")
    await ws.close()
    assert len(relay.rooms) == 0
    assert not tiktok.requests
    assert not tiktok.sign.requests


async def test_stopping_the_server_tells_live_pages(serve: Serve) -> None:
    relay = await serve()
    async with browser() as session:
        await enter(relay, session)
        ws = await live_socket(relay, session)
        stopping = asyncio.create_task(relay.stop())
        message = await asyncio.wait_for(ws.receive(), PATIENCE_S)
        assert message.data == 1001
        await stopping
