"""All rooms: opened once, joined, left, lingering, closed. The only way in for phones."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from server.config import Config
from server.errors import (
    AppError,
    CreatorNotFound,
    Internal,
    PremiumRequired,
    RateLimited,
    ServerFull,
    SignKeyInvalid,
    SignUnavailable,
    StoreUnavailable,
)
from server.relay.cooldowns import Cooldowns
from server.relay.eventlog import EventLog
from server.relay.keeper import Keeper, Upstream
from server.relay.notices import Notice, notice
from server.relay.replay import Since
from server.relay.ring import RingBudget
from server.relay.room import Member, Room, RoomReport
from server.relay.visits import Visits
from server.tasks import TaskOwner

logger = logging.getLogger(__name__)

#: Where a user can lift the sign server's limits; the seed's own line.
PRICING_URL: Final = "https://www.eulerstream.com/pricing"
#: States in which a phone of its own would have needed a signature.
SIGNED: Final = frozenset({"connecting", "live", "paused", "reconnecting"})
#: Failures that a phone on its own would have met by asking the sign server.
SIGN_ERRORS: Final = (RateLimited, SignUnavailable, PremiumRequired, SignKeyInvalid)


class Saved(msgspec.Struct):
    """Sign requests that were not sent, by what made them needless."""

    #: The phone joined others in a room that was connected.
    sharing: int = 0
    #: The phone came back to a room that had been kept for it.
    lingering: int = 0
    #: The answer was known.
    remembering: int = 0


class Refused(Exception):
    """A phone cannot join: it is told `notice`, and its socket closes."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.code)
        self.notice = notice


class _Entry:
    """A room with what runs for it. `loading` is stored before anything is awaited."""

    def __init__(self, room: Room, keeper: Keeper, loading: asyncio.Task[Notice | None]) -> None:
        self.room = room
        self.keeper = keeper
        self.loading = loading
        self.running: asyncio.Task[None] | None = None


