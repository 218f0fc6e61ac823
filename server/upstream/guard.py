"""Stands before every sign request: who may ask the sign server now, and when the others may come
back.

A budget per key (budget.py; no key is a key too), a share per user (shares.py), a breaker over the
sign server (breaker.py). What is spent is on disk before it is sent. In process time is monotonic;
on disk, and to phones, it is the wall clock's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from server.config import SignSettings
from server.errors import AppError, RateLimited, SignUnavailable, StoreUnavailable
from server.store.limits import BlockRow, LimitStore, SpentRow
from server.tasks import TaskOwner
from server.upstream.breaker import Breaker
from server.upstream.budget import WINDOWS_S, Budget
from server.upstream.probe import LimitsLeft
from server.upstream.retry_after import SignRateLimited
from server.upstream.shares import Shares

logger = logging.getLogger(__name__)

#: The end of a block is spread a little, for others wait for the same moment.
BLOCK_JITTER_S: Final = 0.5
MAX_BLOCK_S: Final = 86_400.0
#: How often a key's limits are asked for, and how long that may take.
LOOK_EVERY_S: Final = 900.0
LOOK_TIMEOUT_S: Final = 2.0
#: What says the wait of a 429 when no header did; then the limits are looked at.
GUESSED: Final = frozenset({"label", "default"})
ANONYMOUS: Final = "anonymous"

#: Asks the sign server what is left of a key's limits; nothing when it does not tell.
Look = Callable[[str], Awaitable[Sequence[LimitsLeft]]]


class Clock(NamedTuple):
    """Time as the guard takes it: `mono` to wait, `wall` (epoch seconds) to tell and write."""

    mono: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Ask(NamedTuple):
    """A wish to sign: for which creator, with which key, for whom.

    `own_key`: the key is a user's own, so no share is taken. `again`: phones have lost a stream
    that they saw.
    """

    creator: str
    key: str = ""
    user_ids: tuple[int, ...] = ()
    own_key: bool = False
    again: bool = False


class Account(msgspec.Struct):
    """A key: its name on disk, its budget, and whether it must prove itself after a block."""

    name: str
    budget: Budget
    proving: bool = False
    #: Set when the request that proves the key has come back; None while none is under way.
    landed: asyncio.Event | None = None
    looked_at: float = -math.inf


class Permit(msgspec.Struct):
    """Leave to send one sign request. settle() it, or abandon() it when its end is not known."""

    guard: Guard
    account: Account
    ask: Ask
    at: float
    user_id: int
    probe: bool
    request_id: int = 0

    async def settle(self, error: AppError | None, *, unsent: bool = False) -> None:
        """Say what came of it. After a 429 `error.retry_at` becomes the place kept for the room."""
        await self.guard.settle(self, error, unsent=unsent)

    def abandon(self) -> None:
        """The attempt was cancelled on the way; it counts as spent."""
        self.guard.land(self)


class Guard:
    """Every sign request of the process goes through `admit`."""

    def __init__(
        self, settings: SignSettings, store: LimitStore, look: Look, *, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._look = look
        self._clock = clock or Clock()
        self._accounts: dict[str, Account] = {}
        self._shares = Shares()
        self._breaker = Breaker()
        self._tasks = TaskOwner("guard")

    async def load(self) -> None:
        """Take up what an earlier run has spent and was told. Raises StoreUnavailable."""
        mono, wall = self._clock.mono(), self._clock.wall()
        await self._store.prune(int((wall - WINDOWS_S["day"]) * 1000))
        for row in await self._store.spent():
            # Rows of the future are a clock that was set back: they count as just spent.
            at = mono - max(0.0, wall - row.at / 1000)
            self._named(row.key_name).budget.take(at)
            if row.user_id:
                self._shares.start(row.user_id, at)
        for block in await self._store.blocks():
            left = _left_of(block, wall)
            if left > 0 and not block.creator:
                account = self._named(block.key_name)
                account.budget.block(mono + left)
                account.proving = True

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.close()

    def blocked_until(self, key: str) -> float:
        """Until when the sign server refuses a key (epoch seconds), 0 when it does not."""
        until = self._account(key).budget.blocked_until
        return self._wall_at(until) if until > self._clock.mono() else 0.0

    # ---- before a request

    async def admit(self, ask: Ask) -> Permit:
        """Wait for a place, at most sign.max_wait_s; the request is on disk when this returns.

        Raises RateLimited with the time of a place that is kept, SignUnavailable while the breaker
        is open, StoreUnavailable when a new room cannot be written down.
        """
        self._check_breaker()
        account = self._account(ask.key)
        user_id = self._charged(ask)
        self._look_later(account, ask.key)
        permit = await self._placed(account, ask, user_id)
        try:
            while (wait := permit.at - self._clock.mono()) > 0:
                await self._clock.sleep(wait)
            if account.budget.blocked_until > self._clock.mono():
                raise self._refusal(account, ask)
            self._check_breaker()
            permit.request_id = await self._write_down(permit)
        except BaseException:
            self._give_back(permit)
            raise
        self._breaker.trying(self._clock.mono())
        return permit

    async def _placed(self, account: Account, ask: Ask, user_id: int) -> Permit:
        """A place within the time a phone may wait; behind a request that proves the key."""
        deadline = self._clock.mono() + self._settings.max_wait_s
        while (landed := account.landed) is not None and self._clock.mono() < deadline:
            await self._until_set(landed, deadline)
        now = self._clock.mono()
        at = account.budget.place(now, again=ask.again, holder=ask.creator)
        blocked = account.budget.blocked_until > now or account.landed is not None
        if blocked or at - now > self._settings.max_wait_s:
            raise self._refusal(account, ask)
        if account.proving:
            account.landed = asyncio.Event()
        account.budget.take(at, again=ask.again, holder=ask.creator)
        if user_id:
            self._shares.start(user_id, at)
        return Permit(self, account, ask, at, user_id, account.proving)

    async def _until_set(self, landed: asyncio.Event, deadline: float) -> None:
        """Wait for a landing or the deadline, whichever comes first, by the guard's clock."""
        waits = {
            self._tasks.start(landed.wait(), name="landing"),
            self._tasks.start(self._sleep_until(deadline), name="deadline"),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _sleep_until(self, deadline: float) -> None:
        await self._clock.sleep(max(0.0, deadline - self._clock.mono()))

    def _charged(self, ask: Ask) -> int:
        """Whose share the request is taken from, 0 for nobody's. Raises RateLimited."""
        if ask.own_key or ask.again or not ask.user_ids:
            return 0
        now = self._clock.mono()
        user_id = self._shares.free(ask.user_ids, now)
        if not user_id:
            opens_at = self._shares.opens_at(ask.user_ids, now)
            raise RateLimited(
                "guard: the share of every asking user is used up",
                retry_at=self._wall_at(opens_at),
                variant="share",
            )
        return user_id

    def _check_breaker(self) -> None:
        until = self._breaker.open_until(self._clock.mono())
        if until is not None:
            raise SignUnavailable("guard: the breaker is open", retry_at=self._wall_at(until))

    async def _write_down(self, permit: Permit) -> int:
        row = SpentRow(
            key_name=permit.account.name,
            creator=permit.ask.creator,
            user_id=permit.user_id,
            at=int(self._clock.wall() * 1000),
        )
        try:
            return await self._store.spend(row)
        except StoreUnavailable as error:
            if not permit.ask.again:
                raise
            # A live that is running may draw on the budget in memory.
            logger.error("A sign request could not be written down: %s", error.detail)
            return 0

    def _refusal(self, account: Account, ask: Ask) -> RateLimited:
        now = self._clock.mono()
        at = account.budget.promise(now, again=ask.again, holder=ask.creator)
        return RateLimited(f"guard: {at - now:.0f} s until a place", retry_at=self._wall_at(at))

    def _give_back(self, permit: Permit) -> None:
        permit.account.budget.give_back(permit.at)
        self._shares.give_back(permit.user_id, permit.at)
        self.land(permit)

    # ---- after a request

    async def settle(self, permit: Permit, error: AppError | None, *, unsent: bool) -> None:
        """See Permit.settle."""
        account, now = permit.account, self._clock.mono()
        if unsent:
            self._give_back(permit)
            self._breaker.failed(now)
            await self._noted(self._store.give_back(permit.request_id))
            return
        if isinstance(error, SignRateLimited):
            await self._block(permit, error)
        elif isinstance(error, SignUnavailable):
            self._breaker.failed(now)
        else:
            self._breaker.answered()
            account.proving = account.proving and error is not None
        self.land(permit)
        outcome = error.code if error is not None else "ok"
        await self._noted(self._store.note_outcome(permit.request_id, outcome))

    def land(self, permit: Permit) -> None:
        """Whoever waits for the key to prove itself looks again."""
        account = permit.account
        if permit.probe and account.landed is not None:
            account.landed.set()
            account.landed = None

    async def _block(self, permit: Permit, error: SignRateLimited) -> None:
        self._breaker.answered()
        account = permit.account
        if error.wait.source in GUESSED:
            await self._correct_by_look(permit, error)
        now, wall = self._clock.mono(), self._clock.wall()
        until = (error.retry_at or wall) + random.uniform(0, BLOCK_JITTER_S)
        row = BlockRow(
            key_name=account.name,
            creator=permit.ask.creator if error.of_room else "",
            at=int(wall * 1000),
            until=math.ceil(until * 1000),
            source=error.wait.source,
            headers=json.dumps(error.headers),
        )
        if not error.of_room:
            account.budget.block(now + min(until - wall, MAX_BLOCK_S))
            account.proving = True
            at = account.budget.promise(now, again=permit.ask.again, holder=permit.ask.creator)
            error.retry_at = self._wall_at(at)
        await self._noted(self._store.block(row))

    async def _correct_by_look(self, permit: Permit, error: SignRateLimited) -> None:
        """No header told the wait: the limits themselves may."""
        limits = await self._looked(permit.account, permit.ask.key)
        resets = [limit.reset_at for limit in limits if limit.remaining <= 0 and limit.reset_at]
        if resets:
            wall = self._clock.wall()
            error.retry_at = min(max(max(resets), wall + 1), wall + MAX_BLOCK_S)

    async def _noted(self, writing: Awaitable[None]) -> None:
        """What was spent is on disk already; what came of it is good to know, no more."""
        try:
            await writing
        except StoreUnavailable as failure:
            logger.warning("The sign budget could not be noted: %s", failure.detail)

    # ---- the limits that the sign server reports

    def _look_later(self, account: Account, key: str) -> None:
        if self._clock.mono() - account.looked_at >= LOOK_EVERY_S:
            account.looked_at = self._clock.mono()
            self._tasks.start(self._looked(account, key), name="limits")

    async def _looked(self, account: Account, key: str) -> Sequence[LimitsLeft]:
        """Ask what is left, within LOOK_TIMEOUT_S, and hold the budget to it."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                limits = await self._look(key)
        except TimeoutError:
            return ()
        now, wall = self._clock.mono(), self._clock.wall()
        for limit in limits:
            account.budget.limits[limit.window] = limit.maximum
            reset_s = limit.reset_at - wall if limit.reset_at else WINDOWS_S[limit.window]
            reset_s = min(max(reset_s, 0.0), WINDOWS_S[limit.window])
            account.budget.close_window(
                limit.window, left=limit.remaining, now=now, until=now + reset_s
            )
        return limits

    # ---- keys

    def _account(self, key: str) -> Account:
        return self._named(hashlib.sha256(key.encode()).hexdigest() if key else ANONYMOUS)

    def _named(self, name: str) -> Account:
        if name not in self._accounts:
            limits: dict[str, int] = {}
            if name == ANONYMOUS:
                limits = msgspec.structs.asdict(self._settings.anonymous_limits)
            self._accounts[name] = Account(name, Budget(limits, self._settings.min_interval_s))
        return self._accounts[name]

    def _wall_at(self, mono: float) -> float:
        return self._clock.wall() + mono - self._clock.mono()


def _left_of(block: BlockRow, wall: float) -> float:
    """Seconds that a block still lasts; after a clock that was set back, its whole length."""
    length = (block.until - block.at) / 1000
    return min(block.until / 1000 - wall, length, MAX_BLOCK_S)
