"""Traffic: a believable live: who comes, what they write, which gifts they send."""

import random
import time
from collections import deque
from typing import Final

from tests.tiktok import frames
from tests.tiktok.gifts import FINGER_HEART, GALAXY, LION, PERFUME, ROSE, GiftKind, streak
from tests.tiktok.message import Message, ids
from tests.tiktok.people import FOLLOWING, FRIENDS, NOT_FOLLOWING, Person

VIEWERS: Final = 400
# TikTok's frames hold about so many; a faster live sends more frames
PER_FRAME: Final = 20

CHATS: Final = (
    "hi!",
    "Привет из Казани 👋",
    "first time here",
    "как дела?",
    "LOL 😂😂",
    "song name?",
    "ты лучшая ❤️",
    "greetings from Brazil 🇧🇷",
    "можно привет для Маши?",
    "what camera do you use?",
    "🔥🔥🔥",
    "с днём рождения!",
    "can you say my name",
    "how long have you been doing this? I watch every evening after work and it is so calm",
)
NAMES: Final = (
    "Анна", "Oleg", "Мария 🌸", "joão", "kate", "Дмитрий", "LunaStar", "мистер Кот", "sam",
)  # fmt: skip
EMOTE: Final = "https://p16-webcast.tiktokcdn.com/webcast-va/emote_heart.png"
# kind, how often: likes and chats make a live, the rest is salt
MIX: Final = (
    ("chat", 42), ("like", 26), ("join", 15), ("gift", 7), ("viewers", 4), ("follow", 2),
    ("share", 1.5), ("grand_join", 1), ("emote", 0.7), ("question", 0.3), ("subscribe", 0.3),
    ("envelope", 0.1),
)  # fmt: skip
STREAKS: Final[tuple[GiftKind, ...]] = (ROSE, ROSE, ROSE, FINGER_HEART, PERFUME)


class Traffic:
    """An endless stream of messages; the same seed gives the same live."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._people = [self._person(number) for number in range(VIEWERS)]
        self._kinds = [kind for kind, _ in MIX]
        self._weights = [weight for _, weight in MIX]
        self._streak: deque[Message] = deque()
        self._likes = 1000
        self._now = 120
        self._total = 800

    def take(self, count: int) -> list[Message]:
        """Make the next messages."""
        return [self._next() for _ in range(count)]

    def _person(self, number: int) -> Person:
        rng = self._random
        fan = rng.random() < 0.3
        return Person(
            username=f"viewer.{number:03}",
            nickname=f"{rng.choice(NAMES)} {number}",
            moderator=number < 3,
            subscriber=rng.random() < 0.05,
            follow_status=rng.choice((NOT_FOLLOWING, NOT_FOLLOWING, FOLLOWING, FRIENDS)),
            fans_level=rng.randint(1, 30) if fan else None,
            grade=rng.randint(1, 40) if rng.random() < 0.4 else None,
        )

    def _next(self) -> Message:
        rng = self._random
        if self._streak and rng.random() < 0.5:
            return self._streak.popleft()
        who = rng.choice(self._people)
        match rng.choices(self._kinds, self._weights)[0]:
            case "like":
                self._likes += (count := rng.randint(1, 15))
                return frames.like(who, count, self._likes)
            case "join":
                self._total += 1
                self._now = max(1, self._now + rng.randint(-2, 2))
                return frames.join(who, self._now)
            case "gift":
                return self._gift(who)
            case "viewers":
                top = [(person, 100 - place) for place, person in enumerate(self._people[:3])]
                return frames.viewers(self._now, self._total, top=top)
            case "follow":
                return frames.follow(who)
            case "share":
                return frames.share(who)
            case "grand_join":
                return frames.grand_join(who, rng.randint(25, 40))
            case "emote":
                return frames.emote(who, EMOTE)
            case "question":
                return frames.question(who, "what was your first live like?")
            case "subscribe":
                return frames.subscribe(who, rng.randint(1, 12))
            case "envelope":
                return frames.envelope(who, rng.choice((20, 100, 500)))
        text = rng.choice(CHATS)
        emotes = [(EMOTE, len(text))] if rng.random() < 0.05 else []
        return frames.chat(who, text, emotes=emotes)

    def _gift(self, who: Person) -> Message:
        rng = self._random
        if rng.random() < 0.1 or self._streak:
            return frames.gift(who, rng.choice((GALAXY, LION)), group=next(ids))
        self._streak.extend(streak(who, rng.choice(STREAKS), rng.randint(1, 12)))
        return self._streak.popleft()


class Pace:
    """How many events are due, so that a rate is kept however irregular the ticks are."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._last = time.monotonic()
        self._owed = 0.0

    def due(self) -> int:
        now = time.monotonic()
        # after a pause the backlog is not made up for: no live sends a minute at once
        self._owed += min(now - self._last, 1.0) * self._rate
        self._last = now
        due = int(self._owed)
        self._owed -= due
        return due
