"""The arithmetic of a budget: whatever happens, no window ever holds more than it may."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.upstream.guard.budget import HELD_S, KEPT_OF_HOUR, Budget, Reported
from server.upstream.retry_after import WINDOWS_S, Window


def test_a_promise_is_held_for_a_minute_and_then_free_for_others() -> None:
    budget = Budget({"minute": 1}, 0.0)
    budget.take(0.0)
    assert budget.promise(1.0, holder="anna") == 60.0
    assert budget.place(1.0, holder="boris") == 120.0
    assert budget.place(60.0 + HELD_S + 1, holder="boris") == 60.0 + HELD_S + 1


def test_a_block_voids_the_promises_before_it() -> None:
    budget = Budget({"minute": 1}, 1.0)
    budget.take(0.0)
    budget.promise(1.0, holder="anna")
    budget.block(500.0)
    assert budget.promise(1.0, holder="boris") == 500.0
    assert budget.promise(1.0, holder="anna") == 560.0


def test_what_the_sign_server_says_is_left_is_held() -> None:
    budget = Budget({}, 0.0)
    budget.report("hour", Reported(left=2, since=10.0, until=900.0), maximum=30)
    for number in range(2):
        assert budget.left("hour", 10.0) == 2 - number
        assert budget.place(10.0) == 10.0
        budget.take(10.0)
    assert budget.left("hour", 10.0) == 0
    assert budget.place(10.0) == 900.0
    assert budget.left("hour", 900.0) == 28


@pytest.mark.parametrize("window", WINDOWS_S)
def test_used_counts_the_window_that_ends_now(window: Window) -> None:
    budget = Budget({}, 0.0)
    for at in (0.0, 1.0, WINDOWS_S[window]):
        budget.take(at)
    assert budget.used(window, WINDOWS_S[window]) == 2


#: A time plus a day and minus a day again need not be the same float.
ROUNDING_S = 1e-6


class Machine(RuleBasedStateMachine):
    """Creators ask, wait, come back on time, late or never; blocks and reports come between."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.sent: list[tuple[float, bool]] = []
        self.told: dict[str, float] = {}
        self.blocks: list[tuple[float, float]] = []

    @initialize(
        minute=st.integers(1, 6), more=st.integers(0, 20), interval=st.sampled_from([0.0, 1.0, 7.5])
    )
    def begin(self, minute: int, more: int, interval: float) -> None:
        self.limits: dict[Window, int] = {
            "minute": minute,
            "hour": minute + more,
            "day": minute + 2 * more,
        }
        self.interval = interval
        self.budget = Budget(dict(self.limits), interval)

    @rule(creator=st.sampled_from("abcdefgh"), again=st.booleans(), patience=st.floats(0, 15))
    def ask(self, creator: str, again: bool, patience: float) -> None:
        at = self.budget.place(self.now, again=again, holder=creator)
        assert at >= self.now
        if at - self.now <= patience:
            self.budget.take(at, again=again, holder=creator)
            self.sent.append((at, again))
            self.told.pop(creator, None)
            # Whoever is let in waits for its place before anything else happens to it.
            self.now = max(self.now, at)
        else:
            self.told[creator] = self.budget.promise(self.now, again=again, holder=creator)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def come_back_on_time(self, data: Any) -> None:
        creator = data.draw(st.sampled_from(sorted(self.told)))
        self.now = max(self.now, self.told[creator])
        self.ask(creator, False, 0.0)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 10.0, 59.0, 61.0, 600.0, 3500.0, 50_000.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(1, 5000))
    def answer_429(self, seconds: float) -> None:
        self.budget.block(self.now + seconds)
        self.blocks.append((self.now, self.now + seconds))
        self.told.clear()

    @rule(window=st.sampled_from(sorted(WINDOWS_S)), left=st.integers(0, 5))
    def report(self, window: Window, left: int) -> None:
        reported = Reported(left, self.now, self.now + WINDOWS_S[window] / 2)
        self.budget.report(window, reported, maximum=self.limits[window])

    @invariant()
    def no_window_holds_more_than_it_may(self) -> None:
        if not self.sent:
            return
        times = [at for at, _ in self.sent]
        last = times[-1]
        for window, limit in self.limits.items():
            begins = last - WINDOWS_S[window] + ROUNDING_S
            assert sum(begins < at <= last for at in times) <= limit
        fresh = [at for at, again in self.sent if not again]
        if fresh and fresh[-1] == last:
            share = max(1, math.floor(self.limits["hour"] * (1 - KEPT_OF_HOUR)))
            assert sum(last - 3600 + ROUNDING_S < at <= last for at in fresh) <= share

    @invariant()
    def requests_are_spaced_and_none_goes_within_a_block(self) -> None:
        if len(self.sent) >= 2:
            assert self.sent[-1][0] - self.sent[-2][0] >= self.interval - ROUNDING_S
        for since, until in self.blocks:
            assert not any(since < at < until for at, _ in self.sent[-1:])


# More than ten thousand steps in all.
Machine.TestCase.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
TestBudget = Machine.TestCase
