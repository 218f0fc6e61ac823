"""One message of TikTok's -> what happened, in our words. Pure; see envelope.py for what is
around it.

A message that is not relayed is None, a broken one BadPayload. Users, gifts and `common` may be
absent from any message; numbers and texts come from strangers and are brought within bounds here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from google.protobuf.message import DecodeError

from server.events import (
    MAX_NUMBER,
    BattleStep,
    Chat,
    Control,
    Emote,
    EmoteShow,
    Envelope,
    Follow,
    GiftStep,
    Like,
    LiveEvent,
    Question,
    Received,
    Share,
    Subscribe,
    Viewer,
    ViewerJoin,
    Who,
)
from server.upstream import schema

#: Characters kept of what viewers write.
NAME_CHARS: Final = 128
TEXT_CHARS: Final = 2000
URL_CHARS: Final = 2048
#: Where TikTok keeps pictures. Whoever could name another host would learn who watches, and when.
PICTURE_URL: Final = re.compile(
    rb"https://(?:[a-z0-9-]+\.)+"
    rb"(?:tiktokcdn|tiktokcdn-us|tiktokcdn-eu|ibyteimg|byteimg|muscdn|ttwstatic|tiktok)\.com"
    rb"/[!#-;=?-\[\]_a-z~]*"
)
#: Emotes in one chat message, sides of one battle.
MAX_EMOTES: Final = 50
MAX_SIDES: Final = 16

# TikTok's enums: BadgeSceneType, MemberMessageAction, LinkMicBattleBattleAction, ControlAction,
# EnvelopeDisplay, BarrageMessageBarrageType.
BADGE_ADMIN, BADGE_SUBSCRIBER, BADGE_NEW_SUBSCRIBER, BADGE_GRADE, BADGE_FANS = 1, 4, 7, 8, 10
MEMBER_JOINED, MEMBER_SUBSCRIBED = 1, 3
BATTLE_PHASES: Final[dict[int, Literal["start", "end"]]] = {
    4: "start",
    3: "end",
    5: "end",
    6: "end",
}
CONTROL_CHANGES: Final[dict[int, Literal["paused", "resumed", "ended"]]] = {
    1: "paused",
    2: "resumed",
    3: "ended",
    4: "ended",
}
ENVELOPE_HIDE: Final = 2
BARRAGE_ENTRANCES: Final = frozenset({9, 11})
SOCIAL_FOLLOWED, SOCIAL_SHARED = 1, 3
GIFT_STREAKABLE: Final = 1

Decoded = LiveEvent | GiftStep | BattleStep | Control


class BadPayload(Exception):
    """A message of a relayed kind that cannot be read; only it is lost."""


def decode(method: bytes, payload: bytes, *, history: bool = False) -> Received | None:
    """What a message says, None when it is not relayed. Raises BadPayload."""
    known = _METHODS.get(method)
    if known is None:
        return None
    message_class, read = known
    try:
        message = message_class.FromString(payload)
    except DecodeError as error:
        raise BadPayload(f"{method!r}: {error}") from None
    event = read(message)
    return None if event is None else Received(message.common.msg_id, event, history)


def text(value: bytes, limit: int) -> str:
    """A stranger's text: broken UTF-8 replaced, no NUL, cut to a length."""
    return value[: limit * 4].decode("utf-8", "replace").replace("\x00", "")[:limit]


def number(value: int) -> int:
    """A stranger's number, between 0 and what JavaScript holds."""
    return min(max(value, 0), MAX_NUMBER)


def url(urls: Iterable[bytes]) -> str:
    """The first address of an image on TikTok's own hosts; nothing when there is none."""
    for value in urls:
        if len(value) <= URL_CHARS and PICTURE_URL.fullmatch(value):
            return value.decode("ascii")
    return ""


def who(user: Any, identity: Any = None) -> dict[str, Any]:
    """The fields of Who, from a user and what a message says of the user and the creator."""
    username = text(user.display_id, NAME_CHARS)
    badges = {badge.scene_type: badge for badge in user.badge_list}
    moderator = BADGE_ADMIN in badges
    subscriber = BADGE_SUBSCRIBER in badges or BADGE_NEW_SUBSCRIBER in badges
    follower = user.follow_info.follow_status > 0
    if identity is not None:
        moderator = moderator or identity.is_moderator_of_anchor
        subscriber = subscriber or identity.is_subscriber_of_anchor
        follower = follower or identity.is_follower_of_anchor
    return {
        "user": text(user.nickname, NAME_CHARS) or username,
        "username": username,
        "user_id": str(user.id) if user.id > 0 else "",
        "avatar": url(user.avatar_thumb.url_list),
        "moderator": moderator,
        "subscriber": subscriber,
        "follower": follower,
        "gifter_level": _level(badges.get(BADGE_GRADE)),
        "member_level": _level(badges.get(BADGE_FANS)),
    }


def _level(badge: Any) -> int:
    if badge is None:
        return 0
    digits = badge.privilege_log_extra.level
    return int(digits) if digits.isdigit() and len(digits) <= 4 else 0


