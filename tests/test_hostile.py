"""Hostile input at every door, one row each: what is sent, and the one answer that is right. After
each of them the same server still serves, and no log holds a traceback.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from server.configfile import load
from server.errors import StartupError
from server.store.database import Database
from tests.liverelay import LiveRelay
from tests.phone import Phone
from tests.tiktok import TikTok, frames
from tests.tiktok.envelope import fetch_result, msg_frame, push_frame

PATIENCE_S = 15.0


class Row(NamedTuple):
    """What is sent, and what must come of it."""

    name: str
    sent: Any
    answer: Any


def rows(*table: Row) -> Any:
    """The table as pytest's parameters."""
    return pytest.mark.parametrize("row", table, ids=[row.name for row in table])


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Any:
    """None in any test of this module."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record for record in caplog.records if record.exc_info]


@pytest.fixture
async def survivor(relay: LiveRelay, tiktok: TikTok) -> AsyncIterator[LiveRelay]:
    """A server that is attacked while a phone watches, and serves it all the same."""
    creator = tiktok.creator("survivor", live=True)
    phone = await relay.phone_of("survivor")
    await phone.expect_live()
    yield relay
    await creator.send(frames.chat("fan", "still here"))
    await phone.expect("chat", message="still here")
    assert not phone.of("error", "gap")


# ---- requests, byte by byte


def get(path: str, *headers: str, host: str = "localhost") -> bytes:
    lines = [f"GET {path} HTTP/1.1", *([f"Host: {host}"] if host else []), *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def upgrade(path: str, *headers: str, key: str = "x3JJHMbDL1EzLkh9GBhXDw==") -> bytes:
    return get(
        path,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Key: {key}"] if key else []),
        *headers,
    )


def post(path: str, body: bytes, kind: str = "application/json", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *headers]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


REQUESTS = (
    Row("a socket without an upgrade", get("/ws"), 400),
    Row("a socket of an old version", upgrade("/ws").replace(b"Version: 13", b"Version: 6"), 400),
    Row("a socket without a key", upgrade("/ws", key=""), 400),
    Row("a socket with a short key", upgrade("/ws", key="abc"), 400),
    Row("a socket with a key that is no base64", upgrade("/ws", key="!" * 24), 400),
    Row("a socket of another page", upgrade("/ws", "Origin: https://evil.example"), 403),
    Row("a socket of a null page", upgrade("/ws", "Origin: null"), 403),
    Row("a socket of two pages", upgrade("/ws", "Origin: http://localhost", "Origin: x"), 403),
    Row("a page that looks like ours", upgrade("/ws", "Origin: http://localhost.evil.example"), 403),
    Row("a page with a user in its address", upgrade("/ws", "Origin: http://localhost@evil.example"), 403),
    Row("a console of another page", upgrade("/console/live", "Origin: https://evil.example"), 403),
    Row("another host", get("/app/", host="evil.example"), 421),
    Row("a host of ours with more", get("/app/", host="localhost.evil.example"), 421),
    Row("a host with a user", get("/app/", host="localhost@evil.example"), 421),
    Row("a host with a header", get("/app/", host="localhost x"), 421),
    Row("no host", get("/app/", host=""), 400),
    Row("an empty host", get("/app/", "Host:", host=""), 421),
    Row("a port that is none", get("/app/", host="localhost:99999999"), 421),
    Row("up the folders", get("/static/../config.toml"), 404),
    Row("up the folders, escaped", get("/static/%2e%2e/config.toml"), 404),
    Row("up the folders, twice escaped", get("/static/%252e%252e/config.toml"), 404),
    Row("a backslash", get("/static/..%5cconfig.toml"), 404),
    Row("a zero in the path", get("/static/app.js%00.css"), 404),
    Row("an absolute file", get("/static//etc/passwd"), 404),
    Row("the database", get("/liverelay.db"), 404),
    Row("the sources' settings", get("/.git/config"), 404),
    Row("bytes that are no UTF-8", get("/app/%ff%fe"), 404),
    Row("a path of another host", get("//evil.example/app/"), 404),
    Row("a long line", get("/" + "a" * 20_000), 400),
    Row("a long header", get("/app/", "X: " + "a" * 20_000), 400),
    Row("many headers", get("/app/", *["X: a"] * 500), 400),
    Row("a header with a newline", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", 400),
    Row("a header that is folded", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
    Row("a header without a name", b"GET / HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n", 400),
    Row("a space before the colon", b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    Row("two lengths", b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    Row("a length below zero", b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
    Row("a length and chunks", b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    Row("a chunk that is no number", b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    Row("HTTP of the future", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    Row("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, 400),
    Row("another protocol", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    Row("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    Row("an unknown method", b"BREW /app/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    Row("a method in the wrong place", b"DELETE /app/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    Row("metrics through a proxy", get("/metrics", "X-Forwarded-For: 127.0.0.1"), 401),
    Row("a console without a login", get("/console/users"), 303),
    Row("a login code that is none", post("/console/login/" + "A" * 16, b"", "text/plain"), 404),
    Row("a body of another kind", post("/api/pair", b"{}", "text/plain"), 415),
    Row("a body that is no JSON", post("/api/pair", b"{'code': 1}"), 400),
    Row("a body of nothing", post("/api/pair", b""), 400),
    Row("a body that is deep", post("/api/pair", b'{"code":' + b"[" * 60_000), 422),
    Row("a body with NaN", post("/api/pair", b'{"code": NaN}'), 400),
    Row("a body with half a character", post("/api/pair", b'{"code": "\\ud800"}'), 400),
    Row("a body that is no UTF-8", post("/api/pair", b'{"code": "\xff\xfe"}'), 400),
    Row("a body that is a list", post("/api/pair", b"[1, 2]"), 422),
    Row("a body with a number for a text", post("/api/pair", b'{"code": 123}'), 422),
    Row("a body that is too big", post("/api/pair", b" " * 70_000), 413),
    Row("a body that is packed", post("/api/pair", gzip.compress(b" " * 50_000_000), "application/json", "Content-Encoding: gzip"), 413),
    Row("a code with SQL", post("/api/pair", b'{"code": "\' OR 1=1 --"}'), 404),
    Row("a token that is none", get("/api/me", "Authorization: Bearer x"), 401),
    Row("a token with SQL", get("/api/me", "Authorization: Bearer ' OR 1=1 --"), 401),
    Row("a token that is long", get("/api/me", "Authorization: Bearer " + "a" * 5000), 401),
    Row("a token of another scheme", get("/api/me", "Authorization: Basic dXNlcjpwYXNz"), 401),
    Row("a token in the query", get("/api/me?token=x"), 401),
    Row("a session that is none", get("/console/", "Cookie: liverelay_console=' OR 1=1 --"), 303),
    Row("cookies without an end", get("/console/", "Cookie: " + "a=b; " * 1000), 303),
)  # fmt: skip


@rows(*REQUESTS)
async def test_a_hostile_request_has_its_answer(row: Row, survivor: LiveRelay) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", survivor.port)
    writer.write(row.sent)
    try:
        line = await asyncio.wait_for(reader.readline(), PATIENCE_S)
    finally:
        writer.close()
        await writer.wait_closed()
    assert line.split()[1:2] == [str(row.answer).encode()], line


# ---- sockets: an upgrade that is accepted first, and then told

UNAUTHORIZED = (1008, "unauthorized")
SOCKETS = (
    Row("no token", ("/ws", {}, {}), UNAUTHORIZED),
    Row("a token of spaces", ("/ws/%20%20", {}, {}), UNAUTHORIZED),
    Row("a token with a zero", ("/ws/a%00b", {}, {}), UNAUTHORIZED),
    Row("a token with a slash", ("/ws/a%2Fb", {}, {}), UNAUTHORIZED),
    Row("a token in Russian", ("/ws/токен", {}, {}), UNAUTHORIZED),
    Row("a token with SQL", ("/ws/'%20OR%201=1%20--", {}, {}), UNAUTHORIZED),
    Row("a token of 5000", ("/ws/" + "a" * 5000, {}, {}), UNAUTHORIZED),
    Row("a bearer without a token", ("/ws", {}, {"Authorization": "Bearer"}), UNAUTHORIZED),
    Row("a subprotocol that is none", ("/ws", {}, {"Sec-WebSocket-Protocol": "token."}), UNAUTHORIZED),
    Row("two tokens", ("/ws/x", {"token": "y"}, {}), UNAUTHORIZED),
    Row("options that mean nothing", ("/ws/TOKEN", {"since": "-1", "epoch": "\0", "types": "'", "lang": "xx", "combo": "9"}, {}), "status"),
    Row("a last id without an end", ("/ws/TOKEN", {"since": "9" * 3000, "epoch": "x" * 3000}, {}), "status"),
    Row("a device of a novel", ("/ws/TOKEN", {"device": "\u202e<b>" * 500, "os": "\0", "platform": "\x1b[2J"}, {}), "status"),
    Row("the same option often", ("/ws/TOKEN?" + "lang=en&" * 500, {}, {}), "status"),
    Row("a language without an end", ("/ws/TOKEN", {}, {"Accept-Language": "ru;q=0." + "1" * 5000}), "status"),
    Row("forwarded by many", ("/ws/TOKEN", {}, {"X-Forwarded-For": "1.2.3.4, " * 500}), "status"),
    Row("every extension", ("/ws/TOKEN", {}, {"Sec-WebSocket-Extensions": "permessage-deflate; " * 100}), "status"),
)  # fmt: skip


@rows(*SOCKETS)
async def test_a_hostile_socket_is_served_or_told(row: Row, survivor: LiveRelay) -> None:
    path, query, headers = row.sent
    _, token = await survivor.user("survivor")
    url = survivor.url + path.replace("TOKEN", token)
    async with survivor.http.ws_connect(url, params=query, headers=headers) as ws:
        phone = Phone(ws)
        if row.answer == "status":
            await phone.expect_live()
        else:
            await phone.expect_error("unauthorized")
            assert (phone.close_code, phone.close_reason) == row.answer


# ---- frames of a phone

BAD = "bad_message"
FRAMES = (
    Row("nothing", "", BAD),
    Row("spaces", "   ", BAD),
    Row("no JSON", "{action:1}", BAD),
    Row("a number", "7", BAD),
    Row("a list", "[]", BAD),
    Row("null", "null", BAD),
    Row("no action", "{}", BAD),
    Row("an unknown action", '{"action":"dance"}', BAD),
    Row("an action that is a number", '{"action":1}', BAD),
    Row("an action in other letters", '{"action":"PING"}', BAD),
    Row("a username that is a number", '{"action":"connect_tiktok","username":1}', BAD),
    Row("a username that is a list", '{"action":"connect_tiktok","username":["a"]}', BAD),
    Row("deep", '{"a":' * 1000 + "1" + "}" * 1000, BAD),
    Row("NaN", '{"action":NaN}', BAD),
    Row("half a character", '{"action":"\\ud800"}', BAD),
    Row("the same key twice", '{"action":"dance","action":"jump"}', BAD),
    Row("a number without an end", '{"action":' + "9" * 5000 + "}", BAD),
    Row("bytes", b"\x00\x01", BAD),
    Row("bytes that look like a command", b'{"action":"ping"}', BAD),
    Row("too long", "x" * 8193, 1009),
    Row("much too long", "x" * 1_000_000, 1009),
    Row("a name that is none", '{"action":"connect_tiktok","username":"a b"}', "invalid_username"),
    Row("a name with SQL", '{"action":"connect_tiktok","username":"\' OR 1=1 --"}', "invalid_username"),
    Row("a name up the folders", '{"action":"connect_tiktok","username":"../../x"}', "invalid_username"),
    Row("a name with a query", '{"action":"connect_tiktok","username":"a?x=1"}', "invalid_username"),
    Row("a name with a newline", '{"action":"connect_tiktok","username":"ab\\nc"}', "invalid_username"),
    Row("a name of look-alikes", '{"action":"connect_tiktok","username":"\u0430nna"}', "invalid_username"),
    Row("a name turned round", '{"action":"connect_tiktok","username":"\u202eanna"}', "invalid_username"),
    Row("a name of one letter", '{"action":"connect_tiktok","username":"a"}', "invalid_username"),
    Row("a name that ends in a dot", '{"action":"connect_tiktok","username":"anna."}', "invalid_username"),
    Row("a name without an end", '{"action":"connect_tiktok","username":"' + "a" * 7000 + '"}', "invalid_username"),
    Row("another site's address", '{"action":"connect_tiktok","username":"https://evil.example/@anna"}', "invalid_username"),
    Row("an address with a user", '{"action":"connect_tiktok","username":"https://tiktok.com@evil.example/@anna"}', "invalid_username"),
)  # fmt: skip


@rows(*FRAMES)
async def test_a_hostile_frame_is_answered_or_closed(row: Row, survivor: LiveRelay) -> None:
    _, token = await survivor.user()
    phone = await survivor.phone(token, live="manual")
    await phone.expect("status", state="stopped")
    if isinstance(row.sent, bytes):
        await phone.ws.send_bytes(row.sent)
    else:
        await phone.ws.send_str(row.sent)
    if isinstance(row.answer, int):
        assert (await phone.expect_close())[0] == row.answer
        return
    error = await phone.expect("error")
    assert error["code"] == row.answer
    await phone.send(action="ping")
    await phone.expect("pong")


# ---- usernames over REST

NAMES = (
    Row("a name", "anna", "anna"),
    Row("with an at", "@Anna", "anna"),
    Row("a profile", "https://www.tiktok.com/@Anna?lang=ru", "anna"),
    Row("a live", "tiktok.com/@anna/live", "anna"),
    Row("nothing", "", ""),
    Row("two names", "anna boris", None),
    Row("two ats", "@@anna", None),
    Row("a Kelvin sign", "\u212aate", None),
    Row("full width", "\uff41\uff4e\uff4e\uff41", None),
    Row("Turkish", "\u0131nna", None),
    Row("no width", "an\u200bna", None),
    Row("a zero", "an\0na", None),
    Row("a last newline", "anna\u2028", "anna"),
    Row("a slash", "anna/boris", None),
    Row("a fragment", "anna#x", None),
    Row("an escape", "%61nna", None),
    Row("a template", "{{7*7}}", None),
    Row("emoji", "anna\U0001f600", None),
    Row("an address of digits", "https://tiktok.com.evil.example/@anna", None),
    Row("a script", "javascript:alert(1)", None),
    Row("25 letters", "a" * 25, None),
)


@rows(*NAMES)
async def test_a_hostile_username_reaches_nothing(
    row: Row, survivor: LiveRelay, tiktok: TikTok
) -> None:
    user, token = await survivor.user("before")
    before = len(tiktok.requests)
    async with survivor.http.put(
        f"{survivor.url}/api/me/tiktok-username",
        json={"tiktok_username": row.sent},
        headers={"Authorization": f"Bearer {token}"},
    ) as answer:
        assert answer.status == (200 if row.answer is not None else 422)
        body = await answer.json()
    stored = (await survivor.users.get(user.user_id)).tiktok_username
    assert stored == ("before" if row.answer is None else row.answer)
    if row.answer is None:
        assert body["code"] == "invalid_username"
    assert len(tiktok.requests) == before


# ---- what TikTok sends

UPSTREAM = (
    Row("nothing", b"", None),
    Row("noise", bytes(range(256)) * 20, None),
    Row("a text where a number belongs", b"\x1a\x03abc", None),
    Row("a length without an end", b"\x42\xff\xff\xff\xff\xff\xff\xff\xff\x7f", None),
    Row("a group without an end", b"\x0b" * 500, None),
    Row("no gzip", push_frame(b"not gzip", compression="gzip"), None),
    Row("gzip without an end", push_frame(gzip.compress(b"x" * 9000)[:40], compression="gzip"), None),
    Row("a bomb", push_frame(gzip.compress(b"\0" * 50_000_000), compression="gzip"), None),
    Row("a bomb in a bomb", push_frame(gzip.compress(gzip.compress(b"\0" * 50_000_000)), compression="gzip"), None),
    Row("messages without an end", push_frame(gzip.compress(b"\x0a\x00" * 3_000_000), compression="gzip"), None),
    Row("an unknown kind", push_frame(b"\xff\xff", kind="surprise"), None),
    Row("a method up the folders", msg_frame(fetch_result([frames.Message("../../x", b"\xff", 1)])), None),
    Row("a chat that is noise", msg_frame(fetch_result([frames.Message("WebcastChatMessage", b"\xff" * 50, 2)])), None),
    Row("a gift that is noise", msg_frame(fetch_result([frames.Message("WebcastGiftMessage", b"\x08", 3)])), None),
    Row("an end that is noise", msg_frame(fetch_result([frames.Message("WebcastControlMessage", b"\xff", 4)])), None),
)  # fmt: skip


@rows(*UPSTREAM)
async def test_what_tiktok_sends_costs_that_frame_at_most(
    row: Row, relay: LiveRelay, tiktok: TikTok
) -> None:
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    await creator.wait_connected()
    await creator.send(frames.chat("fan", "before"))
    await creator.send_raw(row.sent)
    await creator.send(frames.chat("fan", "after"))
    await phone.expect("chat", message="after")
    assert [frame["message"] for frame in phone.of("chat")] == ["before", "after"]
    assert (creator.connections, phone.of("error", "gap")) == (1, [])


# ---- files of the operator's

CONFIGS = (
    Row("no TOML", b"[server\nport = 1", "config.toml"),
    Row("no UTF-8", b"[server]\nhost = '\xff'", "UTF-8"),
    Row("a zero", b'[server]\nhost = "\0"', "config.toml"),
    Row("an unknown table", b"[sever]\nport = 1", "server"),
    Row("an unknown key", b"[server]\nprot = 1", "port"),
    Row("a text for a number", b"[server]\nport = '8080'", "server.port"),
    Row("a number that is too big", b"[server]\nport = 99999999999999999999999", "server.port"),
    Row("a number below zero", b"[limits]\nmax_connections = -1", "max_connections"),
    Row("infinity", b"[rooms]\nlinger_s = inf", "linger_s"),
    Row("no number", b"[rooms]\nlinger_s = nan", "linger_s"),
    Row("an address of a script", b"[sign]\nurl = 'javascript:alert(1)'", "sign.url"),
    Row("an address of a file", b"[tiktok]\napp_url = 'file:///etc/passwd'", "app_url"),
    Row("a host with a slash", b"[server]\nallowed_hosts = ['a/b']", "allowed_hosts"),
    Row("a network that is none", b"[server]\ntrusted_proxies = ['everyone']", "trusted_proxies"),
    Row("a list for a table", b"server = []", "server"),
    Row("deep", b"a = " + b"[" * 5000, "config.toml"),
)


@rows(*CONFIGS)
def test_a_hostile_configuration_is_one_line(row: Row, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(row.sent)
    with pytest.raises(StartupError) as told:
        load(path, required=True)
    assert row.answer in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500


def _database(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    whole = connection.serialize()
    connection.close()
    return whole


DATABASES = (
    Row("noise", bytes(range(256)) * 64, None),
    Row("a text", b"certainly not a database", None),
    Row("a header and nothing", b"SQLite format 3\0", None),
    Row("a header and noise", b"SQLite format 3\0" + b"\xff" * 8000, None),
    Row("somebody else's", _database("CREATE TABLE users (name TEXT)", "PRAGMA user_version = 3"), None),
    Row("one from the future", _database("PRAGMA user_version = 9999"), None),
    Row("half of one", _database("CREATE TABLE a (b)", "INSERT INTO a VALUES (zeroblob(99999))")[:9000], None),
)  # fmt: skip


@rows(*DATABASES)
async def test_a_hostile_database_is_one_line_and_left_as_it_is(row: Row, tmp_path: Path) -> None:
    path = tmp_path / "liverelay.db"
    path.write_bytes(row.sent)  # noqa: ASYNC240
    with pytest.raises(StartupError) as told:
        await Database.open(path, serving=True)
    assert "\n" not in str(told.value)
    assert path.read_bytes() == row.sent  # noqa: ASYNC240


def test_there_are_more_than_a_hundred_rows() -> None:
    tables = (REQUESTS, SOCKETS, FRAMES, NAMES, UPSTREAM, CONFIGS, DATABASES)
    assert sum(map(len, tables)) >= 150
    for table in tables:
        assert len({row.name for row in table}) == len(table)
