"""Creator: one TikTok user who can go live: status, rooms, what is scripted, what was counted."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.tiktok.envelope import fetch_result, msg_frame, push_frame
from tests.tiktok.frames import ControlAction, control
from tests.tiktok.message import Message
from tests.tiktok.people import Person

if TYPE_CHECKING:
    from tests.tiktok.push import PushSocket
    from tests.tiktok.sign import SignScript

FIRST_ROOM_ID: Final = 7_300_000_000_000_000_000
PATIENCE_S: Final = 5.0
# Enough for any test; a stand-in that runs by hand for days must not fill the memory
KEPT: Final = 10_000
LIVE, OFFLINE = 2, 4

_room_numbers = itertools.count(1)


@dataclass
class Script:
    """What goes wrong for this creator; None is TikTok as it should be.

    html, api: "captcha" "empty" "500" "502" "403" "redirect" "hang" "drip" "reset", and the lies
    "live" (an ended room still offered), "offline", "not_found".
    check_alive: the same without "not_found", and "empty_list", "false".
    room_info: the same, and "age_restricted", "no_data" (a 500 that TikTokLive takes for 18+).
    handshake: 200, 400, 403, 429 or any status, "hang", "reset", "refused" (a dead port in the
    next signed URL), "close" (1000, right after it). sign: as SignServer.script, for this
    creator's rooms only.
    A list is consumed one a request; anything else stays until it is changed.
    """

    html: str | list[str | None] | None = None
    api: str | list[str | None] | None = None
    check_alive: str | list[str | None] | None = None
    room_info: str | list[str | None] | None = None
    handshake: int | str | list[int | str | None] | None = None
    sign: "SignScript" = None
    handshake_msg: str = "DEVICE_BLOCKED"
    ping_interval: str | None = None


@dataclass
class Lookups:
    """How often this creator was looked up, by page."""

    html: int = 0
    api: int = 0
    check_alive: int = 0
    room_info: int = 0

    @property
    def total(self) -> int:
        return self.html + self.api + self.check_alive + self.room_info


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledgement that arrived."""

    log_id: int
    internal_ext: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One heartbeat that arrived."""

    room_id: int
    seq: int


class Creator:
    """One creator; tests make them with TikTok.creator()."""

    def __init__(self, name: str, person: Person, rooms: "dict[int, Creator]") -> None:
        self.name = name
        self.person = person
        self.never_live = False
        self.live = False
        self.room_id = 0
        self.script = Script()
        self.history: list[Message] = []
        self.first_frame: list[Message] = []
        self.sockets: list[PushSocket] = []
        self.lookups = Lookups()
        self.connections = 0
        self.acks: deque[Ack] = deque(maxlen=KEPT)
        self.sent_exts: deque[str] = deque(maxlen=KEPT)
        self.heartbeats: deque[Heartbeat] = deque(maxlen=KEPT)
        self.entered: deque[int] = deque(maxlen=KEPT)
        self._rooms = rooms
        self._frames = itertools.count(1)
        self._changed = asyncio.Event()

    @property
    def status(self) -> int:
        """TikTok's number for it."""
        return LIVE if self.live else OFFLINE

    def go_live(self) -> int:
        """Start a new live, with a new room id, which is returned."""
        self.live = True
        self.room_id = FIRST_ROOM_ID + next(_room_numbers)
        self._rooms[self.room_id] = self
        return self.room_id

    def go_offline(self) -> None:
        """Be offline in every look-up; open sockets stay, for TikTok does not close them."""
        self.live = False

    async def send(self, *messages: Message, gzip: bool = True, history: bool = False) -> None:
        """Send one push frame that holds these messages to every socket of the current room."""
        number = next(self._frames)
        ext = f"internal_src:pushserver|wss_push_room_id:{self.room_id}|wss_msg_seq:{number}"
        self.sent_exts.append(ext)
        result = fetch_result(
            messages, cursor=f"d-{number}", internal_ext=ext, history=history, need_ack=True
        )
        await self.send_raw(msg_frame(result, gzip=gzip))

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as one binary WebSocket message."""
        for socket in self.room_sockets:
            await socket.send(data)

    async def send_text(self, text: str) -> None:
        """Send a text message, which TikTok never does."""
        for socket in self.room_sockets:
            await socket.send(text)

    async def send_bad_gzip(self) -> None:
        """Send a frame that says gzip and is not."""
        await self.send_raw(push_frame(b"certainly not gzip", compression="gzip"))

    async def send_truncated_gzip(self, *messages: Message) -> None:
        """Send a frame whose gzip stream breaks off."""
        whole = msg_frame(fetch_result(messages))
        payload = whole[whole.index(b"\x1f\x8b") :]
        await self.send_raw(push_frame(payload[: len(payload) // 2], compression="gzip"))

    async def send_garbage(self) -> None:
        """Send bytes that no parser takes for a push frame: a text where a number belongs."""
        await self.send_raw(b"\x1a\x03abc")

    @property
    def room_sockets(self) -> "list[PushSocket]":
        """The open sockets of the current (or last) room: an older one stays silent."""
        return [socket for socket in self.sockets if socket.room_id == self.room_id]

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close every socket with this code, and wait until they are gone."""
        for socket in list(self.sockets):
            await socket.say_close(code, reason)
        await self.until(lambda: not self.sockets)

    def reset(self) -> None:
        """Cut every socket with a TCP RST."""
        for socket in list(self.sockets):
            socket.reset()

    def drop(self) -> None:
        """End every connection with a FIN and no close frame."""
        for socket in list(self.sockets):
            socket.drop()

    def stall(self) -> None:
        """Neither send nor read any more on the sockets open now; later ones work."""
        for socket in self.sockets:
            socket.stall()

    async def end(self) -> None:
        """End the live as TikTok does: say so, then be offline."""
        await self.send(control(ControlAction.STREAM_ENDED))
        self.go_offline()

    async def suspend(self) -> None:
        """End the live by TikTok's moderation."""
        await self.send(control(ControlAction.STREAM_SUSPENDED))
        self.go_offline()

    async def pause(self) -> None:
        await self.send(control(ControlAction.STREAM_PAUSED))

    async def unpause(self) -> None:
        await self.send(control(ControlAction.STREAM_UNPAUSED))

    def changed(self) -> None:
        """Wake whoever waits in until()."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until a condition about this creator's sockets or counters holds."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s: {self!r}") from None

    async def wait_connected(self, n: int = 1, timeout_s: float = PATIENCE_S) -> None:
        """Wait until n push sockets are open."""
        await self.until(lambda: len(self.sockets) >= n, timeout_s)

    async def wait_entered(self, n: int = 1, timeout_s: float = PATIENCE_S) -> None:
        """Wait until n clients have entered the room, the first thing they say on a socket."""
        await self.until(lambda: len(self.entered) >= n, timeout_s)

    async def wait_gone(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until no push socket is open."""
        await self.until(lambda: not self.sockets, timeout_s)

    def __repr__(self) -> str:
        return (
            f"<Creator {self.name} {'live' if self.live else 'offline'} room {self.room_id}: "
            f"{len(self.sockets)} sockets, {self.connections} ever, {self.lookups}, "
            f"{len(self.acks)} acks, {len(self.heartbeats)} heartbeats>"
        )
