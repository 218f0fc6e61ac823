"""LiveRelay as tests hold it: the real application on a free port, its database in a folder."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web

from server.app import create_app
from server.clock import Clock
from server.config import Config, DatabaseSettings, ServerSettings, SignSettings, TikTokSettings
from server.store.users import User
from server.web.edge import EdgeSite
from server.web.keys import DATABASE, EVENT_LOG, LOG, PHONES, ROOMS, SESSIONS, TIKTOK, USERS
from tests import canaries
from tests.phone import Phone
from tests.tiktok import TikTok


def config_for(folder: Path, tiktok: TikTok, **sections: dict[str, Any]) -> Config:
    """Settings that point at TikTok on loopback; `sections` change single keys."""
    config = Config(
        server=ServerSettings(port=0),
        database=DatabaseSettings(path=str(folder / "liverelay.db")),
        tiktok=TikTokSettings(app_url=tiktok.app_url, webcast_url=tiktok.webcast_url),
        sign=SignSettings(url=tiktok.sign_url, min_interval_s=0),
    )
    for name, changes in sections.items():
        section = msgspec.structs.replace(getattr(config, name), **changes)
        config = msgspec.structs.replace(config, **{name: section})
    return config


class LiveRelay:
    """A running server. `async with LiveRelay(config) as relay`."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.app = create_app(config, clock)
        self._runner = web.AppRunner(self.app, shutdown_timeout=1.0)
        self._session: aiohttp.ClientSession | None = None
        self._phones: list[Phone] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the port."""
        await self._runner.setup()
        await EdgeSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        # Phones are many; the client's own limit of 100 would keep the rest waiting.
        self._session = canaries.watched_session(connector=aiohttp.TCPConnector(limit=0))

    async def stop(self) -> None:
        """Shut down as SIGTERM does."""
        await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
        canaries.assert_none_in_database(Path(self.config.database.path))

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def http(self) -> aiohttp.ClientSession:
        """A client for it."""
        assert self._session is not None
        return self._session

    async def user(self, tiktok_username: str = "", name: str = "user") -> tuple[User, str]:
        """A new user and a token of theirs."""
        user = await self.users.create(name, tiktok_username)
        return user, canaries.note(await self.users.add_token(user.user_id))

    async def phone(self, token: str, path: str = "/ws", **query: Any) -> Phone:
        """Connect a phone with its token in the header."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        params = {name: str(value) for name, value in query.items()}
        return self.hold(
            await self.http.ws_connect(self.url + path, headers=headers, params=params)
        )

    def hold(self, ws: aiohttp.ClientWebSocketResponse) -> Phone:
        """A phone by a socket that a test opened; it stays until the server stops."""
        phone = Phone(ws)
        self._phones.append(phone)
        return phone

    async def phone_of(self, creator: str, **query: Any) -> Phone:
        """A phone of a new user who watches `creator`."""
        _, token = await self.user(creator)
        return await self.phone(token, **query)

    @property
    def users(self) -> Any:
        return self.app[USERS]

    @property
    def rooms(self) -> Any:
        return self.app[ROOMS]

    @property
    def phones(self) -> Any:
        return self.app[PHONES]

    @property
    def log(self) -> Any:
        return self.app[LOG]

    @property
    def event_log(self) -> Any:
        return self.app[EVENT_LOG]

    @property
    def connections(self) -> Any:
        """Its store of connections."""
        return self.app[DATABASE].connections

    @property
    def sessions(self) -> Any:
        return self.app[SESSIONS]

    @property
    def tiktok(self) -> Any:
        return self.app[TIKTOK]
