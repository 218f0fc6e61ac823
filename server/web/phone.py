"""The phones: who may connect, who is connected, and what their users' changes do to them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Final, NamedTuple

from aiohttp import web

from server.config import Config
from server.errors import (
    CLOSE_POLICY,
    AppError,
    ServerFull,
    StoreUnavailable,
    TooManyConnections,
    Unauthorized,
)
from server.relay import messages
from server.relay.eventlog import EventLog
from server.relay.notices import Lang, Notice, notice
from server.relay.replay import Since
from server.relay.rooms import Rooms
from server.store.users import TokenOwner, User, Users
from server.web.auth import SUBPROTOCOL, Auth, socket_token
from server.web.connection import (
    CLOSE_TIMEOUT_S,
    HEARTBEAT_S,
    MAX_FRAME_BYTES,
    Connection,
    tune_socket,
)
from server.web.keys import AUTH, CONFIG, PHONES
from server.web.middlewares import foreign_origin
from server.web.options import PhoneOptions, preferred_lang, read_options

logger = logging.getLogger(__name__)

#: How long the phones of a user with too many have to show that they are alive.
EVICTION_WAIT_S: Final = 3.0
#: Phones that were cut off as too slow and have not come back.
MAX_CUTS: Final = 10_000


class _Cut(NamedTuple):
    epoch: str
    last_id: int


class Phones:
    """Every connected phone, by user."""

    def __init__(self, config: Config, users: Users, rooms: Rooms, log: EventLog) -> None:
        self.rooms = rooms
        self._config = config
        self._users = users
        self._log = log
        self._by_user: dict[int, dict[Connection, None]] = {}
        self._per_ip: dict[str, int] = {}
        self._count = 0
        self._cuts: OrderedDict[tuple[bytes, str], _Cut] = OrderedDict()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self.closing = False

    def count(self) -> int:
        """Phones connected now."""
        return self._count

    # ---- coming and going

    async def make_place(self, user_id: int, ip: str) -> None:
        """Check the limits before a phone is let in. Raises ServerFull or TooManyConnections.

        A user's oldest phone that does not answer a ping makes place for the new one.
        """
        limits = self._config.limits
        if self._count >= limits.max_connections:
            raise ServerFull("max_connections")
        if self._per_ip.get(ip, 0) >= limits.connections_per_ip:
            raise TooManyConnections("connections_per_ip")
        own = self._by_user.get(user_id, {})
        if len(own) < limits.connections_per_user:
            return
        asked_at = time.monotonic()
        for connection in own:
            connection.ping()
        await asyncio.sleep(EVICTION_WAIT_S)
        silent = [phone for phone in own if phone.heard_at < asked_at]
        if silent:
            silent[0].fail(TooManyConnections("evicted: did not answer a ping"))
        elif len(own) >= limits.connections_per_user:
            raise TooManyConnections("connections_per_user")

    def add(self, connection: Connection) -> None:
        """A phone is connected."""
        self._by_user.setdefault(connection.user_id, {})[connection] = None
        self._per_ip[connection.ip] = self._per_ip.get(connection.ip, 0) + 1
        self._count += 1
        self._nobody.clear()

    def remove(self, connection: Connection) -> None:
        """A phone is gone."""
        own = self._by_user.get(connection.user_id, {})
        if own.pop(connection, connection) is connection:
            return
        if not own:
            del self._by_user[connection.user_id]
        left = self._per_ip[connection.ip] - 1
        if left:
            self._per_ip[connection.ip] = left
        else:
            del self._per_ip[connection.ip]
        self._count -= 1
        if not self._count:
            self._nobody.set()

    async def close(self) -> None:
        """Close every phone with 1001, and wait, bounded, until they are gone."""
        self.closing = True
        for connection in self._all():
            connection.close_going_away()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S * 2):
                await self._nobody.wait()
        except TimeoutError:
            logger.warning("%s phones did not close in time", self._count)

    # ---- users change

    async def user(self, user_id: int) -> User | None:
        """The user as stored. Raises StoreUnavailable."""
        return await self._users.get(user_id)

    async def sign_key(self, user_id: int) -> str:
        """The user's own EulerStream key, "" when there is none. Raises StoreUnavailable."""
        return await self._users.sign_key(user_id)

    async def set_username(self, user_id: int, username: str, asking: Connection) -> None:
        """Store a username given by a phone; the user's other phones move with it."""
        await self._users.set_tiktok_username(user_id, username)
        for connection in self._of(user_id):
            if connection is not asking:
                await connection.settings_changed()

    async def user_changed(self, user_id: int) -> None:
        """Move the user's phones to where the settings point now."""
        for connection in self._of(user_id):
            await connection.settings_changed()

    def drop_token(self, token_hash: bytes) -> None:
        """A token was revoked: its phones are told and closed."""
        for connection in self._all():
            if connection.token_hash == token_hash:
                connection.fail(Unauthorized("token revoked"))

    def drop_user(self, user_id: int) -> None:
        """A user was deleted."""
        for connection in self._of(user_id):
            connection.fail(Unauthorized("user deleted"))

    async def check_all(self) -> None:
        """Another process changed users or tokens: look at every connected phone again."""
        users = {user.user_id: user for user in await self._users.all()}
        tokens = await self._users.token_hashes()
        for connection in self._all():
            user = users.get(connection.user_id)
            if user is None:
                connection.fail(Unauthorized("user deleted"))
            elif connection.token_hash not in tokens:
                connection.fail(Unauthorized("token revoked"))
            elif connection.creator != user.tiktok_username:
                await connection.settings_changed()

    def _of(self, user_id: int) -> list[Connection]:
        return list(self._by_user.get(user_id, ()))

    def _all(self) -> list[Connection]:
        return [connection for own in self._by_user.values() for connection in own]

    # ---- what is kept of them

    def log_notice(self, told: Notice, user_id: int, lang: Lang, *, closing: bool = True) -> None:
        """Write down what one phone was told."""
        self._log.add_notice(told, user_id=user_id, lang=lang, closing=closing)

    def note_cut(self, token_hash: bytes, creator: str, epoch: str, last_id: int) -> None:
        """A phone was too slow: remember what it was handed, for its next connect."""
        self._cuts[token_hash, creator] = _Cut(epoch, last_id)
        if len(self._cuts) > MAX_CUTS:
            self._cuts.popitem(last=False)

    def after_cut(self, token_hash: bytes, creator: str, since: Since | None) -> Since | None:
        """Where a phone's replay begins, when it was cut off the last time."""
        cut = self._cuts.pop((token_hash, creator), None)
        if cut is None:
            return since
        if since is not None:
            return since._replace(cut_off=True)
        return Since(cut.last_id, cut.epoch, cut_off=True, asked=False)


