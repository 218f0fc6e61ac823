"""People: the users that appear in messages, with the badges TikTok hangs on them."""

import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from TikTokLiveProto.v3.webcast.model.base.user import BadgeStruct, User
from TikTokLiveProto.v3.webcast.model.data import (
    BadgeDisplayType,
    BadgePriorityType,
    BadgeSceneType,
)

from tests.tiktok.wire import encode

FIRST_USER_ID: Final = 6_800_000_000_000_000_000
NOT_FOLLOWING, FOLLOWING, FRIENDS = 0, 1, 2
_PADDING: Final = {
    "use_specific": True,
    "middle_padding": 2,
    "badge_width": 32,
    "horizontal_padding_rule": 1,
    "vertical_padding_rule": 1,
}


@dataclass(frozen=True)
class Person:
    """A TikTok user as others see them in a live.

    None for a level means that the badge is absent.
    """

    username: str
    nickname: str = ""
    id: int = 0
    avatar: str = ""
    moderator: bool = False
    subscriber: bool = False
    follow_status: int = NOT_FOLLOWING
    fans_level: int | None = None
    grade: int | None = None

    @property
    def user_id(self) -> int:
        """The id given, or one that is always the same for the same username."""
        return self.id or FIRST_USER_ID + zlib.crc32(self.username.encode())

    @property
    def picture(self) -> str:
        return self.avatar or f"https://p16-sign-va.tiktokcdn.com/avatar/{self.username}.webp"

    @cached_property
    def encoded(self) -> bytes:
        """This person as a User message; encoded once, for messages are many and people few."""
        return encode(
            User,
            id=self.user_id,
            nickname=self.nickname or self.username,
            display_id=self.username,
            bio_description="live every evening \N{SPARKLES}",
            avatar_thumb=image(self.avatar) if self.avatar else self._avatar("100:100"),
            avatar_medium=self._avatar("720:720"),
            avatar_large=self._avatar("1080:1080"),
            create_time=1_600_000_000,
            modify_time=1_700_000_000,
            sec_uid=f"MS4wLjABAAAA{self.user_id:x}{self.user_id:x}",
            follow_info={
                "following_count": 317,
                "follower_count": 42,
                "follow_status": self.follow_status,
            },
            user_attr={"is_admin": self.moderator},
            user_role=1,
            badge_list=self._badges(),
        )

    def _avatar(self, size: str) -> dict[str, Any]:
        """Signed addresses are most of what TikTok sends: a chat message has three kilobytes."""
        tail = (
            f"?dr=14579&refresh_token={self.user_id:08x}&x-expires=1764201600&t=4d5b0474"
            f"&x-signature={self.user_id:x}%3D&ps=13740610&shp=fdd36af4&shcp=fdd36af4&idc=maliva"
        )
        hosts = ("p16-sign-va", "p77-sign-va", "p19-sign-va")
        urls = [
            f"https://{host}.tiktokcdn.com/tos-maliva-avt-0068/{self.user_id:x}~tplv-tiktokx-"
            f"cropcenter:{size}.webp{tail}"
            for host in hosts
        ]
        return {
            "url_list": [self.picture, *urls[:2]] if size == "100:100" else urls,
            "uri": f"{size}/tos-maliva-avt-0068/{self.user_id:x}",
        }

    @property
    def identity(self) -> dict[str, bool]:
        """What this person is to the creator, as chats, gifts and emotes carry it."""
        return {
            "is_subscriber_of_anchor": self.subscriber,
            "is_mutual_following_with_anchor": self.follow_status >= FRIENDS,
            "is_follower_of_anchor": self.follow_status >= FOLLOWING,
            "is_moderator_of_anchor": self.moderator,
        }

    def _badges(self) -> list[bytes]:
        badges = []
        if self.moderator:
            # the moderator's badge has no level of its own; TikTok sends "0"
            badges.append(_badge(BadgeSceneType.ADMIN, "0", "moderator"))
        if self.subscriber:
            badges.append(_badge(BadgeSceneType.SUBSCRIBER, "1", "sub_badge"))
        if self.grade is not None:
            badges.append(_badge(BadgeSceneType.USER_GRADE, str(self.grade), "grade_badge"))
        if self.fans_level is not None:
            badges.append(_badge(BadgeSceneType.FANS, str(self.fans_level), "fans_badge"))
        return badges


def image(url: str) -> dict[str, Any]:
    """An ImageModel of one picture, under the two addresses TikTok gives."""
    return {"url_list": [url, f"{url}?backup=1"], "uri": url.rsplit("/", 1)[-1]} if url else {}


def _badge(scene: BadgeSceneType, level: str, picture: str) -> bytes:
    return encode(
        BadgeStruct,
        display_type=BadgeDisplayType.COMBINE,
        priority_type=BadgePriorityType(20),
        scene_type=scene,
        display=True,
        privilege_log_extra={"level": level, "privilege_id": "7138381176787225382"},
        combine={
            "icon": image(f"https://p16-webcast.tiktokcdn.com/webcast-va/{picture}.png"),
            "str": level if level != "0" else "",
            "padding": _PADDING,
            "padding_new_font": _PADDING,
            "font_style": {"font_color": "#FFFFFFFF", "border_color": "#00000000"},
            "profile_card_panel": {
                "use_new_profile_card_style": True,
                "projection_config": {
                    "use_projection": True,
                    "icon": image(
                        f"https://p16-webcast.tiktokcdn.com/webcast-va/{picture}_projection.png"
                    ),
                },
                "profile_content": {"use_content": True},
            },
            "background": {
                "image": image(f"https://p16-webcast.tiktokcdn.com/webcast-va/{picture}_bg.png"),
                "background_color_code": "#99C58FB2",
            },
            "background_dark_mode": {
                "image": image(f"https://p16-webcast.tiktokcdn.com/webcast-va/{picture}_dark.png"),
                "background_color_code": "#996C456A",
            },
            "public_screen_show_style": 14,
            "personal_card_show_style": 15,
        },
    )


@lru_cache(maxsize=4096)
def named(username: str) -> Person:
    """The plain viewer of this name."""
    return Person(username)


def person(who: Person | str) -> Person:
    """Let a test write a name where it does not care who it is."""
    return named(who) if isinstance(who, str) else who
