"""Envelope: messages packed into a fetch result and a push frame, as TikTok's push server does."""

import gzip as gzip_module
import itertools
from collections.abc import Iterable, Mapping

from TikTokLiveProto.v3.webcast.im import WebcastPushFrame
from TikTokLiveProto.v3.webcast.shared.message import ProtoMessageFetchResult

from tests.tiktok.message import Message
from tests.tiktok.wire import encode

# Level 1: TikTok's ratio does not matter here, the time to pack hundreds of events a second does
GZIP_LEVEL = 1

_log_ids = itertools.count(4_000_000_000_000_001)


def fetch_result(
    messages: Iterable[Message],
    *,
    cursor: str = "",
    internal_ext: str = "",
    history: bool = False,
    need_ack: bool = False,
    is_first: bool = False,
    push_server: str = "",
    route_params: Mapping[str, str] | None = None,
    now_ms: int = 0,
    heartbeat_ms: int = 0,
) -> bytes:
    """What the sign server answers and what a push frame carries."""
    return encode(
        ProtoMessageFetchResult,
        messages=[
            {
                "method": message.method,
                "payload": message.payload,
                "msg_id": message.msg_id,
                "is_history": history,
            }
            for message in messages
        ],
        cursor=cursor,
        fetch_interval=1000,
        now=now_ms,
        internal_ext=internal_ext,
        route_params=route_params or {},
        heartbeat_duration=heartbeat_ms,
        need_ack=need_ack,
        push_server=push_server,
        is_first=is_first,
    )


def push_frame(
    payload: bytes, *, kind: str = "msg", compression: str = "", log_id: int | None = None
) -> bytes:
    """A push frame around a payload that has been compressed already."""
    headers = [{"key": "compress_type", "value": compression}] if compression else []
    return encode(
        WebcastPushFrame,
        seq_id=1,
        log_id=next(_log_ids) if log_id is None else log_id,
        service=8888,
        method=8,
        headers=headers,
        payload_encoding="pb",
        payload_type=kind,
        payload=payload,
    )


def msg_frame(result: bytes, *, gzip: bool = True) -> bytes:
    """A push frame of events."""
    if gzip:
        return push_frame(gzip_module.compress(result, GZIP_LEVEL), compression="gzip")
    return push_frame(result, compression="none")
