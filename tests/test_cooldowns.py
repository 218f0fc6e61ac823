"""Remembered failures: for how long, growing while they last, what ends them early, and what a
restart and a clock that jumps do to them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

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
from server.relay.cooldowns import LASTING_S, MAX_FAILURES, Cooldowns
from server.store.database import Database
from tests.house import Time


class Memory:
    """Cooldowns over a real database, by a clock that a test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.time = Time()
        self.database: Database
        self.cooldowns: Cooldowns

    async def start(self) -> Cooldowns:
        self.database = await Database.open(self.path, serving=True)
        self.cooldowns = Cooldowns(self.database.cooldowns, self.time.clock(), offline_s=20.0)
        await self.cooldowns.load()
        return self.cooldowns

    async def stop(self) -> None:
        await self.cooldowns.close()
        await self.database.close()

    async def restart(self) -> Cooldowns:
        await self.stop()
        return await self.start()

    def left(self, creator: str = "anna", user_id: int = 0) -> float | None:
        """Seconds until the time that a phone would be told."""
        told = self.cooldowns.current(creator, user_id)
        assert told is not None, "nothing stands"
        return None if told.retry_at is None else told.retry_at - self.time.wall


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    memory = Memory(tmp_path / "liverelay.db")
    await memory.start()
    yield memory
    await memory.stop()


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
async def test_each_failure_is_remembered_for_its_time_and_doubles_up_to_its_bound(
    error: type[AppError], first: float, longest: float, memory: Memory
) -> None:
    expected = first
    for _ in range(8):
        told = await memory.cooldowns.remember("anna", error())
        memory.time.move(expected - 0.01)
        standing = memory.cooldowns.current("anna")
        assert standing is not None
        assert standing.ref == told.ref
        memory.time.move(0.02)
        assert memory.cooldowns.current("anna") is None
        expected = min(expected * 2, longest)
    assert expected == longest


async def test_after_a_quiet_hour_the_time_begins_small_again(memory: Memory) -> None:
    for _ in range(4):
        await memory.cooldowns.remember("anna", ConnectFailed())
        memory.time.move(300)
    memory.time.move(LASTING_S)
    await memory.cooldowns.remember("anna", ConnectFailed())
    assert memory.left() == pytest.approx(30)


async def test_another_failure_begins_its_own_time(memory: Memory) -> None:
    await memory.cooldowns.remember("anna", ConnectFailed())
    await memory.cooldowns.remember("anna", ConnectFailed())
    await memory.cooldowns.remember("anna", SignUnavailable())
    assert memory.left() == pytest.approx(30)


@pytest.mark.parametrize(("asked", "kept"), [(90.0, 90.0), (1e9, 86_400.0), (-5.0, 1.0)])
async def test_a_failure_that_has_its_own_time_keeps_it_within_a_day(
    asked: float, kept: float, memory: Memory
) -> None:
    await memory.cooldowns.remember("anna", RateLimited(retry_at=memory.time.wall + asked))
    assert memory.left() == pytest.approx(kept)


async def test_a_time_of_its_own_makes_no_failure_shorter(memory: Memory) -> None:
    for _ in range(4):
        await memory.cooldowns.remember("anna", SignUnavailable())
    error = SignUnavailable(retry_at=memory.time.wall + 60)
    await memory.cooldowns.remember("anna", error)
    assert memory.left() == pytest.approx(480)


async def test_only_codes_that_come_back_by_themselves_say_when(memory: Memory) -> None:
    assert (await memory.cooldowns.remember("anna", CreatorNotFound())).retry_at is None
    assert (await memory.cooldowns.remember("boris", ConnectFailed())).retry_at is not None


async def test_a_bug_of_ours_is_not_remembered(memory: Memory) -> None:
    await memory.cooldowns.remember("anna", Internal())
    assert memory.cooldowns.current("anna") is None