class Rooms:
    """Creator -> room."""

    def __init__(
        self,
        config: Config,
        upstream: Upstream,
        log: EventLog,
        visits: Visits,
        cooldowns: Cooldowns,
    ) -> None:
        self._config = config
        self._upstream = upstream
        self._log = log
        self._visits = visits
        self._budget = RingBudget()
        self._cooldowns = cooldowns
        #: What sharing, lingering and remembering have made needless since the start.
        self.saved = Saved()
        self._rooms: dict[str, _Entry] = {}
        self._tasks = TaskOwner("rooms")
        self._closing = False

    def __len__(self) -> int:
        return len(self._rooms)

    def state(self, creator: str) -> str:
        """The state of a creator's room, "" when there is none."""
        entry = self._rooms.get(creator)
        return entry.room.state if entry else ""

    def retry_at(self, creator: str) -> float | None:
        """When the room, or a failure that stands for it, is looked at again (epoch seconds)."""
        standing = self._cooldowns.current(creator)
        if standing is not None:
            return standing.retry_at
        entry = self._rooms.get(creator)
        return entry.room.retry_at if entry else None

    async def join(self, creator: str, member: Member, since: Since | None) -> Room:
        """Let a phone into its creator's room, opening it if nobody has. Raises Refused."""
        standing = self._cooldowns.current(creator, member.user_id)
        if standing is not None and not self._may_try_own_key(standing, member):
            if isinstance(standing.error, SIGN_ERRORS):
                self.saved.remembering += 1
            raise Refused(standing)
        entry = self._rooms.get(creator)
        if entry is None:
            entry = self._open(creator)
        elif entry.room.state in SIGNED:
            if entry.room.occupied:
                self.saved.sharing += 1
            else:
                self.saved.lingering += 1
        entry.room.expect(+1)
        try:
            failed = await asyncio.shield(entry.loading)
            if failed is None and entry.room.closed:
                failed = self._cooldowns.current(creator, member.user_id) or notice(
                    Internal("room closed")
                )
            if failed is not None:
                raise Refused(failed)
            entry.room.join(member, since)
        finally:
            entry.room.expect(-1)
        if entry.running is None:
            entry.running = self._tasks.start(self._keep(entry), name=f"keep @{creator}")
        return entry.room

    def report(self) -> list[RoomReport]:
        """Every open room, by name."""
        return [self._rooms[creator].room.report() for creator in sorted(self._rooms)]

    def failures(self) -> list[Notice]:
        """What stands against creators now, for everybody, the latest last."""
        return self._cooldowns.all()

    def reconnect(self, creator: str) -> bool:
        """Staff ask: forget what stands against a creator, look at once, or get a new stream.

        The guard still stands before the signature. False when there is nothing to do it for.
        """
        standing = self._cooldowns.current(creator)
        self._cooldowns.forget(creator)
        entry = self._rooms.get(creator)
        if entry is None:
            return standing is not None
        entry.room.knock.set()
        entry.keeper.reconnect()
        return True

    def close_room(self, creator: str) -> bool:
        """Staff ask: end a room and send its phones away. False when there is none."""
        entry = self._rooms.get(creator)
        if entry is None:
            return False
        logger.info("Room @%s closes: asked by the console", creator)
        entry.room.send_away()
        self._forget(entry.room)
        self._tasks.start(self._end(entry), name=f"close @{creator}")
        return True

    async def standing(self, creator: str) -> tuple[str, int]:
        """(epoch, newest id) of a creator's log, for a phone that is in no room.

        Raises StoreUnavailable.
        """
        epoch = await self._log.epoch(creator) if creator else ""
        return epoch, self._log.last_id

    def look_again(self, creator: str) -> None:
        """A user says that this is the name: that TikTok did not know it is forgotten."""
        standing = self._cooldowns.current(creator)
        if standing is not None and isinstance(standing.error, CreatorNotFound):
            self._cooldowns.forget(creator)

    def settings_changed(self, creator: str) -> None:
        """A key or a setting was changed that may mend what stands against a creator."""
        self._cooldowns.forget_settings(creator)

    async def close(self) -> None:
        """Close every room and its source."""
        self._closing = True
        for entry in list(self._rooms.values()):
            self._forget(entry.room)
            self._tasks.start(self._end(entry), name=f"close @{entry.room.creator}")
        await self._tasks.drained()
        await self._tasks.close()

    def _may_try_own_key(self, standing: Notice, member: Member) -> bool:
        """What stands is the fault of other keys than this member's own."""
        of_keys = isinstance(standing.error, RateLimited) or standing.error.of_key
        return of_keys and bool(member.key) and self._upstream.guard.usable(member.key)

    def _open(self, creator: str) -> _Entry:
        if self._closing or not self._has_place():
            raise Refused(notice(ServerFull("max_rooms"), creator=creator))
        room = Room(
            creator,
            self._config,
            self._log,
            self._visits,
            self._budget,
            on_empty=self._close_empty,
        )
        keeper = Keeper(
            room,
            self._config,
            self._upstream,
            on_connected=lambda: self._cooldowns.lift(creator),
            on_proven=lambda: self._cooldowns.forget(creator),
        )
        loading = self._tasks.start(self._load(room), name=f"load @{creator}")
        entry = self._rooms[creator] = _Entry(room, keeper, loading)
        return entry

    def _has_place(self) -> bool:
        """Whether one more room may open; a room that nobody watches gives way."""
        if len(self._rooms) < self._config.rooms.max_rooms:
            return True
        empty = next((entry for entry in self._rooms.values() if entry.room.empty), None)
        if empty is None:
            return False
        self._close_empty(empty.room)
        return True

    async def _load(self, room: Room) -> Notice | None:
        try:
            await room.load()
            return None
        except StoreUnavailable as error:
            failure: AppError = error
        except Exception:
            logger.exception("Room @%s could not be loaded", room.creator)
            failure = Internal("loading")
        told = await self._told(room, failure)
        self._forget(room)
        return told

    async def _keep(self, entry: _Entry) -> None:
        """Run the keeper; when it fails, tell the room and let it go."""
        error = await entry.keeper.run()
        told = await self._told(entry.room, error)
        entry.room.fail(told)
        self._forget(entry.room)
        await entry.keeper.close()

    async def _told(self, room: Room, error: AppError) -> Notice:
        """Remember a failure and write it to the process log, with the seed's words for a limit."""
        users = [member.user_id for member in room.members]
        told = await self._cooldowns.remember(room.creator, error, users)
        if isinstance(error, RateLimited):
            logger.error("❌ Rate limit от TikTok API: Too many connections started")
            logger.info(
                "💡 Подсказка: Для снятия лимита используйте EulerStream API: %s", PRICING_URL
            )
        logger.warning(
            "@%s: %s, ref %s: %s", room.creator, told.code, told.ref, error.detail or "-"
        )
        return told

    def _close_empty(self, room: Room) -> None:
        """The last phone has been gone for rooms.linger_s."""
        entry = self._rooms.get(room.creator)
        if entry is None or entry.room is not room:
            return
        logger.info("Room @%s closes: nobody is watching", room.creator)
        self._forget(room)
        self._tasks.start(self._end(entry), name=f"close @{room.creator}")

    def _forget(self, room: Room) -> None:
        entry = self._rooms.get(room.creator)
        if entry is not None and entry.room is room:
            del self._rooms[room.creator]
        room.close()

    async def _end(self, entry: _Entry) -> None:
        if entry.running is not None:
            entry.running.cancel()
            await asyncio.wait({entry.running})
        await entry.keeper.close()
