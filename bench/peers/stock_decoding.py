"""What stock TikTokLive costs for the same: its connection, its events, and their JSON.

python stock_decoding.py APP_URL WEBCAST_URL SIGN_URL
"""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2]))
from TikTokLive import TikTokLiveClient
from TikTokLive.client.web.web_settings import WebDefaults
from TikTokLive.events import ConnectEvent

from bench.asked import answer_when_asked
from bench.peers.stock import RELAYED, frame

APP, WEBCAST, SIGN = sys.argv[1:4]
WebDefaults.tiktok_app_url, WebDefaults.tiktok_webcast_url = APP, WEBCAST


async def main() -> None:
    told = SimpleNamespace(events=0)
    client = TikTokLiveClient(
        "room0", web_kwargs={"signer_kwargs": {"sign_api_key": None, "sign_api_base": SIGN}}
    )

    async def relay(event: object) -> None:
        told.events += 1
        json.dumps(frame(event), ensure_ascii=False)

    async def opened(_event: object) -> None:
        print("open", flush=True)

    for kind in RELAYED:
        client.add_listener(kind, relay)
    client.add_listener(ConnectEvent, opened)
    answer_when_asked(lambda: told.events)
    await (await client.start())


asyncio.run(main())
