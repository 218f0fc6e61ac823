"""The sign budget over restarts: monotonic times here, the wall clock's on disk.

Only `spend` must succeed, for what is spent is written before it is sent; what came of it is good
to know, no more.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable
from typing import NamedTuple

from server.clock import Clock
from server.errors import StoreUnavailable
from server.store.limits import BlockRow, LimitStore, PromiseRow, SpentRow
from server.upstream.guard.budget import HELD_S, Promise
from server.upstream.retry_after import MAX_WAIT_S

logger = logging.getLogger(__name__)

Headers = list[tuple[str, str]]


class Spent(NamedTuple):
    """One request of an earlier run; `user_id` 0 when nobody's share was taken."""

    key_name: str
    creator: str
    user_id: int
    again: bool
    at: float


class Block(NamedTuple):
    """A block after a 429 of the key, or with `creator` of that room alone.

    `source` is what told the wait, `headers` what may have.
    """

    key_name: str
    creator: str
    at: float
    until: float
    source: str
    headers: Headers


class Earlier(NamedTuple):
    """What an earlier run has left."""

    spent: list[Spent]
    blocks: list[Block]
    promises: list[tuple[str, str, Promise]]


class Ledger:
    """The tables of store/limits.py by the guard's clock."""

    def __init__(self, store: LimitStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def read(self, *, only_look: bool) -> Earlier:
        """Everything that still counts. Raises StoreUnavailable."""
        if not only_look:
            await self._store.take_up(now_ms=self._now_ms())
        spent = await self._store.spent()
        blocks = await self._store.blocks()
        promises = await self._store.promises()
        return Earlier(
            [Spent(r.key_name, r.creator, r.user_id, r.again, self._past(r.at)) for r in spent],
            [self._block(row) for row in blocks],
            [(r.key_name, r.creator, Promise(self._future(r.at), r.user_id)) for r in promises],
        )

    async def spend(self, key_name: str, creator: str, *, user_id: int, again: bool) -> int:
        """Write a request down as spent now; returns its id. Raises StoreUnavailable."""
        row = SpentRow(key_name, creator, user_id, again, self._now_ms())
        return await self._store.spend(row)

    async def give_back(self, request_id: int) -> None:
        """The request never reached the sign server."""
        await self._noted(self._store.give_back(request_id))

    async def answered(self, request_id: int, outcome: str) -> None:
        """What a request came to: an error's code, or "ok"."""
        await self._noted(self._store.answered(request_id, outcome, self._now_ms()))

    async def block(self, block: Block) -> None:
        """Write a block down."""
        row = BlockRow(
            key_name=block.key_name,
            creator=block.creator,
            at=self._ms(block.at),
            until=self._ms(block.until),
            source=block.source,
            headers=json.dumps(block.headers),
        )
        await self._noted(self._store.block(row))

    async def unblock(self, key_name: str) -> None:
        """The sign server lets the key through again."""
        await self._noted(self._store.unblock(key_name))

    async def promise(self, key_name: str, creator: str, *, user_id: int, at: float) -> None:
        """Write down a place that is kept."""
        row = PromiseRow(key_name, creator, user_id, self._ms(at))
        lapsed_ms = self._now_ms() - int(HELD_S * 1000)
        await self._noted(self._store.promise(row, lapsed_ms=lapsed_ms))

    async def _noted(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except StoreUnavailable as failure:
            logger.warning("The sign budget could not be noted: %s", failure.detail)

    def _block(self, row: BlockRow) -> Block:
        """A block as it stands now; after a clock that was set back, for its whole length."""
        length = min((row.until - row.at) / 1000, MAX_WAIT_S)
        until = min(self._future(row.until), self._clock.mono() + length)
        headers = [(str(name), str(value)) for name, value in json.loads(row.headers)]
        return Block(row.key_name, row.creator, self._past(row.at), until, row.source, headers)

    def _past(self, ms: int) -> float:
        """A time of the future is a clock that was set back: it counts as now."""
        return min(self._clock.mono_at(ms / 1000), self._clock.mono())

    def _future(self, ms: int) -> float:
        return min(self._clock.mono_at(ms / 1000), self._clock.mono() + MAX_WAIT_S)

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)

    def _ms(self, mono: float) -> int:
        return math.ceil(self._clock.wall_at(mono) * 1000)
