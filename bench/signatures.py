"""Signatures: 100 phones of 5 creators whose network drops all the time."""

from __future__ import annotations

import asyncio
import random
from typing import Final

import aiohttp

from bench.contestants import relay_of_stock_parts
from bench.processes import Process
from bench.product import Relay, feeder
from bench.report import Findings, Row
from bench.tools import Tools

CREATORS: Final = 5
PHONES: Final = 100
DROPS: Final = 60
#: Ten times as fast as the phones of a bad network drop; nothing that is counted depends on it.
EVERY_S: Final = 1.0
#: A client for every connection: a few say it for all.
SEED_PHONES: Final = 20
SEED_DROPS: Final = 3
SEED_EVERY_S: Final = 5.0


def spent(tools: Tools, findings: Findings, _rounds: int) -> None:
    """What both designs take from the sign server."""
    with feeder(CREATORS) as (source, addresses):
        folder = tools.fresh()
        with Relay(folder, addresses, CREATORS) as relay:
            relay.ready()
            urls = [f"{relay.url}{relay.path(number % CREATORS)}" for number in range(PHONES)]
            asyncio.run(_drop_and_come_back(urls, DROPS, EVERY_S))
            ours = _spent(source)
    with feeder(CREATORS) as (source, addresses):
        with relay_of_stock_parts(addresses, "phone") as (_, port):
            urls = [
                f"http://127.0.0.1:{port}/ws/room{number % CREATORS}"
                for number in range(SEED_PHONES)
            ]
            asyncio.run(_drop_and_come_back(urls, SEED_DROPS, SEED_EVERY_S))
            seed = _spent(source) / (SEED_PHONES * SEED_DROPS) * PHONES * DROPS
    findings.add(
        Row(
            f"signatures spent by {PHONES} phones of {CREATORS} creators, {DROPS} drops each",
            f"{ours}",
            f"a client for every phone: {seed:.0f}",
            f"{ours}",
            f"{CREATORS}",
            ours == CREATORS,
        )
    )


def _spent(source: Process) -> int:
    source.say("spent")
    count: int = source.answer()["spent"]
    return count


async def _drop_and_come_back(urls: list[str], drops: int, every_s: float) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def phone(url: str) -> None:
            await asyncio.sleep(random.random() * every_s)
            for _ in range(drops):
                async with session.ws_connect(url) as socket:
                    try:
                        async with asyncio.timeout(every_s):
                            async for message in socket:
                                if message.type is aiohttp.WSMsgType.ERROR:
                                    break
                    except TimeoutError:
                        pass

        await asyncio.gather(*map(phone, urls))
