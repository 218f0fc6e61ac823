"""The ledger is never below what the sign server has counted, whenever the power goes."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from server.store.database import Database
from server.upstream.guard.account import account_name
from tests.process import PATIENCE_S, RUN, environment
from tests.tiktok import TikTok

KILLS = 25
#: A request takes a few milliseconds from the wish to the last note.
WITHIN_S = 0.02


@pytest.mark.parametrize("seed", range(4))
async def test_a_process_killed_at_any_moment_has_written_down_all_that_it_sent(
    seed: int, tmp_path: Path, tiktok: TikTok
) -> None:
    dice = random.Random(seed)
    path = tmp_path / "liverelay.db"
    counted = 0
    for _ in range(KILLS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.spender", str(path), tiktok.sign_url, "key",
            cwd=RUN.parent, env=environment(tmp_path), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE_S) == b"spending\n"
        if dice.random() < 0.9:
            await tiktok.sign.wait_spent(counted + 1, "key")
        # Not to wait for anything: the moment of the kill is what the dice decide.
        await asyncio.sleep(dice.uniform(0, WITHIN_S))
        process.kill()
        await process.communicate()
        database = await Database.open(path, serving=True)
        rows = await database.limits.spent()
        await database.close()
        counted = tiktok.sign.spent("key")
        assert {row.key_name for row in rows} <= {account_name("key")}
        assert len(rows) >= counted
    assert counted > KILLS, "requests were on their way"
