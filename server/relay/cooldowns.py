"""Failures remembered: a phone that connects meanwhile gets the same answer, and nothing goes
upstream, also after a restart.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Iterable
from typing import Final, NamedTuple

import msgspec

from server.clock import Clock
from server.errors import (
    ERROR_CLASSES,
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
    StoreUnavailable,
)
from server.relay.notices import Notice, notice
from server.store.cooldowns import CooldownRow, CooldownStore
from server.tasks import TaskOwner

logger = logging.getLogger(__name__)

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
MAX_FAILURES: Final = 10_000
EVERYBODY: Final = 0
#: The variant of an error that stands against the asking users only.
OF_USERS: Final = "share"


class _Key(NamedTuple):
    creator: str
    user_id: int


class _Failure(msgspec.Struct):
    """`until` is monotonic seconds."""

    notice: Notice
    until: float
    strikes: int


class Cooldowns:
    """What each creator's last failure was, and until when it stands.

    A share that is used up stands against its users only; others may still start the room.
    """

    def __init__(self, store: CooldownStore, clock: Clock, *, offline_s: float) -> None:
        self._store = store
        self._clock = clock
        self._offline_s = offline_s
        self._failures: dict[_Key, _Failure] = {}
        self._tasks = TaskOwner("cooldowns")

    async def load(self) -> None:
        """Take up what an earlier run was told. Raises StoreUnavailable."""
        for row in await self._store.all():
            kind = ERROR_CLASSES.get(row.code)
            if kind is None:
                continue
            # After a clock that was set back, a failure stands for its whole length again.
            left_s = min(row.until / 1000 - self._clock.wall(), (row.until - row.at) / 1000)
            until = self._clock.mono() + left_s
            told = notice(
                kind(variant=row.variant, retry_at=self._clock.wall_at(until)),
                creator=row.creator,
                ref=row.ref,
            )
            self._failures[_Key(row.creator, row.user_id)] = _Failure(told, until, row.strikes)

    async def close(self) -> None:
        """Write what is under way."""
        await self._tasks.drained()
        await self._tasks.close()

    def current(self, creator: str, user_id: int = EVERYBODY) -> Notice | None:
        """The failure that still stands for a creator, or for this user with that creator."""
        for key in (_Key(creator, EVERYBODY), _Key(creator, user_id)):
            failure = self._failures.get(key)
            if failure is not None and failure.until > self._clock.mono():
                return self._as_of_now(failure)
        return None

    def all(self) -> list[Notice]:
        """What stands for everybody, by creator, the latest last."""
        now = self._clock.mono()
        return [
            self._as_of_now(failure)
            for key, failure in self._failures.items()
            if key.user_id == EVERYBODY and failure.until > now
        ]

    async def remember(self, creator: str, error: AppError, user_ids: Iterable[int] = ()) -> Notice:
        """Note a failure of a room with these users in it; it is on disk when this returns.

        Returns what the phones are told, with the time to come back if any.
        """
        of_users = error.variant == OF_USERS
        keys = [_Key(creator, user) for user in (user_ids if of_users else (EVERYBODY,))]
        strikes = self._strikes(keys[0], error) if keys else 0
        now = self._clock.mono()
        until = self._until(error, now, strikes)
        if error.come_back is ComeBack.AT_RETRY_AT and until > now:
            error.retry_at = self._clock.wall_at(until)
        told = notice(error, creator=creator)
        if until > now:
            for key in keys:
                self._failures.pop(key, None)
                self._failures[key] = _Failure(told, until, strikes)
            while len(self._failures) > MAX_FAILURES:
                del self._failures[next(iter(self._failures))]
            await self._noted(self._saved(keys))
        return told

    def lift(self, creator: str) -> None:
        """The creator is reached: phones may come in. Should it fail again at once, it lasts."""
        failure = self._failures.get(_Key(creator, EVERYBODY))
        if failure is not None:
            failure.until = min(failure.until, self._clock.mono())

    def forget(self, creator: str) -> None:
        """The creator's stream goes on, or what caused the failure has changed."""
        if self._failures.pop(_Key(creator, EVERYBODY), None) is not None:
            work = self._noted(self._store.forget(creator, EVERYBODY))
            self._tasks.start(work, name=f"forget @{creator}")

    def forget_settings(self, creator: str) -> None:
        """Forget a failure that a new key or a new setting may have mended."""
        failure = self._failures.get(_Key(creator, EVERYBODY))
        mendable = (AgeRestricted, PremiumRequired, SignKeyInvalid, RateLimited)
        if failure is not None and isinstance(failure.notice.error, mendable):
            self.forget(creator)

    def _as_of_now(self, failure: _Failure) -> Notice:
        """The wall clock may have jumped since; the time that is left has not."""
        if failure.notice.retry_at is None:
            return failure.notice
        retry_at = self._clock.wall_at(failure.until)
        return msgspec.structs.replace(failure.notice, retry_at=retry_at)

    def _strikes(self, key: _Key, error: AppError) -> int:
        last = self._failures.get(key)
        if last is None or last.notice.code != error.code:
            return 0
        lasting = self._clock.mono() - last.until < LASTING_S
        return last.strikes + 1 if lasting else 0

    def _until(self, error: AppError, now: float, strikes: int) -> float:
        until = now
        for kind, (first, longest) in REMEMBERED_S.items():
            if isinstance(error, kind):
                until = now + float(min(first * 2**strikes, longest))
        if isinstance(error, CreatorOffline):
            until = now + self._offline_s
        if error.retry_at is not None:
            # An error's own time may be later than ours; an earlier one would not be kept.
            until = max(until, self._clock.mono_at(error.retry_at), now + 1)
        return min(until, now + MAX_REMEMBERED_S)

    async def _saved(self, keys: list[_Key]) -> None:
        now_ms = int(self._clock.wall() * 1000)
        rows = []
        for key in keys:
            failure = self._failures.get(key)
            if failure is None:  # there were too many
                continue
            error = failure.notice.error
            rows.append(
                CooldownRow(
                    creator=key.creator,
                    user_id=key.user_id,
                    code=error.code,
                    variant=error.variant,
                    ref=failure.notice.ref,
                    strikes=failure.strikes,
                    at=now_ms,
                    until=math.ceil(self._clock.wall_at(failure.until) * 1000),
                )
            )
        await self._store.save(rows, lapsed_ms=now_ms - int(LASTING_S * 1000))

    async def _noted(self, writing: Awaitable[None]) -> None:
        """A disk that refuses costs the memory of it over a restart, no more."""
        try:
            await writing
        except StoreUnavailable as failure:
            logger.warning("A failure could not be written down: %s", failure.detail)
