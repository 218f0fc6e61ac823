"""One phone's WebSocket, from the upgrade to the close. Who may connect is phone.py's to say."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from server.errors import (
    CLOSE_GOING_AWAY,
    AppError,
    BadMessage,
    Internal,
    SlowConsumer,
    UsernameRequired,
)
from server.relay import messages
from server.relay.messages import ConnectTikTok, DisconnectTikTok, Gap, Ping, Pong, Status
from server.relay.notices import ErrorFrame, Lang, Notice, notice, state_text
from server.relay.outbox import Outbox
from server.relay.room import Member, Room
from server.relay.rooms import Refused
from server.tasks import TaskOwner
from server.usernames import normalise
from server.web.manners import Manners
from server.web.options import PhoneOptions

if TYPE_CHECKING:
    from server.web.phones import Phones

logger = logging.getLogger(__name__)

#: Frames above 8 KiB close with 1009; aiohttp refuses from its limit on, not above it.
MAX_FRAME_BYTES: Final = 8192
HEARTBEAT_S: Final = 25.0
#: How long a phone may take to answer our close frame before its socket is aborted.
CLOSE_TIMEOUT_S: Final = 2.0
#: A phone that asks but reads nothing gets no more answers while this many bytes wait for it.
MAX_UNREAD_BYTES: Final = 1 << 20
#: RFC 6455, 5.2: FIN and the opcodes of ping and pong.
PING_FRAME: Final = b"\x89\x00"
PONG: Final = 0x8A


class Connection:
    """A phone that is connected. Its reader is the request's own task; nobody else awaits on it.

    There are thousands: slots, and nothing is made before it is needed.
    """

    __slots__ = (
        "_closing",
        "_lang",
        "_manners",
        "_manual",
        "_member",
        "_options",
        "_phones",
        "_room",
        "_since",
        "_switching",
        "_tasks",
        "_transport",
        "_ws",
        "connection_id",
        "creator",
        "heard_at",
        "ip",
        "opened_at",
        "token_hash",
        "user_id",
    )

    def __init__(
        self,
        phones: Phones,
        ws: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        user_id: int,
        token_hash: bytes,
        ip: str,
        options: PhoneOptions,
        lang: Lang,
        connection_id: int,
    ) -> None:
        self.user_id = user_id
        self.connection_id = connection_id
        self.token_hash = token_hash
        self.ip = ip
        self.opened_at = time.monotonic()
        #: When the phone last sent anything, pongs included (monotonic seconds).
        self.heard_at = self.opened_at
        self.creator = ""
        self._phones = phones
        self._ws = ws
        self._transport = transport
        self._options = options
        self._lang = lang
        self._room: Room | None = None
        self._member: Member | None = None
        self._manual = options.manual
        self._since = options.since
        self._manners = Manners()
        self._switching = asyncio.Lock()
        self._tasks: TaskOwner | None = None
        self._closing = False

    # ---- life

    async def serve(self) -> None:
        """Join the room and read commands until the socket closes."""
        try:
            if self._manual:
                await self._begin_stopped()
            else:
                await self.follow_settings()
            async for message in self._ws:
                self.heard_at = time.monotonic()
                await self._handle(message)
                if self._closing:
                    break  # what a flood has left behind is nobody's to answer
        except AppError as error:
            self.fail(error)
        except Exception as error:
            self._broken("The socket", error)
        finally:
            self._leave()
            if not self._closing:
                self._phones.recorder.closed(self.connection_id, self._ws.close_code or 0, "")
            if self._tasks is not None:
                await self._tasks.drained(CLOSE_TIMEOUT_S * 2)
                await self._tasks.close()

    def fail(self, error: AppError, *, nobodys: bool = False) -> None:
        """Tell this phone alone that something failed, and close.

        `nobodys`: the user is gone, and so must be every row of theirs.
        """
        told = notice(error, creator=self.creator)
        self._log_notice(told, user_id=0 if nobodys else self.user_id)
        self._end(told)

    def _broken(self, what: str, error: Exception) -> None:
        """A bug of ours: the phone is told that, and nothing private."""
        told = notice(Internal(), creator=self.creator)
        logger.error(
            "%s of user_id=%s failed, ref %s", what, self.user_id, told.ref, exc_info=error
        )
        self._log_notice(told)
        self._end(told)

    def _log_notice(
        self, told: Notice, *, closing: bool = True, user_id: int | None = None
    ) -> None:
        self._phones.log_notice(
            told,
            self.user_id if user_id is None else user_id,
            self._lang,
            closing=closing,
            connection_id=self.connection_id,
        )

    def close_going_away(self) -> None:
        """Close without an error: the server stops."""
        self._leave()
        self._close(CLOSE_GOING_AWAY, "")

    def ping(self) -> None:
        """Ask the phone for a sign of life; its answer moves `heard_at`."""
        if not self._transport.is_closing():
            self._transport.write(PING_FRAME)

    def _end(self, told: Notice) -> None:
        """Write the error frame after all else, then close with its code and reason."""
        if self._closing:
            return
        self._tell(self._frame(told))
        self._leave()
        self._close(told.error.close_code, told.close_reason())

    def _close(self, code: int, reason: str) -> None:
        if not self._closing:
            self._closing = True
            self._phones.recorder.closed(self.connection_id, code, reason)
            self._tasks = TaskOwner(f"phone of user_id={self.user_id}")
            self._tasks.start(self._finish(self._tasks, code, reason), name="close")

    async def _finish(self, tasks: TaskOwner, code: int, reason: str) -> None:
        """Close politely within the time-out, else abort: close() to a stalled peer never
        returns.
        """
        closing = tasks.start(
            self._ws.close(code=code, message=reason.encode(), drain=False), name="close frame"
        )
        _, stuck = await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        if stuck:
            self._transport.abort()
            closing.cancel()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    # ---- the room

    async def follow_settings(self) -> None:
        """Go where the user's settings point: into the creator's room, out of another one."""
        async with self._switching:
            known = await self._phones.known(self.user_id)
            if known is None or self._closing:
                return
            username = known.user.tiktok_username
            if not username:
                logger.warning("⚠️ TikTok username не указан для user_id=%s", self.user_id)
                self.fail(UsernameRequired())
                return
            if username == self.creator and self._member is not None:
                return
            self._leave()
            self.creator = username
            await self._join(known.sign_key)

    async def settings_changed(self) -> None:
        """The user's username changed; a phone that stopped stays stopped."""
        if not self._manual:
            try:
                await self.follow_settings()
            except AppError as error:
                self.fail(error)
            except Exception as error:
                self._broken("A new setting", error)

    def use_key(self, key: str) -> None:
        """The user's own EulerStream key from now on, "" for none."""
        if self._member is not None:
            self._member.key = key

    async def _join(self, key: str) -> None:
        outbox = Outbox(self._transport, self._options.group(self._lang), self)
        member = Member(
            user_id=self.user_id,
            lang=self._lang,
            key=key,
            outbox=outbox,
            connection_id=self.connection_id,
        )
        since, self._since = self._since, None
        since = self._phones.after_cut(self.token_hash, self.creator, since)
        try:
            room = await self._phones.rooms.join(self.creator, member, since)
        except Refused as refused:
            self._log_notice(refused.notice)
            self._end(refused.notice)
            return
        if self._closing or self._ws.closed:
            room.leave(member)
            return
        self._room, self._member = room, member
        self._phones.recorder.joined(
            self.connection_id, self.creator, room.state, member.from_id, member.live_from
        )

    def _leave(self) -> None:
        room, member = self._room, self._member
        self._room = self._member = None
        if room is not None and member is not None:
            room.leave(member)
            self._phones.recorder.left(self.connection_id, member.outbox.last_id)

    def dismiss(self, notice: Notice) -> None:
        """The room has failed; it has logged that itself."""
        self._end(notice)

    def missed(self, gap: Gap) -> None:
        """The phone was too slow for the ring and is told so."""
        self._phones.log_gap(gap, self.creator, self.user_id, self.connection_id)

    def cut_off(self, last_id: int) -> None:
        """The phone reads nothing: it cannot be told, so its next connect is."""
        room = self._room
        if room is not None:
            self._phones.note_cut(self.token_hash, self.creator, room.epoch, last_id)
        told = notice(SlowConsumer(), creator=self.creator)
        self._log_notice(told)
        self._leave()
        self._closing = True
        self._phones.recorder.closed(self.connection_id, 0, told.code)
        self._transport.abort()

    # ---- commands

    async def _handle(self, message: WSMessage) -> None:
        try:
            self._manners.frame()
            if message.type is WSMsgType.TEXT:
                await self._obey(messages.decode_command(message.data))
            elif message.type is WSMsgType.BINARY:
                raise BadMessage("binary frame")
            elif message.type is WSMsgType.PING and self._reads():
                self._write(bytes((PONG, len(message.data))) + message.data)
        except BadMessage as error:
            self._count_bad(error)
        except AppError as error:
            self._answer(error)
        except Exception as error:
            self._broken("A command", error)

    async def _obey(self, command: messages.AnyCommand) -> None:
        match command:
            case ConnectTikTok(username=username):
                if username is not None:
                    self._manners.username()
                    await self._phones.set_username(self.user_id, normalise(username), self)
                self._manual = False
                await self.follow_settings()
            case DisconnectTikTok():
                self._manual = True
                async with self._switching:
                    self._leave()
                    self._write(messages.wire(self._stopped()))
            case Ping():
                if self._reads():
                    self._tell(Pong(ts=int(time.time() * 1000)))
            case _:
                pass

    def _answer(self, error: AppError) -> None:
        """A command failed: where the socket stays open, say so; else close."""
        stays_open = error.code == "invalid_username"
        told = notice(error, creator=self.creator)
        self._log_notice(told, closing=not stays_open)
        if not stays_open:
            self._end(told)
        elif self._reads():
            self._tell(self._frame(told, closing=False))

    def _reads(self) -> bool:
        """Whether answers still reach the phone, or only pile up."""
        return self._transport.get_write_buffer_size() <= MAX_UNREAD_BYTES

    def _count_bad(self, error: BadMessage) -> None:
        told = notice(error, creator=self.creator)
        too_many = self._manners.bad()
        self._log_notice(told, closing=too_many)
        if too_many:
            self._end(told)
        else:
            self._tell(self._frame(told, closing=False))

    def _frame(self, told: Notice, *, closing: bool = True) -> ErrorFrame:
        return told.frame(self._lang, closing=closing, now=self._phones.wall())

    def _tell(self, frame: Pong | ErrorFrame) -> None:
        if self._room is not None and self._member is not None:
            self._room.tell(self._member, frame)
        else:
            self._write(messages.wire(frame))

    async def _begin_stopped(self) -> None:
        """The first status of a phone that waits for `connect_tiktok`."""
        known = await self._phones.known(self.user_id)
        self.creator = known.user.tiktok_username if known is not None else ""
        epoch, last_id = await self._phones.rooms.standing(self.creator)
        first = msgspec.structs.replace(
            self._stopped(),
            epoch=epoch or None,
            last_id=last_id,
            server_time=int(time.time() * 1000),
        )
        self._write(messages.wire(first))

    def _stopped(self) -> Status:
        return Status(
            ts=int(time.time() * 1000),
            state="stopped",
            message=state_text("stopped", self._lang, creator=self.creator),
            tiktok_username=self.creator,
        )
