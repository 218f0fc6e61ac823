"""The library's own classes as the oracle: what its objects say, in our words.

Reads what TikTokLiveProto parsed, and nothing of ours: every field of every event that is relayed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from TikTokLiveProto.v3.webcast.model import message as model
from TikTokLiveProto.v3.webcast.model.message import redenvelope

from server.events import (
    BattleStep,
    Chat,
    Control,
    Emote,
    EmoteShow,
    Envelope,
    Follow,
    GiftStep,
    Like,
    Question,
    Share,
    Subscribe,
    Viewer,
    ViewerJoin,
    Who,
)


def library_class(method: str) -> Any:
    """The class that the library reads messages of this method with."""
    return getattr(model, method, None) or getattr(redenvelope, method)


def expected(method: str, theirs: Any) -> object:
    """The event that the library's object stands for, None where nothing is relayed."""
    return _EVENTS[method](theirs)


def leaves(message: Any) -> Iterator[tuple[Any, str]]:
    """Every message inside a message, itself included, with the name of each of its fields."""
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        yield message, field.name
        for part in value if isinstance(value, list) else [value]:
            if dataclasses.is_dataclass(part):
                yield from leaves(part)


def _who(user: Any, identity: Any = None) -> dict[str, Any]:
    badges = {int(badge.scene_type): badge for badge in (user.badge_list if user else ())}
    levels = {
        scene: int(extra.level)
        for scene, badge in badges.items()
        if (extra := badge.privilege_log_extra)
        and extra.level.isdigit()
        and extra.level.isascii()
        and len(extra.level) <= 4
    }
    return {
        "user": (user.nickname or user.display_id) if user else "",
        "username": user.display_id if user else "",
        "user_id": str(user.id) if user and user.id > 0 else "",
        "avatar": _picture(user.avatar_thumb) if user else "",
        "moderator": 1 in badges or bool(identity and identity.is_moderator_of_anchor),
        "subscriber": bool({4, 7} & set(badges))
        or bool(identity and identity.is_subscriber_of_anchor),
        "follower": bool(user and user.follow_info and user.follow_info.follow_status > 0)
        or bool(identity and identity.is_follower_of_anchor),
        "gifter_level": levels.get(8, 0),
        "member_level": levels.get(10, 0),
    }


def _picture(image: Any) -> str:
    return next(filter(_is_theirs, image.url_list), "") if image else ""


def _is_theirs(url: str) -> bool:
    """Whether an address is one of TikTok's image hosts, read as a browser does."""
    if (
        len(url) > 2048
        or not url.isascii()
        or set(url) & set('"<>\\^`{|} ')
        or not url.isprintable()
    ):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    owner = parts.netloc.split(".")[-2:]
    known = {"tiktokcdn", "tiktokcdn-us", "tiktokcdn-eu", "ibyteimg", "byteimg", "muscdn"}
    labels = parts.netloc.split(".")
    return (
        url.startswith("https://")
        and owner[-1:] == ["com"]
        and owner[0] in known | {"ttwstatic", "tiktok"}
        and len(labels) > 2
        and all(re.fullmatch("[a-z0-9-]+", label) for label in labels)
        and parts.path.startswith("/")
    )


def _chat(theirs: Any) -> object:
    emotes = [(_picture(item.emote and item.emote.image), item.index) for item in theirs.emotes]
    return Chat(
        **_who(theirs.user, theirs.user_identity),
        message=theirs.content,
        emotes=tuple(Emote(picture=picture, at=at) for picture, at in emotes if picture),
    )


def _gift(theirs: Any) -> object:
    gift = theirs.gift
    return GiftStep(
        who=Who(**_who(theirs.user, theirs.user_identity)),
        gift_id=str(theirs.gift_id),
        gift_name=gift.name if gift else "",
        unit_diamonds=gift.diamond_count if gift else 0,
        picture=_picture(gift and gift.image),
        to=theirs.to_user.display_id if theirs.to_user else "",
        group=str(theirs.group_id),
        count=max(1, theirs.repeat_count),
        streakable=bool(gift and gift.type == 1),
        ends=theirs.repeat_end == 1,
    )


def _like(theirs: Any) -> object:
    return Like(**_who(theirs.user), count=theirs.count, total=theirs.total)


def _member(theirs: Any) -> object:
    kind = {1: ViewerJoin, 3: Subscribe}.get(int(theirs.action))
    return kind and kind(**_who(theirs.user))


def _barrage(theirs: Any) -> object:
    if int(theirs.msg_type) not in {9, 11}:
        return None
    grade, fans = theirs.user_grade_param, theirs.fans_level_param
    for user in (theirs.user, grade and grade.user, fans and fans.user):
        if user and (user.id or user.display_id):
            return ViewerJoin(**_who(user))
    return None


def _viewers(theirs: Any) -> object:
    return Viewer(current=theirs.total, total=theirs.total_user)


def _social(theirs: Any) -> object:
    text = theirs.common and theirs.common.display_text
    key = text.key if text else ""
    if "follow" in key:
        return Follow(**_who(theirs.user))
    if "share" in key:
        return Share(**_who(theirs.user))
    kind = None if key else {1: Follow, 3: Share}.get(int(theirs.action))
    return kind and kind(**_who(theirs.user))


def _subscribe(theirs: Any) -> object:
    return Subscribe(**_who(theirs.user))


def _question(theirs: Any) -> object:
    asked = theirs.data
    return Question(**_who(asked and asked.user), message=asked.content if asked else "")


def _emote(theirs: Any) -> object:
    pictures = [_picture(emote.image) for emote in theirs.emote_list]
    shown = next(filter(None, pictures), "")
    return EmoteShow(**_who(theirs.user, theirs.user_identity), picture=shown)


def _envelope(theirs: Any) -> object:
    if int(theirs.display) == 2:
        return None
    info = theirs.envelope_info
    if not info:
        return Envelope()
    return Envelope(
        user=info.send_user_name,
        user_id=info.send_user_id if info.send_user_id.isdigit() else "",
        avatar=_picture(info.send_user_avatar),
        diamonds=info.diamond_count,
    )


def _battle(theirs: Any) -> object:
    phase = {4: "start", 3: "end", 5: "end", 6: "end"}.get(int(theirs.action))
    if phase is None:
        return None
    names = {
        str(side.key): side.value.user.display_id if side.value and side.value.user else ""
        for side in theirs.anchors_info
    }
    scores = {str(side.key): side.value.hostscore if side.value else 0 for side in theirs.armies}
    return BattleStep(phase=phase, names=names, scores=scores)


def _armies(theirs: Any) -> object:
    scores = {str(key): army.hostscore for key, army in theirs.armies.items()}
    return BattleStep(phase="score", names={}, scores=scores)


def _control(theirs: Any) -> object:
    change = {1: "paused", 2: "resumed", 3: "ended", 4: "ended"}.get(int(theirs.action))
    return change and Control(change=change)


_EVENTS: Final[dict[str, Callable[[Any], object]]] = {
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
#: Every method that is read here.
METHODS: Final = frozenset(_EVENTS)
