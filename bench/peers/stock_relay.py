"""A whole relay with stock parts: TikTokLive and FastAPI, a client a creator, phones one by one.

    python stock_relay.py PORT APP_URL WEBCAST_URL SIGN_URL

Kinder to it than the seed, which has a TikTokLive client for every phone. Path: /ws/CREATOR.
"""

import asyncio
import json
import sys
import time

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from TikTokLive import TikTokLiveClient
from TikTokLive.client.web.web_settings import WebDefaults
from TikTokLive.events import CommentEvent, GiftEvent, JoinEvent, LikeEvent, RoomUserSeqEvent

PORT, APP, WEBCAST, SIGN = int(sys.argv[1]), *sys.argv[2:5]
WebDefaults.tiktok_app_url, WebDefaults.tiktok_webcast_url = APP, WEBCAST
app = FastAPI()
phones: dict[str, list[WebSocket]] = {}
sources: dict[str, asyncio.Task[None]] = {}


def frame(event: object) -> dict[str, object]:
    user = getattr(event, "user", None)
    told: dict[str, object] = {
        "type": type(event).__name__.removesuffix("Event").lower(),
        "ts": int(time.time() * 1000),
        "user": getattr(user, "nickname", ""),
        "username": getattr(user, "unique_id", ""),
    }
    match event:
        case CommentEvent():
            told["message"] = event.comment
        case GiftEvent():
            told |= {"gift_name": event.gift.name if event.gift else "", "count": event.repeat_count}
        case LikeEvent():
            told |= {"count": event.count, "total": event.total}
        case RoomUserSeqEvent():
            told |= {"current": event.total, "total": event.total_user}
    return told


async def keep(creator: str) -> None:
    client = TikTokLiveClient(
        creator, web_kwargs={"signer_kwargs": {"sign_api_key": None, "sign_api_base": SIGN}}
    )

    async def told(event: object) -> None:
        for phone in list(phones[creator]):
            try:
                await phone.send_text(json.dumps(frame(event), ensure_ascii=False))
            except (RuntimeError, WebSocketDisconnect):
                pass

    for kind in (CommentEvent, GiftEvent, LikeEvent, JoinEvent, RoomUserSeqEvent):
        client.add_listener(kind, told)
    await (await client.start())


@app.websocket("/ws/{creator}")
async def phone(websocket: WebSocket, creator: str) -> None:
    await websocket.accept()
    phones.setdefault(creator, []).append(websocket)
    if creator not in sources:
        sources[creator] = asyncio.create_task(keep(creator))
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        phones[creator].remove(websocket)


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error", backlog=4096, ws="websockets")
