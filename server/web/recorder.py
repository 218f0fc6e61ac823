"""Writes down every connection of a phone, behind its back: support reads it in the console."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from server.errors import StoreUnavailable
from server.relay.notices import Lang
from server.store.connections import (
    Change,
    Closed,
    ConnectionRow,
    ConnectionStore,
    Left,
    Stay,
)
from server.store.users import PHONE_CHARS
from server.tasks import TaskOwner
from server.web.options import PhoneOptions

logger = logging.getLogger(__name__)

BATCH: Final = 1000
#: Changes of a moment share a transaction.
GATHER_S: Final = 0.25
RETRY_S: Final = 5.0
#: Changes that wait for a disk that refuses; the oldest are given up first.
MAX_WAITING: Final = 50_000
PRUNE_INTERVAL_S: Final = 3600.0
DAY_MS: Final = 86_400_000


class Recorder:
    """Numbers connections and hands what becomes of them to the store."""

    def __init__(self, store: ConnectionStore, keep_days: int, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._keep_days = keep_days
        self._clock_ms = clock_ms
        self._waiting: deque[Change] = deque(maxlen=MAX_WAITING)
        self._writing = asyncio.Lock()
        self._tasks = TaskOwner("recorder")
        self._next_id = 1
        self._scheduled = False

    async def start(self, last_id: int) -> None:
        """Take up the numbering; `last_id` is the event log's newest. Raises StoreUnavailable."""
        self._next_id = await self._store.begin(self._clock_ms(), last_id)
        self._tasks.start(self._prune_forever(), name="pruning")

    async def close(self) -> None:
        """Write what is left."""
        try:
            await self.flush()
        except StoreUnavailable as error:
            logger.warning("%s changes of connections lost: %s", len(self._waiting), error.detail)
        await self._tasks.close()

    def opened(
        self, user_id: int, token_hash: bytes, ip: str, options: PhoneOptions, lang: Lang
    ) -> int:
        """A phone is let in; returns the connection's number."""
        connection_id = self._next_id
        self._next_id += 1
        self._add(
            ConnectionRow(
                connection_id=connection_id,
                user_id=user_id,
                phone=token_hash.hex()[:PHONE_CHARS],
                ip=ip,
                platform=options.platform,
                os=options.os,
                device=options.device,
                lang=lang,
                types="" if options.types is None else ",".join(sorted(options.types)) or "-",
                combo=options.combo,
                since_id=options.since.id if options.since is not None else None,
                opened_at=self._clock_ms(),
            )
        )
        return connection_id

    def joined(
        self, connection_id: int, creator: str, state: str, from_id: int, live_from: int
    ) -> None:
        """It is in a room."""
        self._add(
            Stay(
                connection_id=connection_id,
                creator=creator,
                state=state,
                began_at=self._clock_ms(),
                from_id=from_id,
                live_from=live_from,
            )
        )

    def left(self, connection_id: int, to_id: int) -> None:
        """It has left the room, and was handed everything up to an id."""
        self._add(Left(connection_id, to_id))

    def closed(self, connection_id: int, code: int, reason: str) -> None:
        """It has ended; `code` 0 without a close frame."""
        self._add(Closed(connection_id, self._clock_ms(), code, reason))

    async def flush(self) -> None:
        """Write everything that is known. Raises StoreUnavailable."""
        async with self._writing:
            while self._waiting:
                batch = list(islice(self._waiting, BATCH))
                await self._store.apply(batch)
                for _ in batch:
                    self._waiting.popleft()

    def _add(self, change: Change) -> None:
        self._waiting.append(change)
        if not self._scheduled:
            self._scheduled = True
            self._tasks.start(self._write_soon(), name="writing")

    async def _write_soon(self) -> None:
        pause_s = GATHER_S
        while self._waiting:
            await asyncio.sleep(pause_s)
            try:
                await self.flush()
                pause_s = GATHER_S
            except StoreUnavailable as error:
                logger.warning("Connections cannot be written down: %s", error.detail)
                pause_s = RETRY_S
        self._scheduled = False

    async def _prune_forever(self) -> None:
        while True:
            try:
                await self._store.prune(self._clock_ms() - self._keep_days * DAY_MS)
            except StoreUnavailable as error:
                logger.warning("Connections could not be pruned: %s", error.detail)
            await asyncio.sleep(PRUNE_INTERVAL_S)
