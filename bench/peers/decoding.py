"""What our side of TikTok costs: the library's connection, our decoder, the messages of the phones.

    python decoding.py APP_URL WEBCAST_URL SIGN_URL

Connects to the creator "room0" and makes each event into the bytes that phones get. A line on
standard input asks how many there were.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2]))
from bench.asked import answer_when_asked
from server.config import Config, SignSettings, TikTokSettings
from server.events import BattleStep, Control, GiftStep, Received
from server.relay import messages
from server.relay.battles import Battles
from server.relay.combos import Combos
from server.upstream.tiktok import TikTok

APP, WEBCAST, SIGN = sys.argv[1:4]


async def main() -> None:
    told = SimpleNamespace(events=0)
    combos, battles = Combos(30.0), Battles()

    def publish(event: object) -> None:
        body = messages.event_json(event, told.events, int(time.time() * 1000))  # type: ignore[arg-type]
        messages.text_frame(body)

    def receive(received: Sequence[Received]) -> None:
        told.events += len(received)
        for item in received:
            event = item.event
            if isinstance(event, GiftStep):
                for gift, _ in combos.step(event, time.monotonic()):
                    publish(gift)
            elif isinstance(event, BattleStep):
                publish(battles.step(event))
            elif not isinstance(event, Control):
                publish(event)

    config = Config(
        tiktok=TikTokSettings(app_url=APP, webcast_url=WEBCAST), sign=SignSettings(url=SIGN)
    )
    tiktok = TikTok(config)
    tiktok.start()
    room_id = await tiktok.live_room_id("room0", timeout_s=30)
    source = tiktok.source(
        "room0", room_id, key="", on_opened=lambda: print("open", flush=True), on_received=receive
    )
    answer_when_asked(lambda: told.events)
    await source.open(30)
    await source.run()


asyncio.run(main())
