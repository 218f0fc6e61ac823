"""TikTok on loopback, fast: thousands of real frames a second from a process of its own.

    python -m bench.feeder ROOMS

prints its addresses as one line of JSON. A line on standard input, "RATE PER_FRAME KIND", sets
events a second of each room, events in a frame, and what they are: "chat"; "mix" as in a real live;
or "again", the same frames of such a mix again and again, which is the fastest. Every chat but
those says when it was made. "spent" prints the signatures spent so far, "said" the events and the
chats of them.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import zlib
from typing import Final

from server.upstream import schema
from tests.tiktok import TikTok, frames
from tests.tiktok.creator import Creator
from tests.tiktok.message import Message
from tests.tiktok.traffic import Traffic

#: TikTok's ids, and from here on ours, are nine bytes long as varints: one fits in another's place.
FIRST_ID: Final = 1 << 62
STAMP: Final = "t=" + "0" * 16
TEXT: Final = f"{STAMP} a message of a usual length"
TICK_S: Final = 0.004
TEMPLATES: Final = 400
#: Frames that are repeated.
AGAIN: Final = 200


def varint(number: int) -> bytes:
    """Protobuf's number."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Template:
    """An encoded message whose id, and time if it has one, are put in place."""

    def __init__(self, message: Message) -> None:
        self.method = message.method.encode()
        self._id = varint(message.msg_id)
        self._payload = message.payload
        assert len(self._id) == 9, "an id of nine bytes"

    def payload(self, msg_id: int, stamp: bytes) -> bytes:
        """The message as if it were sent now."""
        made = self._payload.replace(self._id, varint(msg_id))
        return made.replace(STAMP.encode(), stamp)


class Feed:
    """Sends to whoever is connected."""

    def __init__(self, creators: list[Creator]) -> None:
        self._creators = creators
        self._next_id = FIRST_ID
        chat = frames.chat("viewer.123", TEXT)
        self._kinds = {"chat": [Template(chat)], "mix": self._mix()}
        self._again: list[bytes] = []
        self._chats = 0
        #: Events so far, and chats of them, over all rooms.
        self.events = self.chats = 0
        self.rate, self.per_frame, self.kind = 0.0, 1, "chat"

    def _mix(self) -> list[Template]:
        messages = Traffic(1).take(TEMPLATES)
        return [
            Template(
                frames.chat(f"viewer.{number}", TEXT)
                if message.method == "WebcastChatMessage"
                else message
            )
            for number, message in enumerate(messages)
        ]

    async def run(self) -> None:
        due = {creator: time.monotonic() + random.random() for creator in self._creators}
        log_id = 1
        while True:
            await asyncio.sleep(TICK_S)
            if not self.rate:
                now = time.monotonic()
                due = dict.fromkeys(due, now)
                continue
            pause = self.per_frame / self.rate
            now = time.monotonic()
            while late := [creator for creator in self._creators if due[creator] <= now]:
                log_id += 1
                frame = self._next(log_id)  # one for all whose turn it is: packing costs the most
                for creator in late:
                    due[creator] += pause
                    if creator.sockets:
                        self.events += self.per_frame
                        self.chats += self._chats
                        await creator.send_raw(frame)

    def _next(self, log_id: int) -> bytes:
        return self._again[log_id % AGAIN] if self._again else self.frame(log_id)

    def set(self, rate: float, per_frame: int, kind: str) -> None:
        """What is sent from now on."""
        again = kind == "again"
        self.per_frame, self.kind = per_frame, "mix" if again else kind
        self._again = [self.frame(number) for number in range(1, AGAIN + 1)] if again else []
        self.rate = rate

    def frame(self, log_id: int) -> bytes:
        """One push frame as TikTok packs it."""
        stamp = b"t=%016d" % (time.monotonic_ns() // 1000)
        result = schema.FetchResult(internal_ext=b"fetch_id:1", need_ack=True)
        self._chats = 0
        for template in random.choices(self._kinds[self.kind], k=self.per_frame):
            self._next_id += 1
            self._chats += template.method == b"WebcastChatMessage"
            result.messages.add(
                method=template.method, payload=template.payload(self._next_id, stamp)
            )
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        payload = packer.compress(result.SerializeToString()) + packer.flush()
        frame = schema.PushFrame(
            log_id=log_id, payload_type=b"msg", payload_encoding=b"pb", payload=payload
        )
        frame.headers.add(key=b"compress_type", value=b"gzip")
        return bytes(frame.SerializeToString())


async def main() -> None:
    tiktok = TikTok(ping_interval=10.0)
    await tiktok.start()
    creators = [tiktok.creator(f"room{number}", live=True) for number in range(int(sys.argv[1]))]
    addresses = {"app": tiktok.app_url, "webcast": tiktok.webcast_url, "sign": tiktok.sign_url}
    print(json.dumps(addresses), flush=True)
    feed = Feed(creators)
    loop = asyncio.get_running_loop()

    def command() -> None:
        line = sys.stdin.readline()
        if not line:
            asyncio.get_running_loop().stop()
            return
        if line.strip() == "spent":
            print(json.dumps({"spent": tiktok.sign.spent()}), flush=True)
            return
        if line.strip() == "said":
            print(json.dumps({"events": feed.events, "chats": feed.chats}), flush=True)
            return
        rate, per_frame, kind = line.split()
        feed.set(float(rate), int(per_frame), kind)

    loop.add_reader(sys.stdin, command)
    await feed.run()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except RuntimeError:  # the loop was stopped: whoever started us is gone
        pass
