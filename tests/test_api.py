"""The REST calls, their problems, and what stands before every handler."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web

from server.errors import Internal, StoreUnavailable
from server.store.database import Database
from server.store.log import Entry
from server.web.keys import DATABASE
from tests.liverelay import LiveRelay, config_for
from tests.phone import Phone
from tests.tiktok import TikTok, frames

Json = dict[str, Any]


class Api:
    """A running server with one user, and a client that knows their token."""

    def __init__(self, relay: LiveRelay, user_id: int, token: str) -> None:
        self.relay = relay
        self.database: Database = relay.app[DATABASE]
        self.user_id = user_id
        self.token = token

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **options: Any
    ) -> tuple[int, Any, ClientResponse]:
        """Status, decoded body, response."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        headers |= options.pop("headers", {})
        if body is not None:
            options["json"] = body
        url = self.relay.url + path
        async with self.relay.http.request(method, url, headers=headers, **options) as response:
            raw = await response.read()
            decoded = json.loads(raw) if raw and "json" in response.content_type else raw.decode()
            return response.status, decoded, response

    async def phone(self) -> Phone:
        """A phone of the user that has got its first status."""
        phone = await self.relay.phone(self.token)
        await phone.expect("status")
        return phone


Start = Callable[..., Awaitable[Api]]


@pytest.fixture
async def start(tmp_path: Path, tiktok: TikTok) -> AsyncIterator[Start]:
    """Start a server with changed [server] settings, and routes that fail in every way."""
    async with AsyncExitStack() as stack:

        async def start(**server: Any) -> Api:
            relay = LiveRelay(config_for(tmp_path, tiktok, server=server))
            for path, handler in (
                ("/broken", broken),
                ("/api/broken", broken),
                ("/api/late", broken_late),
                ("/api/no-store", no_store),
                ("/page", page),
                ("/moved", moved),
            ):
                relay.app.router.add_get(path, handler)
            await stack.enter_async_context(relay)
            tiktok.creator("anna")  # not live, so that nothing is signed
            user, token = await relay.user("anna", name="Анна")
            return Api(relay, user.user_id, token)

        yield start


@pytest.fixture
async def served(start: Start) -> Api:
    return await start()


async def broken(_request: web.Request) -> web.Response:
    raise ZeroDivisionError("private detail")


