"""Who is connected: the phones by user, the limits on them, and what their users' changes do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import Final, NamedTuple

from server.clock import Clock
from server.config import Config
from server.errors import ServerFull, TooManyConnections, Unauthorized
from server.relay.eventlog import EventLog
from server.relay.messages import Gap
from server.relay.notices import LANGS, Lang, Notice
from server.relay.replay import Since
from server.relay.rooms import Rooms
from server.store.usercache import KnownUser, UserCache
from server.store.users import Users
from server.tasks import TaskOwner
from server.web.connection import CLOSE_TIMEOUT_S, Connection
from server.web.recorder import Recorder

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

    def __init__(
        self,
        config: Config,
        users: Users,
        rooms: Rooms,
        log: EventLog,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self.rooms = rooms
        self.recorder = recorder
        #: Epoch seconds, as phones are told the time.
        self.wall = clock.wall
        self._config = config
        self._users = users
        self._cache = UserCache(users)
        self._log = log
        self._by_user: dict[int, dict[Connection, None]] = {}
        self._per_ip: dict[str, int] = {}
        self._count = 0
        #: Users as they were the last time that all were looked at.
        self._known: set[int] = set()
        self._cuts: OrderedDict[tuple[bytes, str], _Cut] = OrderedDict()
        self._evicting: dict[int, asyncio.Task[list[Connection]]] = {}
        self._tasks = TaskOwner("phones")
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
        self._check_common_limits(ip)
        own = self._by_user.get(user_id, {})
        if len(own) < limits.connections_per_user:
            return
        asking = self._evicting.get(user_id)
        if asking is None:
            asking = self._tasks.start(_silent(own), name=f"silent of user_id={user_id}")
            self._evicting[user_id] = asking
        try:
            silent = await asyncio.shield(asking)
        finally:
            if self._evicting.get(user_id) is asking:
                del self._evicting[user_id]
        self._check_common_limits(ip)
        if silent:  # shared by all who waited: each takes another one's place
            silent.pop(0).fail(TooManyConnections("evicted: did not answer a ping"))
        elif len(own) >= limits.connections_per_user:
            raise TooManyConnections("connections_per_user")

    def _check_common_limits(self, ip: str) -> None:
        limits = self._config.limits
        if self._count >= limits.max_connections:
            raise ServerFull("max_connections")
        if self._per_ip.get(ip, 0) >= limits.connections_per_ip:
            raise TooManyConnections("connections_per_ip")

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
        await self._tasks.close()

    # ---- users change

    async def known(self, user_id: int) -> KnownUser | None:
        """The user as stored. Raises StoreUnavailable."""
        return await self._cache.get(user_id)

    async def lang(self, user_id: int) -> Lang | None:
        """The language that the user has set. Raises StoreUnavailable."""
        known = await self._cache.get(user_id)
        return next((lang for lang in LANGS if known is not None and known.user.lang == lang), None)

    async def set_username(self, user_id: int, username: str, asking: Connection) -> None:
        """Store a username given by a phone; the user's other phones move with it."""
        await self._users.set_tiktok_username(user_id, username)
        self._cache.forget()
        self.rooms.look_again(username)
        for connection in self._of(user_id):
            if connection is not asking:
                await connection.settings_changed()

    async def user_changed(self, user_id: int) -> None:
        """Move the user's phones to where the settings point now."""
        self._cache.forget()
        for connection in self._of(user_id):
            await connection.settings_changed()

    def key_changed(self, user_id: int, key: str) -> None:
        """The user's own EulerStream key changed; rooms sign with it from now on."""
        self._cache.forget()
        for connection in self._of(user_id):
            connection.use_key(key)

    def drop_token(self, token_hash: bytes) -> None:
        """A token was revoked: its phones are told and closed."""
        for connection in self._all():
            if connection.token_hash == token_hash:
                connection.fail(Unauthorized("token revoked"))

    async def check_all(self) -> None:
        """Another process changed users or tokens: look at every connected phone again."""
        self._cache.forget()
        users = {user.user_id: user for user in await self._users.all()}
        tokens = await self._users.token_hashes()
        deleted, self._known = self._known - users.keys(), set(users)
        for user_id in deleted:
            await self._log.forget_user(user_id)
        for connection in self._all():
            user = users.get(connection.user_id)
            if user is None:
                connection.fail(Unauthorized("user deleted"), nobodys=True)
            elif connection.token_hash not in tokens:
                connection.fail(Unauthorized("token revoked"))
            elif connection.creator != user.tiktok_username:
                await connection.settings_changed()

    def counts(self) -> dict[int, int]:
        """How many phones each user has connected now."""
        return {user_id: len(own) for user_id, own in self._by_user.items()}

    def open_connections(self, user_id: int) -> set[int]:
        """The numbers of a user's connections now."""
        return {connection.connection_id for connection in self._of(user_id)}

    def disconnect(self, user_id: int) -> int:
        """Staff ask: close a user's phones as a server that stops does; returns how many."""
        own = self._of(user_id)
        for connection in own:
            connection.close_going_away()
        return len(own)

    def _of(self, user_id: int) -> list[Connection]:
        return list(self._by_user.get(user_id, ()))

    def _all(self) -> list[Connection]:
        return [connection for own in self._by_user.values() for connection in own]

    # ---- what is kept of them

    def log_notice(
        self,
        told: Notice,
        user_id: int,
        lang: Lang,
        *,
        closing: bool = True,
        connection_id: int = 0,
    ) -> None:
        """Write down what one phone was told."""
        self._log.add_notice(
            told, user_id=user_id, lang=lang, closing=closing, connection_id=connection_id
        )

    def log_gap(self, gap: Gap, creator: str, user_id: int, connection_id: int) -> None:
        """Write down what one phone could not be given."""
        self._log.add_gap(gap, creator=creator, user_id=user_id, connection_id=connection_id)

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


async def _silent(phones: Collection[Connection]) -> list[Connection]:
    """Which phones do not answer a ping within EVICTION_WAIT_S, the oldest first."""
    asked_at = time.monotonic()
    for phone in phones:
        phone.ping()
    await asyncio.sleep(EVICTION_WAIT_S)
    return [phone for phone in phones if phone.heard_at < asked_at]
