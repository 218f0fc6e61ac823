"""What keeps a room connected: look up, wait for the live, sign, stream, reconnect, end.

Look-ups are unsigned and come first (lookout.py); nothing is signed that the guard has not let
through. Once the phones have seen the live, a lost stream is mended here before they hear of an
error.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from server.config import Config
from server.errors import (
    AppError,
    ConnectFailed,
    CreatorOffline,
    Internal,
    RateLimited,
    SignUnavailable,
)
from server.relay.ended import FOUND_FOR_S, TOLD_FOR_S, EndedLives
from server.relay.lookout import DOUBTFUL, Lookout
from server.relay.room import CONNECTED, Room
from server.tasks import TaskOwner
from server.upstream.guard import Ask, Guard
from server.upstream.tiktok import TikTok

if TYPE_CHECKING:
    from server.upstream.source import Source

logger = logging.getLogger(__name__)

#: Pauses before the attempts to get a lost stream back: full jitter up to these.
RECONNECT_PAUSES_S: Final = (0.5, 2.0, 8.0, 20.0)
#: Answers of "offline" in a row that end a live whose stream was lost: one may be a lie.
OFFLINE_ANSWERS: Final = 2
#: A stream that goes on for this long was not refused.
PROVEN_AFTER_S: Final = 2.0
#: Longest pause between two live checks of a stream that stays silent.
MAX_SILENT_LOOK_S: Final = 600.0

#: Failures to open a stream that waiting a moment may mend.
TRANSIENT: Final = (ConnectFailed, SignUnavailable)


class Upstream(NamedTuple):
    """What every keeper works with."""

    tiktok: TikTok
    guard: Guard
    ended: EndedLives


class Keeper:
    """The life of one room upstream. `run` returns only when the room has failed: with the
    reason.

    `on_connected` is called when a stream is there, `on_proven` when it goes on.
    """

    def __init__(
        self,
        room: Room,
        config: Config,
        upstream: Upstream,
        *,
        on_connected: Callable[[], None],
        on_proven: Callable[[], None],
    ) -> None:
        self._room = room
        self._on_connected = on_connected
        self._on_proven = on_proven
        self._creator = room.creator
        self._settings = config.rooms
        self._tiktok, self._guard, self._ended = upstream
        self._lookout = Lookout(room, config, self._tiktok, self._ended)
        self._tasks = TaskOwner(f"room @{room.creator}")
        self._streaming: asyncio.Task[AppError | None] | None = None
        #: A stream that is open, and not waited for yet, is given up.
        self._given_up = False
        self._closing = TaskOwner(f"sources of @{room.creator}")

    async def run(self) -> AppError:
        """Keep the room connected until that fails."""
        logger.info("🔴 Подключение к TikTok Live: @%s", self._creator)
        try:
            while True:
                room_id = await self._lookout.until_live()
                self._room.set_state("connecting")
                await self._watch(room_id)
        except AppError as error:
            return error
        except Exception:
            logger.exception("Room @%s failed", self._creator)
            return Internal(f"room @{self._creator}")

    def reconnect(self) -> None:
        """Give the stream up, if there is one, and get another."""
        self._given_up = self._room.state in CONNECTED
        if self._streaming is not None:
            self._streaming.cancel()

    async def close(self) -> None:
        """End what still runs for the room; `run` must have been cancelled or have returned."""
        await self._tasks.close()
        await self._closing.drained()

    # ---- the live

    async def _watch(self, room_id: int) -> None:
        """Stream one live to its end, across lost connections. Raises AppError when that fails."""
        source: Source | None = await self._open(room_id, again=False)
        first = True
        while source is not None:
            try:
                lost = await self._stream(source, room_id)
            finally:
                await self._close(source)
            if lost is None:
                self._ended.add(room_id, TOLD_FOR_S if source.ended else FOUND_FOR_S)
                break
            logger.info("Stream of @%s lost: %s", self._creator, lost.detail or lost.code)
            if first and lost.variant == "refused":
                raise lost
            first = False
            self._room.lose_stream()
            source = await self._reopen(room_id)
        logger.info("Live of @%s has ended", self._creator)
        self._room.set_state("ended")

    async def _stream(self, source: Source, room_id: int) -> AppError | None:
        """Wait for the end of a stream; a silent one is asked after, unsigned, ever more rarely."""
        running = self._streaming = self._tasks.start(source.run(), name="stream")
        if self._given_up:
            running.cancel()
        stall_s = self._settings.stall_s
        try:
            done, _ = await asyncio.wait({running}, timeout=PROVEN_AFTER_S)
            if done:
                return _outcome(running)
            self._on_proven()
            if not source.heard_events:
                await self._tiktok.check_age(room_id)
            heard_at, patience_s = source.heard_at, stall_s
            while True:
                done, _ = await asyncio.wait({running}, timeout=stall_s)
                if done:
                    return _outcome(running)
                if source.heard_at != heard_at:
                    heard_at, patience_s = source.heard_at, stall_s
                silent_s = time.monotonic() - heard_at
                if silent_s < patience_s:
                    continue
                patience_s = min(2 * silent_s, silent_s + MAX_SILENT_LOOK_S)
                if not await self._lookout.goes_on(room_id):
                    return None
        finally:
            self._streaming, self._given_up = None, False
            running.cancel()

    async def _reopen(self, room_id: int) -> Source | None:
        """Get a lost stream back, with full jitter. None when the live is over."""
        last: AppError = ConnectFailed("lost")
        offline = 0
        for pause_s in RECONNECT_PAUSES_S:
            await asyncio.sleep(random.uniform(0, pause_s))
            try:
                over = await self._lookout.look() != room_id
            except CreatorOffline:
                offline += 1
                over = offline == OFFLINE_ANSWERS
                if not over:
                    continue
            except DOUBTFUL as error:
                last = error
                continue
            if over:
                self._ended.add(room_id, FOUND_FOR_S)
                return None
            try:
                return await self._open(room_id, again=True)
            except TRANSIENT as error:
                if error.retry_at is not None:
                    raise
                last = error
        raise last

    # ---- one connection

    async def _open(self, room_id: int, *, again: bool) -> Source:
        """Sign and connect with the first key that is let through. Raises AppError."""
        failures: list[AppError] = []
        for ask in self._room.asks(again=again):
            try:
                return await self._open_with(ask, room_id)
            except RateLimited as error:
                failures.append(error)
            except AppError as error:
                if not error.of_key:
                    raise
                failures.append(error)
        limits = [error for error in failures if isinstance(error, RateLimited)]
        if len(limits) < len(failures):
            raise next(error for error in failures if not isinstance(error, RateLimited))
        raise min(limits, key=lambda error: error.retry_at or 0.0)

    async def _open_with(self, ask: Ask, room_id: int) -> Source:
        permit = await self._guard.admit(ask)
        source = self._tiktok.source(
            self._creator,
            room_id,
            key=ask.key,
            on_opened=self._opened,
            on_received=self._room.receive,
        )
        try:
            await source.open(self._settings.connect_timeout_s)
            await permit.settle(None)
        except AppError as error:
            await self._close(source)
            await permit.settle(error, unsent=source.signature_unspent)
            raise
        except BaseException:
            permit.abandon()
            await self._close(source)
            raise
        self._room.falls_back = source.falls_back
        if source.falls_back:
            # Connecting again makes it worse, so the stream is kept as it is.
            logger.warning("@%s is streamed by the sign server's fallback socket", self._creator)
        logger.info("✅ TikTok Live клиент запущен для @%s", self._creator)
        return source

    def _opened(self) -> None:
        # In this order: who hears of the live may send others, and they must be let in.
        self._on_connected()
        self._room.set_state("live")

    async def _close(self, source: Source) -> None:
        """Close a source whole: being cancelled meanwhile must not leave half of it open."""
        await asyncio.shield(self._closing.start(source.close(), name="close"))


def _outcome(stream: asyncio.Task[AppError | None]) -> AppError | None:
    """Why a stream is over; one that was cancelled was given up by reconnect()."""
    return ConnectFailed("given up for another") if stream.cancelled() else stream.result()
