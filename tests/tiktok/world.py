"""World: TikTok LIVE and its sign server, composed on two loopback ports."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.tiktok.creator import Creator
from tests.tiktok.limits import Limits
from tests.tiktok.listener import Listener
from tests.tiktok.people import Person
from tests.tiktok.push import PUSH_PATH, PushServer
from tests.tiktok.sign import SignServer
from tests.tiktok.web import Pages


class TikTok:
    """A TikTok of one's own.

    async with TikTok() as tiktok:
        alice = tiktok.creator("alice", live=True)
        ...                          # point the code under test at app_url, webcast_url, sign_url
        await alice.wait_entered()
        await alice.send(frames.chat("bob", "hello"))
    """

    def __init__(
        self,
        *,
        sign_limits: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.time,
        ping_interval: float = 10.0,
        drip_s: float = 1.0,
    ) -> None:
        self.creators: dict[str, Creator] = {}
        self._rooms: dict[int, Creator] = {}
        self._closing = closing = asyncio.Event()
        self.sign = SignServer(
            Limits(sign_limits, clock), self._rooms, clock=clock, closing=closing, drip_s=drip_s
        )
        self._pages = Pages(self.creators, self._rooms, closing=closing, drip_s=drip_s)
        push = PushServer(
            self._rooms,
            self.sign.tokens,
            ping_interval=ping_interval,
            closing=closing,
            drip_s=drip_s,
        )
        app = web.Application(middlewares=[self._pages.record])
        self._pages.add_routes(app.router)
        push.add_routes(app.router)
        self._listener = Listener(app)

    @property
    def app_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    @property
    def webcast_url(self) -> str:
        return f"{self.app_url}/webcast"

    @property
    def sign_url(self) -> str:
        return f"http://127.0.0.1:{self.sign.listener.port}"

    @property
    def requests(self) -> deque[str]:
        """Every path and query that reached TikTok's pages, raw."""
        return self._pages.requests

    def creator(self, name: str, *, live: bool | None = None, nickname: str = "") -> Creator:
        """Make a creator, or get the one there is; `live` puts them on or off the air."""
        creator = self.creators.get(name)
        if creator is None:
            creator = Creator(name, Person(name, nickname), self._rooms)
            # the room of an earlier live: an offline creator has one, a never_live one hides it
            creator.go_live()
            creator.go_offline()
            self.creators[name] = creator
        if live and not creator.live:
            creator.go_live()
        elif live is False:
            creator.go_offline()
        return creator

    def refuse(self) -> None:
        """Refuse every connection to TikTok itself, pages and push sockets, until accept()."""
        self._listener.refuse()

    def accept(self) -> None:
        self._listener.accept()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; a port given is TikTok's, the next one is the sign server's."""
        await self._listener.start(port)
        await self.sign.listener.start(port + 1 if port else 0)
        self.sign.push_server = f"ws://127.0.0.1:{self._listener.port}{PUSH_PATH}"

    async def close(self) -> None:
        """End every socket and every handler, also those told to hang."""
        self._closing.set()
        for creator in self.creators.values():
            creator.reset()
        await self._listener.close()
        await self.sign.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