async def test_a_new_key_ends_what_a_key_may_mend_and_nothing_else(memory: Memory) -> None:
    cooldowns = memory.cooldowns
    for error in (AgeRestricted(), PremiumRequired(), SignKeyInvalid()):
        await cooldowns.remember("anna", error)
        cooldowns.forget_settings("anna")
        assert cooldowns.current("anna") is None
    await cooldowns.remember("anna", CreatorNotFound())
    cooldowns.forget_settings("anna")
    assert cooldowns.current("anna") is not None


async def test_a_share_that_is_used_up_stands_against_its_users_only(memory: Memory) -> None:
    error = RateLimited(variant="share", retry_at=memory.time.wall + 500)
    await memory.cooldowns.remember("anna", error, [1, 2])
    assert memory.cooldowns.current("anna") is None
    assert memory.cooldowns.current("anna", 3) is None
    for user_id in (1, 2):
        assert memory.left("anna", user_id) == pytest.approx(500)


async def test_a_clock_that_jumps_changes_the_time_told_and_not_the_time_left(
    memory: Memory,
) -> None:
    await memory.cooldowns.remember("anna", RateLimited(retry_at=memory.time.wall + 600))
    for jump_s in (-7200, 86_400, -3):
        memory.time.jump(jump_s)
        assert memory.left() == pytest.approx(600)
    memory.time.move(600)
    assert memory.cooldowns.current("anna") is None


async def test_a_restart_gives_the_same_answer(memory: Memory) -> None:
    first = await memory.cooldowns.remember("anna", ConnectFailed("private"))
    second = await memory.cooldowns.remember("anna", ConnectFailed("private"))
    share = RateLimited(variant="share", retry_at=memory.time.wall + 500)
    await memory.cooldowns.remember("boris", share, [7])
    await memory.cooldowns.remember("carla", CreatorNotFound())
    memory.time.move(20)
    await memory.restart()
    told = memory.cooldowns.current("anna")
    assert told is not None
    assert (told.code, told.ref) == ("connect_failed", second.ref)
    assert first.ref != second.ref
    assert memory.left() == pytest.approx(40, abs=0.01)
    assert memory.left("boris", 7) == pytest.approx(480, abs=0.01)
    standing = memory.cooldowns.current("boris", 7)
    assert standing is not None
    assert standing.error.variant == "share"
    assert memory.cooldowns.current("boris") is None
    assert memory.left("carla") is None
    memory.time.move(50)
    await memory.cooldowns.remember("anna", ConnectFailed())
    assert memory.left() == pytest.approx(120), "it goes on doubling"


async def test_what_was_forgotten_stays_forgotten_over_a_restart(memory: Memory) -> None:
    await memory.cooldowns.remember("anna", ConnectFailed())
    memory.cooldowns.forget("anna")
    await memory.restart()
    assert memory.cooldowns.current("anna") is None


async def test_after_a_restart_with_a_clock_set_back_a_failure_stands_no_longer_than_at_first(
    memory: Memory,
) -> None:
    await memory.cooldowns.remember("anna", Blocked())
    memory.time.jump(-86_400)
    await memory.restart()
    assert memory.left() == pytest.approx(300, abs=0.01)


async def test_a_disk_that_refuses_costs_nothing_but_the_memory_over_a_restart(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    link = memory.database.cooldowns._link._connection
    await link.execute("PRAGMA query_only = ON")
    await memory.cooldowns.remember("anna", ConnectFailed())
    assert memory.left() == pytest.approx(30)
    assert "A failure could not be written down" in caplog.text
    await memory.restart()
    assert memory.cooldowns.current("anna") is None


async def test_the_oldest_of_too_many_failures_is_forgotten(memory: Memory) -> None:
    users = range(1, MAX_FAILURES + 2)
    error = RateLimited(variant="share", retry_at=memory.time.wall + 500)
    await memory.cooldowns.remember("anna", error, users)
    assert memory.cooldowns.current("anna", users[0]) is None
    assert memory.cooldowns.current("anna", users[1]) is not None
