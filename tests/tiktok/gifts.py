"""Gifts: a small catalogue, single gifts and streaks."""

from dataclasses import dataclass

from TikTokLiveProto.v3.webcast.model.message import WebcastGiftMessage

from tests.tiktok.message import Message, ids, message
from tests.tiktok.people import Person, image, person


@dataclass(frozen=True)
class GiftKind:
    """A gift of the catalogue: type 1 can be sent in a streak, type 2 is sent once."""

    id: int
    name: str
    diamonds: int
    type: int = 1

    @property
    def picture(self) -> str:
        return f"https://p16-webcast.tiktokcdn.com/img/maliva/webcast-va/gift_{self.id}.png"


ROSE = GiftKind(5655, "Rose", 1)
FINGER_HEART = GiftKind(5487, "Finger Heart", 5)
PERFUME = GiftKind(5658, "Perfume", 20)
DOUGHNUT = GiftKind(5879, "Doughnut", 30)
GALAXY = GiftKind(11046, "Galaxy", 1000, type=2)
LION = GiftKind(6369, "Lion", 29999, type=2)
GIFTS = (ROSE, FINGER_HEART, PERFUME, DOUGHNUT, GALAXY, LION)


def gift(
    who: Person | str,
    kind: GiftKind = ROSE,
    count: int = 1,
    *,
    end: bool = False,
    group: int = 0,
    to: Person | str | None = None,
    id: int | None = None,
) -> Message:
    """A gift; of a streak, its total so far, and `end` on the frame that closes it."""
    user = person(who)
    return message(
        WebcastGiftMessage,
        id=id,
        key="pm_mt_msg_gift",
        gift_id=kind.id,
        repeat_count=count,
        combo_count=count,
        group_count=1,
        repeat_end=int(end),
        group_id=group,
        user=user.encoded,
        to_user=person(to).encoded if to is not None else None,
        user_identity=user.identity,
        gift={
            "id": kind.id,
            "name": kind.name,
            "describe": f"sent {kind.name}",
            "type": kind.type,
            "combo": kind.type == 1,
            "diamond_count": kind.diamonds,
            "image": image(kind.picture),
        },
    )


def streak(
    who: Person | str,
    kind: GiftKind = ROSE,
    count: int = 3,
    *,
    group: int | None = None,
    to: Person | str | None = None,
) -> list[Message]:
    """A whole streak: 1, 2 ... count, then the closing frame that repeats the last total."""
    number = next(ids) if group is None else group
    steps = [gift(who, kind, step, group=number, to=to) for step in range(1, count + 1)]
    return [*steps, gift(who, kind, count, end=True, group=number, to=to)]