def add_routes(app: web.Application) -> None:
    """`/ws`, and `/ws/T` for shipped apps that send their token in the path."""
    app.router.add_get("/ws", connect_phone)
    app.router.add_get("/ws/{token}", connect_phone)


async def connect_phone(request: web.Request) -> web.StreamResponse:
    """Serve one phone. Every refusal but a foreign page's is accepted first and explained."""
    app = request.app
    config, auth, phones = app[CONFIG], app[AUTH], app[PHONES]
    if foreign_origin(request, config):
        raise web.HTTPForbidden(text="This page may not connect here.\n")
    options = read_options(request)
    ip = auth.client_ip(request)
    owner, refusal = await _authenticate(auth, ip, socket_token(request))
    if isinstance(refusal, Unauthorized) and auth.too_many_bad_tokens(ip):
        retry_after = str(auth.bad_token_retry_after_s(ip))
        raise web.HTTPTooManyRequests(headers={"Retry-After": retry_after})
    ws = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        heartbeat=HEARTBEAT_S,
        autoping=False,
        compress=False,
        timeout=CLOSE_TIMEOUT_S,
        max_msg_size=MAX_FRAME_BYTES + 1,
    )
    await ws.prepare(request)
    transport = request.transport
    if transport is None:
        return ws
    tune_socket(transport)
    lang = options.lang or preferred_lang(request, config.server.language)
    if owner is not None:
        try:
            await phones.make_place(owner.user_id, ip)
            await _serve(phones, ws, transport, owner, ip, options, lang)
            return ws
        except AppError as error:
            refusal = error
    if refusal is not None:
        user_id = owner.user_id if owner is not None else 0
        await _refuse(phones, ws, transport, refusal, user_id, lang)
    return ws


async def _authenticate(
    auth: Auth, ip: str, token: str
) -> tuple[TokenOwner | None, AppError | None]:
    try:
        return await auth.authenticate(ip, token), None
    except (Unauthorized, StoreUnavailable) as error:
        return None, error


async def _serve(
    phones: Phones,
    ws: web.WebSocketResponse,
    transport: asyncio.Transport,
    owner: TokenOwner,
    ip: str,
    options: PhoneOptions,
    lang: Lang,
) -> None:
    connection = Connection(
        phones,
        ws,
        transport,
        user_id=owner.user_id,
        token_hash=owner.token_hash,
        ip=ip,
        options=options,
        lang=lang,
    )
    phones.add(connection)
    try:
        if phones.closing:
            connection.close_going_away()
        await connection.serve()
    finally:
        phones.remove(connection)


async def _refuse(
    phones: Phones,
    ws: web.WebSocketResponse,
    transport: asyncio.Transport,
    error: AppError,
    user_id: int,
    lang: Lang,
) -> None:
    """Explain, then close: a refused handshake reaches app code as a mute 1006."""
    told = notice(error)
    phones.log_notice(told, user_id, lang)
    if not transport.is_closing():
        transport.write(messages.wire(told.frame(lang)))
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S * 2):
            await ws.close(
                code=error.close_code or CLOSE_POLICY,
                message=told.close_reason().encode(),
                drain=False,
            )
    except TimeoutError:
        transport.abort()
