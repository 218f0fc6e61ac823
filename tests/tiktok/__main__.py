"""By hand: creators that stay live until Ctrl-C, and what to set so that LiveRelay finds them."""

import argparse
import asyncio
import itertools
import signal
import sys
from typing import Final

from tests.tiktok.creator import Creator
from tests.tiktok.limits import WINDOWS
from tests.tiktok.traffic import PER_FRAME, Pace, Traffic
from tests.tiktok.world import TikTok

TICK_S: Final = 0.1

GUIDE: Final = """\
TikTok on {app}, its sign server on {sign}.
Live: {names}. Limits for signatures: {limits}. {rate:g} events a second each. Ctrl-C ends.

export LIVERELAY_TIKTOK__APP_URL={app}
export LIVERELAY_TIKTOK__WEBCAST_URL={webcast}
export SIGN_API_URL={sign}
python run.py
"""


def limits(text: str) -> dict[str, int]:
    """Read "5,30,100": per minute, hour and day; fewer numbers set fewer limits."""
    return {name: int(number) for name, number in zip(WINDOWS, text.split(","), strict=False)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.tiktok", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TikTok's; the sign server's is +1")
    parser.add_argument("--creator", action="append", metavar="NAME", help="may be repeated")
    parser.add_argument("--rate", type=float, default=5, metavar="EVENTS_PER_S")
    parser.add_argument("--sign-limits", type=limits, metavar="MINUTE,HOUR,DAY")
    return parser.parse_args()


async def perform(creator: Creator, rate: float, seed: int, stop: asyncio.Event) -> None:
    """Send a creator's live to whoever is connected."""
    traffic, pace = Traffic(seed), Pace(rate)
    while not stop.is_set():
        due = pace.due()
        while creator.room_sockets and due > 0:
            await creator.send(*traffic.take(min(due, PER_FRAME)))
            due -= PER_FRAME
        try:
            async with asyncio.timeout(TICK_S):
                await stop.wait()
        except TimeoutError:
            continue


async def main() -> None:
    options = arguments()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tiktok = TikTok(sign_limits=options.sign_limits)
    await tiktok.start(options.port)
    creators = [tiktok.creator(name, live=True) for name in options.creator or ["alice"]]
    guide = GUIDE.format(
        app=tiktok.app_url,
        webcast=tiktok.webcast_url,
        sign=tiktok.sign_url,
        names=", ".join(creator.name for creator in creators),
        limits=options.sign_limits or "none",
        rate=options.rate,
    )
    sys.stdout.write(guide)
    sys.stdout.flush()
    try:
        async with asyncio.TaskGroup() as tasks:
            for creator, seed in zip(creators, itertools.count()):
                tasks.create_task(perform(creator, options.rate, seed, stop))
    finally:
        await tiktok.close()


if __name__ == "__main__":
    asyncio.run(main())
