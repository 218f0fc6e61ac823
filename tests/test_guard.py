"""Nothing signs that the guard has not let through; who is sent away is told a true time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from server.config import SignLimits, SignSettings
from server.errors import RateLimited, SignKeyInvalid, SignUnavailable, StoreUnavailable
from server.store.database import Database
from server.upstream.breaker import FIRST_S, LONGEST_S, STRIKES
from server.upstream.guard import Ask, Clock, Guard, Permit
from server.upstream.probe import LimitsLeft
from server.upstream.retry_after import LimitLabel, SignRateLimited, Wait

SPREAD_S = 1.0


class Time:
    """Both clocks of a guard; they move when somebody sleeps, unless they are held."""

    def __init__(self) -> None:
        self.held = False
        self.mono = 1_000.0
        self.wall = 1_790_000_000.0

    def move(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        if self.held:
            await asyncio.get_running_loop().create_future()
        self.move(seconds)

    def clock(self) -> Clock:
        return Clock(lambda: self.mono, lambda: self.wall, self.sleep)


class House:
    """A guard over a real ledger, which can be restarted."""

    def __init__(self, path: Path, time: Time) -> None:
        self.path = path
        self.time = time
        self.settings: dict[str, Any] = {
            "min_interval_s": 1.0,
            "max_wait_s": 15.0,
            "anonymous_limits": SignLimits(minute=2, hour=10, day=12),
        }
        self.reported: Sequence[LimitsLeft] = ()
        self.looked = 0
        self.database: Database
        self.guard: Guard

    async def start(self) -> Guard:
        self.database = await Database.open(self.path, serving=True)
        settings = SignSettings(**self.settings)
        self.guard = Guard(settings, self.database.limits, self.look, clock=self.time.clock())
        await self.guard.load()
        return self.guard

    async def stop(self) -> None:
        await self.guard.close()
        await self.database.close()

    async def restart(self) -> Guard:
        await self.stop()
        return await self.start()

    async def look(self, _key: str) -> Sequence[LimitsLeft]:
        self.looked += 1
        return self.reported


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "liverelay.db", Time())
    await house.start()
    yield house
    await house.stop()


def limited(
    wait_s: float, house: House, *, source: str = "retry-after", room: bool = False
) -> SignRateLimited:
    """The sign server's 429."""
    label = LimitLabel("room_id", "minute") if room else None
    wait = Wait(wait_s, source)  # type: ignore[arg-type]
    headers = [("Retry-After", str(wait_s)), ("X-Secret", "no")]
    return SignRateLimited("429", wait, label, headers, now=house.time.wall)


async def admitted(house: House, creator: str = "anna", **ask: Any) -> Permit:
    """A request that went through and was answered well."""
    permit = await house.guard.admit(Ask(creator, **ask))
    await permit.settle(None)
    return permit


async def refused(house: House, creator: str = "anna", **ask: Any) -> float:
    """Seconds until the place that a refused request was promised."""
    with pytest.raises(RateLimited) as caught:
        await house.guard.admit(Ask(creator, **ask))
    assert caught.value.retry_at is not None
    return caught.value.retry_at - house.time.wall


# ---- the budget


async def test_requests_are_spaced_in_order_of_arrival(house: House) -> None:
    started = house.time.mono
    await admitted(house, "anna")
    await admitted(house, "boris")
    assert house.time.mono - started == 1.0


async def test_a_full_window_answers_with_the_time_it_opens(house: House) -> None:
    await admitted(house, "a")
    await admitted(house, "b")
    assert await refused(house, "c") == pytest.approx(59.0)


async def test_a_short_wait_is_waited_out(house: House) -> None:
    started = house.time.mono
    await admitted(house, "a")
    await admitted(house, "b")
    house.time.move(50)
    await admitted(house, "c")
    assert house.time.mono == pytest.approx(started + 60)


async def test_places_are_promised_one_after_the_other_and_kept(house: House) -> None:
    await admitted(house, "a")
    await admitted(house, "b")
    waits = [await refused(house, name) for name in ("c", "d", "e")]
    assert waits == sorted(waits)
    assert waits[2] - waits[0] >= 59
    assert await refused(house, "c") == pytest.approx(waits[0]), "asking again changes nothing"
    house.time.move(waits[0])
    at = house.time.mono
    await admitted(house, "c")
    assert house.time.mono == at, "whoever comes at its time is not sent away"


