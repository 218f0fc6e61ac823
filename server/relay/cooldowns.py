"""Failures remembered: a phone that connects meanwhile gets the same answer, and nothing goes
upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from server.errors import (
    AgeRestricted,
    AppError,
    Blocked,
    ComeBack,
    ConnectFailed,
    CreatorNotFound,
    CreatorOffline,
    PremiumRequired,
    RateLimited,
    SignKeyInvalid,
    SignUnavailable,
)
from server.relay.notices import Notice, notice

#: First and longest time that a failure is remembered, in seconds; it doubles while it lasts.
REMEMBERED_S: Final[dict[type[AppError], tuple[float, float]]] = {
    SignUnavailable: (30, 900),
    ConnectFailed: (30, 900),
    Blocked: (300, 3600),
    CreatorNotFound: (600, 600),
    AgeRestricted: (900, 900),
    PremiumRequired: (900, 900),
    SignKeyInvalid: (900, 900),
}
#: Longest a rate limit or another failure with its own time is believed.
MAX_REMEMBERED_S: Final = 86_400.0
#: The same failure again this soon after the last one means that it lasts.
LASTING_S: Final = 3600.0
MAX_CREATORS: Final = 10_000
EVERYBODY: Final = 0
#: The variant of an error that stands against the asking users only.
OF_USERS: Final = "share"


class _Failure(msgspec.Struct):
    notice: Notice
    until: float
    strikes: int


class Cooldowns:
    """What each creator's last failure was, and until when it stands. Times are epoch seconds.

    A share that is used up stands against its users only; others may still start the room.
    """

    def __init__(self, clock: Callable[[], float], *, offline_s: float) -> None:
        self._clock = clock
        self._offline_s = offline_s
        self._failures: dict[tuple[str, int], _Failure] = {}

    def current(self, creator: str, user_id: int = EVERYBODY) -> Notice | None:
        """The failure that still stands for a creator, or for this user with that creator."""
        for key in ((creator, EVERYBODY), (creator, user_id)):
            failure = self._failures.get(key)
            if failure is not None and failure.until > self._clock():
                return failure.notice
        return None

    def remember(self, creator: str, error: AppError, user_ids: Iterable[int] = ()) -> Notice:
        """Note a failure of a room with these users in it; returns what the phones are told, with
        the time to come back if any.
        """
        now = self._clock()
        keys = [(creator, EVERYBODY)]
        if error.variant == OF_USERS:
            keys = [(creator, user_id) for user_id in user_ids]
        last = self._failures.pop(keys[0], None) if keys else None
        strikes = 0
        if last is not None and last.notice.code == error.code:
            lasting = now - last.until < LASTING_S
            strikes = last.strikes + 1 if lasting else 0
        until = self._until(error, now, strikes)
        if error.come_back is ComeBack.AT_RETRY_AT and until > now:
            error.retry_at = until
        told = notice(error, creator=creator)
        if until > now:
            self._failures.update({key: _Failure(told, until, strikes) for key in keys})
            while len(self._failures) > MAX_CREATORS:
                del self._failures[next(iter(self._failures))]
        return told

    def forget(self, creator: str) -> None:
        """The creator is reached, or what caused the failure has changed."""
        self._failures.pop((creator, EVERYBODY), None)

    def forget_settings(self, creator: str) -> None:
        """Forget a failure that a new key or a new setting may have mended."""
        key = (creator, EVERYBODY)
        failure = self._failures.get(key)
        mendable = (AgeRestricted, PremiumRequired, SignKeyInvalid, RateLimited)
        if failure is not None and isinstance(failure.notice.error, mendable):
            del self._failures[key]

    def _until(self, error: AppError, now: float, strikes: int) -> float:
        if error.retry_at is not None:
            return min(max(error.retry_at, now + 1), now + MAX_REMEMBERED_S)
        if isinstance(error, CreatorOffline):
            return now + self._offline_s
        for kind, (first, longest) in REMEMBERED_S.items():
            if isinstance(error, kind):
                return now + float(min(first * 2**strikes, longest))
        return now
