"""Message: what a frame is made of, and what all messages have in common."""

import itertools
import time
from typing import Any, NamedTuple

from betterproto2 import Message as Proto

from tests.tiktok.wire import encode

ids = itertools.count(7_400_000_000_000_000_001)


class Message(NamedTuple):
    """One message of the stream."""

    method: str
    payload: bytes
    msg_id: int


def message(
    proto: type[Proto], /, *, id: int | None = None, key: str = "", **fields: Any
) -> Message:
    """Build a message of any type; `key` is its display text's, by which TikTok tells variants."""
    msg_id = next(ids) if id is None else id
    method = proto.__name__
    common = {
        "method": method,
        "msg_id": msg_id,
        "create_time": time.time_ns() // 1_000_000,
        "is_show_msg": True,
        "display_text": {"key": key, "default_pattern": key} if key else None,
    }
    return Message(method, encode(proto, common=common, **fields), msg_id)
