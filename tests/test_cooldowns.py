"""Remembered failures: for how long, growing while they last, and what ends them early."""

from __future__ import annotations

import pytest

from server.errors import (
    AgeRestricted,
    AppError,
    Blocked,
    ConnectFailed,
    CreatorNotFound,
    CreatorOffline,
    Internal,
    PremiumRequired,
    RateLimited,
    SignKeyInvalid,
    SignUnavailable,
)
from server.relay.cooldowns import LASTING_S, MAX_CREATORS, Cooldowns


class Clock:
    """Epoch seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cooldowns(clock: Clock) -> Cooldowns:
    return Cooldowns(clock, offline_s=20.0)


@pytest.mark.parametrize(
    ("error", "first", "longest"),
    [
        (SignUnavailable, 30, 900),
        (ConnectFailed, 30, 900),
        (Blocked, 300, 3600),
        (CreatorNotFound, 600, 600),
        (AgeRestricted, 900, 900),
        (PremiumRequired, 900, 900),
        (SignKeyInvalid, 900, 900),
        (CreatorOffline, 20, 20),
    ],
)
def test_each_failure_is_remembered_for_its_time_and_doubles_up_to_its_bound(
    error: type[AppError], first: float, longest: float, clock: Clock, cooldowns: Cooldowns
) -> None:
    expected = first
    for _ in range(8):
        told = cooldowns.remember("anna", error())
        clock.now += expected - 0.01
        assert cooldowns.current("anna") is told
        clock.now += 0.02
        assert cooldowns.current("anna") is None
        expected = min(expected * 2, longest)
    assert expected == longest


def test_after_a_quiet_hour_the_time_begins_small_again(clock: Clock, cooldowns: Cooldowns) -> None:
    for _ in range(4):
        cooldowns.remember("anna", ConnectFailed())
        clock.now += 300
    clock.now += LASTING_S
    told = cooldowns.remember("anna", ConnectFailed())
    assert told.retry_at == clock.now + 30


def test_another_failure_begins_its_own_time(clock: Clock, cooldowns: Cooldowns) -> None:
    cooldowns.remember("anna", ConnectFailed())
    cooldowns.remember("anna", ConnectFailed())
    told = cooldowns.remember("anna", SignUnavailable())
    assert told.retry_at == clock.now + 30


def test_a_failure_that_has_its_own_time_keeps_it_within_a_day(
    clock: Clock, cooldowns: Cooldowns
) -> None:
    told = cooldowns.remember("anna", RateLimited(retry_at=clock.now + 90))
    assert told.retry_at == clock.now + 90
    told = cooldowns.remember("anna", RateLimited(retry_at=clock.now + 10**9))
    assert told.retry_at == clock.now + 86_400
    told = cooldowns.remember("anna", RateLimited(retry_at=clock.now - 5))
    assert told.retry_at == clock.now + 1


def test_only_codes_that_come_back_by_themselves_say_when(
    clock: Clock, cooldowns: Cooldowns
) -> None:
    assert cooldowns.remember("anna", CreatorNotFound()).retry_at is None
    assert cooldowns.remember("boris", ConnectFailed()).retry_at is not None


def test_a_bug_of_ours_is_not_remembered(cooldowns: Cooldowns) -> None:
    cooldowns.remember("anna", Internal())
    assert cooldowns.current("anna") is None


def test_a_new_key_ends_what_a_key_may_mend_and_nothing_else(cooldowns: Cooldowns) -> None:
    for error in (AgeRestricted(), PremiumRequired(), SignKeyInvalid()):
        cooldowns.remember("anna", error)
        cooldowns.forget_settings("anna")
        assert cooldowns.current("anna") is None
    cooldowns.remember("anna", CreatorNotFound())
    cooldowns.forget_settings("anna")
    assert cooldowns.current("anna") is not None


def test_the_oldest_of_too_many_creators_is_forgotten(cooldowns: Cooldowns) -> None:
    for number in range(MAX_CREATORS + 1):
        cooldowns.remember(f"creator{number}", ConnectFailed())
    assert cooldowns.current("creator0") is None
    assert cooldowns.current("creator1") is not None
