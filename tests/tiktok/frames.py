"""Frames: real payloads for every kind of message that is relayed. No sockets; see push.py.

A builder returns a Message: the method's name, the protobuf bytes and the id that TikTok gives it.
A person may be given by name; `id=` repeats an id, as TikTok does after a reconnect.
"""

import time
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from TikTokLiveProto.v3.webcast.im import (
    BarrageMessageBarrageType,
    ControlAction,
    MemberMessageAction,
)
from TikTokLiveProto.v3.webcast.model.data import EnvelopeBusinessType, EnvelopeDisplay
from TikTokLiveProto.v3.webcast.model.message import (
    WebcastBarrageMessage,
    WebcastChatMessage,
    WebcastControlMessage,
    WebcastEmoteChatMessage,
    WebcastLikeMessage,
    WebcastMemberMessage,
    WebcastQuestionNewMessage,
    WebcastRoomUserSeqMessage,
    WebcastSocialMessage,
    WebcastSubNotifyMessage,
)
from TikTokLiveProto.v3.webcast.model.message.redenvelope import WebcastEnvelopeMessage

from tests.tiktok.battles import battle_end, battle_score, battle_start
from tests.tiktok.gifts import GIFTS, GiftKind, gift, streak
from tests.tiktok.message import Message, ids, message
from tests.tiktok.people import Person, image, person

__all__ = [
    "GIFTS",
    "ControlAction",
    "GiftKind",
    "Message",
    "Person",
    "battle_end",
    "battle_score",
    "battle_start",
    "chat",
    "control",
    "emote",
    "envelope",
    "follow",
    "gift",
    "grand_join",
    "join",
    "like",
    "message",
    "question",
    "share",
    "streak",
    "subscribe",
    "viewers",
    "warm_up",
]

FOLLOWED, SHARED = 1, 3
FOLLOW_KEY: Final = "pm_main_follow_message_viewer_2"
SHARE_KEY: Final = "pm_mt_guidance_share"
JOIN_KEY: Final = "live_room_enter_toast"


def chat(
    who: Person | str,
    text: str | bytes,
    *,
    emotes: Iterable[tuple[str, int]] = (),
    language: str = "",
    id: int | None = None,
) -> Message:
    """A chat message; emotes are (picture, position in the text)."""
    user = person(who)
    return message(
        WebcastChatMessage,
        id=id,
        user=user.encoded,
        content=text,
        content_language=language,
        emotes=[{"index": at, "emote": _emote(picture)} for picture, at in emotes],
        user_identity=user.identity,
    )


def like(who: Person | str, count: int = 1, total: int = 0, *, id: int | None = None) -> Message:
    user = person(who).encoded
    return message(
        WebcastLikeMessage, id=id, key="pm_mt_msg_viewer", user=user, count=count, total=total
    )


def join(
    who: Person | str, members: int = 0, *, key: str = JOIN_KEY, id: int | None = None
) -> Message:
    """A viewer came in; a `key` with "follow" in it fools TikTokLive into a FollowEvent."""
    return message(
        WebcastMemberMessage,
        id=id,
        key=key,
        user=person(who).encoded,
        member_count=members,
        action=MemberMessageAction.JOINED,
        user_id=person(who).user_id,
        client_enter_source="homepage_hot-live_cell",
    )


def grand_join(who: Person | str, level: int = 25, *, id: int | None = None) -> Message:
    """A viewer of level 25 or above came in: no Member message, a Barrage instead."""
    user = person(who)
    return message(
        WebcastBarrageMessage,
        id=id,
        msg_type=BarrageMessageBarrageType.GRADE_USER_ENTRANCE_NOTIFICATION,
        event={"event_name": "grade_user_entrance"},
        content={"key": "ttlive_user_grade_entrance", "default_pattern": "{0:user} joined"},
        duration=3000,
        user=user.encoded,
        user_grade_param={
            "current_grade": level,
            "user_id": str(user.user_id),
            "user": user.encoded,
        },
    )


def viewers(
    now: int,
    total: int = 0,
    *,
    top: Iterable[tuple[Person | str, int]] = (),
    id: int | None = None,
) -> Message:
    """How many watch now, and in total; `top` are the best givers with their scores."""
    return message(
        WebcastRoomUserSeqMessage,
        id=id,
        total=now,
        total_user=total,
        popularity=now,
        ranks=[
            {"user": person(who).encoded, "score": score, "rank": rank}
            for rank, (who, score) in enumerate(top, start=1)
        ],
    )


def follow(who: Person | str, followers: int = 0, *, id: int | None = None) -> Message:
    user = person(who).encoded
    return message(
        WebcastSocialMessage,
        id=id,
        key=FOLLOW_KEY,
        user=user,
        action=FOLLOWED,
        follow_count=followers,
    )


def share(who: Person | str, *, id: int | None = None) -> Message:
    user = person(who).encoded
    return message(
        WebcastSocialMessage, id=id, key=SHARE_KEY, user=user, action=SHARED, share_type=1
    )


def subscribe(who: Person | str, months: int = 1, *, id: int | None = None) -> Message:
    user = person(who).encoded
    return message(
        WebcastSubNotifyMessage, id=id, key="pm_sub_success", user=user, sub_month=months
    )


def question(who: Person | str, text: str, *, id: int | None = None) -> Message:
    data = {
        "question_id": next(ids),
        "content": text,
        "create_time": int(time.time()),
        "user": person(who).encoded,
    }
    return message(WebcastQuestionNewMessage, id=id, data=data)


def emote(who: Person | str, *pictures: str, id: int | None = None) -> Message:
    """A sticker of the creator's subscribers, sent alone."""
    user = person(who)
    return message(
        WebcastEmoteChatMessage,
        id=id,
        user=user.encoded,
        emote_list=[_emote(picture) for picture in pictures],
        user_identity=user.identity,
    )


def envelope(
    who: Person | str, diamonds: int, people: int = 10, *, id: int | None = None
) -> Message:
    """A treasure chest; it names its sender by nickname and id only, there is no User in it."""
    user = person(who)
    return message(
        WebcastEnvelopeMessage,
        id=id,
        display=EnvelopeDisplay.NEW,
        envelope_info={
            "envelope_id": str(next(ids)),
            "business_type": EnvelopeBusinessType.BUSINESS_TYPE_USER_DIAMOND,
            "send_user_name": user.nickname or user.username,
            "send_user_id": str(user.user_id),
            "send_user_avatar": image(user.picture),
            "diamond_count": diamonds,
            "people_count": people,
        },
    )


def control(action: ControlAction | int, *, tips: str = "", id: int | None = None) -> Message:
    """The stream was paused, unpaused, ended or suspended."""
    return message(WebcastControlMessage, id=id, action=action, tips=tips)


def _emote(picture: str) -> dict[str, Any]:
    return {"emote_id": picture.rsplit("/", 1)[-1], "image": image(picture)}


@cache
def warm_up() -> None:
    """Build one of each: the library looks a type's fields up when it is first used, for long."""
    chat("x", "x", emotes=[("https://x", 0)])
    like("x")
    join("x")
    grand_join("x")
    viewers(1)
    follow("x")
    share("x")
    subscribe("x")
    question("x", "x")
    emote("x", "https://x")
    envelope("x", 1, 1)
    control(ControlAction.STREAM_ENDED)
    gift("x", GIFTS[0])
    battle_start(1, ["x"])
    battle_score(1, {"x": 1})
