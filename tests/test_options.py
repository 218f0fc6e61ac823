"""What a phone may ask for as it connects, and what strange questions get."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.conftest import Serve
from tests.liverelay import LiveRelay
from tests.phone import Phone
from tests.tiktok import TikTok, frames


@pytest.mark.parametrize(
    ("since", "recovered"),
    [
        ("0", True),
        ("-1", False),
        ("x", False),
        ("1.5", False),
        ("٣", False),
        ("9" * 18, False),
        ("9" * 40, False),
    ],
)
async def test_a_since_that_nobody_ever_had_is_told_as_not_recovered(
    since: str, recovered: bool, tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    _, token = await relay.user("anna")
    first = await relay.phone(token)
    await first.expect_live()
    await creator.wait_connected()
    await creator.send(frames.chat("fan", "one"))
    await first.expect("chat")
    epoch = first.frames[0]["epoch"]
    back = await relay.phone(token, since=since, epoch=epoch)
    status = await back.expect("status")
    assert status["recovered"] is recovered
    await creator.send(frames.chat("fan", "two"))
    await back.expect("chat", message="two")
    assert [frame["message"] for frame in back.of("chat")] == ["one"] * recovered + ["two"]


async def test_without_since_nothing_is_said_of_recovery(tiktok: TikTok, relay: LiveRelay) -> None:
    tiktok.creator("anna")
    phone = await relay.phone_of("anna")
    status = await phone.expect("status")
    assert "recovered" not in status
    assert status.keys() >= {"epoch", "last_id", "server_time", "state", "message", "ts"}


@pytest.mark.parametrize(
    "query",
    [
        {"nonsense": "1"},
        {"live": "maybe", "combo": "7", "lang": "klingon", "types": ",,,"},
        {"platform": "x" * 5000, "os": "\x00\x1b[31m", "device": "📱" * 100},
        {"since": "", "epoch": "\ud83d"},
    ],
)
async def test_options_that_mean_nothing_are_ignored(
    query: dict[str, Any], tiktok: TikTok, relay: LiveRelay
) -> None:
    tiktok.creator("anna")
    _, token = await relay.user("anna")
    safe = {k: v.encode("utf-8", "replace").decode() for k, v in query.items()}
    phone = await relay.phone(token, **safe)
    assert (await phone.expect("status"))["message"].startswith("🔴 Подключение")


@pytest.mark.parametrize(
    ("asked", "accepted", "default", "word"),
    [
        ("", "", "ru", "Подключение"),
        ("en", "ru", "ru", "Connecting"),
        ("", "de, en;q=0.8, ru;q=0.3", "ru", "Connecting"),
        ("", "en;q=0, ru;q=bad, *", "en", "Connecting"),
        ("", "", "en", "Connecting"),
    ],
)
async def test_the_language_is_the_options_then_the_headers_then_the_servers(
    asked: str, accepted: str, default: str, word: str, tiktok: TikTok, serve: Serve
) -> None:
    tiktok.creator("anna")
    relay = await serve(server={"language": default})
    _, token = await relay.user("anna")
    headers = {"Authorization": f"Bearer {token}"} | (
        {"Accept-Language": accepted} if accepted else {}
    )
    phone = relay.hold(
        await relay.http.ws_connect(
            f"{relay.url}/ws", headers=headers, params={"lang": asked} if asked else {}
        )
    )
    assert word in (await phone.expect("status"))["message"]


async def test_the_first_token_in_the_documented_order_counts(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    tiktok.creator("anna")
    _, token = await relay.user("anna")
    good = {"Authorization": f"Bearer {token}"}
    phone = relay.hold(await relay.http.ws_connect(f"{relay.url}/ws/bad?token=bad", headers=good))
    await phone.expect("status")
    bad = {"Authorization": "Bearer bad"}
    phone = relay.hold(await relay.http.ws_connect(f"{relay.url}/ws/{token}", headers=bad))
    await phone.expect_error("unauthorized")


async def test_a_guesser_is_refused_before_the_upgrade_and_a_good_token_passes(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    tiktok.creator("anna")
    _, token = await relay.user("anna")
    for number in range(20):
        phone = await relay.phone(f"guess{number}")
        await phone.expect_error("unauthorized")
        assert phone.close_code == 1008
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await relay.phone("one more guess")
    assert caught.value.status == 429
    phone = await relay.phone(token)
    await phone.expect("status")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "a" * 300])
async def test_a_foreign_host_is_refused_before_the_upgrade(host: str, relay: LiveRelay) -> None:
    _, token = await relay.user("anna")
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(
        f"GET /ws/{token} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert (await reader.readline()).split()[1] in {b"421", b"400"}
    writer.close()


async def test_a_plain_request_for_the_socket_is_a_clear_refusal(relay: LiveRelay) -> None:
    async with relay.http.get(f"{relay.url}/ws") as answer:
        assert answer.status == 400


async def test_a_phone_that_begins_stopped_is_told_where_it_stands(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    tiktok.creator("anna", live=True)
    _, token = await relay.user("anna")
    watching = await relay.phone(token)
    epoch = (await watching.expect("status"))["epoch"]
    await watching.expect_live()
    phone = await relay.phone(token, live="manual", lang="en")
    first = await phone.next()
    assert first is not None
    assert set(first) == {
        "type", "ts", "state", "message", "tiktok_username", "epoch", "last_id", "server_time",
    }  # fmt: skip
    assert (first["state"], first["tiktok_username"]) == ("stopped", "anna")
    assert first["epoch"] == epoch
    assert first["last_id"] >= watching.frames[-1]["id"]
    await phone.send(action="connect_tiktok")
    await phone.expect_live()
    await phone.send(action="disconnect_tiktok")
    stopped = await phone.expect("status", state="stopped")
    assert set(stopped) == {"type", "ts", "state", "message", "tiktok_username"}


async def test_the_language_that_a_user_has_set_wins_over_the_devices(relay: LiveRelay) -> None:
    user, token = await relay.user()
    await relay.users.set_language(user.user_id, "en")
    async with relay.http.ws_connect(
        f"{relay.url}/ws/{token}", headers={"Accept-Language": "ru"}
    ) as ws:
        error = await Phone(ws).expect_error("username_required")
    assert error["message"] == "⚠️ A TikTok username is needed"
    phone = await relay.phone(token, lang="ru")
    error = await phone.expect_error("username_required")
    assert error["message"] == "⚠️ Необходимо указать TikTok username"
