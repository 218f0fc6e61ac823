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

from server.store.log import Entry
from tests.conftest import Serve
from tests.liverelay import LiveRelay
from tests.phone import PATIENCE_S
from tests.tiktok import TikTok, frames
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
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


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


def rows_of(text: str) -> list[str]:
    """The rows of a log page, as text."""
    body = text.split('<tbody id="rows">')[1].split("</tbody>")[0]
    found = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    return [
        html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row))).strip() for row in found
    ]


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
    message = await asyncio.wait_for(ws.receive(), PATIENCE_S)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert message.extra == "signed_out"


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
        ({"user": "anna"}, "Пользователь: нужен номер"),
        ({"creator": "аnna"}, "«а»"),
        ({"before": "x"}, "не найдена"),
        ({"user": "9" * 40}, "Пользователь: нужен номер"),
    ],
)
async def test_a_filter_that_cannot_be_is_said_and_the_page_still_shown(
    query: dict[str, str], said: str, relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    text = await page(staff, f"{relay.url}/console/", lang="ru", **query)
    assert said in html.unescape(text)
    assert 'id="rows"' in text


@pytest.mark.parametrize("query", ["type=%00", "creator=%ff%fe", "before=-1", "ref=%F0%9F%98%80"])
async def test_a_hostile_query_breaks_nothing(
    query: str, relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with staff.get(f"{relay.url}/console/?{query}") as answer:
        assert answer.status == 200


async def test_older_pages_join_without_a_hole(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    entries = [
        Entry(
            number,
            1_790_000_000_000 + number,
            "chat",
            "info",
            "anna",
            0,
            "",
            "",
            f"№{number}.",
            "{}",
        )
        for number in range(1, 251)
    ]
    await relay.log.append(entries)
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


async def test_a_live_page_needs_a_session_and_a_page_of_ours(
    relay: LiveRelay, staff: aiohttp.ClientSession
) -> None:
    async with browser() as stranger:
        ws = await live_socket(relay, stranger)
        message = await asyncio.wait_for(ws.receive(), PATIENCE_S)
        assert (message.data, message.extra) == (1008, "signed_out")
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
