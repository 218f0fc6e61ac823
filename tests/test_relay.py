"""The main job: what happens in a live reaches every phone, once, in order, with its fields."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import aiohttp
import pytest

from tests.conftest import Serve
from tests.liverelay import LiveRelay
from tests.phone import Phone
from tests.tiktok import Person, TikTok, frames, gifts

FAN = Person("fan.one", "Фанат", id=7001, avatar="https://p16.tiktokcdn.com/fan.jpg")


async def live_phone(relay: LiveRelay, tiktok: TikTok, name: str = "anna", **query: Any) -> Phone:
    """A phone that sees `name` live."""
    creator = tiktok.creator(name)
    if not creator.live:
        creator.go_live()
    phone = await relay.phone_of(name, **query)
    await phone.expect_live()
    return phone


async def chat_flows(tiktok: TikTok, phone: Phone, text: str = "sync", name: str = "anna") -> None:
    """Send a chat and read up to it: everything sent before has arrived."""
    await tiktok.creator(name).send(frames.chat("clock", text))
    await phone.expect("chat", message=text)


async def test_the_first_status_says_where_the_phone_stands(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    first = await phone.next()
    assert first is not None
    assert {"type", "ts", "state", "message", "tiktok_username", "epoch", "last_id"} <= set(first)
    assert "id" not in first
    assert "recovered" not in first
    assert abs(first["server_time"] - time.time() * 1000) < 60_000
    live = await phone.expect_live()
    assert live["connected"] is True
    assert live["id"] > 0


async def test_every_kind_of_event_reaches_the_phone_with_its_fields(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    phone = await live_phone(relay, tiktok)
    host = Person("anna", "Anna", id=1)
    guest = Person("guest", "Guest", id=2)
    await tiktok.creator("anna").send(
        frames.chat(FAN, "привет", emotes=[("https://p16.tiktokcdn.com/e.png", 2)]),
        frames.gift(FAN, gifts.GALAXY, count=1),
        frames.like(FAN, 15, 4200),
        frames.join(FAN, 100),
        frames.viewers(321, 5000),
        frames.follow(FAN, 12),
        frames.share(FAN),
        frames.subscribe(FAN, 1),
        frames.question(FAN, "как дела?"),
        frames.emote(FAN, "https://p16.tiktokcdn.com/big.png"),
        frames.envelope(FAN, 500, 10),
        frames.battle_start(1, [host, guest]),
    )
    await chat_flows(tiktok, phone)
    events = {frame["type"]: frame for frame in reversed(phone.frames) if "id" in frame}
    who = {"user": "Фанат", "user_id": "7001", "avatar": FAN.avatar}
    for kind in "chat gift like viewer_join follow share subscribe question emote envelope".split():
        assert who.items() <= events[kind].items(), kind
        if kind != "envelope":  # TikTok names its sender without the handle
            assert events[kind]["username"] == "fan.one", kind
    assert events["chat"]["message"] == "привет"
    assert events["chat"]["emotes"] == [{"picture": "https://p16.tiktokcdn.com/e.png", "at": 2}]
    assert (events["gift"]["count"], events["gift"]["gift_name"]) == (1, gifts.GALAXY.name)
    assert events["gift"]["diamonds"] == gifts.GALAXY.diamonds
    assert events["gift"]["gift_id"] == str(gifts.GALAXY.id)
    assert (events["like"]["count"], events["like"]["total"]) == (15, 4200)
    assert (events["viewer"]["current"], events["viewer"]["total"]) == (321, 5000)
    assert events["question"]["message"] == "как дела?"
    assert events["emote"]["picture"] == "https://p16.tiktokcdn.com/big.png"
    assert events["envelope"]["diamonds"] == 500
    assert events["battle"]["phase"] == "start"
    ids = [frame["id"] for frame in phone.frames if "id" in frame]
    assert ids == sorted(set(ids))


async def test_a_combo_is_one_gift_and_every_step_for_those_who_ask(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    plain = await live_phone(relay, tiktok)
    stepwise = await live_phone(relay, tiktok, combo="live")
    creator = tiktok.creator("anna")
    for message in frames.streak(FAN, gifts.ROSE, count=3):
        await creator.send(message)
    await chat_flows(tiktok, plain)
    await chat_flows(tiktok, stepwise, "sync2")
    (gift,) = plain.of("gift")
    assert (gift["count"], gift["final"]) == (3, True)
    steps = stepwise.of("gift")
    assert [step["count"] for step in steps][-1] == 3
    assert [step.get("final", False) for step in steps] == [False] * (len(steps) - 1) + [True]
    assert len(steps) > 1


async def test_fifty_phones_cost_one_signature_and_all_get_everything_in_order(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    spellings = ["anna", "@Anna", "https://www.tiktok.com/@anna", "ANNA", "tiktok.com/@anna/live"]

    async def join(number: int) -> Phone:
        _, token = await relay.user()
        phone = await relay.phone(token, live="manual")
        await phone.send(action="connect_tiktok", username=spellings[number % 5])
        return phone

    phones = await asyncio.gather(*(join(number) for number in range(50)))
    await asyncio.gather(*(phone.expect_live() for phone in phones))
    texts = [f"message {number}" for number in range(200)]
    for text in texts:
        await creator.send(frames.chat(FAN, text))
    await asyncio.gather(*(phone.expect("chat", message=texts[-1]) for phone in phones))

    assert len(tiktok.sign.requests) == 1
    assert creator.connections == 1
    first = [frame["id"] for frame in phones[0].of("chat")]
    for phone in phones:
        assert [frame["message"] for frame in phone.of("chat")] == texts
        assert [frame["id"] for frame in phone.of("chat")] == first


async def test_a_stalled_phone_delays_nobody_and_is_let_go(tiktok: TikTok, serve: Serve) -> None:
    relay = await serve(limits={"lag_bytes": 4096, "lag_s": 0.3})
    healthy = await live_phone(relay, tiktok)
    user, token = await relay.user("anna")
    stalled = await stalled_phone(relay, token)
    creator = tiktok.creator("anna")
    long_text = "x" * 1500
    number = 0
    while any(row.code == "slow_consumer" for row in relay.event_log.recent(0)) is False:
        await creator.send(*(frames.chat(FAN, f"{number + n} {long_text}") for n in range(50)))
        number += 50
        await healthy.expect("chat", message=f"{number - 1} {long_text}")
        assert number < 50_000, "the stalled phone is never let go"
    got = [int(frame["message"].split()[0]) for frame in healthy.of("chat")]
    assert got == list(range(number))
    stalled.close()

    back = await relay.phone(token)
    await back.expect_live()
    first = await back.next()
    assert first is not None
    assert (first["type"], first["reason"]) == ("gap", "too_slow")


async def stalled_phone(relay: LiveRelay, token: str) -> socket.socket:
    """A phone that says hello and then reads nothing, with a small receive buffer."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", relay.port))
    request = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{relay.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    await loop.sock_sendall(sock, request.encode())
    assert (await loop.sock_recv(sock, 12)) == b"HTTP/1.1 101"
    return sock


async def test_a_seed_client_that_reconnects_all_the_time_costs_nothing_upstream(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    _, token = await relay.user("anna")
    for number in range(20):
        async with relay.http.ws_connect(f"{relay.url}/ws/{token}") as ws:
            phone = Phone(ws)
            await phone.expect_live()
            await creator.send(frames.chat(FAN, f"hello {number}"))
            assert (await phone.expect("chat"))["message"] == f"hello {number}"
    assert len(tiktok.sign.requests) == 1
    assert creator.lookups.total <= 3


async def test_a_seed_client_whose_room_has_failed_costs_nothing_upstream(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.sign = 500
    _, token = await relay.user("anna")
    refs, waits = set(), []
    for _ in range(10):
        phone = await relay.phone(token, path=f"/ws/{token}")
        error = await phone.expect_error("sign_unavailable")
        refs.add(error["ref"])
        waits.append(error["retry_after"])
        assert set(error) >= {"type", "message", "details"}
    assert len(refs) == 1, "the same incident has the same reference"
    assert waits == sorted(waits, reverse=True)
    assert len(tiktok.sign.requests) == 1


@pytest.mark.parametrize("form", ["header", "subprotocol", "path", "query"])
async def test_every_form_of_the_token_is_accepted(
    form: str, tiktok: TikTok, relay: LiveRelay
) -> None:
    tiktok.creator("anna", live=True)
    _, token = await relay.user("anna")
    url = f"{relay.url}/ws"
    arguments: dict[str, Any] = {}
    if form == "header":
        arguments["headers"] = {"Authorization": f"Bearer {token}"}
    elif form == "subprotocol":
        arguments["protocols"] = ("liverelay.v1", f"token.{token}")
    elif form == "path":
        url += f"/{token}"
    else:
        url += f"?token={token}"
    async with relay.http.ws_connect(url, **arguments) as ws:
        assert ws.protocol == ("liverelay.v1" if form == "subprotocol" else None)
        await Phone(ws).expect_live()


async def test_an_unknown_token_is_told_and_closed(relay: LiveRelay) -> None:
    phone = await relay.phone("no-such-token")
    await phone.expect_error("unauthorized")
    assert (phone.close_code, phone.close_reason) == (1008, "unauthorized")


async def test_a_lost_stream_is_mended_without_an_error(tiktok: TikTok, relay: LiveRelay) -> None:
    phone = await live_phone(relay, tiktok)
    creator = tiktok.creator("anna")
    await chat_flows(tiktok, phone, "before")
    creator.reset()
    await phone.expect("status", state="reconnecting")
    gap = await phone.expect("gap")
    assert gap["reason"] == "upstream"
    await phone.expect_live()
    await creator.wait_connected()
    await chat_flows(tiktok, phone, "after")
    assert not phone.of("error")


async def test_what_tiktok_repeats_after_a_reconnect_is_not_relayed_twice(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    phone = await live_phone(relay, tiktok)
    creator = tiktok.creator("anna")
    old = frames.chat(FAN, "once")
    await creator.send(old)
    await phone.expect("chat", message="once")
    creator.history = [old]
    creator.first_frame = [old]
    creator.drop()
    await phone.expect("status", state="reconnecting")
    await phone.expect_live()
    await creator.wait_connected()
    await chat_flows(tiktok, phone, "new")
    assert [frame["message"] for frame in phone.of("chat")] == ["once", "new"]


async def test_pause_and_resume_are_told(tiktok: TikTok, relay: LiveRelay) -> None:
    phone = await live_phone(relay, tiktok)
    await tiktok.creator("anna").pause()
    paused = await phone.expect("status", state="paused")
    assert paused["connected"] is True
    await tiktok.creator("anna").unpause()
    await phone.expect_live()


async def test_the_end_of_a_live_comes_with_its_summary_and_the_next_live_by_itself(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(rooms={"offline_poll_s": 0.05})
    phone = await live_phone(relay, tiktok)
    creator = tiktok.creator("anna")
    await creator.send(
        frames.chat(FAN, "bye"), frames.gift(FAN, gifts.GALAXY, count=1), frames.viewers(90, 200)
    )
    await phone.expect("viewer")
    await creator.end()
    ended = await phone.expect("status", state="ended")
    summary = ended["summary"]
    assert (summary["chats"], summary["gifts"], summary["peak_viewers"]) == (1, 1, 90)
    assert summary["diamonds"] == gifts.GALAXY.diamonds
    assert summary["top"] == [
        {"user": "Фанат", "username": "fan.one", "diamonds": gifts.GALAXY.diamonds}
    ]
    await phone.expect("status", state="waiting")
    creator.go_live()
    await phone.expect_live()
    assert len(tiktok.sign.requests) == 2


async def test_a_return_within_the_backlog_brings_exactly_what_was_missed(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    tiktok.creator("anna", live=True)
    _, token = await relay.user("anna")
    phone = await relay.phone(token)
    epoch = (await phone.expect("status"))["epoch"]
    await phone.expect_live()
    stays = await relay.phone(token)
    await stays.expect_live()
    creator = tiktok.creator("anna")
    await chat_flows(tiktok, phone, "seen")
    since = phone.frames[-1]["id"]
    await phone.close()
    for number in range(5):
        await creator.send(frames.chat(FAN, f"missed {number}"))
    await stays.expect("chat", message="missed 4")

    back = await relay.phone(token, since=since, epoch=epoch)
    first = await back.next()
    assert first is not None
    assert first["recovered"] is True
    await back.expect("chat", message="missed 4")
    assert [frame["message"] for frame in back.of("chat")] == [f"missed {n}" for n in range(5)]
    assert not back.of("gap")

    other_epoch = await relay.phone(token, since=since, epoch="other")
    first = await other_epoch.next()
    assert first is not None
    assert first["recovered"] is False


async def test_a_phone_gets_only_the_types_it_asks_for(tiktok: TikTok, relay: LiveRelay) -> None:
    phone = await live_phone(relay, tiktok, types="gift,nonsense")
    creator = tiktok.creator("anna")
    await creator.send(
        frames.chat(FAN, "no"), frames.like(FAN, 1, 1), frames.gift(FAN, gifts.GALAXY)
    )
    await phone.expect("gift")
    assert {frame["type"] for frame in phone.frames} == {"status", "gift"}


async def test_commands(tiktok: TikTok, relay: LiveRelay) -> None:
    tiktok.creator("anna", live=True)
    tiktok.creator("boris", live=True)
    user, token = await relay.user()
    phone = await relay.phone(token, live="manual")
    first = await phone.next()
    assert first is not None
    assert first["state"] == "stopped"
    await phone.send(action="ping")
    assert set(await phone.expect("pong")) == {"type", "ts"}
    await phone.send(action="noop")
    await phone.send(action="connect_tiktok", username=" @Anna ")
    live = await phone.expect_live()
    assert live["tiktok_username"] == "anna"
    assert (await relay.users.get(user.user_id)).tiktok_username == "anna"
    await phone.send(action="connect_tiktok", username="bad name!")
    error = await phone.expect("error")
    assert error["code"] == "invalid_username"
    assert "closing" not in error
    await phone.send(action="connect_tiktok", username="https://www.tiktok.com/@boris/live")
    assert (await phone.expect_live())["tiktok_username"] == "boris"
    await phone.send(action="disconnect_tiktok")
    await phone.expect("status", state="stopped")
    await phone.send(action="connect_tiktok")
    assert (await phone.expect_live())["tiktok_username"] == "boris"


async def test_a_new_username_moves_the_users_other_phones_but_not_stopped_ones(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    tiktok.creator("anna", live=True)
    tiktok.creator("boris", live=True)
    _, token = await relay.user("anna")
    first, second, stopped = [await relay.phone(token) for _ in range(3)]
    for phone in (first, second, stopped):
        await phone.expect_live()
    await stopped.send(action="disconnect_tiktok")
    await stopped.expect("status", state="stopped")
    await first.send(action="connect_tiktok", username="boris")
    assert (await first.expect_live())["tiktok_username"] == "boris"
    assert (await second.expect("status", tiktok_username="boris"))["tiktok_username"] == "boris"
    await stopped.send(action="ping")
    await stopped.expect("pong")
    assert all(frame.get("tiktok_username") != "boris" for frame in stopped.frames)


@pytest.mark.parametrize(
    "data", ["", "{", "[]", "1", '"x"', "{}", '{"action":5}', '{"action":"nope"}', "[" * 4000]
)
async def test_nonsense_is_answered_and_the_socket_stays_open(
    data: str, tiktok: TikTok, relay: LiveRelay
) -> None:
    phone = await live_phone(relay, tiktok)
    await phone.ws.send_str(data)
    error = await phone.expect("error")
    assert error["code"] == "bad_message"
    await phone.send(action="ping")
    await phone.expect("pong")


async def test_the_eleventh_nonsense_in_a_minute_closes(tiktok: TikTok, relay: LiveRelay) -> None:
    phone = await live_phone(relay, tiktok)
    for _ in range(11):
        await phone.ws.send_bytes(b"binary")
    assert await phone.expect_close() == (1008, "bad_message")
    errors = phone.of("error")
    assert [error.get("closing", False) for error in errors] == [False] * 10 + [True]


async def test_a_frame_above_8_kib_closes_with_1009(tiktok: TikTok, relay: LiveRelay) -> None:
    phone = await live_phone(relay, tiktok)
    await phone.ws.send_str("x" * 8192)
    assert (await phone.expect("error"))["code"] == "bad_message"
    await phone.ws.send_str("x" * 8193)
    assert (await phone.expect_close())[0] == 1009


async def test_the_last_phone_leaves_a_room_that_lingers_and_then_closes(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(rooms={"linger_s": 0.2})
    phone = await live_phone(relay, tiktok)
    creator = tiktok.creator("anna")
    await phone.close()
    assert len(relay.rooms) == 1
    await creator.wait_gone()
    assert len(relay.rooms) == 0
    assert relay.rooms.state("anna") == ""


async def test_shutdown_closes_phones_with_1001(tiktok: TikTok, serve: Serve) -> None:
    relay = await serve()
    phones = [await live_phone(relay, tiktok) for _ in range(3)]
    stopping = asyncio.create_task(relay.stop())
    for phone in phones:
        assert (await phone.expect_close())[0] == 1001
        assert not phone.of("error")
    await stopping


async def test_a_foreign_page_may_not_connect(relay: LiveRelay) -> None:
    _, token = await relay.user("anna")
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await relay.http.ws_connect(
            f"{relay.url}/ws?token={token}", headers={"Origin": "https://evil.example"}
        )
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "username",
    ["../../x", "a?b=1", "a\x00b", "a" * 1300, "\ud800", "а" * 5, "a/b", "a b"],
)
async def test_nothing_hostile_reaches_tiktoks_addresses(
    username: str, tiktok: TikTok, relay: LiveRelay
) -> None:
    _, token = await relay.user()
    phone = await relay.phone(token, live="manual")
    await phone.ws.send_str(f'{{"action":"connect_tiktok","username":"{_escaped(username)}"}}')
    error = await phone.expect("error")
    assert error["code"] in {"invalid_username", "bad_message"}
    assert len(error["details"]) < 400
    await phone.send(action="ping")
    await phone.expect("pong")
    assert not tiktok.requests


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)
