"""The wire: what phones are sent and what they may send. The only module that serialises for
phones.

A frame is encoded once, to the bytes of its WebSocket frame; whoever receives it gets those bytes.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal

import msgspec

from server.errors import BadMessage
from server.events import Frame, Gift

State = Literal["connecting", "waiting", "live", "paused", "reconnecting", "ended", "stopped"]
GapReason = Literal["too_slow", "window", "restart", "upstream"]

#: RFC 6455, 5.2: FIN and opcode "text"; server frames are not masked.
_TEXT_FRAME: Final = 0x81
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127

_encoder: Final = msgspec.json.Encoder()
_gift_decoder: Final = msgspec.json.Decoder(Gift)


class Gifter(msgspec.Struct, frozen=True, kw_only=True):
    """One of a live's most generous viewers."""

    user: str
    username: str
    diamonds: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a live came to, on `status: ended`."""

    duration_s: int
    chats: int
    gifts: int
    diamonds: int
    likes: int
    follows: int
    shares: int
    peak_viewers: int
    top: tuple[Gifter, ...]


class Status(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="status"
):
    """A room's state. `epoch`, `last_id`, `recovered` and `server_time` (ms) come on the first one
    after a connect, which has no `id`; `retry_at` (RFC 3339) is the next look while waiting."""

    id: int | None = None
    ts: int
    state: State
    connected: bool = False
    message: str
    tiktok_username: str = ""
    epoch: str | None = None
    last_id: int | None = None
    recovered: bool | None = None
    server_time: int | None = None
    retry_at: str | None = None
    summary: Summary | None = None


class Gap(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="gap"
):
    """An honest hole: events from_id to to_id (inclusive; absent when unknown) cannot be
    replayed.
    """

    ts: int
    reason: GapReason
    from_id: int | None = None
    to_id: int | None = None


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="pong"):
    """The answer to a ping."""

    ts: int


class Command(msgspec.Struct, frozen=True, tag_field="action"):
    """Base of what a phone may send; `action` names it."""


class ConnectTikTok(Command, frozen=True, tag="connect_tiktok"):
    """Connect to the stored username, or to a given one, which is then stored."""

    username: Annotated[str, msgspec.Meta(max_length=8192)] | None = None


class DisconnectTikTok(Command, frozen=True, tag="disconnect_tiktok"):
    """Leave the room; this phone only."""


class Ping(Command, frozen=True, tag="ping"):
    """Ask for a pong."""


class Noop(Command, frozen=True, tag="noop"):
    """Nothing: shipped apps send it to keep their link warm."""


AnyCommand = ConnectTikTok | DisconnectTikTok | Ping | Noop
_command_decoder: Final[msgspec.json.Decoder[AnyCommand]] = msgspec.json.Decoder(AnyCommand)


_status_decoder: Final = msgspec.json.Decoder(Status)


def decode_command(data: str) -> AnyCommand:
    """Read a phone's frame. Raises BadMessage for anything that is no command."""
    try:
        return _command_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage(f"not a command: {type(error).__name__}") from None


def event_json(event: Frame, entry_id: int, ts: int) -> bytes:
    """A live event as the JSON that phones get, numbered and timed (`ts` in ms)."""
    body = _encoder.encode(event)
    return b'{"id":%d,"ts":%d,%b' % (entry_id, ts, body[1:])


def read_gift(frame: str) -> Gift:
    """A gift as it was sent, from the log. Raises msgspec.DecodeError."""
    return _gift_decoder.decode(frame)


def read_status(frame: str) -> Status:
    """A status as it was sent, from the log. Raises msgspec.DecodeError."""
    return _status_decoder.decode(frame)


def to_json(frame: msgspec.Struct) -> bytes:
    """Any other frame as JSON."""
    return _encoder.encode(frame)


def text_frame(payload: bytes) -> bytes:
    """The WebSocket frame around a JSON text (RFC 6455, 5.2): 2, 4 or 10 bytes of header."""
    size = len(payload)
    if size < _LENGTH_16:
        return bytes((_TEXT_FRAME, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _TEXT_FRAME, _LENGTH_16, size) + payload
    return struct.pack("!BBQ", _TEXT_FRAME, _LENGTH_64, size) + payload


def wire(frame: msgspec.Struct) -> bytes:
    """A frame of one phone's own, ready for its transport."""
    return text_frame(_encoder.encode(frame))
