"""A process that does nothing but spend signatures, as the server does, until it is killed.

python -m tests.spender DATABASE SIGN_URL KEY
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from server.config import SignSettings
from server.store.database import Database
from server.upstream.guard import Ask, Guard
from server.upstream.probe import LimitsLeft

#: Requests on their way at once: a kill meets them at different stages.
LANES = 3


async def _tells_nothing(_key: str) -> Sequence[LimitsLeft]:
    return ()


async def spend(path: Path, sign_url: str, key: str) -> None:
    """Ask, send, settle, for ever."""
    database = await Database.open(path, serving=True)
    settings = SignSettings(min_interval_s=0)
    guard = Guard(settings, database.limits, _tells_nothing)
    await guard.load()
    async with httpx.AsyncClient(trust_env=False) as http:

        async def lane(number: int) -> None:
            for turn in range(1 << 30):
                permit = await guard.admit(Ask(f"creator{number}.{turn}", key, own_key=True))
                await http.get(f"{sign_url}/webcast/fetch", headers={"X-Api-Key": key})
                await permit.settle(None)

        print("spending", flush=True)
        await asyncio.gather(*(lane(number) for number in range(LANES)))


if __name__ == "__main__":
    asyncio.run(spend(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
