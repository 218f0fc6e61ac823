"""What TikTok's frames hold -> events of the room: repeats and history left out, gifts and battles
counted once, pauses made states.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from server.events import BattleStep, Control, GiftStep, LiveEvent, Received
from server.relay import messages
from server.relay.battles import Battles
from server.relay.combos import Combos, Counted
from server.relay.dedupe import SeenMessages
from server.relay.messages import State
from server.store.log import Entry

#: The type of entries that hold a gift.
GIFT: Final = "gift"


class Publisher(Protocol):
    """The room, as what comes in sees it."""

    @property
    def creator(self) -> str:
        """Whose room it is."""

    def publish(self, event: LiveEvent, *, msg_id: int = 0, step_only: bool = False) -> None:
        """Let everybody have an event."""

    def set_state(self, state: State) -> None:
        """Change the room's state."""


class Intake:
    """One room's way in."""

    def __init__(self, room: Publisher, combo_idle_s: float) -> None:
        self._room = room
        self._seen = SeenMessages()
        self._combos = Combos(combo_idle_s)
        self._battles = Battles()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def recall(self, entries: Iterable[Entry]) -> None:
        """What the log has was published before: TikTok may send it again."""
        for entry in entries:
            self._seen.add(entry.msg_id)
            if entry.type == GIFT:
                self._combos.recall(messages.read_gift(entry.frame))

    def take(self, received: Sequence[Received]) -> None:
        """Take what one frame held. History only feeds the check for repeats."""
        now = time.monotonic()
        for item in received:
            if not self._seen.add(item.msg_id) or item.history:
                continue
            event = item.event
            if isinstance(event, GiftStep):
                self._publish(self._combos.step(self._for_guests(event), now), item.msg_id)
            elif isinstance(event, BattleStep):
                self._room.publish(self._battles.step(event), msg_id=item.msg_id)
            elif isinstance(event, Control):
                if event.change == "paused":
                    self._room.set_state("paused")
                elif event.change == "resumed":
                    self._room.set_state("live")
            else:
                self._room.publish(event, msg_id=item.msg_id)
        self._watch_combos()

    def finish(self) -> None:
        """The live has ended, and with it every combo."""
        self._publish(self._combos.finish_all())

    def close(self) -> None:
        """Stop the timer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _for_guests(self, step: GiftStep) -> GiftStep:
        """`to` names a guest; TikTok fills it for the creator too when there are guests."""
        if step.to and step.to.lower() == self._room.creator:
            return msgspec.structs.replace(step, to="")
        return step

    def _publish(self, counted: list[Counted], msg_id: int = 0) -> None:
        for gift, step_only in counted:
            self._room.publish(gift, msg_id=msg_id, step_only=step_only)

    def _watch_combos(self) -> None:
        """Finish idle combos on time, whether or not anything else comes."""
        due = self._combos.next_expiry()
        if due is None or self._timer is not None or self._closed:
            return
        delay = max(0.0, due - time.monotonic())
        self._timer = self._loop.call_later(delay, self._expire_combos)

    def _expire_combos(self) -> None:
        self._timer = None
        self._publish(self._combos.expire(time.monotonic()))
        self._watch_combos()
