"""Push: TikTok's push WebSocket, from the handshake to the last frame."""

import asyncio
from collections.abc import Container, Mapping
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web
from TikTokLiveProto.v3.webcast.im import (
    HeartBeatMessage,
    WebcastImEnterRoomMessage,
    WebcastPushFrame,
)

from tests.tiktok.creator import Ack, Creator, Heartbeat
from tests.tiktok.envelope import push_frame
from tests.tiktok.script import next_of
from tests.tiktok.trouble import linger_zero, trouble

PUSH_PATH: Final = "/webcast/im/push/"
# A client that has not read for this long is what the test found out, not what it waits for
SEND_S: Final = 5.0
CLOSE_CODE_BYTES: Final = 2
ENDS: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class PushSocket:
    """One open push socket of one creator's room."""

    def __init__(self, creator: Creator, room_id: int, request: web.Request) -> None:
        self.creator = creator
        self.room_id = room_id
        self.query = dict(request.query)
        self.headers = request.headers.copy()
        self.stalled = False
        self._closing = False
        self._transport = request.transport
        # TikTok agrees on echo-protocol, does not answer pings, and compresses by itself
        self._ws = web.WebSocketResponse(
            protocols=("echo-protocol",), autoping=False, autoclose=False, compress=False
        )

    async def serve(
        self, request: web.Request, ping_interval: str, *, refuse: bool = False
    ) -> web.WebSocketResponse:
        """Shake hands and answer the client until the connection ends; `refuse` ends it at once."""
        self._ws.headers["Handshake-Options"] = f"ping-interval={ping_interval}"
        self._ws.headers["Handshake-Status"] = "0"
        await self._ws.prepare(request)
        self.creator.sockets.append(self)
        self.creator.connections += 1
        self.creator.changed()
        try:
            if refuse:
                await self.say_close(WSCloseCode.OK)
            # receive(), for iterating hides the client's close frame, which has to be answered
            while (message := await self._ws.receive()).type not in ENDS:
                if message.type is WSMsgType.BINARY and not self.stalled and not refuse:
                    await self._received(message.data)
            if message.type is WSMsgType.CLOSE and not self.stalled:
                await self._leave(message.data)
        except ConnectionError:
            pass  # a client that goes away while it is answered has only gone away
        finally:
            self.creator.sockets.remove(self)
            self.drop()
            self.creator.changed()
        return self._ws

    async def _leave(self, code: int) -> None:
        """Answer the client's close frame, or take it for the answer to ours."""
        if not self._closing:
            await self.say_close(code or WSCloseCode.OK)
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.close()

    async def _received(self, data: bytes) -> None:
        frame = WebcastPushFrame.parse(data)
        match frame.payload_type:
            case "hb":
                beat = HeartBeatMessage.parse(frame.payload)
                self.creator.heartbeats.append(Heartbeat(beat.room_id, beat.send_packet_seq_id))
                await self.send(push_frame(b"", kind="hb", log_id=frame.log_id))
            case "ack":
                self.creator.acks.append(Ack(frame.log_id, frame.payload.decode()))
            case "im_enter_room":
                self.creator.entered.append(WebcastImEnterRoomMessage.parse(frame.payload).room_id)
                await self.send(push_frame(b"", kind="im_enter_room_resp", log_id=frame.log_id))
                if self.creator.first_frame:
                    await self.creator.send(*self.creator.first_frame, history=True)
        self.creator.changed()

    async def send(self, data: bytes | str) -> None:
        """Send one WebSocket message; a client that does not read it fails the test."""
        if self.stalled or self._ws.closed:
            return
        opcode = WSMsgType.TEXT if isinstance(data, str) else WSMsgType.BINARY
        payload = data.encode() if isinstance(data, str) else data
        try:
            async with asyncio.timeout(SEND_S):
                await self._ws.send_frame(payload, opcode)
        except ConnectionError:
            return
        except TimeoutError:
            self.reset()
            raise AssertionError(f"the client of {self.creator.name} does not read") from None

    async def say_close(self, code: int, reason: str = "") -> None:
        """Send a close frame; serve() goes on until the client has answered it.

        Not WebSocketResponse.close(): it shuts the TCP connection at once, and an ack that is
        under way then turns the close into a reset.
        """
        if self._ws.closed or self.stalled:
            return
        self._closing = True
        payload = code.to_bytes(CLOSE_CODE_BYTES, "big") + reason.encode()
        try:
            await self._ws.send_frame(payload, WSMsgType.CLOSE)
        except ConnectionError:
            self.drop()

    def stall(self) -> None:
        """Neither send nor read any more, and keep the connection open."""
        self.stalled = True
        if isinstance(self._transport, asyncio.ReadTransport):
            self._transport.pause_reading()

    def reset(self) -> None:
        """End the connection with a TCP RST."""
        linger_zero(self._transport)
        self.drop()

    def drop(self) -> None:
        """End the connection without a close frame."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


class PushServer:
    """The handshake: who may open a push socket, and what goes wrong when they try."""

    def __init__(
        self,
        rooms: Mapping[int, Creator],
        tokens: Container[str],
        *,
        ping_interval: float,
        closing: asyncio.Event,
        drip_s: float,
    ) -> None:
        self._rooms = rooms
        self._tokens = tokens
        self._ping_interval = ping_interval
        self._closing = closing
        self._drip_s = drip_s

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(PUSH_PATH, self._handshake)
        router.add_get(PUSH_PATH + "ws-fallback.eulerstream.com/", self._handshake)

    async def _handshake(self, request: web.Request) -> web.StreamResponse:
        room_id = request.query.get("room_id", "")
        creator = self._rooms.get(int(room_id)) if room_id.isdecimal() else None
        # what was not signed is refused, so that a test cannot pass without a signature
        if creator is None or request.query.get("wrss") not in self._tokens:
            return web.Response(status=400, headers={"Handshake-Msg": "illegal secret key"})
        script = next_of(creator.script.handshake)
        if isinstance(script, int):
            return web.Response(
                status=script, headers={"Handshake-Msg": creator.script.handshake_msg}
            )
        if isinstance(script, str) and script not in ("refused", "close"):
            return await trouble(request, script, closing=self._closing, drip_s=self._drip_s)
        ping_interval = creator.script.ping_interval or f"{self._ping_interval:g}"
        socket = PushSocket(creator, int(room_id), request)
        return await socket.serve(request, ping_interval, refuse=script == "close")
