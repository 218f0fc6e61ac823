"""What happens in a live, in our words: one struct per wire frame of that kind, and the steps
behind them.

The structs are the wire shape without `id` and `ts`, which the event log adds when it numbers an
event. A field equal to its default is left out of the frame; `count`, `current` and `total` have
no default and are always there. Ids are strings, because JavaScript loses integers past 2^53.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

#: The largest integer that JavaScript holds.
MAX_NUMBER: Final = (1 << 53) - 1


class Frame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False
):
    """Base of every struct that becomes a wire frame; `type` is the struct's tag."""


class Who(Frame, frozen=True, kw_only=True):
    """The viewer an event is about. `user` is the name to show, `username` the @handle."""

    user: str = ""
    username: str = ""
    user_id: str = ""
    avatar: str = ""
    moderator: bool = False
    subscriber: bool = False
    follower: bool = False
    gifter_level: int = 0
    member_level: int = 0


class Emote(msgspec.Struct, frozen=True, kw_only=True):
    """A picture inside a chat message; `at` is its position in characters."""

    picture: str
    at: int


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a battle."""

    username: str
    score: int


class Chat(Who, frozen=True, kw_only=True, tag="chat"):
    """A chat message."""

    message: str = ""
    emotes: tuple[Emote, ...] = ()


class Gift(Who, frozen=True, kw_only=True, tag="gift"):
    """A gift, counted once. `diamonds` is of all `count` together; `to` names a guest.

    Of a combo, `combo` is its id and `final` marks its last frame; for phones with combo=live,
    `count` and `diamonds` of the earlier frames are running totals.
    """

    gift_id: str = ""
    gift_name: str = ""
    count: int
    diamonds: int = 0
    picture: str = ""
    to: str = ""
    combo: str = ""
    final: bool = False


class Like(Who, frozen=True, kw_only=True, tag="like"):
    """`count` likes at once; `total` of the live so far."""

    count: int
    total: int


class ViewerJoin(Who, frozen=True, kw_only=True, tag="viewer_join"):
    """A viewer entered."""


class Follow(Who, frozen=True, kw_only=True, tag="follow"):
    """A viewer follows the creator."""


class Share(Who, frozen=True, kw_only=True, tag="share"):
    """A viewer shared the live."""


class Subscribe(Who, frozen=True, kw_only=True, tag="subscribe"):
    """A viewer subscribed to the creator."""


class Viewer(Frame, frozen=True, kw_only=True, tag="viewer"):
    """Viewers now (`current`) and since the live began (`total`)."""

    current: int
    total: int


class Question(Who, frozen=True, kw_only=True, tag="question"):
    """A question to the creator."""

    message: str = ""


class EmoteShow(Who, frozen=True, kw_only=True, tag="emote"):
    """A large emote shown on its own."""

    picture: str = ""


class Envelope(Who, frozen=True, kw_only=True, tag="envelope"):
    """A treasure chest with diamonds."""

    diamonds: int = 0


class Battle(Frame, frozen=True, kw_only=True, tag="battle"):
    """A battle between creators: it starts, the score moves, it ends."""

    phase: Literal["start", "score", "end"]
    sides: tuple[Side, ...] = ()


LiveEvent = (
    Chat
    | Gift
    | Like
    | ViewerJoin
    | Follow
    | Share
    | Subscribe
    | Viewer
    | Question
    | EmoteShow
    | Envelope
    | Battle
)

#: The names a phone may ask for in `types=`; `status`, `gap` and `error` always come.
LIVE_EVENT_TYPES: frozenset[str] = frozenset(
    {
        "chat",
        "gift",
        "like",
        "viewer_join",
        "follow",
        "share",
        "subscribe",
        "viewer",
        "question",
        "emote",
        "envelope",
        "battle",
    }
)


class GiftStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One gift message of TikTok: a whole gift, or a step of a combo. relay/combos.py counts them.

    `streakable` gifts (TikTok's type 1) come as steps whose `count` is the running total of the
    combo `group`; `ends` marks the last of them. `unit_diamonds` is the price of one.
    """

    who: Who
    gift_id: str
    gift_name: str
    unit_diamonds: int
    picture: str
    to: str
    group: str
    count: int
    streakable: bool
    ends: bool


class BattleStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message about a battle, by TikTok's ids: scores come without names. relay/battles.py
    remembers them.
    """

    phase: Literal["start", "score", "end"]
    names: dict[str, str]
    scores: dict[str, int]


class Control(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The live itself changes: TikTok paused, resumed or ended it."""

    change: Literal["paused", "resumed", "ended"]


class Received(NamedTuple):
    """One decoded message: TikTok's message id (0 when it has none) and what it says.

    `history`: it happened before the connection that brought it.
    """

    msg_id: int
    event: LiveEvent | GiftStep | BattleStep | Control
    history: bool = False
