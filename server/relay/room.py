"""A room: one creator, its state, its ring, its members. No sockets here; see web/phone.py.

What connects it to TikTok is its keeper (keeper.py); how bytes reach the phones is fanout.py's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from server.config import Config
from server.events import LiveEvent, Received
from server.relay import messages, replay
from server.relay.eventlog import EventLog
from server.relay.fanout import Fanout
from server.relay.intake import Intake
from server.relay.messages import Gap, State, Status
from server.relay.notices import LANGS, Lang, Notice, rfc3339, state_text
from server.relay.outbox import Outbox
from server.relay.pulse import Pulse
from server.relay.replay import Since
from server.relay.ring import Ring, RingBudget, Slot
from server.relay.rows import Record
from server.relay.tally import Tally
from server.relay.visits import Visits
from server.upstream.guard import Ask

#: States in which the phone's creator is on the air.
CONNECTED: Final[frozenset[State]] = frozenset({"live", "paused"})


class Member:
    """A phone in a room. It is handed the room's frames from `from_id` on; statuses up to
    `live_from` are old news and left out.
    """

    __slots__ = ("connection_id", "from_id", "key", "lang", "live_from", "outbox", "user_id")

    def __init__(
        self,
        *,
        user_id: int,
        lang: Lang,
        key: str,
        outbox: Outbox,
        connection_id: int = 0,
    ) -> None:
        self.user_id = user_id
        self.connection_id = connection_id
        self.from_id = self.live_from = 0
        self.lang = lang
        self.key = key
        self.outbox = outbox


class RoomReport(msgspec.Struct, frozen=True, kw_only=True):
    """A room as the console shows it. Times are epoch seconds, None for none."""

    creator: str
    state: State
    phones: int
    users: int
    viewers: int
    events_per_s: list[float]
    viewers_then: list[int]
    opened_at: float
    retry_at: float | None
    falls_back: bool


class Room:
    """One creator's room. Everything but `load` is synchronous: nothing here waits for a phone."""

    def __init__(
        self,
        creator: str,
        config: Config,
        log: EventLog,
        visits: Visits,
        budget: RingBudget,
        *,
        on_empty: Callable[[Room], None],
    ) -> None:
        self.creator = creator
        self.epoch = ""
        self.state: State = "connecting"
        self.retry_at: float | None = None
        #: Set when a phone joins, for the keeper that waits for the live.
        self.knock = asyncio.Event()
        self._config = config
        self._log = log
        self._visits = visits
        self._on_empty = on_empty
        self._loop = asyncio.get_running_loop()
        self._ring = Ring(
            count=config.rooms.backlog,
            seconds=config.rooms.backlog_s,
            budget=budget,
            clock=time.monotonic,
        )
        self._fanout = Fanout(self._ring, config.limits)
        self._members: dict[Outbox, Member] = {}
        self._intake = Intake(self, config.rooms.combo_idle_s)
        self._tally: Tally | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._expected = 0
        self._unlogged: list[tuple[int, Gap]] = []
        self._opened_at = time.time()
        self._pulse = Pulse(time.monotonic)
        self.closed = False
        #: The stream comes from the sign server's own socket, which may withhold events.
        self.falls_back = False

    # ---- members

    @property
    def members(self) -> list[Member]:
        """The phones, in order of arrival."""
        return list(self._members.values())

    @property
    def occupied(self) -> bool:
        """Somebody is here."""
        return bool(self._members)

    @property
    def empty(self) -> bool:
        """Nobody is here, and nobody is about to be."""
        return not self._members and self._expected == 0

    def expect(self, count: int) -> None:
        """A phone is about to join (+1), or has (-1): do not close under its feet."""
        self._expected += count
        self._linger_or_stay()

    def join(self, member: Member, since: Since | None) -> None:
        """Let a phone in: its first status, what it missed or a gap, then everything new."""
        outbox = member.outbox
        cursor, missing, known = self._ring.end, None, False
        outbox.last_id = self._ring.last_id
        if since is not None:
            known = since.epoch == self.epoch and 0 <= since.id <= self._ring.last_id
            if known:
                cursor, missing = self._ring.after(since.id)
                outbox.last_id = since.id
        recovered = known if since is not None and since.asked else None
        outbox.write(messages.wire(self._first_status(member.lang, recovered)))
        if known:
            for gap in replay.gaps(since, missing):
                outbox.write(messages.wire(gap))
                self._log_gap(gap, member)
            for position, gap in self._unlogged:
                if cursor <= position:  # it is in the replay
                    self._log_gap(gap, member)
        member.from_id, member.live_from = outbox.last_id + 1, self._ring.last_id
        self._members[outbox] = member
        self._visits.joined(self.creator, member.user_id, member.from_id)
        self._fanout.add(outbox, cursor)
        self.knock.set()
        self._linger_or_stay()

    def _log_gap(self, gap: Gap, member: Member) -> None:
        """Log a gap that one phone is told, and no row of the room's stands for."""
        self._log.add_gap(
            gap,
            creator=self.creator,
            user_id=member.user_id,
            connection_id=member.connection_id,
        )

    def leave(self, member: Member) -> None:
        """A phone is gone; the last one leaves the room lingering."""
        self._fanout.remove(member.outbox)
        if self._members.pop(member.outbox, None) is None:
            return
        if all(other.user_id != member.user_id for other in self._members.values()):
            self._visits.left(self.creator, member.user_id, self._ring.last_id)
        self._linger_or_stay()

    def tell(self, member: Member, frame: msgspec.Struct) -> None:
        """Write a frame of one phone's own, after all that the room has for it."""
        self._fanout.bring_to_front(member.outbox)
        member.outbox.write(messages.wire(frame))

    def asks(self, *, again: bool) -> list[Ask]:
        """Whom to sign for, in order: members with keys of their own, then all by the server's."""
        members = self._members.values()
        own = dict.fromkeys(member.key for member in members)
        users = tuple(dict.fromkeys(member.user_id for member in members))
        return [
            *(
                Ask(self.creator, key, own_key=True, again=again)
                for key in own
                if key not in ("", self._config.sign.api_key)
            ),
            Ask(self.creator, self._config.sign.api_key, users, again=again),
        ]

    def _linger_or_stay(self) -> None:
        wanted = not self.empty or self.closed
        if wanted and self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        elif not wanted and self._linger_timer is None:
            linger_s = self._config.rooms.linger_s
            self._linger_timer = self._loop.call_later(linger_s, self._on_empty, self)

    def _first_status(self, lang: Lang, recovered: bool | None) -> Status:
        now_ms = _now_ms()
        return msgspec.structs.replace(
            self._status(self.state, lang, None, now_ms),
            epoch=self.epoch,
            last_id=self._ring.last_id,
            recovered=recovered,
            server_time=now_ms,
        )

    # ---- what happens in the live

    def receive(self, received: Sequence[Received]) -> None:
        """Take what one frame of TikTok's held."""
        self._intake.take(received)

    def publish(self, event: LiveEvent, *, msg_id: int = 0, step_only: bool = False) -> None:
        """Number an event, encode it once, and let everybody have it. `msg_id` is TikTok's."""
        entry_id, ts = self._log.next_id(), _now_ms()
        tag = str(event.__struct_config__.tag)
        body = messages.event_json(event, entry_id, ts)
        self._append(Slot(entry_id, tag, messages.text_frame(body), time.monotonic(), step_only))
        if step_only:
            return
        self._pulse.event(event)
        if self._tally is not None:
            self._tally.count(event)
        self._log.add(Record(entry_id, ts, tag, "info", self.creator, 0, "", "", body, msg_id))

    def set_state(self, state: State, *, retry_at: float | None = None) -> None:
        """Change the room's state and tell every phone, in its language; the same is not
        repeated.
        """
        if state == "live" and self._tally is None:
            self._tally = Tally(time.monotonic())
        if state == "ended":
            self._intake.finish()
        self.retry_at = retry_at
        if state == self.state and self._ring.last_id:
            return
        self.state = state
        entry_id, ts = self._log.next_id(), _now_ms()
        bodies: dict[str, bytes] = {
            lang: messages.to_json(self._status(state, lang, entry_id, ts)) for lang in LANGS
        }
        wires = {lang: messages.text_frame(body) for lang, body in bodies.items()}
        self._append(Slot(entry_id, "status", wires, time.monotonic()))
        shown = bodies[self._config.server.language]
        self._log.add(Record(entry_id, ts, "status", "info", self.creator, 0, state, "", shown))
        if state == "ended":
            self._tally = None

    def lose_stream(self) -> None:
        """The stream is lost: what it would have brought until it is back cannot be known."""
        self.set_state("reconnecting")
        gap = Gap(ts=_now_ms(), reason="upstream")
        entry_id = self._log.add_gap(gap, creator=self.creator)
        self._append(Slot(entry_id, "gap", messages.wire(gap), time.monotonic()))

    def _append(self, slot: Slot) -> None:
        self._ring.append(slot)
        self._fanout.wake()

    def _status(self, state: State, lang: Lang, entry_id: int | None, ts: int) -> Status:
        ended = state == "ended" and self._tally is not None
        retry_at = self.retry_at if state == "waiting" else None
        return Status(
            id=entry_id,
            ts=ts,
            state=state,
            connected=state in CONNECTED,
            message=state_text(state, lang, creator=self.creator),
            tiktok_username=self.creator,
            retry_at=None if retry_at is None else rfc3339(retry_at),
            summary=self._tally.summary(time.monotonic()) if ended and self._tally else None,
        )

    # ---- life

    async def load(self) -> None:
        """Take up where the log left off. Raises StoreUnavailable."""
        self.epoch = await self._log.epoch(self.creator)
        backlog = self._config.rooms.backlog
        entries, self._unlogged = await replay.refill(self._ring, self._log, self.creator, backlog)
        self._intake.recall(entries)

    def report(self) -> RoomReport:
        """The room now."""
        return RoomReport(
            creator=self.creator,
            state=self.state,
            phones=len(self._members),
            users=len({member.user_id for member in self._members.values()}),
            viewers=self._pulse.viewers,
            events_per_s=self._pulse.events_per_s(),
            viewers_then=self._pulse.viewers_then(),
            opened_at=self._opened_at,
            retry_at=self.retry_at,
            falls_back=self.falls_back,
        )

    def send_away(self) -> None:
        """Close every phone as a server that stops does; good apps come back by themselves."""
        for member in self.members:
            self._fanout.bring_to_front(member.outbox)
            member.outbox.owner.close_going_away()

    def fail(self, notice: Notice) -> None:
        """Tell every phone why, once, and log it for each user, once a phone where a user's phones
        speak several languages; they close, and the room after.
        """
        users: dict[int, list[Member]] = {}
        for member in self.members:
            users.setdefault(member.user_id, []).append(member)
        for user_id, members in sorted(users.items()):
            mixed = len({member.lang for member in members}) > 1
            for member in members if mixed else members[:1]:
                self._log.add_notice(
                    notice,
                    user_id=user_id,
                    lang=member.lang,
                    connection_id=member.connection_id if mixed else 0,
                )
        if not users:
            self._log.add_notice(notice, user_id=0, lang=self._config.server.language)
        for member in self.members:
            self._fanout.bring_to_front(member.outbox)
            member.outbox.owner.dismiss(notice)

    def close(self) -> None:
        """Stop every timer and give the memory back."""
        self.closed = True
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        self._intake.close()
        self._visits.room_closed(self.creator, self._ring.last_id)
        self._fanout.close()
        self._members.clear()
        self._ring.clear()


def _now_ms() -> int:
    return int(time.time() * 1000)
