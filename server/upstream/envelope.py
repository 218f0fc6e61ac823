"""Around TikTok's messages: the push frame, its compression, the fetch result, the acknowledgement.

Pure. Duck-typed for TikTokLive's WebSocket client, which reads `.is_first`, `.need_ack`,
`.internal_ext`, `.messages` of a result and `.log_id`, `.payload_type` of a frame.
"""

from __future__ import annotations

import zlib
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from server.upstream import schema

#: A frame may inflate to this and no further; TikTok's hold some hundred kilobytes.
MAX_INFLATED_BYTES: Final = 8 << 20
#: zlib's window bits for a gzip header, 16 + 15.
GZIP: Final = 31


class BadFrame(Exception):
    """A push frame that cannot be read; the connection goes on without it."""


class PushFrame(NamedTuple):
    """One WebSocket message of TikTok's."""

    log_id: int
    payload_type: str
    payload: bytes
    compression: str


class Message(NamedTuple):
    """One message of a fetch result, still encoded. `is_history`: TikTok tells it once more."""

    method: str
    payload: bytes
    is_history: bool = False


class FetchResult(NamedTuple):
    """What a push frame holds: messages, and what the library needs to acknowledge them."""

    messages: list[Message]
    internal_ext: str
    need_ack: bool
    is_first: bool


def parse_push_frame(data: bytes) -> PushFrame:
    """Read the outer frame. Raises BadFrame."""
    frame = _parse(schema.PushFrame, data)
    compression = next((h.value for h in frame.headers if h.key == b"compress_type"), b"")
    return PushFrame(frame.log_id, _ascii(frame.payload_type), frame.payload, _ascii(compression))


def parse_fetch_result(frame: PushFrame) -> FetchResult:
    """Read what a frame holds, inflated within the bound. Raises BadFrame."""
    payload = frame.payload
    if frame.compression == "gzip":
        payload = _inflate(payload)
    result = _parse(schema.FetchResult, payload)
    messages = [Message(_ascii(m.method), m.payload, m.is_history) for m in result.messages]
    # is_first stays false: only the sign server's answer, which the library reads, opens a room.
    return FetchResult(messages, _ascii(result.internal_ext), result.need_ack, False)


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


def _ascii(value: bytes) -> str:
    return value.decode("utf-8", "replace")
