"""Whatever rooms, users, answers, restarts and clocks do: the sign server never has to refuse.

A state machine over the real guard and a real ledger, by a clock that it moves. Its sign server
counts every request in true time and lets through what the limits allow.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.config import SignLimits
from server.errors import AppError, Blocked, SignKeyInvalid, SignUnavailable
from server.upstream.guard import Ask, Permit
from server.upstream.guard.account import ANONYMOUS, account_name
from server.upstream.retry_after import WINDOWS_S
from tests.house import House

CREATORS = st.sampled_from("abcdefgh")
KEYS = ("", "own key one", "own key two")


class Sent(NamedTuple):
    """A request that the sign server has counted, in true (monotonic) time."""

    key: str
    at: float


class Machine(RuleBasedStateMachine):
    """Requests are asked for, sent, answered, given up; time passes; the server restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.jumps = False
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.asking: dict[asyncio.Task[Permit], Ask] = {}
        self.flying: list[Permit] = []
        self.sent: list[Sent] = []
        self.refused = 0
        #: Restarts after the wall clock was set forward: what was spent looks older than it is.
        self.forgiven = 0
        self.jumped = False
        self.blocked_until: dict[str, float] = {}

    @initialize(
        minute=st.integers(1, 4),
        more=st.integers(0, 10),
        interval=st.sampled_from([0.0, 1.0, 9.0]),
        jumps=st.booleans(),
    )
    def begin(self, minute: int, more: int, interval: float, jumps: bool) -> None:
        self.jumps = jumps
        self.limits = SignLimits(minute=minute, hour=minute + more, day=minute + 2 * more)
        self.house = House(
            Path(self.folder.name) / "liverelay.db",
            anonymous_limits=self.limits,
            min_interval_s=interval,
        )
        self.run(self.house.start())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "house"):
            self.run(self._end())
            self.run(self.house.stop())
        self.loop.close()
        self.folder.cleanup()

    async def _end(self) -> None:
        for task in self.asking:
            task.cancel()
        await asyncio.gather(*self.asking, return_exceptions=True)
        self.asking.clear()
        self.flying.clear()

    async def _collect(self) -> None:
        """Send what was let through."""
        await self.house.quiet()
        for task in [task for task in self.asking if task.done()]:
            del self.asking[task]
            error = task.exception()
            if error is None:
                permit = task.result()
                self._count(permit)
                self.flying.append(permit)
            else:
                assert isinstance(error, AppError), error
                assert error.retry_at is None or error.retry_at > self.house.time.wall - 0.01

    def _count(self, permit: Permit) -> None:
        """The sign server gets a request; it counts it now or any time until its answer."""
        key, now = permit.ask.key, self.house.time.mono
        assert now >= self.blocked_until.get(key, 0.0), "sent within a block"
        self.sent.append(Sent(key, now))
        self._look_at_windows(key, now)

    def _look_at_windows(self, key: str, now: float) -> None:
        if key:
            return
        times = [s.at for s in self.sent if s.key == key]
        for window, length in WINDOWS_S.items():
            held = sum(1 for at in times if now - length < at - 1e-6)
            if held > getattr(self.limits, window):
                self.refused += 1
                break

    # ---- what rooms do

    @rule(
        creator=CREATORS,
        users=st.lists(st.integers(1, 3), max_size=2, unique=True),
        again=st.booleans(),
        key=st.sampled_from(["", "", "", *KEYS]),
    )
    def ask(self, creator: str, users: list[int], again: bool, key: str) -> None:
        ask = Ask(creator, key, tuple(users), own_key=bool(key), again=again)

        async def begin() -> None:
            self.asking[asyncio.ensure_future(self.house.guard.admit(ask))] = ask
            await self._collect()

        self.run(begin())

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.asking) - 1), label="who")
        task = list(self.asking)[index]
        del self.asking[task]

        async def cancel() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._collect()

        self.run(cancel())

    # ---- what the sign server answers

    @precondition(lambda self: self.flying)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["ok", "ok", "ok", "502", "401", "blocked", "cancelled"]),
    )
    def answer(self, data: st.DataObject, kind: str) -> None:
        permit = self._land(data)
        errors = {"502": SignUnavailable, "401": SignKeyInvalid, "blocked": Blocked}

        async def settle() -> None:
            if kind == "cancelled":
                permit.abandon()
            else:
                await permit.settle(errors[kind]("x") if kind in errors else None)
            await self._collect()

        self.run(settle())

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), wait=st.sampled_from([1.0, 5.0, 61.0, 3600.0]), room=st.booleans())
    def answer_429(self, data: st.DataObject, wait: float, room: bool) -> None:
        permit = self._land(data)
        key = permit.ask.key
        if not room:
            until = self.house.time.mono + wait
            self.blocked_until[key] = max(self.blocked_until.get(key, 0.0), until)

        async def settle() -> None:
            await permit.settle(self.house.limited(wait, room=room))
            await self._collect()

        self.run(settle())

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def refuse_connection(self, data: st.DataObject) -> None:
        permit = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1), label="which"))
        # The sign server never saw it.
        self.sent.remove(self._sent(permit))

        async def settle() -> None:
            await permit.settle(SignUnavailable("refused"), unsent=True)
            await self._collect()

        self.run(settle())

    def _land(self, data: st.DataObject) -> Permit:
        index = data.draw(st.integers(0, len(self.flying) - 1), label="which")
        permit = self.flying.pop(index)
        if data.draw(st.booleans(), label="counted late"):
            self.sent.remove(self._sent(permit))
            self.sent.append(Sent(permit.ask.key, self.house.time.mono))
            self._look_at_windows(permit.ask.key, self.house.time.mono)
        return permit

    def _sent(self, permit: Permit) -> Sent:
        mine = [sent for sent in self.sent if sent.key == permit.ask.key]
        return min(mine, key=lambda sent: abs(sent.at - permit.at))

    # ---- what time does

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 20.0, 20.0, 41.0, 61.0, 600.0, 3600.0, 40_000.0]))
    def pass_time(self, seconds: float) -> None:
        async def passing() -> None:
            until = self.house.time.mono + seconds
            await self._collect()
            while self.house.time.wake_next(until):
                await self._collect()
            self.house.time.move(until - self.house.time.mono)
            await self._collect()

        self.run(passing())

    @precondition(lambda self: self.jumps)
    @rule(seconds=st.sampled_from([-90_000.0, -3600.0, -5.0, 5.0, 3600.0, 90_000.0]))
    def jump(self, seconds: float) -> None:
        self.house.time.jump(seconds)
        self.jumped = self.jumped or seconds > 0

    @rule(killed=st.booleans())
    def restart(self, killed: bool) -> None:
        async def restart() -> None:
            if not killed:
                for permit in self.flying:
                    permit.abandon()
            await self._end()
            await self.house.restart()

        self.run(restart())
        if self.jumped:
            self.forgiven += 1
            self.blocked_until.clear()
            self.jumped = False

    # ---- what must hold

    @invariant()
    def the_sign_server_never_has_to_refuse(self) -> None:
        assert self.refused <= self.forgiven

    @precondition(lambda self: hasattr(self, "house"))
    @invariant()
    def the_ledger_is_never_below_what_was_counted(self) -> None:
        if self.forgiven or self.jumped:
            return
        now = self.house.time.mono
        rows = self.run(self.house.database.limits.spent())
        for key in KEYS:
            counted = [s for s in self.sent if s.key == key and s.at > now - WINDOWS_S["day"]]
            name = account_name(key) if key else ANONYMOUS
            assert sum(row.key_name == name for row in rows) >= len(counted)


# More than ten thousand steps in all. Not shrunk: steps are real transactions, and take minutes.
Machine.TestCase.settings = settings(
    max_examples=220,
    stateful_step_count=50,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestGuard = Machine.TestCase