async def test_a_part_of_the_hour_is_kept_for_lost_streams(house: House) -> None:
    house.settings["anonymous_limits"] = SignLimits(minute=10, hour=10, day=100)
    await house.restart()
    for number in range(7):
        await admitted(house, f"new{number}")
    assert await refused(house, "one more") > 3000
    for number in range(3):
        await admitted(house, f"lost{number}", again=True)
    assert await refused(house, "lost too", again=True) > 3000


async def test_a_request_that_was_never_sent_costs_nothing(house: House) -> None:
    for number in range(2):
        permit = await house.guard.admit(Ask(f"c{number}"))
        await permit.settle(SignUnavailable("refused"), unsent=True)
    house.settings["max_wait_s"] = 0.0
    await house.restart()
    await admitted(house, "a")
    house.time.move(1)
    await admitted(house, "b")


async def test_a_cancelled_wait_gives_its_place_back(house: House) -> None:
    await admitted(house, "a")
    await admitted(house, "b")
    house.time.move(50)
    waiting = asyncio.ensure_future(house.guard.admit(Ask("c")))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(await house.database.limits.spent()) == 2


# ---- after a 429


async def test_after_a_429_nothing_goes_before_its_time_then_one_probe_then_the_rest(
    house: House,
) -> None:
    house.settings["anonymous_limits"] = SignLimits(minute=9, hour=90, day=900)
    await house.restart()
    permit = await house.guard.admit(Ask("anna"))
    error = limited(100, house)
    await permit.settle(error)
    assert error.retry_at is not None
    assert 100 <= error.retry_at - house.time.wall <= 100 + SPREAD_S
    for creator in ("boris", "carla"):
        assert 100 <= await refused(house, creator) <= 103
    house.time.move(101)
    probe = await house.guard.admit(Ask("anna"))
    house.time.held = True
    others = [asyncio.ensure_future(house.guard.admit(Ask(c))) for c in ("boris", "carla")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(other.done() for other in others)
    house.time.held = False
    await probe.settle(None)
    permits = await asyncio.gather(*others)
    places = [probe.at, *(permit.at for permit in permits)]
    assert [b - a for a, b in pairwise(places)] == [pytest.approx(1.0, abs=0.5)] * 2
    assert all(b - a >= 1.0 for a, b in pairwise(places)), "one by one, spaced"


async def test_a_probe_that_fails_sends_the_others_away_again(house: House) -> None:
    await (await house.guard.admit(Ask("anna"))).settle(limited(100, house))
    house.time.move(101)
    probe = await house.guard.admit(Ask("anna"))
    house.time.held = True
    waiting = asyncio.ensure_future(house.guard.admit(Ask("boris")))
    for _ in range(5):
        await asyncio.sleep(0)
    await probe.settle(limited(200, house))
    with pytest.raises(RateLimited) as caught:
        await waiting
    assert caught.value.retry_at is not None
    assert caught.value.retry_at - house.time.wall >= 199


async def test_a_limit_of_one_room_blocks_no_other(house: House) -> None:
    await (await house.guard.admit(Ask("anna"))).settle(limited(100, house, room=True))
    await admitted(house, "boris")
    assert house.guard.blocked_until("") == 0


async def test_without_a_header_the_limits_themselves_are_looked_at(house: House) -> None:
    permit = await house.guard.admit(Ask("anna"))
    house.reported = [LimitsLeft("hour", 0, 30, house.time.wall + 777)]
    error = limited(3600, house, source="default")
    await permit.settle(error)
    assert error.retry_at is not None
    assert 776 <= error.retry_at - house.time.wall <= 778


async def test_reported_limits_hold_and_are_asked_for_rarely(house: House) -> None:
    house.reported = [
        LimitsLeft("minute", 2, 4, house.time.wall + 30),
        LimitsLeft("hour", 90, 100, house.time.wall + 3000),
    ]
    house.settings["anonymous_limits"] = SignLimits(minute=1, hour=10, day=100)
    await house.restart()
    await admitted(house, "a")
    await asyncio.sleep(0)
    await admitted(house, "b")
    assert await refused(house, "c") == pytest.approx(29, abs=2)
    assert house.looked == 1


# ---- across restarts


async def test_what_was_spent_and_told_outlives_a_restart(house: House) -> None:
    await admitted(house, "a")
    await admitted(house, "b")
    await house.restart()
    assert await refused(house, "c") == pytest.approx(59, abs=1)
    house.time.move(70)
    await (await house.guard.admit(Ask("d"))).settle(limited(500, house))
    await house.restart()
    assert 499 <= await refused(house, "e") <= 502


async def test_a_request_is_on_disk_before_it_is_sent(house: House) -> None:
    await house.guard.admit(Ask("anna", user_ids=(7,)))
    (row,) = await house.database.limits.spent()
    assert (row.key_name, row.creator, row.user_id) == ("anonymous", "anna", 7)


@pytest.mark.parametrize("jump_s", [-86_400 * 365, -3600, 3600, 86_400 * 365])
async def test_a_clock_that_jumps_costs_one_probe_at_most(jump_s: float, house: House) -> None:
    await (await house.guard.admit(Ask("anna"))).settle(limited(600, house))
    house.time.wall += jump_s
    assert 599 <= await refused(house, "boris") <= 602, "a running guard does not notice"
    await house.restart()
    sent = 0
    for _ in range(20):
        try:
            permit = await house.guard.admit(Ask("anna"))
        except RateLimited as error:
            assert error.retry_at is not None
            assert error.retry_at - house.time.wall <= 601 + SPREAD_S
            continue
        sent += 1
        await permit.settle(limited(600, house))
    assert sent <= 1


async def test_no_ledger_no_new_room_but_lost_streams_come_back(house: House) -> None:
    link = house.database.limits._link._connection
    await link.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable):
        await house.guard.admit(Ask("new"))
    permit = await house.guard.admit(Ask("lost", again=True))
    await permit.settle(None)
    await link.execute("PRAGMA query_only = OFF")
    await admitted(house, "new")


