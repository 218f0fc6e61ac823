"""A live stream as TikTok really serves it: it stalls, lies, breaks off and sends garbage."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from tests.conftest import Serve
from tests.liverelay import LiveRelay
from tests.phone import Phone
from tests.tiktok import Creator, TikTok, frames
from tests.tiktok.envelope import fetch_result, msg_frame, push_frame


async def live(relay: LiveRelay, tiktok: TikTok, **query: Any) -> tuple[Creator, Phone]:
    """A creator who is live, and a phone that sees it."""
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna", **query)
    await phone.expect_live()
    await creator.wait_connected()
    return creator, phone


async def goes_on(creator: Creator, phone: Phone, text: str = "still here") -> None:
    """The stream still brings events."""
    await creator.wait_connected()
    await creator.send(frames.chat("fan", text))
    await phone.expect("chat", message=text)


@pytest.mark.parametrize(
    "bad",
    [
        b"\x1a\x03abc",
        b"",
        b"\xff" * 300,
        push_frame(b"not gzip", compression="gzip"),
        push_frame(gzip.compress(b"\0" * (9 << 20)), compression="gzip"),
        push_frame(gzip.compress(b"\xff\xff\xff"), compression="gzip"),
        push_frame(gzip.compress(b"\0" * (8 << 20)), compression="gzip"),
        push_frame(gzip.compress(b"\x0a\x00" * (4 << 20)), compression="gzip"),
        push_frame(b"", kind="hb"),
        push_frame(b"\xff\xff", kind="surprise"),
        msg_frame(fetch_result([])),
        msg_frame(fetch_result([frames.Message("WebcastChatMessage", b"\xff\xff", 1)])),
        msg_frame(fetch_result([frames.Message("../../x", b"\xff", 2)])),
    ],
    ids=[
        "garbage", "empty", "noise", "no gzip", "bomb", "zeros", "millions of messages",
        "bad result", "heartbeat", "unknown kind",
        "no messages", "bad message", "unknown method",
    ],
)  # fmt: skip
async def test_a_bad_frame_is_skipped_and_the_stream_goes_on(
    bad: bytes, tiktok: TikTok, relay: LiveRelay, caplog: pytest.LogCaptureFixture
) -> None:
    creator, phone = await live(relay, tiktok)
    await creator.send_raw(bad)
    await goes_on(creator, phone)
    assert not phone.of("error", "gap")
    assert creator.connections == 1
    assert not [record for record in caplog.records if record.exc_info]


async def test_the_good_messages_of_a_frame_survive_the_bad_one_beside_them(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator, phone = await live(relay, tiktok)
    bad = frames.Message("WebcastGiftMessage", b"\xff\xff\xff", 5)
    await creator.send(frames.chat("fan", "before"), bad, frames.chat("fan", "after"))
    await phone.expect("chat", message="after")
    assert [frame["message"] for frame in phone.of("chat")] == ["before", "after"]


async def test_a_close_1000_in_the_middle_is_mended(tiktok: TikTok, relay: LiveRelay) -> None:
    creator, phone = await live(relay, tiktok)
    await goes_on(creator, phone, "first")
    await creator.close(1000)
    await phone.expect("status", state="reconnecting")
    await phone.expect_live()
    await goes_on(creator, phone)
    assert not phone.of("error")


async def test_a_close_1000_right_after_connecting_is_a_refusal(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    await creator.wait_connected()
    await creator.close(1000)
    error = await phone.expect_error("connect_failed")
    assert phone.close_code == 1011
    assert error["retry_after"] >= 1


async def test_a_dead_connection_is_found_although_nobody_closed_it(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator, phone = await live(relay, tiktok)
    creator.stall()
    await phone.expect("status", state="reconnecting")
    await phone.expect_live()
    await goes_on(creator, phone)
    assert creator.connections == 2
    assert not phone.of("error")


async def test_a_stream_that_keeps_dying_is_given_up_with_a_time_to_come_back(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator, phone = await live(relay, tiktok)
    for count in (2, 3):
        creator.reset()
        await creator.wait_connected()
        await creator.until(lambda count=count: creator.connections == count)  # type: ignore[misc]
    creator.reset()
    error = await phone.expect_error("connect_failed")
    assert 500 <= error["retry_after"] <= 600
    assert len(tiktok.sign.requests) == 3


async def test_a_silent_live_is_left_alone(tiktok: TikTok, serve: Serve) -> None:
    relay = await serve(rooms={"stall_s": 0.1})
    creator, phone = await live(relay, tiktok)
    looked = creator.lookups.check_alive
    await creator.until(
        lambda: creator.lookups.check_alive > looked and len(creator.heartbeats) > 2
    )
    await goes_on(creator, phone)
    assert creator.connections == 1
    assert not phone.of("gap", "error")


@pytest.mark.parametrize("lie", ["false", "empty_list", "500", "captcha", "reset"])
async def test_a_live_check_that_lies_ends_no_live(lie: str, tiktok: TikTok, serve: Serve) -> None:
    relay = await serve(rooms={"stall_s": 0.1})
    creator, phone = await live(relay, tiktok)
    looked = creator.lookups.check_alive
    creator.script.check_alive = [lie]
    await creator.until(lambda: creator.lookups.check_alive > looked + 1)
    await goes_on(creator, phone)
    assert creator.connections == 1
    assert not phone.of("gap", "error")


async def test_a_live_that_goes_silent_again_is_asked_after_again(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(rooms={"stall_s": 0.05})
    creator, phone = await live(relay, tiktok)
    for _ in range(3):
        looked = creator.lookups.check_alive
        await creator.until(lambda looked=looked: creator.lookups.check_alive > looked)  # type: ignore[misc]
        await goes_on(creator, phone)
    creator.go_offline()
    await phone.expect("status", state="ended")


async def test_a_live_that_ended_without_a_word_is_noticed(tiktok: TikTok, serve: Serve) -> None:
    relay = await serve(rooms={"stall_s": 0.1})
    creator, phone = await live(relay, tiktok)
    creator.go_offline()
    await phone.expect("status", state="ended")
    await phone.expect("status", state="waiting")


async def test_frames_are_acknowledged_and_heartbeats_kept_up(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator, phone = await live(relay, tiktok)
    await goes_on(creator, phone)
    await creator.until(lambda: len(creator.acks) >= 1 and len(creator.heartbeats) >= 2)
    assert creator.acks[-1].internal_ext in creator.sent_exts
    assert {beat.room_id for beat in creator.heartbeats} == {creator.room_id}
    assert creator.entered[-1] == creator.room_id


async def test_every_spelling_of_a_creator_is_one_room(tiktok: TikTok, relay: LiveRelay) -> None:
    tiktok.creator("anna.b", live=True)
    _, token = await relay.user()
    phones = [await relay.phone(token, live="manual") for _ in range(6)]
    spellings = [
        "anna.b", "@Anna.B", " ANNA.b ", "https://www.tiktok.com/@anna.b",
        "https://www.tiktok.com/@Anna.b/live?lang=ru", "tiktok.com/@anna.b/",
    ]  # fmt: skip
    await asyncio.gather(
        *(
            phone.send(action="connect_tiktok", username=name)
            for phone, name in zip(phones, spellings, strict=True)
        )
    )
    for phone in phones:
        await phone.expect_live()
    assert len(relay.rooms) == 1
    assert len(tiktok.sign.requests) == 1


async def test_a_remembered_failure_is_told_at_once_with_the_same_reference(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.sign = 500
    first = await (await relay.phone_of("anna")).expect_error("sign_unavailable")
    asked = len(tiktok.requests), len(tiktok.sign.requests)
    for _ in range(5):
        again = await (await relay.phone_of("anna")).expect_error("sign_unavailable")
        assert again["ref"] == first["ref"]
        assert again["retry_at"] == first["retry_at"]
    assert (len(tiktok.requests), len(tiktok.sign.requests)) == asked


async def test_a_stream_from_the_sign_servers_own_socket_is_kept_and_flagged(
    tiktok: TikTok, relay: LiveRelay, caplog: pytest.LogCaptureFixture
) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.sign = "ws_fallback"
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    await goes_on(creator, phone)
    assert creator.connections == 1
    assert "@anna is streamed by the sign server's fallback socket" in caplog.text


async def test_a_large_frame_is_relayed_whole_and_in_order(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator, phone = await live(relay, tiktok)
    texts = [str(number) for number in range(2000)]
    await creator.send(*(frames.chat("fan", text) for text in texts))
    await phone.expect("chat", message=texts[-1])
    assert [frame["message"] for frame in phone.of("chat")] == texts
    assert len(creator.acks) == 1


async def test_a_refusal_right_after_connecting_is_never_told_as_live(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.handshake = "close"
    waits = []
    for _ in range(3):
        phone = await relay.phone_of("anna")
        error = await phone.expect_error("connect_failed")
        waits.append(error["retry_after"])
        assert {frame["state"] for frame in phone.of("status")} == {"connecting"}
        relay.rooms._cooldowns.lift("anna")
    assert waits == [30, 60, 120], "it lasts, so it doubles"


async def test_one_lie_of_tiktok_ends_no_live(tiktok: TikTok, relay: LiveRelay) -> None:
    creator, phone = await live(relay, tiktok)
    creator.script.html = ["not_found", "offline"]
    creator.script.api = ["not_found"]
    creator.reset()
    await phone.expect("status", state="reconnecting")
    await phone.expect_live()
    await goes_on(creator, phone)
    assert not phone.of("error")
    assert [frame["state"] for frame in phone.of("status")].count("ended") == 0


async def test_a_look_up_that_fails_once_while_waiting_is_not_told(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(rooms={"offline_poll_s": 0.02})
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    await creator.wait_connected()
    creator.script.html = ["captcha", None, "not_found", "not_found"]
    creator.script.api = ["captcha", "not_found", "not_found"]
    await creator.end()
    await phone.expect("status", state="waiting")
    await creator.until(lambda: creator.lookups.html >= 6)
    creator.go_live()
    await phone.expect_live()
    assert not phone.of("error")


async def test_a_live_that_has_ended_is_not_signed_again_by_another_room_nor_after_a_restart(
    tiktok: TikTok, serve: Serve
) -> None:
    rooms = {"linger_s": 0.0, "offline_poll_s": 0.02}
    relay = await serve(rooms=rooms)
    creator, phone = await live(relay, tiktok)
    creator.script.html = "live"
    creator.script.check_alive = "live"
    await creator.end()
    await phone.expect("status", state="ended")
    await phone.close()
    await creator.wait_gone()
    for _ in range(2):
        phone = await relay.phone_of("anna")
        await phone.expect("status", state="waiting")
        await creator.until(lambda seen=creator.lookups.html: creator.lookups.html > seen + 2)  # type: ignore[misc]
        await relay.stop()
        relay = await serve(rooms=rooms)
    assert len(tiktok.sign.requests) == 1


async def test_an_age_restricted_live_that_brings_nothing_is_told_as_that(
    tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.room_info = "age_restricted"
    phone = await relay.phone_of("anna")
    error = await phone.expect_error("age_restricted")
    assert "retry_at" not in error
    assert (phone.close_code, phone.close_reason) == (1008, "age_restricted")


@pytest.mark.parametrize("room_info", ["no_data", "captcha", "500", "empty"])
async def test_a_broken_room_info_is_no_age_restriction(
    room_info: str, tiktok: TikTok, relay: LiveRelay
) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.room_info = room_info
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    await creator.until(lambda: creator.lookups.room_info == 1)
    await goes_on(creator, phone)


async def test_an_attempt_to_connect_ends_within_its_time(tiktok: TikTok, serve: Serve) -> None:
    relay = await serve(rooms={"connect_timeout_s": 0.5})
    creator = tiktok.creator("anna", live=True)
    creator.script.html = creator.script.api = "hang"
    await (await relay.phone_of("anna")).expect_error("connect_failed")
    tiktok.creator("boris", live=True).script.sign = "no_is_first"
    await (await relay.phone_of("boris")).expect_error("connect_failed")