def _chat(message: Any) -> Chat:
    emotes = tuple(
        Emote(picture=picture, at=number(item.index))
        for item in message.emotes[:MAX_EMOTES]
        if (picture := url(item.emote.image.url_list))
    )
    return Chat(
        **who(message.user, message.user_identity),
        message=text(message.content, TEXT_CHARS),
        emotes=emotes,
    )


def _gift(message: Any) -> GiftStep:
    gift = message.gift
    return GiftStep(
        who=Who(**who(message.user, message.user_identity)),
        gift_id=str(number(message.gift_id)),
        gift_name=text(gift.name, NAME_CHARS),
        unit_diamonds=number(gift.diamond_count),
        picture=url(gift.image.url_list),
        to=text(message.to_user.display_id, NAME_CHARS),
        group=str(message.group_id),
        count=max(1, number(message.repeat_count)),
        streakable=gift.type == GIFT_STREAKABLE,
        ends=message.repeat_end == 1,
    )


def _like(message: Any) -> Like:
    return Like(**who(message.user), count=number(message.count), total=number(message.total))


def _member(message: Any) -> ViewerJoin | Subscribe | None:
    if message.action == MEMBER_SUBSCRIBED:
        return Subscribe(**who(message.user))
    return ViewerJoin(**who(message.user)) if message.action == MEMBER_JOINED else None


def _barrage(message: Any) -> ViewerJoin | None:
    """Viewers of a high level enter with a banner instead of a Member message."""
    if message.msg_type not in BARRAGE_ENTRANCES:
        return None
    for user in (message.user, message.user_grade_param.user, message.fans_level_param.user):
        if user.id or user.display_id:
            return ViewerJoin(**who(user))
    return None


def _viewers(message: Any) -> Viewer:
    return Viewer(current=number(message.total), total=number(message.total_user))


def _social(message: Any) -> Follow | Share | None:
    """By the text's key, else by the action: TikTok's apps fill one or the other."""
    key = message.common.display_text.key
    if b"follow" in key or (not key and message.action == SOCIAL_FOLLOWED):
        return Follow(**who(message.user))
    if b"share" in key or (not key and message.action == SOCIAL_SHARED):
        return Share(**who(message.user))
    return None


def _subscribe(message: Any) -> Subscribe:
    return Subscribe(**who(message.user))


def _question(message: Any) -> Question:
    return Question(**who(message.data.user), message=text(message.data.content, TEXT_CHARS))


def _emote(message: Any) -> EmoteShow | None:
    pictures = [url(emote.image.url_list) for emote in message.emote_list[:MAX_EMOTES]]
    picture = next(filter(None, pictures), "")
    return EmoteShow(**who(message.user, message.user_identity), picture=picture)


def _envelope(message: Any) -> Envelope | None:
    """A chest appears; that it is hidden again is no event."""
    if message.display == ENVELOPE_HIDE:
        return None
    info = message.envelope_info
    user_id = text(info.send_user_id, NAME_CHARS)
    return Envelope(
        user=text(info.send_user_name, NAME_CHARS),
        user_id=user_id if user_id.isdigit() else "",
        avatar=url(info.send_user_avatar.url_list),
        diamonds=number(info.diamond_count),
    )


def _battle(message: Any) -> BattleStep | None:
    phase = BATTLE_PHASES.get(message.action)
    if phase is None:
        return None
    sides = message.anchors_info[:MAX_SIDES]
    names = {str(s.key): text(s.value.user.display_id, NAME_CHARS) for s in sides}
    return BattleStep(phase=phase, names=names, scores=_scores(message.armies))


def _armies(message: Any) -> BattleStep:
    return BattleStep(phase="score", names={}, scores=_scores(message.armies))


def _scores(armies: Any) -> dict[str, int]:
    return {str(army.key): number(army.value.hostscore) for army in armies[:MAX_SIDES]}


def _control(message: Any) -> Control | None:
    change = CONTROL_CHANGES.get(message.action)
    return Control(change=change) if change else None


_READERS: Final[dict[str, Callable[[Any], Decoded | None]]] = {
    "WebcastChatMessage": _chat,
    "WebcastGiftMessage": _gift,
    "WebcastLikeMessage": _like,
    "WebcastMemberMessage": _member,
    "WebcastBarrageMessage": _barrage,
    "WebcastRoomUserSeqMessage": _viewers,
    "WebcastSocialMessage": _social,
    "WebcastSubNotifyMessage": _subscribe,
    "WebcastQuestionNewMessage": _question,
    "WebcastEmoteChatMessage": _emote,
    "WebcastEnvelopeMessage": _envelope,
    "WebcastLinkMicBattle": _battle,
    "WebcastLinkMicArmies": _armies,
    "WebcastControlMessage": _control,
}
#: The methods that are decoded; all others are skipped unread.
RELAYED_METHODS: Final = frozenset(_READERS)
_METHODS: Final = {name.encode(): (schema.MESSAGES[name], read) for name, read in _READERS.items()}
