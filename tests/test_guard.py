"""Nothing signs that the guard has not let through; who is sent away is told a true time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from server.config import SignLimits
from server.errors import (
    AppError,
    Blocked,
    ConnectFailed,
    RateLimited,
    SignKeyInvalid,
    SignUnavailable,
    StoreUnavailable,
)
from server.upstream.guard import Ask, Permit
from server.upstream.guard.account import KEY_FAULT_S
from server.upstream.guard.breaker import FIRST_S, LONGEST_S, STRIKES
from server.upstream.guard.budget import HELD_S
from server.upstream.guard.guard import LANDING_WAIT_S
from server.upstream.guard.looks import LOOK_EVERY_S
from server.upstream.probe import LimitsLeft
from server.upstream.retry_after import WINDOWS_S
from tests.house import House

#: The end of a block is spread by less than this.
SPREAD_S = 1.0
PLENTY = SignLimits(minute=50, hour=100, day=500)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "liverelay.db")
    await house.start()
    yield house
    await house.stop()


@pytest.fixture
async def rich_house(house: House) -> House:
    """A house whose budget is not what a test is about."""
    house.settings["anonymous_limits"] = PLENTY
    await house.restart()
    return house


async def let_in(house: House, creator: str = "anna", **ask: Any) -> Permit:
    """A request that may go now or soon."""
    return await house.drive(house.guard.admit(Ask(creator, **ask)))


async def answered(
    house: House, creator: str = "anna", error: AppError | None = None, **ask: Any
) -> Permit:
    """A request that went through and was answered, well unless `error` says otherwise."""
    permit = await let_in(house, creator, **ask)
    await permit.settle(error)
    return permit


async def refused(house: House, creator: str = "anna", **ask: Any) -> float:
    """Seconds until the time that a refused request was told."""
    with pytest.raises(RateLimited) as caught:
        await house.drive(house.guard.admit(Ask(creator, **ask)))
    assert caught.value.retry_at is not None
    return caught.value.retry_at - house.time.wall


def waiting(house: House, *creators: str) -> list[asyncio.Task[Permit]]:
    """Requests that are asked for and not waited for."""
    return [asyncio.ensure_future(house.guard.admit(Ask(creator))) for creator in creators]


# ---- the budget


async def test_requests_are_spaced_in_order_of_arrival(rich_house: House) -> None:
    first = await answered(rich_house, "anna")
    tasks = waiting(rich_house, "boris", "carla", "denis")
    permits = await rich_house.drive(asyncio.gather(*tasks))
    assert [permit.ask.creator for permit in permits] == ["boris", "carla", "denis"]
    places = [first.at, *(permit.at for permit in permits)]
    assert [later - earlier for earlier, later in pairwise(places)] == [1.0] * 3


async def test_a_full_window_answers_with_the_time_it_opens(house: House) -> None:
    await answered(house, "a")
    await answered(house, "b")
    assert await refused(house, "c") == pytest.approx(59.0)


async def test_a_short_wait_is_waited_out(house: House) -> None:
    first = await answered(house, "a")
    await answered(house, "b")
    house.time.move(50)
    await answered(house, "c")
    assert house.time.mono == pytest.approx(first.at + 60)


async def test_a_request_counts_from_its_answer(house: House) -> None:
    """The sign server counted it in between; nobody knows when."""
    permit = await let_in(house, "a")
    house.time.move(8)
    await permit.settle(None)
    await answered(house, "b")
    assert await refused(house, "c") == pytest.approx(59.0)


async def test_places_are_promised_one_after_the_other_and_kept(house: House) -> None:
    await answered(house, "a")
    await answered(house, "b")
    waits = [await refused(house, name) for name in ("c", "d", "e")]
    assert waits == sorted(waits)
    assert waits[2] - waits[0] >= 59
    assert await refused(house, "c") == pytest.approx(waits[0]), "asking again changes nothing"
    house.time.move(waits[0])
    at = house.time.mono
    await answered(house, "c")
    assert house.time.mono == at, "whoever comes at its time is not sent away"


async def test_who_comes_late_within_a_minute_is_let_in_and_so_is_everybody_after(
    house: House,
) -> None:
    await answered(house, "a")
    await answered(house, "b")
    told = {name: house.time.mono + await refused(house, name) for name in ("c", "d", "e", "f")}
    house.time.move(told["c"] + HELD_S - 1 - house.time.mono)
    await answered(house, "c")
    for name in ("d", "e", "f"):
        house.time.move(max(0.0, told[name] - house.time.mono))
        await answered(house, name)
        assert house.time.mono <= told[name] + HELD_S


async def test_newcomers_come_after_all_promises(house: House) -> None:
    await answered(house, "a")
    await answered(house, "b")
    told = {name: house.time.mono + await refused(house, name) for name in ("c", "d")}
    house.time.move(told["d"] + 5 - house.time.mono)
    assert await refused(house, "new") >= 60
    at = house.time.mono
    await answered(house, "d")
    assert house.time.mono == at


async def test_a_part_of_the_hour_is_kept_for_lost_streams(house: House) -> None:
    house.settings["anonymous_limits"] = SignLimits(minute=10, hour=10, day=100)
    await house.restart()
    for number in range(7):
        await answered(house, f"new{number}")
    assert await refused(house, "one more") > 3000
    for number in range(3):
        await answered(house, f"lost{number}", again=True)
    assert await refused(house, "lost too", again=True) > 3000


async def test_a_request_that_was_never_sent_costs_nothing(house: House) -> None:
    for number in range(2):
        permit = await let_in(house, f"c{number}")
        await permit.settle(SignUnavailable("refused"), unsent=True)
    assert await house.database.limits.spent() == []
    house.settings["max_wait_s"] = 0.0
    await house.restart()
    await answered(house, "a")
    house.time.move(1)
    await answered(house, "b")


async def test_a_cancelled_wait_gives_its_place_back(house: House) -> None:
    await answered(house, "a")
    await answered(house, "b")
    house.time.move(50)
    (task,) = waiting(house, "c")
    await house.quiet()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(await house.database.limits.spent()) == 2
    (report,) = house.guard.report()
    assert [window.used for window in report.windows] == [2, 2, 2]


# ---- after a 429


async def test_after_a_429_nothing_goes_before_its_time_then_one_probe_then_the_rest(
    rich_house: House,
) -> None:
    house = rich_house
    permit = await let_in(house, "anna")
    error = house.limited(100)
    await permit.settle(error)
    assert error.retry_at is not None
    assert 100 <= error.retry_at - house.time.wall <= 100 + SPREAD_S
    for creator in ("boris", "carla"):
        assert 100 <= await refused(house, creator) <= 103
    house.time.move(103)
    tasks = waiting(house, "anna", "boris", "carla")
    await house.quiet()
    assert [task.done() for task in tasks] == [True, False, False]
    probe = tasks[0].result()
    await probe.settle(None)
    permits = await house.drive(asyncio.gather(*tasks[1:]))
    places = [probe.at, *(permit.at for permit in permits)]
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(places)), "one by one, spaced"
    assert places[-1] - places[0] <= 3


async def test_a_hundred_who_are_told_to_wait_all_get_in_at_their_own_time(house: House) -> None:
    """Against a sign server that counts in its own windows, from when it got each request."""
    house.settings["anonymous_limits"] = limits = SignLimits(minute=5, hour=30, day=200)
    await house.restart()
    sent: list[float] = []

    async def asks(creator: str) -> float | None:
        """The time to come back, None when it got in."""
        try:
            permit = await house.guard.admit(Ask(creator))
        except RateLimited as error:
            assert error.retry_at is not None
            return error.retry_at - house.time.wall + house.time.mono
        now = house.time.mono
        for window, length_s in WINDOWS_S.items():
            held = sum(1 for at in sent if at > now - length_s + 1e-6)
            assert held < getattr(limits, window), "a second 429"
        sent.append(now)
        house.time.move(0.4)
        await permit.settle(None)
        return None

    await answered(house, "the first", house.limited(60))
    creators = [f"creator{number}" for number in range(100)]
    back = {creator: await house.drive(asks(creator)) for creator in creators}
    assert None not in back.values()
    for creator, at in sorted(back.items(), key=lambda item: item[1] or 0):
        assert at is not None
        house.time.move(max(0.0, at - house.time.mono))
        assert await house.drive(asks(creator)) is None, f"{creator} came at its time"
    assert len(sent) == 100
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(sent))


async def test_a_block_is_told_and_not_waited_out_however_short(rich_house: House) -> None:
    await answered(rich_house, "anna", rich_house.limited(2))
    at = rich_house.time.mono
    assert 2 <= await refused(rich_house, "boris") <= 4
    assert rich_house.time.mono == at


async def test_a_probe_that_fails_sends_the_others_away_again(rich_house: House) -> None:
    house = rich_house
    await answered(house, "anna", house.limited(100))
    house.time.move(101)
    probe = await let_in(house, "anna")
    (task,) = waiting(house, "boris")
    await house.quiet()
    await probe.settle(house.limited(200))
    with pytest.raises(RateLimited) as caught:
        await task
    assert caught.value.retry_at is not None
    assert caught.value.retry_at - house.time.wall >= 200


async def test_a_probe_that_is_never_answered_is_no_rate_limit(rich_house: House) -> None:
    house = rich_house
    probe = await let_in(house, "anna")
    started = house.time.mono
    with pytest.raises(SignUnavailable):
        await let_in(house, "boris")
    assert house.time.mono - started == LANDING_WAIT_S
    probe.abandon()
    await answered(house, "boris")


async def test_a_signature_proves_the_key_even_if_tiktok_then_refuses(rich_house: House) -> None:
    house = rich_house
    await answered(house, "anna", Blocked("handshake"))
    first = await let_in(house, "boris")
    second = await let_in(house, "carla")
    assert not first.probe
    assert not second.probe


async def test_the_first_request_after_a_start_goes_alone(rich_house: House) -> None:
    tasks = waiting(rich_house, "anna", "boris")
    await rich_house.quiet()
    assert [task.done() for task in tasks] == [True, False]
    await tasks[0].result().settle(None)
    await rich_house.drive(tasks[1])


async def test_a_limit_of_one_room_blocks_no_other_and_outlives_a_restart(
    rich_house: House,
) -> None:
    house = rich_house
    error = house.limited(100, room=True)
    await answered(house, "anna", error)
    assert 100 <= await refused(house, "anna") <= 101
    await answered(house, "boris")
    assert house.guard.usable("")
    await house.restart()
    assert 100 - 2 <= await refused(house, "anna") <= 101
    await answered(house, "carla")


async def test_without_a_header_the_limits_themselves_are_looked_at(house: House) -> None:
    permit = await let_in(house, "anna")
    house.reported = [LimitsLeft("hour", 0, 30, 777)]
    error = house.limited(3600, source="default")
    await permit.settle(error)
    assert error.retry_at is not None
    assert 776 <= error.retry_at - house.time.wall <= 778
    (block,) = await house.database.limits.blocks()
    assert block.source == "rate_limits"


async def test_reported_limits_hold_and_are_asked_for_rarely(house: House) -> None:
    house.reported = [
        LimitsLeft("minute", 2, 4, 30),
        LimitsLeft("hour", 90, 100, 3000),
    ]
    house.settings["anonymous_limits"] = SignLimits(minute=1, hour=10, day=100)
    await house.restart()
    await answered(house, "a")
    await answered(house, "b")
    assert await refused(house, "c") == pytest.approx(29, abs=2)
    assert house.looked == 1
    house.time.move(LOOK_EVERY_S)
    await answered(house, "c")
    assert house.looked == 2


async def test_a_request_under_way_is_not_lost_between_a_report_and_its_answer(
    house: House,
) -> None:
    """The report may or may not hold it already; it counts as not."""
    permit = await let_in(house, "a")
    house.time.move(5)
    house.reported = [LimitsLeft("hour", 1, 100, 3000)]
    house.time.move(LOOK_EVERY_S)
    task = asyncio.ensure_future(house.guard.admit(Ask("b")))
    await house.quiet()
    await permit.settle(None)
    with pytest.raises(RateLimited):
        await house.drive(task)


# ---- across restarts


async def test_what_was_spent_told_and_promised_outlives_a_restart(house: House) -> None:
    await answered(house, "a")
    await answered(house, "b")
    told = house.time.wall + await refused(house, "c")
    await house.restart()
    assert house.time.wall + await refused(house, "c") == pytest.approx(told, abs=0.01)
    assert house.time.wall + await refused(house, "d") > told
    house.time.move(130)
    await answered(house, "d", house.limited(500))
    await house.restart()
    assert 499 <= await refused(house, "e") <= 502


async def test_a_request_is_on_disk_before_it_is_sent(house: House) -> None:
    await let_in(house, "anna", user_ids=(7,))
    (row,) = await house.database.limits.spent()
    assert (row.key_name, row.creator, row.user_id, row.again) == ("anonymous", "anna", 7, False)


async def test_a_request_whose_process_died_counts_from_the_restart(house: House) -> None:
    await let_in(house, "anna")
    house.time.move(30)
    await house.restart()
    await answered(house, "boris")
    assert await refused(house, "carla") == pytest.approx(59, abs=0.1)


@pytest.mark.parametrize("jump_s", [-86_400 * 365, -3600, 3600, 86_400 * 365])
async def test_a_clock_that_jumps_costs_one_probe_at_most(jump_s: float, rich_house: House) -> None:
    house = rich_house
    await answered(house, "anna", house.limited(600))
    house.time.jump(jump_s)
    assert 599 <= await refused(house, "boris") <= 602, "a running guard does not notice"
    await house.restart()
    tasks = waiting(house, *(f"c{number}" for number in range(20)))
    await house.quiet()
    sent = 0
    while undone := [task for task in tasks if not (task.done() and task.exception())]:
        for task in undone:
            if task.done():
                sent += 1
                await task.result().settle(house.limited(600))
                tasks.remove(task)
        await house.quiet()
    told = [task.exception() for task in tasks]
    assert sent <= 1
    assert all(isinstance(error, RateLimited) for error in told)


async def test_no_ledger_no_new_room_but_lost_streams_come_back(house: House) -> None:
    link = house.database.limits._link._connection
    await link.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable):
        await let_in(house, "new")
    await answered(house, "lost", again=True)
    await link.execute("PRAGMA query_only = OFF")
    await answered(house, "new")


async def test_neither_keys_nor_odd_headers_reach_the_disk(house: House) -> None:
    await answered(house, "anna", house.limited(60), key="euler_secret_key_1", own_key=True)
    (block,) = await house.database.limits.blocks()
    assert "Retry-After" in block.headers
    assert "X-Secret" not in block.headers
    await house.stop()
    for file in house.path.parent.iterdir():  # noqa: ASYNC240
        assert b"euler_secret" not in file.read_bytes()
    await house.start()


# ---- keys, shares, rooms, breaker


async def test_a_key_of_ones_own_has_a_budget_of_its_own(house: House) -> None:
    await answered(house, "anna", house.limited(100))
    for number in range(5):
        await answered(house, f"c{number}", key="own key 12345", own_key=True)
    assert house.guard.usable("own key 12345")
    assert not house.guard.usable("")


async def test_a_key_that_is_refused_is_not_asked_with_again_for_a_while(
    rich_house: House,
) -> None:
    house = rich_house
    await answered(house, "anna", SignKeyInvalid("401"), key="bad key 12345", own_key=True)
    with pytest.raises(SignKeyInvalid):
        await let_in(house, "boris", key="bad key 12345", own_key=True)
    assert not house.guard.usable("bad key 12345")
    await answered(house, "anna")
    await answered(house, "anna", key="new key 12345", own_key=True)
    house.time.move(KEY_FAULT_S)
    assert house.guard.usable("bad key 12345")
    assert len(await house.database.limits.spent()) == 3


async def test_one_user_starts_three_rooms_and_another_still_gets_in(rich_house: House) -> None:
    house = rich_house
    for number in range(3):
        await answered(house, f"c{number}", user_ids=(1,))
    with pytest.raises(RateLimited) as caught:
        await let_in(house, "c3", user_ids=(1,))
    assert caught.value.variant == "share"
    assert await refused(house, "c3", user_ids=(1,)) == pytest.approx(598, abs=3)
    await answered(house, "c4", user_ids=(2,))
    await answered(house, "c5", user_ids=(1, 2))
    await answered(house, "c6", user_ids=(1,), key="own key 12345", own_key=True)
    await answered(house, "c0", user_ids=(1,), again=True)
    await house.restart()
    assert await refused(house, "c3", user_ids=(1,)) > 500


async def test_one_user_cannot_take_more_promises_than_rooms(house: House) -> None:
    await answered(house, "a", user_ids=(2,))
    await answered(house, "b", user_ids=(2,))
    for number in range(3):
        with pytest.raises(RateLimited) as caught:
            await let_in(house, f"c{number}", user_ids=(1,))
        assert caught.value.variant == ""
    for number in range(3, 30):
        with pytest.raises(RateLimited) as caught:
            await let_in(house, f"c{number}", user_ids=(1,))
        assert caught.value.variant == "share"
    (report,) = house.guard.report()
    assert report.promises == 3


async def test_a_room_that_keeps_dying_is_given_up_for_a_while(rich_house: House) -> None:
    house = rich_house
    for _ in range(3):
        await answered(house, "anna", again=True)
    with pytest.raises(ConnectFailed) as caught:
        await let_in(house, "anna", again=True)
    assert caught.value.retry_at == pytest.approx(house.time.wall + 598, abs=3)
    house.time.move(600)
    for _ in range(3):
        await answered(house, "anna", again=True)
    house.time.move(601)
    with pytest.raises(ConnectFailed) as caught:
        await let_in(house, "anna", again=True)
    assert caught.value.retry_at == pytest.approx(house.time.wall + 3600 - 1202, abs=10)
    await answered(house, "boris", again=True)


async def test_after_three_failures_in_a_row_the_sign_server_is_left_alone(
    rich_house: House,
) -> None:
    house = rich_house
    for number in range(STRIKES):
        error = SignUnavailable("502")
        await answered(house, f"c{number}", error)
    assert error.retry_at == pytest.approx(house.time.wall + FIRST_S, abs=1)
    expected = FIRST_S
    for turn in range(6):
        with pytest.raises(SignUnavailable) as caught:
            await let_in(house, "next")
        assert caught.value.retry_at == pytest.approx(house.time.wall + expected, abs=2)
        house.time.move(expected + 1)
        trying = await let_in(house, f"trying{turn}")
        with pytest.raises(SignUnavailable):
            await let_in(house, "beside it")
        await trying.settle(SignUnavailable("502"))
        expected = min(expected * 2, LONGEST_S)
    house.time.move(LONGEST_S + 1)
    await answered(house, "back")
    await answered(house, "all of them")


async def test_an_answer_of_any_kind_closes_the_breaker(rich_house: House) -> None:
    for number in range(10):
        error = SignUnavailable("502") if number % 3 else Blocked("handshake")
        await answered(rich_house, f"c{number}", error)


# ---- what the console shows


async def test_the_report_says_what_is_used_left_and_told(house: House) -> None:
    await answered(house, "a", key="own key 12345", own_key=True)
    await answered(house, "b")
    permit = await let_in(house, "c")
    await permit.settle(house.limited(100))
    own, anonymous = house.guard.report()
    assert own.name == "…2345"
    assert [(w.window, w.used, w.left, w.limit) for w in own.windows] == [
        ("minute", 1, None, None), ("hour", 1, None, None), ("day", 1, None, None)
    ]  # fmt: skip
    assert anonymous.name == "anonymous"
    assert [(w.window, w.used, w.left, w.limit) for w in anonymous.windows] == [
        ("minute", 2, 0, 2), ("hour", 2, 8, 10), ("day", 2, 10, 12)
    ]  # fmt: skip
    assert 100 <= anonymous.blocked_until - house.time.wall <= 101
    assert (anonymous.source, anonymous.promises) == ("retry-after", 1)
    assert anonymous.headers == [("Retry-After", "100")]
    assert anonymous.limited_at == pytest.approx(house.time.wall, abs=0.1)