async def test_neither_keys_nor_odd_headers_reach_the_disk(house: House) -> None:
    permit = await house.guard.admit(Ask("anna", key="euler_secret_key_1", own_key=True))
    await permit.settle(limited(60, house))
    (block,) = await house.database.limits.blocks()
    assert "Retry-After" in block.headers
    assert "X-Secret" not in block.headers
    await house.stop()
    for file in house.path.parent.iterdir():  # noqa: ASYNC240
        assert b"euler_secret" not in file.read_bytes()
    await house.start()


# ---- keys, shares, breaker


async def test_a_key_of_ones_own_has_a_budget_of_its_own(house: House) -> None:
    await (await house.guard.admit(Ask("anna"))).settle(limited(100, house))
    for number in range(5):
        await admitted(house, f"c{number}", key="own key 12345", own_key=True)
    assert house.guard.blocked_until("own key 12345") == 0
    assert house.guard.blocked_until("") > house.time.wall


async def test_one_user_starts_three_rooms_and_another_still_gets_in(house: House) -> None:
    house.settings["anonymous_limits"] = SignLimits(minute=50, hour=100, day=500)
    await house.restart()
    for number in range(3):
        await admitted(house, f"c{number}", user_ids=(1,))
    with pytest.raises(RateLimited) as caught:
        await house.guard.admit(Ask("c3", user_ids=(1,)))
    assert caught.value.variant == "share"
    assert await refused(house, "c3", user_ids=(1,)) == pytest.approx(598, abs=3)
    await admitted(house, "c4", user_ids=(2,))
    await admitted(house, "c5", user_ids=(1, 2))
    await admitted(house, "c6", user_ids=(1,), key="own key 12345", own_key=True)
    await admitted(house, "c0", user_ids=(1,), again=True)
    await house.restart()
    assert await refused(house, "c3", user_ids=(1,)) > 500


async def test_after_three_failures_in_a_row_the_sign_server_is_left_alone(house: House) -> None:
    house.settings["anonymous_limits"] = SignLimits(minute=50, hour=100, day=500)
    await house.restart()
    for number in range(STRIKES):
        permit = await house.guard.admit(Ask(f"c{number}"))
        await permit.settle(SignUnavailable("502"))
    expected = FIRST_S
    for _ in range(6):
        with pytest.raises(SignUnavailable) as caught:
            await house.guard.admit(Ask("next"))
        assert caught.value.retry_at == pytest.approx(house.time.wall + expected, abs=2)
        house.time.move(expected + 1)
        trying = await house.guard.admit(Ask("next"))
        with pytest.raises(SignUnavailable):
            await house.guard.admit(Ask("beside it"))
        await trying.settle(SignUnavailable("502"))
        expected = min(expected * 2, LONGEST_S)
    house.time.move(LONGEST_S + 1)
    await admitted(house, "back")
    await admitted(house, "all of them")


async def test_an_answer_of_any_kind_closes_the_breaker(house: House) -> None:
    house.settings["anonymous_limits"] = SignLimits(minute=50, hour=100, day=500)
    await house.restart()
    for number in range(10):
        permit = await house.guard.admit(Ask(f"c{number}"))
        await permit.settle(SignUnavailable("502") if number % 3 else SignKeyInvalid("401"))
