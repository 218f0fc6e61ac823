"""Message: what a frame is made of, and what all messages have in common."""

import itertools
import time
from typing import Any, Final, NamedTuple

from betterproto2 import Message as Proto

from tests.tiktok.wire import encode

USER_PIECE: Final = 11

ids = itertools.count(7_400_000_000_000_000_001)


class Message(NamedTuple):
    """One message of the stream."""

    method: str
    payload: bytes
    msg_id: int


def message(
    proto: type[Proto], /, *, id: int | None = None, key: str = "", **fields: Any
) -> Message:
    """Build a message of any type; `key` is its display text's, by which TikTok tells variants.

    The text names the viewer by the whole user once more, as TikTok's do.
    """
    msg_id = next(ids) if id is None else id
    method = proto.__name__
    common = {
        "method": method,
        "msg_id": msg_id,
        "create_time": time.time_ns() // 1_000_000,
        "is_show_msg": True,
        "display_text": _display_text(key, fields.get("user")) if key else None,
    }
    return Message(method, encode(proto, common=common, **fields), msg_id)


def _display_text(key: str, user: bytes | None) -> dict[str, Any]:
    style = {"color": "#ffffffff", "weight": 400}
    pieces = [{"type": USER_PIECE, "format": style, "user_value": {"user": user}}] if user else []
    return {
        "key": key,
        "default_pattern": f"{{0:user}} {key}",
        "default_format": style,
        "pieces": pieces,
    }