async def broken_late(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    raise ZeroDivisionError("private detail")


async def no_store(_request: web.Request) -> web.Response:
    raise StoreUnavailable("private detail")


async def page(_request: web.Request) -> web.Response:
    return web.Response(text="<p>page</p>", content_type="text/html")


async def moved(_request: web.Request) -> web.Response:
    raise web.HTTPSeeOther("/page")


def assert_problem(answer: tuple[int, Any, ClientResponse], status: int, code: str) -> Json:
    """The one shape of every error under /api/."""
    got, body, response = answer
    assert (got, response.content_type) == (status, "application/problem+json")
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"]
    assert body["detail"]
    assert body.keys() <= {"type", "title", "status", "detail", "code", "ref", "retry_at"}
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers
    return dict(body)


# ---- pairing


async def test_a_pairing_code_becomes_a_token_once(served: Api) -> None:
    code = await served.database.users.add_pairing_code(served.user_id)
    status, body, response = await served.call("POST", "/api/pair", {"code": code}, token="")
    port = served.relay.port
    assert status == 201
    assert body.keys() == {"user_id", "token", "ws_url"}
    assert (body["user_id"], body["ws_url"]) == (served.user_id, f"ws://127.0.0.1:{port}/ws")
    assert "Set-Cookie" not in response.headers
    status, me, _ = await served.call("GET", "/api/me", token=body["token"])
    assert (status, me["name"]) == (200, "Анна")

    again = await served.call("POST", "/api/pair", {"code": code})
    assert_problem(again, 410, "code_used")


async def test_the_socket_is_under_the_public_url(start: Start) -> None:
    served = await start(public_url="https://live.example.com/")
    code = await served.database.users.add_pairing_code(served.user_id)
    _, body, _ = await served.call("POST", "/api/pair", {"code": code})
    assert body["ws_url"] == "wss://live.example.com/ws"


async def test_five_bad_codes_a_minute_and_not_one_more(served: Api) -> None:
    for _ in range(5):
        answer = await served.call("POST", "/api/pair", {"code": "no-such-code"})
        assert_problem(answer, 404, "not_found")
    good = await served.database.users.add_pairing_code(served.user_id)
    answer = await served.call("POST", "/api/pair", {"code": good})
    assert_problem(answer, 429, "too_many_requests")
    assert 1 <= int(answer[2].headers["Retry-After"]) <= 60


async def test_a_burst_of_guesses_is_not_let_through_whole(served: Api) -> None:
    answers = await asyncio.gather(
        *(served.call("POST", "/api/pair", {"code": f"guess-{n}"}) for n in range(20))
    )
    assert sorted(status for status, _, _ in answers) == [404] * 5 + [429] * 15


# ---- me


async def test_me_is_the_tokens_user(served: Api) -> None:
    assert (await served.call("GET", "/api/me"))[:2] == (
        200,
        {
            "user_id": served.user_id,
            "name": "Анна",
            "tiktok_username": "anna",
            "lang": "",
            "sign_key_last4": "",
            "room": {"state": "stopped"},
        },
    )


async def test_me_tells_the_rooms_state_and_when_it_looks_again(
    served: Api,
) -> None:
    phone = await served.phone()
    await phone.expect("status", state="waiting")
    _, me, _ = await served.call("GET", "/api/me")
    assert me["room"]["state"] == "waiting"
    looks_at = datetime.fromisoformat(me["room"]["retry_at"])
    assert looks_at > datetime.now(UTC)


@pytest.mark.parametrize("token", ["", "unknown", "a b"])
async def test_without_a_good_token_nothing_is_told(served: Api, token: str) -> None:
    for method, path in (
        ("GET", "/api/me"),
        ("PUT", "/api/me/language"),
        ("PUT", "/api/me/tiktok-username"),
        ("PUT", "/api/me/sign-key"),
        ("DELETE", "/api/me/token"),
        ("GET", "/api/me/events"),
    ):
        answer = await served.call(method, path, token=token)
        assert_problem(answer, 401, "unauthorized")
        assert answer[2].headers["WWW-Authenticate"] == "Bearer"


async def test_a_cookie_or_query_is_no_token(served: Api) -> None:
    answer = await served.call(
        "GET", f"/api/me?token={served.token}", token="", headers={"Cookie": f"t={served.token}"}
    )
    assert_problem(answer, 401, "unauthorized")


async def test_a_guesser_is_stopped_and_the_good_token_beside_it_passes(served: Api) -> None:
    for _ in range(20):
        assert_problem(await served.call("GET", "/api/me", token="bad"), 401, "unauthorized")
    answer = await served.call("GET", "/api/me", token="bad")
    assert_problem(answer, 429, "too_many_requests")
    assert 1 <= int(answer[2].headers["Retry-After"]) <= 60
    assert (await served.call("GET", "/api/me"))[0] == 200


async def test_a_deleted_user_is_unauthorized(served: Api) -> None:
    await served.call("GET", "/api/me")
    await served.database.users.delete(served.user_id)
    assert_problem(await served.call("GET", "/api/me"), 401, "unauthorized")


async def test_language_is_kept(served: Api) -> None:
    status, me, _ = await served.call("PUT", "/api/me/language", {"language": "en"})
    assert (status, me["lang"]) == (200, "en")
    assert_problem(
        await served.call("PUT", "/api/me/language", {"language": "de"}), 422, "bad_parameter"
    )


async def test_the_token_ends_and_its_phones_are_told(served: Api) -> None:
    phone = await served.phone()
    status, _, _ = await served.call("DELETE", "/api/me/token")
    assert status == 204
    await phone.expect_error("unauthorized")
    assert_problem(await served.call("GET", "/api/me"), 401, "unauthorized")


# ---- the username


async def test_a_username_is_normalised_stored_and_then_told(served: Api) -> None:
    phone = await served.phone()
    body = {"tiktok_username": " https://www.tiktok.com/@Boris.B/live?x=y "}
    status, me, _ = await served.call("PUT", "/api/me/tiktok-username", body)
    assert (status, me["tiktok_username"]) == (200, "boris.b")
    moved = await phone.expect("status", tiktok_username="boris.b")
    assert moved["state"] == "connecting"


async def test_an_empty_username_clears_it(served: Api) -> None:
    phone = await served.phone()
    status, me, _ = await served.call("PUT", "/api/me/tiktok-username", {"tiktok_username": "  "})
    assert (status, me["tiktok_username"], me["room"]) == (200, "", {"state": "stopped"})
    await phone.expect_error("username_required")


@pytest.mark.parametrize("name", ["../../x", "a?b=1", "a\x00b", "a" * 10_000, "\u202ex", "x."])
async def test_a_hostile_username_changes_nothing(served: Api, name: str) -> None:
    phone = await served.phone()
    answer = await served.call("PUT", "/api/me/tiktok-username", {"tiktok_username": name})
    body = assert_problem(answer, 422, "invalid_username")
    assert len(body["detail"]) < 300
    await phone.send(action="ping")
    await phone.expect("pong")
    assert {frame["tiktok_username"] for frame in phone.of("status")} == {"anna"}
    user = await served.database.users.get(served.user_id)
    assert user is not None
    assert user.tiktok_username == "anna"


async def test_lookalike_letters_are_named(served: Api) -> None:
    answer = await served.call("PUT", "/api/me/tiktok-username", {"tiktok_username": "аnnе"})
    body = assert_problem(answer, 422, "invalid_username")
    assert "«а», «е»" in body["detail"]


# ---- the sign key


async def test_of_a_sign_key_only_its_end_comes_back(served: Api) -> None:
    key = {"sign_api_key": " euler_NzQ4MzYwWm9x "}
    status, me, response = await served.call("PUT", "/api/me/sign-key", key)
    assert (status, me["sign_key_last4"]) == (200, "Wm9x")
    assert "euler" not in await response.text()
    status, me, _ = await served.call("PUT", "/api/me/sign-key", {"sign_api_key": ""})
    assert (status, me["sign_key_last4"]) == (200, "")


async def test_an_own_key_mends_at_once_what_stood_against_the_servers(
    served: Api, tiktok: TikTok
) -> None:
    tiktok.creator("anna", live=True)
    tiktok.sign.scripts_by_key[""] = 401
    for _ in range(2):
        phone = await served.relay.phone(served.token)
        await phone.expect_error("sign_key_invalid")
    assert len(tiktok.sign.requests) == 1
    await served.call("PUT", "/api/me/sign-key", {"sign_api_key": "euler_NzQ4MzYwWm9x"})
    phone = await served.relay.phone(served.token)
    await phone.expect_live()
    assert tiktok.sign.requests[-1].key == "euler_NzQ4MzYwWm9x"


@pytest.mark.parametrize("key", ["short", "x" * 257, "with a space", "ключ-ключ", "line\nbreak"])
async def test_a_key_that_cannot_be_one_is_refused(served: Api, key: str) -> None:
    answer = await served.call("PUT", "/api/me/sign-key", {"sign_api_key": key})
    body = assert_problem(answer, 422, "bad_parameter")
    assert key not in body["detail"]


# ---- the log


async def log_chats(served: Api, count: int) -> None:
    await served.database.log.append(
        [
            Entry(
                id=number,
                ts=number,
                type="error" if number % 2 else "question",
                level="info",
                creator="anna",
                user_id=served.user_id,
                code="",
                ref="",
                text="",
                frame=json.dumps({"type": "chat", "id": number, "message": "привет"}),
            )
            for number in range(1, count + 1)
        ]
    )


async def test_the_log_is_paged_newest_first(served: Api) -> None:
    await log_chats(served, 5)
    seen = []
    query = "?limit=2"
    for _ in range(3):
        status, page, _ = await served.call("GET", f"/api/me/events{query}")
        assert status == 200
        seen += [frame["id"] for frame in page["events"]]
        query = f"?limit=2&before={page['next_before']}"
    assert seen == [5, 4, 3, 2, 1]
    assert page["next_before"] is None
    assert page["events"][-1] == {"type": "chat", "id": 1, "message": "привет"}


async def test_the_log_can_be_narrowed_to_types(served: Api) -> None:
    await log_chats(served, 4)
    _, page, _ = await served.call("GET", "/api/me/events?types=error,nonsense")
    assert [frame["id"] for frame in page["events"]] == [3, 1]
    _, page, _ = await served.call("GET", "/api/me/events?types=nonsense")
    assert page == {"events": [], "next_before": None}


async def test_statuses_and_gaps_of_the_log_are_in_the_asking_phones_language(
    served: Api, tiktok: TikTok
) -> None:
    creator = tiktok.creator("anna", live=True)
    phone = await served.phone()
    await phone.expect_live()
    await creator.wait_connected()
    creator.reset()
    await phone.expect("gap")
    await phone.expect_live()
    headers = {"Accept-Language": "en"}
    _, page, _ = await served.call("GET", "/api/me/events?types=status,gap", headers=headers)
    said = {frame.get("state"): frame.get("message") for frame in page["events"]}
    assert said["live"] == "✅ Connected to @anna's live"
    assert [f["reason"] for f in page["events"] if f["type"] == "gap"] == ["upstream"]


async def test_a_rare_type_is_found_behind_any_number_of_visits(served: Api) -> None:
    log = served.database.log
    rare = json.dumps({"type": "chat", "message": "long ago"})
    await log.append([Entry(3, 3, "chat", "info", "anna", 0, "", "", "", rare)])
    for first in range(1, 2001, 5):
        visit = await served.database.visits.open(served.user_id, "anna", first)
        await served.database.visits.close(visit, first + 4)
    _, page, _ = await served.call("GET", "/api/me/events?types=chat&limit=1")
    assert [frame["message"] for frame in page["events"]] == ["long ago"]


async def test_saving_a_name_asks_tiktok_again_whether_it_knows_it(
    served: Api, tiktok: TikTok
) -> None:
    relay, token = served.relay, served.token
    await served.call("PUT", "/api/me/tiktok-username", {"tiktok_username": "newcomer"})
    await (await relay.phone(token)).expect_error("user_not_found")
    tiktok.creator("newcomer", live=True)
    await (await relay.phone(token)).expect_error("user_not_found")
    await served.call("PUT", "/api/me/tiktok-username", {"tiktok_username": "@newcomer"})
    await (await relay.phone(token)).expect_live()


async def test_the_log_holds_what_the_users_phones_were_given_and_no_more(
    served: Api, tiktok: TikTok
) -> None:
    creator = tiktok.creator("anna", live=True)
    other = await served.relay.phone_of("anna")
    await other.expect_live()

    async def say(text: str) -> None:
        await creator.send(frames.chat("fan", text))
        await other.expect("chat", message=text)

    await say("before")
    phone = await served.phone()
    await say("during")
    await phone.expect("chat", message="during")
    await phone.send(action="disconnect_tiktok")
    await phone.expect("status", state="stopped")
    await say("after")
    _, page, _ = await served.call("GET", "/api/me/events?types=chat")
    assert [frame["message"] for frame in page["events"]] == ["during"]
    await phone.send(action="connect_tiktok")
    await phone.expect_live()
    await say("again")
    await phone.expect("chat", message="again")
    _, page, _ = await served.call("GET", "/api/me/events?types=chat")
    assert page["events"][0]["message"] == "again"


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=-1", "before=0", f"before={2**63}", "before=٣"],
)
async def test_a_page_that_cannot_be_is_refused(served: Api, query: str) -> None:
    answer = await served.call("GET", f"/api/me/events?{query}")
    assert_problem(answer, 422, "bad_parameter")


