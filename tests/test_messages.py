"""The wire: frames as WebSocket bytes, commands from strangers."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BadMessage
from server.events import Chat, Like, Viewer
from server.relay.messages import (
    ConnectTikTok,
    DisconnectTikTok,
    Gap,
    Noop,
    Ping,
    Pong,
    decode_command,
    event_json,
    text_frame,
    wire,
)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_has_the_header_of_rfc_6455(size: int, header: bytes) -> None:
    assert text_frame(b"x" * size) == header + b"x" * size


def test_an_event_begins_with_its_id_and_time_and_leaves_out_what_is_empty() -> None:
    chat = Chat(user="Аня", message='"{}"\n', user_id="7")
    assert json.loads(event_json(chat, 12, 99)) == {
        "id": 12, "ts": 99, "type": "chat", "user": "Аня", "message": '"{}"\n', "user_id": "7",
    }  # fmt: skip
    assert "Аня".encode() in event_json(chat, 12, 99)


def test_counts_are_there_even_when_they_are_zero() -> None:
    assert json.loads(event_json(Viewer(current=0, total=0), 1, 2)) == {
        "id": 1, "ts": 2, "type": "viewer", "current": 0, "total": 0,
    }  # fmt: skip
    assert json.loads(event_json(Like(count=0, total=0), 1, 2))["count"] == 0


def test_frames_of_one_phone_have_no_id() -> None:
    for frame in (Gap(ts=1, reason="window", from_id=2, to_id=3), Pong(ts=1)):
        assert "id" not in json.loads(wire(frame)[2:])


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"action":"connect_tiktok"}', ConnectTikTok()),
        ('{"action":"connect_tiktok","username":"anna"}', ConnectTikTok(username="anna")),
        ('{"action":"connect_tiktok","username":null}', ConnectTikTok()),
        ('{"action":"disconnect_tiktok"}', DisconnectTikTok()),
        ('{"action":"ping","ts":5}', Ping()),
        (' {"more": [1], "action": "noop"} ', Noop()),
    ],
)
def test_a_command_is_read_and_what_newer_apps_add_ignored(text: str, command: object) -> None:
    assert decode_command(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", '"ping"', "5", "{}", '{"action":null}', '{"action":"PING"}',
        '{"action":"connect_tiktok","username":5}', '{"action":["ping"]}', '{"action":"ping"} x',
        '{"action":"connect_tiktok","username":"\\ud800"}', "[" * 5000, '{"action":"\x00"}',
        "NaN", '{"action":"drop_table"}', "\ufeff{}",
    ],
)  # fmt: skip
def test_anything_else_is_a_bad_message(text: str) -> None:
    with pytest.raises(BadMessage):
        decode_command(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.fuzz
@given(st.text() | JSON.map(json.dumps))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        command = decode_command(text)
    except BadMessage:
        return
    msgspec.json.encode(command)
