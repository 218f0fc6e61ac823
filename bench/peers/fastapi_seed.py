"""The seed's design: FastAPI, every event made into JSON and sent, one client after the other.

python fastapi_seed.py PORT RATE
"""

import asyncio
import hashlib
import json
import sqlite3
import sys
import time

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

PORT, RATE = int(sys.argv[1]), float(sys.argv[2])
app = FastAPI()
clients: list[WebSocket] = []
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("CREATE TABLE tokens (hash TEXT PRIMARY KEY, user_id INTEGER)")
database.execute("INSERT INTO tokens VALUES (?, 1)", (hashlib.sha256(b"token").hexdigest(),))


@app.websocket("/ws/{token}")
async def phone(websocket: WebSocket, token: str) -> None:
    hashed = hashlib.sha256(token.encode()).hexdigest()
    found = database.execute("SELECT user_id FROM tokens WHERE hash = ?", (hashed,)).fetchone()
    await websocket.accept()
    if found is None:
        await websocket.close(code=1008)
        return
    clients.append(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        clients.remove(websocket)


def message(number: int) -> dict[str, object]:
    return {
        "id": number,
        "ts": int(time.time() * 1000),
        "type": "chat",
        "user": "viewer 123",
        "username": "viewer.123",
        "user_id": "7000000000000000123",
        "avatar": "https://p16-sign.tiktokcdn.com/avatar.webp",
        "message": f"t={time.monotonic_ns() // 1000:016} a message of a usual length",
    }


async def speak() -> None:
    due = time.monotonic()
    number = 1_000_000
    while RATE:
        due += 1 / RATE
        await asyncio.sleep(max(0, due - time.monotonic()))
        number += 1
        event = message(number)
        for client in list(clients):
            try:
                await client.send_text(json.dumps(event, ensure_ascii=False))
            except (RuntimeError, WebSocketDisconnect):
                pass


@app.on_event("startup")
async def begin() -> None:
    app.state.speaking = asyncio.create_task(speak())


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error", backlog=4096, ws="websockets")