# ---- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"tiktok_username": "\\ud800"}',
        b'{"tiktok_username": "\\udc00\\ud800 anna"}',
        b'{"tiktok_username": "\xed\xa0\x80"}',
        b'{"tiktok_username": "\xff"}',
        b'{"tiktok_username": NaN}',
        b'{"x": ' + b"[" * 50_000,
    ],
)
async def test_a_body_that_is_no_json_is_a_bad_request(served: Api, body: bytes) -> None:
    answer = await served.call(
        "PUT",
        "/api/me/tiktok-username",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    assert_problem(answer, 400, "bad_request")


@pytest.mark.parametrize(
    "body", [[], "anna", {}, {"tiktok_username": 1}, {"tiktok_username": None}]
)
async def test_a_body_of_another_shape_is_a_bad_parameter(served: Api, body: Any) -> None:
    answer = await served.call("PUT", "/api/me/tiktok-username", body)
    assert_problem(answer, 422, "bad_parameter")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_only_json_is_read(served: Api, kind: str) -> None:
    answer = await served.call(
        "POST", "/api/pair", data=b'{"code": "x"}', headers={"Content-Type": kind}
    )
    assert_problem(answer, 415, "bad_request")


async def test_a_body_is_read_up_to_a_bound(served: Api) -> None:
    big = b'{"code": "' + b"x" * 100_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = await served.call("POST", "/api/pair", data=big, headers=headers)
    assert_problem(answer, 413, "bad_request")

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 1000

    answer = await served.call("POST", "/api/pair", data=drip(), headers=headers)
    assert_problem(answer, 413, "bad_request")
    bomb = gzip.compress(b"x" * 5_000_000)
    answer = await served.call(
        "POST", "/api/pair", data=bomb, headers=headers | {"Content-Encoding": "gzip"}
    )
    assert_problem(answer, 413, "bad_request")


async def test_a_body_that_does_not_unpack_is_a_bad_request(served: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await served.call("POST", "/api/pair", data=b"no gzip", headers=headers)
    assert_problem(answer, 400, "bad_request")


# ---- the error exit


async def test_unknown_addresses_and_methods_are_problems(served: Api) -> None:
    assert_problem(await served.call("GET", "/api/nothing"), 404, "not_found")
    assert_problem(await served.call("GET", "/api/me/../me/nothing"), 404, "not_found")
    answer = await served.call("POST", "/api/me")
    assert_problem(answer, 405, "bad_request")
    assert "GET" in answer[2].headers["Allow"]


async def test_problems_speak_the_clients_language(start: Start) -> None:
    served = await start(language="en")
    _, english, _ = await served.call("GET", "/api/me", token="bad")
    _, russian, _ = await served.call(
        "GET", "/api/me", token="bad", headers={"Accept-Language": "de, ru;q=0.8, en;q=0.5"}
    )
    assert english["detail"] == "Ask support for a new pairing link and open it on the phone."
    assert russian["title"] == "❌ Телефон не подключён к серверу"
    assert russian["type"] == "/help/errors#unauthorized"


async def test_a_failing_store_says_when_to_come_back(
    served: Api, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await served.call("GET", "/api/no-store")
    body = assert_problem(answer, 503, "store_unavailable")
    assert answer[2].headers["Retry-After"] == "30"
    assert body["retry_at"]
    assert "private" not in json.dumps(body)
    assert body["ref"] in caplog.text


async def test_a_bug_of_ours_is_told_by_reference_only(
    served: Api, caplog: pytest.LogCaptureFixture
) -> None:
    body = assert_problem(await served.call("GET", "/api/broken"), 500, Internal.code)
    status, text, _ = await served.call("GET", "/broken")
    assert status == 500
    assert "private" not in json.dumps(body) + text
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info is not None for record in errors] == [True, True]
    assert body["ref"] in errors[0].getMessage()


async def test_an_answer_that_has_begun_is_cut_off(
    served: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Exception, match="(?i)payload|disconnected|closed"):
        await served.call("GET", "/api/late")
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


async def test_the_access_line_never_holds_a_path(
    served: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "server.web.middlewares"):
        await served.call("GET", "/ws/SECRET?token=SECRET")
        await served.call("GET", "/api/me?token=SECRET")
        await served.call("GET", "/moved", allow_redirects=False)
    lines = [r.getMessage() for r in caplog.records if r.name == "server.web.middlewares"]
    assert [line.rsplit(" ", 3)[0] for line in lines] == [
        "GET /ws/{token} 400",
        "GET /api/me 200",
        "GET /moved 303",
    ]
    assert all(line.endswith("ms 127.0.0.1") for line in lines)


# ---- before every handler


async def test_a_foreign_host_is_misdirected(served: Api) -> None:
    foreign = {"Host": "evil.example"}
    assert_problem(await served.call("GET", "/api/me", headers=foreign), 421, "bad_request")
    status, text, response = await served.call("GET", "/page", headers=foreign)
    assert (status, response.content_type) == (421, "text/html")
    assert "allowed_hosts" in text
    status, _, _ = await served.call("GET", "/api/me", headers={"Host": "LOCALHOST:1"})
    assert status == 200


async def test_pages_carry_the_policy(served: Api) -> None:
    _, _, response = await served.call("GET", "/page")
    policy = response.headers["Content-Security-Policy"]
    host = f"127.0.0.1:{served.relay.port}"
    assert "default-src 'none'" in policy
    assert f"connect-src 'self' ws://{host} wss://{host};" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"


# ---- health


async def test_it_lives_and_is_ready(served: Api) -> None:
    assert (await served.call("GET", "/healthz"))[:2] == (200, {"status": "ok"})
    # The library loads in the background; a room that has looked the creator up has it.
    await (await served.phone()).expect("status", state="waiting")
    ready = {"status": "ready", "store": True, "tiktok": True}
    assert (await served.call("GET", "/readyz"))[:2] == (200, ready)


async def test_metrics_are_for_this_machine_or_who_has_the_token(start: Start) -> None:
    served = await start(metrics_token="metrics-1234")
    forwarded = {"X-Forwarded-For": "10.0.0.1"}
    phone = await served.phone()
    status, text, _ = await served.call("GET", "/metrics", token="")
    assert status == 200
    assert "liverelay_phones 1.0" in text
    assert 'liverelay_sign_saved{by="sharing"} 0.0' in text
    assert "liverelay_event_log_failing 0.0" in text
    await phone.close()
    assert (await served.call("GET", "/metrics", token="", headers=forwarded))[0] == 401
    answer = await served.call("GET", "/metrics", token="metrics-1234", headers=forwarded)
    assert answer[0] == 200


async def test_without_a_configured_token_no_token_reads_metrics(served: Api) -> None:
    forwarded = {"X-Forwarded-For": "10.0.0.1"}
    assert (await served.call("GET", "/metrics", token="", headers=forwarded))[0] == 401
