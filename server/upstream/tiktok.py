"""The door to TikTok: loads the library beside the running loop, looks up, makes sources."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from server.config import Config
from server.tasks import TaskOwner

if TYPE_CHECKING:
    from server.upstream.source import OnReceived, Source

logger = logging.getLogger(__name__)


class TikTok:
    """TikTok as the rooms see it. The library's import takes seconds, so it happens in a thread."""

    def __init__(self, config: Config, *, on_loaded: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._on_loaded = on_loaded
        self._tasks = TaskOwner("tiktok")
        self._loading: asyncio.Task[None] | None = None
        self._client: Any = None
        self._lookups: Any = None
        self._source: Any = None
        #: Frames and messages that could not be read, of every source.
        self.bad_messages = 0

    @property
    def ready(self) -> bool:
        """The library is loaded."""
        return self._source is not None

    def start(self) -> None:
        """Begin to load the library."""
        self._loading = self._tasks.start(self._load(), name="loading TikTokLive")

    async def close(self) -> None:
        """Stop; sources are closed by their rooms."""
        await self._tasks.close()

    async def live_room_id(self, creator: str, *, timeout_s: float) -> int:
        """See lookups.live_room_id."""
        await self._loaded()
        room_id: int = await self._lookups.live_room_id(self._config, creator, timeout_s=timeout_s)
        return room_id

    async def check_age(self, room_id: int) -> None:
        """See lookups.check_age."""
        await self._loaded()
        await self._lookups.check_age(self._config, room_id)

    async def still_live(self, room_id: int) -> bool:
        """See lookups.still_live."""
        await self._loaded()
        alive: bool = await self._lookups.still_live(self._config, room_id)
        return alive

    def source(
        self,
        creator: str,
        room_id: int,
        *,
        key: str,
        on_opened: Callable[[], None],
        on_received: OnReceived,
    ) -> Source:
        """A source that is not opened yet; look-ups have loaded the library before."""
        source: Source = self._source.Source(
            self._config,
            creator,
            room_id,
            key=key,
            on_opened=on_opened,
            on_received=on_received,
            on_bad=self._count_bad,
        )
        return source

    def _count_bad(self) -> None:
        self.bad_messages += 1

    async def _loaded(self) -> None:
        if self._loading is None:
            raise RuntimeError("start() was not called")
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        self._client = await asyncio.to_thread(importlib.import_module, "server.upstream.client")
        self._client.use_addresses(self._config)
        self._lookups = importlib.import_module("server.upstream.lookups")
        self._source = importlib.import_module("server.upstream.source")
        self._on_loaded()
        logger.debug("TikTokLive is loaded")
