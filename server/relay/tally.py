"""What a live came to: the sums behind the `summary` of `status: ended`."""

from __future__ import annotations

from typing import Final

from server.events import MAX_NUMBER, Chat, Follow, Gift, Like, LiveEvent, Share, Viewer
from server.relay.messages import Gifter, Summary

TOP_GIFTERS: Final = 5
#: Viewers whose gifts are added up; beyond it only those already known are.
MAX_GIFTERS: Final = 20_000


class Tally:
    """Sums over one live, from its first connection to its end."""

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._chats = self._gifts = self._diamonds = 0
        self._likes = self._likes_total = 0
        self._follows = self._shares = self._peak = 0
        self._gifters: dict[str, Gifter] = {}

    def count(self, event: LiveEvent) -> None:
        """Take in one published event; steps of a combo must not come here."""
        match event:
            case Chat():
                self._chats += 1
            case Gift():
                self._gifts += event.count
                self._diamonds += event.diamonds
                self._add_gifter(event)
            case Like():
                self._likes += event.count
                self._likes_total = max(self._likes_total, event.total)
            case Viewer():
                self._peak = max(self._peak, event.current)
            case Follow():
                self._follows += 1
            case Share():
                self._shares += 1
            case _:
                pass

    def _add_gifter(self, gift: Gift) -> None:
        key = gift.user_id or gift.username
        known = self._gifters.get(key)
        if known is None and len(self._gifters) >= MAX_GIFTERS:
            return
        diamonds = min(gift.diamonds + (known.diamonds if known else 0), MAX_NUMBER)
        self._gifters[key] = Gifter(user=gift.user, username=gift.username, diamonds=diamonds)

    def summary(self, now: float) -> Summary:
        """The sums so far. TikTok's own total of likes counts from before we came, so it wins."""
        top = sorted(self._gifters.values(), key=lambda g: g.diamonds, reverse=True)
        return Summary(
            duration_s=int(now - self._started_at),
            chats=self._chats,
            gifts=min(self._gifts, MAX_NUMBER),
            diamonds=min(self._diamonds, MAX_NUMBER),
            likes=min(max(self._likes, self._likes_total), MAX_NUMBER),
            follows=self._follows,
            shares=self._shares,
            peak_viewers=self._peak,
            top=tuple(gifter for gifter in top[:TOP_GIFTERS] if gifter.diamonds),
        )
