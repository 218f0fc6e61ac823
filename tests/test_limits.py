"""What phones may hold: so many for a user, an address, a server, and creators at one time."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from server.web.connection import MAX_UNREAD_BYTES
from server.web.manners import BAD_PER_MINUTE, FRAMES_BURST, NAMES_BURST
from tests.conftest import Serve
from tests.tiktok import TikTok


async def test_one_phone_too_many_is_told_when_all_others_are_alive(
    serve: Serve, tiktok: TikTok
) -> None:
    tiktok.creator("anna")
    relay = await serve(limits={"connections_per_user": 2})
    _, token = await relay.user("anna")
    phones = [await relay.phone(token) for _ in range(2)]
    for phone in phones:
        await phone.expect("status")
    answering = [asyncio.ensure_future(phone.expect("pong")) for phone in phones]
    extra = await relay.phone(token)
    error = await extra.expect_error("too_many_connections")
    assert extra.close_code == 1008
    assert 28 <= error["retry_after"] <= 30
    for phone in phones:
        await phone.send(action="ping")
    assert all(await asyncio.gather(*answering))


async def test_a_phone_that_is_gone_makes_place_for_the_one_that_comes(
    serve: Serve, tiktok: TikTok
) -> None:
    tiktok.creator("anna")
    relay = await serve(limits={"connections_per_user": 1})
    _, token = await relay.user("anna")
    headers = {"Authorization": f"Bearer {token}"}
    gone = relay.hold(
        await relay.http.ws_connect(f"{relay.url}/ws", headers=headers, autoping=False)
    )
    fresh = await relay.phone(token)
    assert (await fresh.expect("status"))["tiktok_username"] == "anna"
    while (message := await gone.ws.receive()).type is not aiohttp.WSMsgType.CLOSE:
        assert message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING}
    assert message.data == 1008


async def test_a_burst_of_one_users_phones_stays_within_the_limit(
    serve: Serve, tiktok: TikTok
) -> None:
    tiktok.creator("anna")
    relay = await serve(limits={"connections_per_user": 3})
    _, token = await relay.user("anna")
    phones = await asyncio.gather(*(relay.phone(token) for _ in range(20)))
    first = await asyncio.gather(*(phone.next() for phone in phones))
    kinds = [frame["type"] for frame in first if frame]
    assert kinds.count("status") == 3
    assert kinds.count("error") == 17
    assert relay.phones.count() == 3


@pytest.mark.parametrize(
    ("limits", "code", "close_code"),
    [
        ({"connections_per_ip": 2}, "too_many_connections", 1008),
        ({"max_connections": 2}, "server_full", 1011),
    ],
)
async def test_an_address_and_a_server_have_their_limits(
    limits: dict[str, int], code: str, close_code: int, serve: Serve, tiktok: TikTok
) -> None:
    tiktok.creator("anna")
    relay = await serve(limits=limits)
    held = [await relay.phone_of("anna") for _ in range(2)]
    extra = await relay.phone_of("anna")
    error = await extra.expect_error(code)
    assert extra.close_code == close_code
    assert 28 <= error["retry_after"] <= 30
    await held.pop().close()
    again = await relay.phone_of("anna")
    assert (await again.next() or {})["type"] == "status"


async def test_creators_have_their_limit_and_those_who_are_in_stay(
    serve: Serve, tiktok: TikTok
) -> None:
    for name in ("anna", "boris"):
        tiktok.creator(name)
    relay = await serve(rooms={"max_rooms": 1})
    first = await relay.phone_of("anna")
    await first.expect("status", state="waiting")
    second = await relay.phone_of("boris")
    await second.expect_error("server_full")
    assert second.close_code == 1011
    third = await relay.phone_of("anna")
    await third.expect("status", state="waiting")
    assert not first.of("error")


async def test_a_phone_that_floods_and_never_reads_is_cut_off_and_holds_little_until_then(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve()
    _, token = await relay.user("anna")
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port, limit=1024)
    writer.write(
        f"GET /ws/{token}?live=manual HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    ping = b'{"action":"ping"}'
    frame = bytes((0x81, 0x80 | len(ping))) + b"\0\0\0\0" + ping
    await reader.readuntil(b"\r\n\r\n")
    held = []
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(15):
            while True:
                writer.write(frame * 1000)
                await writer.drain()
                held += [phone._transport.get_write_buffer_size() for phone in relay.phones._all()]
    assert max(held) <= MAX_UNREAD_BYTES
    told = [entry.code for entry in relay.event_log.recent(0)]
    assert told.count("bad_message") == BAD_PER_MINUTE + 1


async def test_two_dead_phones_make_place_for_two_that_come_at_once(
    serve: Serve, tiktok: TikTok
) -> None:
    tiktok.creator("anna")
    relay = await serve(limits={"connections_per_user": 2})
    _, token = await relay.user("anna")
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(2):
        relay.hold(await relay.http.ws_connect(f"{relay.url}/ws", headers=headers, autoping=False))
    fresh = await asyncio.gather(*(relay.phone(token) for _ in range(2)))
    for phone in fresh:
        assert (await phone.expect("status"))["tiktok_username"] == "anna"


async def test_a_room_that_nobody_watches_gives_way_when_all_are_taken(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve(rooms={"max_rooms": 2})
    phones = []
    for name in ("anna", "boris"):
        tiktok.creator(name, live=True)
        phones.append(await relay.phone_of(name))
        await phones[-1].expect_live()
    tiktok.creator("carla", live=True)
    await (await relay.phone_of("carla")).expect_error("server_full")
    await phones[0].close()
    await (await relay.phone_of("carla")).expect_live()
    assert relay.rooms.state("anna") == ""
    assert relay.rooms.state("boris") == "live"


async def test_usernames_come_so_many_at_a_time(serve: Serve, tiktok: TikTok) -> None:
    relay = await serve()
    _, token = await relay.user()
    phone = await relay.phone(token, live="manual")
    await phone.expect("status", state="stopped")
    for number in range(NAMES_BURST + 1):
        await phone.send(action="connect_tiktok", username=f"bad name {number}")
        error = await phone.expect("error")
    assert error["code"] == "bad_message"
    codes = [frame["code"] for frame in phone.of("error")]
    assert codes == ["invalid_username"] * NAMES_BURST + ["bad_message"]


async def test_a_flood_of_frames_ends_the_socket_and_nobody_elses(
    serve: Serve, tiktok: TikTok
) -> None:
    creator = tiktok.creator("anna", live=True)
    relay = await serve()
    watching = await relay.phone_of("anna")
    await watching.expect_live()
    flooding = await relay.phone_of("anna", live="manual")
    for _ in range(FRAMES_BURST * 5):
        await flooding.send(action="noop")
    assert await flooding.expect_close() == (1008, "bad_message")
    assert {frame["code"] for frame in flooding.of("error")} == {"bad_message"}
    await creator.wait_connected()
    await watching.send(action="ping")
    await watching.expect("pong")
