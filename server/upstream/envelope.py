"""Around TikTok's messages: the push frame, its compression, the fetch result, the acknowledgement.

Pure. Duck-typed for TikTokLive's WebSocket client, which reads `.is_first`, `.need_ack`,
`.internal_ext`, `.messages` of a result and `.log_id`, `.payload_type` of a frame. Whatever comes
is read within bounds of bytes and of messages, so that no frame holds the loop for long.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from server.upstream import schema

#: A frame may inflate to this and no further; TikTok's hold some hundred kilobytes.
MAX_INFLATED_BYTES: Final = 8 << 20
#: zlib's window bits for a gzip header, 16 + 15.
GZIP: Final = 31
#: Fields at the top of one fetch result, nearly all of them messages; TikTok's have some hundred.
MAX_FIELDS: Final = 20_000
#: A result below this is too small for more of them than are read in a moment.
SMALL_BYTES: Final = 16_384
#: Messages handed on in one go; then others get their turn.
SLICE_MESSAGES: Final = 250
#: Parameters of the push socket's address.
MAX_ROUTE_PARAMS: Final = 64

#: Protobuf's wire types, and the length of those that have a fixed one.
_VARINT, _LENGTH = 0, 2
_FIXED: Final = {1: 8, 5: 4}


class BadFrame(Exception):
    """A push frame or a result that cannot be read; a connection goes on without it."""


class PushFrame(NamedTuple):
    """One WebSocket message of TikTok's."""

    log_id: int
    payload_type: str
    payload: bytes
    compression: str


class Message(Protocol):
    """One message of a fetch result, still encoded: protobuf's own object, for there are many.

    `is_history`: TikTok tells it once more.
    """

    method: bytes
    payload: bytes
    is_history: bool


class FetchResult(NamedTuple):
    """What a push frame holds: messages, and what the library needs to acknowledge them."""

    messages: list[Message]
    internal_ext: str
    need_ack: bool
    is_first: bool


class SignAnswer(NamedTuple):
    """The sign server's answer: TikTok's history, and the rest of it for the library."""

    history: list[Message]
    rest: bytes


def parse_push_frame(data: bytes) -> PushFrame:
    """Read the outer frame. Raises BadFrame."""
    frame = _parse(schema.PushFrame, data)
    compression = next((h.value for h in frame.headers if h.key == b"compress_type"), b"")
    return PushFrame(frame.log_id, _text(frame.payload_type), frame.payload, _text(compression))


def parse_fetch_result(frame: PushFrame) -> Iterator[FetchResult]:
    """Read what a frame holds, in slices; the first one is to be acknowledged. Raises BadFrame."""
    payload = frame.payload
    if frame.compression == "gzip":
        payload = _inflate(payload)
    _check_fields(payload)
    result = _parse(schema.FetchResult, payload)
    # is_first stays false: only the sign server's answer, which the library reads, opens a room.
    yield FetchResult(
        _messages(result, 0), _text(result.internal_ext), result.need_ack, is_first=False
    )
    for start in range(SLICE_MESSAGES, len(result.messages), SLICE_MESSAGES):
        yield FetchResult(_messages(result, start), "", need_ack=False, is_first=False)


def split_sign_answer(body: bytes) -> SignAnswer:
    """Take the history out of the sign server's answer, for the library is slow over messages.

    Raises BadFrame for what is no such answer.
    """
    _check_fields(body)
    result = _parse(schema.FetchResult, body)
    if len(result.route_params) > MAX_ROUTE_PARAMS:
        raise BadFrame(f"{len(result.route_params)} route parameters")
    history = _messages(result, 0)
    result.ClearField("messages")
    result.DiscardUnknownFields()
    return SignAnswer(history, bytes(result.SerializeToString()))


def encode_ack(log_id: int, internal_ext: str) -> bytes:
    """The frame that acknowledges another one."""
    ack = schema.PushFrame(
        log_id=log_id,
        payload_encoding=b"pb",
        payload_type=b"ack",
        payload=internal_ext.encode(),
    )
    return bytes(ack.SerializeToString())


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(GZIP)
    try:
        inflated = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise BadFrame(f"gzip: {error}") from None
    if inflater.unconsumed_tail:
        raise BadFrame(f"inflates past {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof:
        raise BadFrame("gzip: cut short")
    return inflated


def _parse(message: Any, data: bytes) -> Any:
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise BadFrame(f"{message.__name__}: {error}") from None


def _messages(result: Any, start: int) -> list[Message]:
    messages: list[Message] = result.messages[start : start + SLICE_MESSAGES]
    return messages


def _check_fields(data: bytes) -> None:
    """Refuse more fields than are read in a moment: four million empty messages are 8 MiB."""
    if len(data) < SMALL_BYTES:
        return
    at = fields = 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            wire_type = tag & 7
            if wire_type == _LENGTH:
                length, at = _varint(data, at)
                at += length
            elif wire_type == _VARINT:
                _, at = _varint(data, at)
            else:
                at += _FIXED[wire_type]
            fields += 1
            if fields > MAX_FIELDS:
                raise BadFrame(f"more than {MAX_FIELDS} fields")
    except (IndexError, KeyError):
        raise BadFrame("cut short, or no protobuf") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the place after it. Raises IndexError where the bytes end."""
    number = data[at]
    at += 1
    if number < 0x80:
        return number, at
    number &= 0x7F
    for shift in range(7, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return number, at


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
