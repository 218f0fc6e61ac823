"""What keeps a room connected: look up, wait for the live, sign, stream, reconnect, end.

Look-ups are unsigned and come first; nothing is signed that the guard has not let through. Once the
phones have seen the live, a lost stream is mended here before they hear of an error.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from server.config import Config
from server.errors import (
    AppError,
    Blocked,
    ConnectFailed,
    CreatorOffline,
    Internal,
    RateLimited,
    SignUnavailable,
)
from server.relay.room import Room
from server.tasks import TaskOwner
from server.upstream.guard import Ask, Guard
from server.upstream.tiktok import TikTok

if TYPE_CHECKING:
    from server.upstream.source import Source

logger = logging.getLogger(__name__)

#: How far the look-ups of a waiting room slow down, as a multiple of rooms.offline_poll_s.
POLL_GROWTH: Final = 1.5
MAX_POLL_FACTOR: Final = 3.0
POLL_JITTER: Final = 0.2
#: Look-ups in a row that may fail while phones wait, before they are told.
LOOK_UP_FAILURES: Final = 3
#: Pauses before the attempts to get a lost stream back: full jitter up to these.
RECONNECT_PAUSES_S: Final = (0.5, 2.0, 8.0, 20.0)
#: TikTok offers a live that has ended as live for up to 15 minutes. One whose end was only found
#: out, not told, is believed again after this.
FOUND_ENDED_FOR_S: Final = 1200.0
MAX_ENDED_IDS: Final = 64
#: Longest pause between two live checks of a stream that stays silent.
MAX_SILENT_LOOK_S: Final = 600.0

#: What waiting a moment may mend.
TRANSIENT: Final = (ConnectFailed, SignUnavailable)


class Keeper:
    """The life of one room upstream. `run` returns only when the room has failed: with the
    reason.
    """

    def __init__(
        self,
        room: Room,
        config: Config,
        tiktok: TikTok,
        guard: Guard,
        *,
        on_connected: Callable[[], None],
    ) -> None:
        self._room = room
        self._on_connected = on_connected
        self._creator = room.creator
        self._config = config
        self._tiktok = tiktok
        self._guard = guard
        self._tasks = TaskOwner(f"room @{room.creator}")
        self._closing = TaskOwner(f"sources of @{room.creator}")
        #: (TikTok's room id, until when it is not believed to be live, monotonic seconds).
        self._ended: deque[tuple[int, float]] = deque(maxlen=MAX_ENDED_IDS)

    async def run(self) -> AppError:
        """Keep the room connected until that fails."""
        logger.info("🔴 Подключение к TikTok Live: @%s", self._creator)
        try:
            while True:
                room_id = await self._until_live()
                await self._watch(room_id)
        except AppError as error:
            return error
        except Exception:
            logger.exception("Room @%s failed", self._creator)
            return Internal(f"room @{self._creator}")

    async def close(self) -> None:
        """End what still runs for the room; `run` must have been cancelled or have returned."""
        await self._tasks.close()
        await self._closing.drained()

    # ---- waiting for the live

    async def _until_live(self) -> int:
        """Look until the creator is live in a room that has not ended; no signature is spent."""
        poll_s = self._config.rooms.offline_poll_s
        failures = 0
        while True:
            try:
                room_id = await self._tiktok.live_room_id(self._creator)
                if not self._has_ended(room_id):
                    return room_id
            except CreatorOffline:
                if self._config.rooms.when_offline == "close":
                    raise
                failures = 0
            except (ConnectFailed, Blocked):
                failures += 1
                if self._room.state != "waiting" or failures >= LOOK_UP_FAILURES:
                    raise
            delay = poll_s * random.uniform(1 - POLL_JITTER, 1 + POLL_JITTER)
            self._room.set_state("waiting", retry_at=time.time() + delay)
            knocked = await self._wait(delay)
            base_s = self._config.rooms.offline_poll_s
            poll_s = base_s if knocked else min(poll_s * POLL_GROWTH, base_s * MAX_POLL_FACTOR)

    async def _wait(self, delay_s: float) -> bool:
        """Wait for the next look; a phone that joins makes it no later than one basic interval."""
        self._room.knock.clear()
        started = time.monotonic()
        try:
            async with asyncio.timeout(delay_s):
                await self._room.knock.wait()
        except TimeoutError:
            return False
        left_s = delay_s - (time.monotonic() - started)
        await asyncio.sleep(min(left_s, self._config.rooms.offline_poll_s))
        return True

    # ---- the live

    async def _watch(self, room_id: int) -> None:
        """Stream one live to its end, across lost connections. Raises AppError when that fails."""
        source = await self._open(room_id, again=False)
        first = True
        while True:
            try:
                lost = await self._stream(source, room_id)
            finally:
                await self._close(source)
            if lost is None:
                for_s = math.inf if source.ended else FOUND_ENDED_FOR_S
                self._ended.append((room_id, time.monotonic() + for_s))
                break
            logger.info("Stream of @%s lost: %s", self._creator, lost.detail or lost.code)
            if first and lost.variant == "refused":
                raise lost
            first = False
            self._room.outage()
            again = await self._reopen()
            if again is None:
                break
            room_id, source = again
        logger.info("Live of @%s has ended", self._creator)
        self._room.set_state("ended")

    async def _stream(self, source: Source, room_id: int) -> AppError | None:
        """Wait for the end of a stream; a silent one is asked after, unsigned, ever more rarely."""
        running = self._tasks.start(source.run(), name="stream")
        stall_s = self._config.rooms.stall_s
        heard_at, patience_s = source.heard_at, stall_s
        try:
            while True:
                done, _ = await asyncio.wait({running}, timeout=stall_s)
                if done:
                    return running.result()
                if source.heard_at != heard_at:
                    heard_at, patience_s = source.heard_at, stall_s
                silent_s = time.monotonic() - heard_at
                if silent_s < patience_s:
                    continue
                patience_s = min(2 * silent_s, silent_s + MAX_SILENT_LOOK_S)
                if not await self._alive(room_id):
                    return None
        finally:
            running.cancel()

    async def _alive(self, room_id: int) -> bool:
        """Whether a silent live goes on. TikTok's live check lies at times, so its no is asked
        again; a check that fails says nothing against the live.
        """
        try:
            if await self._tiktok.still_live(room_id):
                return True
            return await self._tiktok.live_room_id(self._creator) == room_id
        except CreatorOffline:
            return False
        except AppError as error:
            logger.info("Live check of @%s failed: %s", self._creator, error.detail)
            return True

    def _has_ended(self, room_id: int) -> bool:
        now = time.monotonic()
        return any(ended == room_id and now < until for ended, until in self._ended)

    async def _reopen(self) -> tuple[int, Source] | None:
        """Get a lost stream back, with full jitter. None when the creator is no longer live."""
        last: AppError = ConnectFailed("lost")
        for pause_s in RECONNECT_PAUSES_S:
            await asyncio.sleep(random.uniform(0, pause_s))
            try:
                room_id = await self._tiktok.live_room_id(self._creator)
                if self._has_ended(room_id):
                    return None
                return room_id, await self._open(room_id, again=True)
            except CreatorOffline:
                return None
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
            on_opened=lambda: self._room.set_state("live"),
            on_received=self._room.receive,
        )
        try:
            await source.open()
            await permit.settle(None)
        except AppError as error:
            await self._close(source)
            await permit.settle(error, unsent=source.signature_unspent)
            raise
        except BaseException:
            permit.abandon()
            await self._close(source)
            raise
        self._on_connected()
        self._room.falls_back = source.falls_back
        if source.falls_back:
            # Connecting again makes it worse, so the stream is kept as it is.
            logger.warning("@%s is streamed by the sign server's fallback socket", self._creator)
        logger.info("✅ TikTok Live клиент запущен для @%s", self._creator)
        return source

    async def _close(self, source: Source) -> None:
        """Close a source whole: being cancelled meanwhile must not leave half of it open."""
        await asyncio.shield(self._closing.start(source.close(), name="close"))
