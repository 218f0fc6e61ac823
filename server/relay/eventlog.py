"""The event log: numbers entries, keeps the newest, tells observers, hands the rest to one writer.

The way from TikTok to the phone never waits for it: `add` appends to memory and returns. The writer
commits batches. When the disk refuses, entries wait in memory within a bound, then the oldest live
events are given up, and console and metrics say so; the relay goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Final

from server.config import LogSettings
from server.errors import StoreUnavailable
from server.events import LIVE_EVENT_TYPES
from server.relay.messages import Gap, to_json
from server.relay.notices import Lang, Notice
from server.relay.rows import Record
from server.store.log import Entry, Level, LogStore, new_epoch
from server.tasks import TaskOwner

logger = logging.getLogger(__name__)

BATCH_ROWS: Final = 500
BATCH_INTERVAL_S: Final = 0.25
#: Entries kept for a console page that opens, and waiting for a disk that refuses.
RECENT_ENTRIES: Final = 2000
PENDING_ENTRIES: Final = 20_000
#: Who reads waits so long for the last moment to be written.
SETTLE_S: Final = 1.0
RETRY_S: Final = 1.0
#: Ids reserved at once. A block lasts for hours of a disk that refuses, at any rate of events; past
#: its end a crash could make ids come again.
ID_BLOCK: Final = 10_000_000
PRUNE_INTERVAL_S: Final = 600.0

#: Errors that a phone causes itself; nobody on call need look.
PHONE_ERRORS: Final = frozenset(
    {"username_required", "invalid_username", "bad_message", "unauthorized"}
)


class EventLog:
    """Entries of every room and every phone, in one order."""

    def __init__(
        self, store: LogStore, settings: LogSettings, lang: Lang, clock_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._lang = lang
        self._settings = settings
        self._clock_ms = clock_ms
        self._recent: deque[Record] = deque(maxlen=RECENT_ENTRIES)
        self._pending: deque[Record] = deque()
        self._observers: dict[Callable[[Entry], None], None] = {}
        self._next_id = 0
        self._block_end = 0
        self._refill_at = 0
        self._refilling = False
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._tasks = TaskOwner("event log")
        self._closing = False
        #: The disk refuses the log.
        self.writer_failing = False
        #: Entries given up because the disk refused for too long.
        self.dropped = 0
        #: When the previous run did not end cleanly: the newest id it may have given out.
        self.lost_until_id = 0

    async def start(self) -> None:
        """Reserve ids and start the writer. Raises StoreUnavailable."""
        self.lost_until_id = await self._store.mark_running() or 0
        await self._reserve()
        self._tasks.start(self._write_forever(), name="writer")
        self._tasks.start(self._prune_forever(), name="pruning")

    async def close(self) -> None:
        """Write what is left, within the writer's own retry, and end."""
        self._closing = True
        try:
            await self.flush()
            await self._store.mark_clean()
        except StoreUnavailable:
            logger.error("Event log: %s entries could not be written", len(self._pending))
        await self._tasks.close()

    def next_id(self) -> int:
        """A new id, server-wide, never given out before."""
        entry_id = self._next_id
        self._next_id += 1
        if self._next_id >= self._refill_at and not self._refilling and not self._closing:
            self._refilling = True
            self._tasks.start(self._refill(), name="reserving ids")
        return entry_id

    def add(self, record: Record) -> None:
        """Keep an entry and tell it; never waits."""
        self._recent.append(record)
        if self._settings.live_events or record.type not in LIVE_EVENT_TYPES:
            self._pending.append(record)
            if len(self._pending) >= BATCH_ROWS:
                self._wake.set()
            if len(self._pending) > PENDING_ENTRIES:
                self._give_up_one()
        if self._observers:
            entry = record.entry(self._lang)
            for tell in tuple(self._observers):
                tell(entry)

    def add_notice(
        self,
        told: Notice,
        *,
        user_id: int,
        lang: Lang,
        closing: bool = True,
        connection_id: int = 0,
    ) -> None:
        """Log an error as a user was told it; 0 is nobody in particular, and no single phone."""
        entry_id, now = self.next_id(), self._clock_ms()
        frame = told.frame(lang, closing=closing, now=now / 1000)
        level: Level = "warning" if told.code in PHONE_ERRORS else "error"
        body = to_json(frame)
        self.add(
            Record(
                entry_id,
                now,
                "error",
                level,
                told.creator,
                user_id,
                told.code,
                told.ref,
                body,
                connection_id=connection_id,
            )
        )

    def add_gap(self, gap: Gap, *, creator: str, user_id: int = 0, connection_id: int = 0) -> int:
        """Log a hole: of the room, or of what one user's phone was given; returns its row's id."""
        entry_id = self.next_id()
        self.add(
            Record(
                entry_id,
                gap.ts,
                "gap",
                "warning",
                creator,
                user_id,
                gap.reason,
                "",
                to_json(gap),
                connection_id=connection_id,
            )
        )
        return entry_id

    @property
    def last_id(self) -> int:
        """The newest id given out."""
        return self._next_id - 1

    @property
    def keeps_live_events(self) -> bool:
        """Whether live events reach the disk, so that replay outlives the room's memory."""
        return self._settings.live_events

    async def epoch(self, creator: str) -> str:
        """The name of this database's log of a creator. Raises StoreUnavailable.

        While the disk refuses, a new creator gets one for this room's life only: phones that come
        back to another are told that nothing could be recovered.
        """
        try:
            return await self._store.epoch(creator)
        except StoreUnavailable:
            if not self.writer_failing:
                raise
            return new_epoch()

    async def pruned_id(self) -> int:
        """Up to here entries may be gone: too old, or too many. Raises StoreUnavailable."""
        return await self._store.pruned_id()

    async def tail(self, creator: str, *, limit: int) -> list[Entry]:
        """The newest live events of a creator, those in memory included, oldest first.

        Raises StoreUnavailable when the disk cannot even be read.
        """
        await self.settle()
        stored = await self._store.tail(creator, limit=limit)
        last_id = stored[-1].id if stored else 0
        unwritten = [
            record.entry(self._lang)
            for record in self._pending
            if record.creator == creator and record.id > last_id and record.type in LIVE_EVENT_TYPES
        ]
        return [*stored, *unwritten][-limit:]

    async def forget_user(self, user_id: int) -> None:
        """A user was deleted, by this process or another: what was told to them goes too.

        Raises StoreUnavailable.
        """
        for kept in (self._pending, self._recent):
            rows = [record for record in kept if record.user_id != user_id]
            kept.clear()
            kept.extend(rows)
        await self._store.forget_user(user_id)

    def subscribe(self, tell: Callable[[Entry], None]) -> Callable[[], None]:
        """Call `tell` with every new entry, at once; it must not wait, raise or log."""
        self._observers[tell] = None

        def unsubscribe() -> None:
            self._observers.pop(tell, None)

        return unsubscribe

    def recent(self, after_id: int) -> list[Entry]:
        """The newest entries after an id, from memory, oldest first."""
        return self._entries([record for record in self._recent if record.id > after_id])

    def _give_up_one(self) -> None:
        """Drop the oldest live event; statuses and errors only when nothing else is left."""
        for index, record in enumerate(islice(self._pending, BATCH_ROWS)):
            if record.type in LIVE_EVENT_TYPES:
                del self._pending[index]
                break
        else:
            self._pending.popleft()
        self.dropped += 1

    async def _write_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(BATCH_INTERVAL_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.flush()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Write what is pending. Raises StoreUnavailable, and says once that it begins and ends."""
        async with self._flushing:
            try:
                await self._flush_batches()
            except StoreUnavailable as error:
                if not self.writer_failing:
                    logger.error("Event log cannot be written, the relay goes on: %s", error.detail)
                self.writer_failing = True
                raise
            if self.writer_failing:
                logger.warning("Event log is written again, %s entries were lost", self.dropped)
            self.writer_failing = False

    async def settle(self) -> None:
        """Flush before somebody reads; what the disk has is better than nothing, and soon better
        than all of it late.
        """
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self.flush()

    def _entries(self, records: list[Record]) -> list[Entry]:
        return [record.entry(self._lang) for record in records]

    async def _flush_batches(self) -> None:
        while self._pending:
            batch = list(islice(self._pending, BATCH_ROWS))
            last_id = batch[-1].id
            entries = await asyncio.to_thread(self._entries, batch)
            await self._store.append(entries)
            while self._pending and self._pending[0].id <= last_id:
                self._pending.popleft()

    async def _refill(self) -> None:
        try:
            await self._reserve()
        except StoreUnavailable as error:
            logger.error("Event ids cannot be reserved: %s", error.detail)
            await asyncio.sleep(RETRY_S)
        finally:
            self._refilling = False

    async def _reserve(self) -> None:
        """Add a durable block. While the disk refuses, numbering runs on past the last block, so
        that the relay goes on; the next block then begins after what was given out.
        """
        first = await self._store.reserve_ids(ID_BLOCK)
        while first + ID_BLOCK <= self._next_id:
            first = await self._store.reserve_ids(ID_BLOCK)
        if self._next_id < first and self._next_id >= self._block_end:
            self._next_id = first
        self._block_end = first + ID_BLOCK
        self._refill_at = self._block_end - ID_BLOCK // 2

    async def _prune_forever(self) -> None:
        while True:
            try:
                removed = await self._store.prune(
                    keep_days=self._settings.keep_days,
                    max_rows=self._settings.max_rows,
                    now_ms=self._clock_ms(),
                )
                if removed:
                    logger.info("Event log: %s old entries removed", removed)
            except StoreUnavailable as error:
                logger.warning("Event log could not be pruned: %s", error.detail)
            await asyncio.sleep(PRUNE_INTERVAL_S)
