"""An event of stock TikTokLive as a frame for phones."""

import time

from TikTokLive.events import (
    CommentEvent,
    FollowEvent,
    GiftEvent,
    JoinEvent,
    LikeEvent,
    RoomUserSeqEvent,
    ShareEvent,
)

RELAYED = (
    CommentEvent,
    FollowEvent,
    GiftEvent,
    JoinEvent,
    LikeEvent,
    RoomUserSeqEvent,
    ShareEvent,
)


def frame(event: object) -> dict[str, object]:
    """As little as a relay can say."""
    user = getattr(event, "user", None)
    told: dict[str, object] = {
        "type": type(event).__name__.removesuffix("Event").lower(),
        "ts": int(time.time() * 1000),
        "user": getattr(user, "nickname", ""),
        "username": getattr(user, "unique_id", ""),
    }
    match event:
        case CommentEvent():
            told["message"] = event.comment
        case GiftEvent():
            told |= {
                "gift_name": event.gift.name if event.gift else "",
                "count": event.repeat_count,
            }
        case LikeEvent():
            told |= {"count": event.count, "total": event.total}
        case RoomUserSeqEvent():
            told |= {"current": event.total, "total": event.total_user}
    return told
