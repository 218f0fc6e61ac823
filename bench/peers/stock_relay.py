"""A whole relay with stock parts: TikTokLive and FastAPI, phones one after the other.

    python stock_relay.py PORT APP_URL WEBCAST_URL SIGN_URL creator|phone

With `creator` there is one TikTokLive client for each creator, which is kinder than the seed; with
`phone` one for each phone, as in the seed. Path: /ws/CREATOR.
"""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from TikTokLive import TikTokLiveClient
from TikTokLive.client.web.web_settings import WebDefaults

from bench.peers.stock import RELAYED, frame

PORT, APP, WEBCAST, SIGN, SHARED = int(sys.argv[1]), *sys.argv[2:6]
WebDefaults.tiktok_app_url, WebDefaults.tiktok_webcast_url = APP, WEBCAST
app = FastAPI()
phones: dict[str, list[WebSocket]] = {}
sources: dict[str, asyncio.Task[None]] = {}


async def keep(creator: str, told: list[WebSocket]) -> None:
    client = TikTokLiveClient(
        creator, web_kwargs={"signer_kwargs": {"sign_api_key": None, "sign_api_base": SIGN}}
    )

    async def relay(event: object) -> None:
        for phone in list(told):
            try:
                await phone.send_text(json.dumps(frame(event), ensure_ascii=False))
            except (RuntimeError, WebSocketDisconnect):
                pass

    for kind in RELAYED:
        client.add_listener(kind, relay)
    try:
        await (await client.start())
    finally:
        await client.disconnect()


@app.websocket("/ws/{creator}")
async def phone(websocket: WebSocket, creator: str) -> None:
    await websocket.accept()
    own = None
    if SHARED == "phone":
        own = asyncio.create_task(keep(creator, [websocket]))
    else:
        phones.setdefault(creator, []).append(websocket)
        if creator not in sources:
            sources[creator] = asyncio.create_task(keep(creator, phones[creator]))
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        if own is not None:
            own.cancel()
        else:
            phones[creator].remove(websocket)


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error", backlog=4096, ws="websockets")
