"""Stands before every sign request: who may ask the sign server now, and when the others may come
back.

A budget per key (account.py, budget.py), a share per user and limits per room (shares.py,
roomlimits.py), a breaker over the sign server (breaker.py). What is spent is on disk before it is
sent (ledger.py). Time here is monotonic; phones are told the wall clock's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final, NamedTuple

import msgspec

from server.clock import Clock
from server.config import SignSettings
from server.errors import AppError, ConnectFailed, RateLimited, SignUnavailable, StoreUnavailable
from server.store.limits import LimitStore
from server.tasks import TaskOwner
from server.upstream.guard.account import Account, KeyReport, account_name
from server.upstream.guard.breaker import Breaker
from server.upstream.guard.budget import HELD_S
from server.upstream.guard.ledger import Block, Ledger
from server.upstream.guard.looks import Look, Looks
from server.upstream.guard.roomlimits import RoomLimits
from server.upstream.guard.shares import Shares
from server.upstream.retry_after import MAX_WAIT_S, MIN_WAIT_S, SignRateLimited

logger = logging.getLogger(__name__)

#: A request that proves a key is waited for so long: it ends within this, whatever it ends in.
LANDING_WAIT_S: Final = 25.0
#: The end of a block is spread a little, for others wait for the same moment.
BLOCK_JITTER_S: Final = 0.5
#: What says the wait of a 429 when no header did; then the limits are looked at.
GUESSED: Final = frozenset({"label", "default"})


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


class Permit(msgspec.Struct):
    """Leave to send one sign request. settle() it, or abandon() it when its end is not known."""

    guard: Guard
    account: Account
    ask: Ask
    at: float
    user_id: int
    #: The request that proves the key: the others wait for its answer.
    probe: bool
    request_id: int = 0

    async def settle(self, error: AppError | None, *, unsent: bool = False) -> None:
        """Say what came of it. A time to come back that the guard knows is put into `error`."""
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
        self._clock = clock or Clock()
        self._tasks = TaskOwner("guard")
        self._ledger = Ledger(store, self._clock)
        self._looks = Looks(look, self._clock, self._tasks)
        self._accounts: dict[str, Account] = {}
        self._shares = Shares()
        self._rooms = RoomLimits()
        self._breaker = Breaker()

    async def load(self, *, only_look: bool = False) -> None:
        """Take up what an earlier run has spent, was told, and has promised.

        `only_look`: a server may be running beside this, so the ledger is left as it is. Raises
        StoreUnavailable.
        """
        earlier = await self._ledger.read(only_look=only_look)
        for spent in earlier.spent:
            self._named(spent.key_name).budget.take(spent.at, again=spent.again)
            if spent.user_id:
                self._shares.take(spent.user_id, spent.creator, spent.at)
        for block in earlier.blocks:
            if block.creator:
                self._rooms.block(block.creator, block.until)
            else:
                self._named(block.key_name).obey(block)
        for key_name, creator, promise in earlier.promises:
            self._named(key_name).budget.restore(creator, promise)

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.close()

    def usable(self, key: str) -> bool:
        """Whether a request with this key might go now: neither blocked nor refused."""
        account, now = self._account(key), self._clock.mono()
        return account.budget.blocked_until <= now and account.fault(now) is None

    def closed_until(self, key: str) -> float:
        """Until when a new room would be refused with a key (epoch seconds), 0 if it would not."""
        budget, now = self._account(key).budget, self._clock.mono()
        opens_at = max(budget.blocked_until, budget.place(now))
        if budget.blocked_until <= now and opens_at - now <= self._settings.max_wait_s:
            return 0.0
        return self._clock.wall_at(opens_at)

    def report(self) -> list[KeyReport]:
        """Every key that was asked with, for the console."""
        return [account.report(self._clock) for account in self._accounts.values()]

    # ---- before a request

    async def admit(self, ask: Ask) -> Permit:
        """Wait for a place, at most sign.max_wait_s; the request is on disk when this returns.

        Raises RateLimited with the time of a place that is kept, the error of a key that is
        refused, SignUnavailable while the breaker is open, ConnectFailed when the room has asked
        too often, StoreUnavailable when a new room cannot be written down.
        """
        account = self._account(ask.key)
        self._check(account, ask)
        self._looks.later(account)
        user_id = self._charged(account, ask)
        now = self._clock.mono()
        due = account.budget.is_due(ask.creator, now)
        patience_s = HELD_S if due else self._settings.max_wait_s
        while True:
            await self._landing(account, until=now + LANDING_WAIT_S)
            permit = await self._placed(account, ask, user_id, patience_s)
            try:
                await self._clock.sleep_until(permit.at)
                self._check(account, ask)
                if self._may_go(permit):
                    permit.request_id = await self._write_down(permit)
                    break
            except BaseException:
                self._give_back(permit)
                raise
            self._give_back(permit)
        account.flying.append(permit.at)
        self._breaker.trying(self._clock.mono())
        return permit

    def _check(self, account: Account, ask: Ask) -> None:
        """Raise what stands against a request whatever the budget says."""
        now = self._clock.mono()
        if (until := self._breaker.open_until(now)) is not None:
            raise SignUnavailable("guard: the breaker is open", retry_at=self._clock.wall_at(until))
        if (fault := account.fault(now)) is not None:
            raise fault
        if (until := self._rooms.blocked_until(ask.creator, now)) > now:
            raise RateLimited("guard: the room is limited", retry_at=self._clock.wall_at(until))
        if (opens_at := self._rooms.opens_at(ask.creator, now)) > now:
            raise ConnectFailed(
                "guard: the room asks too often", retry_at=self._clock.wall_at(opens_at)
            )

    def _charged(self, account: Account, ask: Ask) -> int:
        """Whose share the request is taken from, 0 for nobody's. Raises RateLimited."""
        if ask.own_key or ask.again or not ask.user_ids:
            return 0
        now = self._clock.mono()
        opens = {
            user_id: self._shares.opens_at(
                user_id,
                ask.creator,
                now,
                account.budget.promised_to(user_id, but=ask.creator),
            )
            for user_id in ask.user_ids
        }
        first = min(opens, key=lambda user_id: opens[user_id])
        if opens[first] > now:
            raise RateLimited(
                "guard: the share of every asking user is used up",
                retry_at=self._clock.wall_at(opens[first]),
                variant="share",
            )
        return first

    async def _landing(self, account: Account, *, until: float) -> None:
        """Wait until no request is out to prove the key. Raises SignUnavailable if one stays."""
        while (landed := account.landed) is not None:
            if self._clock.mono() >= until:
                raise SignUnavailable("guard: the request before this one is not answered")
            waits = {
                self._tasks.start(landed.wait(), name="landing"),
                self._tasks.start(self._clock.sleep_until(until), name="deadline"),
            }
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def _placed(self, account: Account, ask: Ask, user_id: int, patience_s: float) -> Permit:
        """A place that is not too far off. Raises RateLimited."""
        now = self._clock.mono()
        at = account.budget.place(now, again=ask.again, holder=ask.creator)
        if account.budget.blocked_until > now or at - now > patience_s:
            at = await self._promise(account, ask, user_id)
            raise RateLimited(
                f"guard: {at - now:.0f} s until a place", retry_at=self._clock.wall_at(at)
            )
        if account.proving:
            account.landed = asyncio.Event()
        account.budget.take(at, again=ask.again, holder=ask.creator)
        if user_id:
            self._shares.take(user_id, ask.creator, at)
        return Permit(self, account, ask, at, user_id, account.proving)

    def _may_go(self, permit: Permit) -> bool:
        """Whether nothing has come in between while a permit waited for its place."""
        account = permit.account
        blocked = account.budget.blocked_until > self._clock.mono()
        return not blocked and (permit.probe or not account.proving)

    async def _write_down(self, permit: Permit) -> int:
        ask = permit.ask
        self._rooms.take(ask.creator, permit.at)
        try:
            return await self._ledger.spend(
                permit.account.name, ask.creator, user_id=permit.user_id, again=ask.again
            )
        except StoreUnavailable as error:
            if not ask.again:
                raise
            # A live that is running may draw on the budget in memory.
            logger.error("A sign request could not be written down: %s", error.detail)
            return 0

    async def _promise(self, account: Account, ask: Ask, user_id: int) -> float:
        """Keep a place, also over a restart."""
        at = account.budget.promise(
            self._clock.mono(), again=ask.again, holder=ask.creator, user_id=user_id
        )
        await self._ledger.promise(account.name, ask.creator, user_id=user_id, at=at)
        return at

    def _give_back(self, permit: Permit) -> None:
        permit.account.budget.give_back(permit.at)
        self._shares.give_back(permit.user_id, permit.ask.creator, permit.at)
        self._rooms.give_back(permit.ask.creator, permit.at)
        self.land(permit)

    # ---- after a request

    async def settle(self, permit: Permit, error: AppError | None, *, unsent: bool) -> None:
        """See Permit.settle."""
        try:
            if unsent:
                self._give_back(permit)
                self._failed(error)
                await self._ledger.give_back(permit.request_id)
                return
            permit.account.budget.answered(permit.at, self._clock.mono())
            await self._learn(permit, error)
            outcome = error.code if error is not None else "ok"
            await self._ledger.answered(permit.request_id, outcome)
        finally:
            self.land(permit)

    async def _learn(self, permit: Permit, error: AppError | None) -> None:
        """What the answer says of the sign server, of the key, and of the room."""
        account = permit.account
        if isinstance(error, SignUnavailable):
            self._failed(error)
            return
        self._breaker.answered()
        if isinstance(error, SignRateLimited):
            await self._block(permit, error)
        elif error is not None and error.of_key:
            account.blame(error, self._clock.mono())
            self._rooms.give_back(permit.ask.creator, permit.at)
        elif account.proving:
            account.proving = False
            await self._ledger.unblock(account.name)

    def land(self, permit: Permit) -> None:
        """The request is over: whoever waits for the key to prove itself looks again."""
        account = permit.account
        if permit.at in account.flying:
            account.flying.remove(permit.at)
        if permit.probe and account.landed is not None:
            account.landed.set()
            account.landed = None

    def _failed(self, error: AppError | None) -> None:
        """The sign server gave no usable answer; enough of that, and nobody asks for a while."""
        now = self._clock.mono()
        self._breaker.failed(now)
        until = self._breaker.open_until(now)
        if until is not None and error is not None:
            error.retry_at = self._clock.wall_at(until)

    async def _block(self, permit: Permit, error: SignRateLimited) -> None:
        """Obey a 429; the room that met it is the first to be promised a place."""
        account, creator = permit.account, permit.ask.creator
        now = self._clock.mono()
        until, source = now + error.wait.seconds, str(error.wait.source)
        if source in GUESSED and (reset := await self._reset_of(account)) is not None:
            until, source = reset, "rate_limits"
        until += random.uniform(0, BLOCK_JITTER_S)
        scope = creator if error.of_room else ""
        block = Block(account.name, scope, now, until, source, error.headers)
        if error.of_room:
            self._rooms.block(creator, until)
        else:
            account.obey(block)
        await self._ledger.block(block)
        if not error.of_room:
            until = await self._promise(account, permit.ask, permit.user_id)
        error.retry_at = self._clock.wall_at(until)

    async def _reset_of(self, account: Account) -> float | None:
        """No header told the wait: the limits themselves may. When the last of them resets."""
        limits = await self._looks.now(account)
        resets = [
            limit.reset_s for limit in limits if limit.remaining <= 0 and limit.reset_s is not None
        ]
        if not resets:
            return None
        return self._clock.mono() + min(max(*resets, MIN_WAIT_S), MAX_WAIT_S)

    # ---- keys

    def _account(self, key: str) -> Account:
        account = self._named(account_name(key))
        account.key = key
        return account

    def _named(self, name: str) -> Account:
        if name not in self._accounts:
            self._accounts[name] = Account(name, self._settings)
        return self._accounts[name]
