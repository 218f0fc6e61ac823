"""Nothing signs that the guard has not let through."""

from __future__ import annotations

import asyncio

import pytest

from server.config import SignLimits, SignSettings
from server.errors import RateLimited
from server.upstream.guard import Guard


class Clock:
    """Epoch seconds that move when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds


def guard(clock: Clock, **settings: object) -> Guard:
    limits = SignLimits(minute=2, hour=3, day=4)
    defaults = {"min_interval_s": 1.0, "max_wait_s": 15.0, "anonymous_limits": limits}
    return Guard(SignSettings(**(defaults | settings)), clock=clock, sleep=clock.sleep)


async def test_requests_are_spaced() -> None:
    clock = Clock()
    subject, started = guard(clock), clock.now
    await subject.admit("")
    await subject.admit("")
    assert clock.now - started == 1.0


async def test_a_window_that_is_used_up_answers_with_the_time_it_opens() -> None:
    clock = Clock()
    subject, started = guard(clock), clock.now
    await subject.admit("")
    await subject.admit("")
    with pytest.raises(RateLimited) as caught:
        await subject.admit("")
    assert caught.value.retry_at == started + 60


async def test_a_short_wait_is_waited_out() -> None:
    clock = Clock()
    subject, started = guard(clock), clock.now
    await subject.admit("")
    await subject.admit("")
    clock.now = started + 50
    await subject.admit("")
    assert clock.now == started + 60


async def test_after_a_429_nothing_passes_before_the_time() -> None:
    clock = Clock()
    subject = guard(clock)
    permit = await subject.admit("")
    permit.rate_limited(clock.now + 3)
    with pytest.raises(RateLimited) as caught:
        await subject.admit("")
    assert caught.value.retry_at == clock.now + 3
    assert subject.blocked_until("") == clock.now + 3
    clock.now += 3
    await subject.admit("")


async def test_those_who_are_told_to_wait_get_places_of_their_own() -> None:
    clock = Clock()
    subject = guard(clock)
    permit = await subject.admit("")
    permit.rate_limited(clock.now + 100)
    places = []
    for _ in range(5):
        with pytest.raises(RateLimited) as caught:
            await subject.admit("")
        places.append(caught.value.retry_at)
    assert places == [clock.now + 100 + n for n in range(5)]


async def test_a_key_of_ones_own_has_a_budget_of_its_own() -> None:
    clock = Clock()
    subject = guard(clock)
    (await subject.admit("")).rate_limited(clock.now + 100)
    await subject.admit("own key")
    assert subject.blocked_until("own key") == 0


async def test_a_request_that_was_never_sent_costs_nothing() -> None:
    clock = Clock()
    subject = guard(clock)
    for _ in range(10):
        (await subject.admit("")).never_sent()
