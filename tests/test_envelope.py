"""Frames around TikTok's messages: read within bounds, refused when broken, acknowledged."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from TikTokLiveProto.v3.webcast.im import WebcastPushFrame

from server.upstream.envelope import (
    MAX_INFLATED_BYTES,
    BadFrame,
    encode_ack,
    parse_fetch_result,
    parse_push_frame,
)
from tests.tiktok import frames
from tests.tiktok.envelope import fetch_result, msg_frame, push_frame

RESULT = fetch_result(
    [frames.chat("anna", "привет"), frames.like("boris", 3, 9)],
    internal_ext="fetch_time:1|wss_push_room_id:2",
    need_ack=True,
)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_frame_is_read_as_it_was_packed(compressed: bool) -> None:
    frame = parse_push_frame(msg_frame(RESULT, gzip=compressed))
    assert frame.payload_type == "msg"
    (result,) = parse_fetch_result(frame)
    assert [message.method for message in result.messages] == [
        b"WebcastChatMessage",
        b"WebcastLikeMessage",
    ]
    assert result.need_ack
    assert result.internal_ext == "fetch_time:1|wss_push_room_id:2"
    assert not result.is_first


def test_an_acknowledgement_is_what_the_library_would_send() -> None:
    ack = WebcastPushFrame.parse(encode_ack(77, "ext"))
    assert (ack.log_id, ack.payload_type, ack.payload_encoding) == (77, "ack", "pb")
    assert ack.payload == b"ext"


def test_a_frame_inflates_up_to_the_bound_and_no_further() -> None:
    padded = fetch_result(
        [frames.chat("anna", "x")], internal_ext="e" * (MAX_INFLATED_BYTES - 4096)
    )
    (result,) = parse_fetch_result(parse_push_frame(msg_frame(padded)))
    assert len(result.messages) == 1
    bomb = gzip.compress(b"\0" * (MAX_INFLATED_BYTES + 1))
    assert len(bomb) < 16_384
    with pytest.raises(BadFrame):
        list(parse_fetch_result(parse_push_frame(push_frame(bomb, compression="gzip"))))


def test_a_bomb_inside_a_bomb_stays_packed() -> None:
    inner = gzip.compress(b"\0" * (MAX_INFLATED_BYTES * 4))
    frame = parse_push_frame(push_frame(gzip.compress(inner), compression="gzip"))
    with pytest.raises(BadFrame):
        list(parse_fetch_result(frame))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not gzip",
        gzip.compress(RESULT)[:-9],
        gzip.compress(RESULT)[:20],
        zlib.compress(RESULT),
    ],
    ids=["empty", "text", "no trailer", "cut", "zlib"],
)
def test_broken_compression_is_one_bad_frame(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        list(parse_fetch_result(parse_push_frame(push_frame(payload, compression="gzip"))))


@pytest.mark.fuzz
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        results = list(parse_fetch_result(parse_push_frame(data)))
    except BadFrame:
        return
    assert all(isinstance(m.payload, bytes) for result in results for m in result.messages)


@pytest.mark.fuzz
@given(st.integers(0, len(RESULT) - 1), st.integers(0, 255))
def test_a_flipped_byte_costs_one_frame_at_most(place: int, value: int) -> None:
    data = bytearray(RESULT)
    data[place] = value
    try:
        results = list(parse_fetch_result(parse_push_frame(push_frame(bytes(data)))))
    except BadFrame:
        return
    assert all(isinstance(m.method, bytes) for result in results for m in result.messages)
