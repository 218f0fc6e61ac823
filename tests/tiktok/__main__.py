"""By hand: creators that stay until Ctrl-C, each for one thing that can happen, and what to set so
that LiveRelay finds them.
"""

import argparse
import asyncio
import itertools
import signal
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.tiktok.creator import Creator
from tests.tiktok.limits import WINDOWS
from tests.tiktok.sign import SignAnswer
from tests.tiktok.traffic import PER_FRAME, Pace, Traffic
from tests.tiktok.world import TikTok

TICK_S: Final = 0.1
#: How often the streams of `drops` and `ends` do that.
EVERY_S: Final = 60.0

GUIDE: Final = """\
TikTok on {app}, its sign server on {sign}.
Limits for signatures: {limits}. {rate:g} events a second. Ctrl-C ends.

{scenes}
  any other name   is unknown: user_not_found

In another terminal:

export LIVERELAY_TIKTOK__APP_URL={app}
export LIVERELAY_TIKTOK__WEBCAST_URL={webcast}
export SIGN_API_URL={sign}
{python} run.py
"""


class Scene(NamedTuple):
    """A creator by hand: what is scripted, and what happens every EVERY_S."""

    says: str
    live: bool = True
    script: Callable[[Creator], None] = lambda creator: None
    turn: str = ""


def _sign(answer: SignAnswer | int) -> Callable[[Creator], None]:
    return lambda creator: setattr(creator.script, "sign", answer)


def _pages(kind: str) -> Callable[[Creator], None]:
    def script(creator: Creator) -> None:
        creator.script.html = creator.script.api = kind

    return script


SCENES: Final = {
    "alice": Scene("is live"),
    "boris": Scene("is live, too"),
    "offline": Scene("is not live: the phone waits", live=False),
    "sleeper": Scene("goes live and offline in turn, every minute", live=False, turn="toggle"),
    "drops": Scene("loses the stream every minute", turn="reset"),
    "ends": Scene("ends the live every minute, and begins another", turn="end"),
    "limited": Scene(
        "meets the connection limit, and with it everybody: rate_limited for 90 s",
        script=_sign(SignAnswer.rate_limited({"Retry-After": "90"})),
    ),
    "signdown": Scene("meets a broken sign server: sign_unavailable", script=_sign(500)),
    "badkey": Scene(
        "is refused with the key, and so is everybody for 15 minutes: sign_key_invalid",
        script=_sign(401),
    ),
    "premium": Scene(
        "needs a better plan, and so does everybody for 15 minutes: premium_required",
        script=_sign(402),
    ),
    "captcha": Scene("is behind a captcha: blocked", script=_pages("captcha")),
    "broken": Scene("has pages that fail: connect_failed", script=_pages("500")),
    "adult": Scene(
        "is age-restricted: age_restricted",
        script=lambda creator: setattr(creator.script, "room_info", "age_restricted"),
    ),
}
#: Scenes without traffic: what they are for comes before it, or instead of it.
SILENT: Final = frozenset({"adult"})


def limits(text: str) -> dict[str, int]:
    """Read "5,30,100": per minute, hour and day; fewer numbers set fewer limits."""
    return {name: int(number) for name, number in zip(WINDOWS, text.split(","), strict=False)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.tiktok", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TikTok's; the sign server's is +1")
    parser.add_argument("--creator", action="append", metavar="NAME", help="live ones, instead")
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
        await _pause(stop, TICK_S)


async def turn(creator: Creator, what: str, stop: asyncio.Event) -> None:
    """Do what a scene does every EVERY_S."""
    while not stop.is_set():
        await _pause(stop, EVERY_S)
        match what:
            case "reset":
                creator.reset()
            case "end":
                await creator.end()
                creator.go_live()
            case "toggle" if creator.live:
                await creator.end()
            case "toggle":
                creator.go_live()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def main() -> None:
    options = arguments()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tiktok = TikTok(sign_limits=options.sign_limits)
    await tiktok.start(options.port)
    scenes = SCENES
    if options.creator:
        scenes = {name: SCENES["alice"] for name in options.creator}
    creators = {name: tiktok.creator(name, live=scene.live) for name, scene in scenes.items()}
    for name, scene in scenes.items():
        scene.script(creators[name])
    guide = GUIDE.format(
        app=tiktok.app_url,
        webcast=tiktok.webcast_url,
        sign=tiktok.sign_url,
        scenes="\n".join(f"  {name:<16} {scene.says}" for name, scene in scenes.items()),
        limits=options.sign_limits or "none",
        rate=options.rate,
        python=sys.executable,
    )
    sys.stdout.write(guide)
    sys.stdout.flush()
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, seed in zip(scenes, itertools.count()):
                if name not in SILENT:
                    tasks.create_task(perform(creators[name], options.rate, seed, stop))
                if scenes[name].turn:
                    tasks.create_task(turn(creators[name], scenes[name].turn, stop))
    finally:
        await tiktok.close()


if __name__ == "__main__":
    asyncio.run(main())
