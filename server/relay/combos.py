"""Gifts counted once: TikTok's steps of a combo become one gift with the final count. No clock of
its own.

A combo is (viewer, gift, group, receiver). Its steps carry running totals. Phones with
combo=final get one gift when it ends; phones with combo=live get every step, then the same final
frame.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from server.events import MAX_NUMBER, Gift, GiftStep

#: TikTok's group of a combo that has none: all of a viewer's combos of that gift then look alike.
NO_GROUP: Final = "0"
#: Combos a room follows or remembers at once; the oldest is finished, or forgotten, beyond it.
MAX_COMBOS: Final = 4096


class Counted(NamedTuple):
    """A gift to publish; `step_only` when it is for phones with combo=live alone."""

    gift: Gift
    step_only: bool


class Key(NamedTuple):
    """What makes steps one combo."""

    user_id: str
    gift_id: str
    group: str
    to: str


class _Open(msgspec.Struct):
    """A combo in progress; `base` is what earlier combos of the same key have counted already."""

    step: GiftStep
    total: int
    base: int
    turn: int
    touched_at: float


class Combos:
    """The combos of one room."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._open: dict[Key, _Open] = {}
        #: key -> (total already counted, how many combos of the key there were).
        self._counted: dict[Key, tuple[int, int]] = {}

    def step(self, step: GiftStep, now: float) -> list[Counted]:
        """Take one gift message; `now` is monotonic seconds."""
        if not step.streakable:
            return [Counted(_gift(step, max(1, step.count)), step_only=False)]
        key = Key(step.who.user_id or step.who.username, step.gift_id, step.group, step.to)
        combo = self._open.get(key)
        if combo is None:
            base, turn = self._counted.get(key, (0, 0))
            if step.count <= base:
                return []  # a late copy of a step that is counted
            out = self._make_room()
            combo = _Open(step=step, total=0, base=base, turn=turn + 1, touched_at=now)
            self._open[key] = combo
        else:
            out = []
        grew = step.count > combo.total
        combo.total = max(combo.total, step.count)
        combo.step = step
        combo.touched_at = now
        if step.ends:
            out.append(self._finish(key))
            if key.group == NO_GROUP:
                # The next combo has the same key and begins at one again.
                self._count(key, 0, combo.turn)
        elif grew:
            gift = _gift(step, combo.total - combo.base, combo=_name(key, combo.turn))
            out.append(Counted(gift, step_only=True))
        return out

    def expire(self, now: float) -> list[Counted]:
        """Finish the combos that had no step for `idle_s`."""
        idle = [key for key, c in self._open.items() if now - c.touched_at >= self._idle_s]
        return [self._finish(key) for key in idle]

    def next_expiry(self) -> float | None:
        """When the next combo will have been idle for `idle_s`, in monotonic seconds."""
        if not self._open:
            return None
        return min(combo.touched_at for combo in self._open.values()) + self._idle_s

    def recall(self, gift: Gift) -> None:
        """Know a combo that was counted before a restart: its steps may be told once more."""
        group, turn = _read_name(gift)
        if group in (None, NO_GROUP):
            return
        key = Key(gift.user_id or gift.username, gift.gift_id, group or "", gift.to)
        before, _ = self._counted.get(key, (0, 0))
        self._count(key, before + gift.count, turn)

    def finish_all(self) -> list[Counted]:
        """Finish every combo: the live has ended, its last steps will not come."""
        return [self._finish(key) for key in list(self._open)]

    def _finish(self, key: Key) -> Counted:
        combo = self._open.pop(key)
        self._count(key, combo.total, combo.turn)
        count = combo.total - combo.base
        gift = _gift(combo.step, count, combo=_name(key, combo.turn), final=True)
        return Counted(gift, step_only=False)

    def _count(self, key: Key, total: int, turn: int) -> None:
        self._counted.pop(key, None)
        self._counted[key] = (total, turn)
        while len(self._counted) > MAX_COMBOS:
            del self._counted[next(iter(self._counted))]

    def _make_room(self) -> list[Counted]:
        if len(self._open) < MAX_COMBOS:
            return []
        return [self._finish(next(iter(self._open)))]


def _name(key: Key, turn: int) -> str:
    name = f"{key.user_id}.{key.gift_id}.{key.group}"
    return name if turn == 1 else f"{name}.{turn}"


def _read_name(gift: Gift) -> tuple[str | None, int]:
    """Group and turn of a combo's name; no group when the gift is of none."""
    _, _, rest = gift.combo.partition(f".{gift.gift_id}.")
    group, _, turn = rest.partition(".")
    return group or None, int(turn) if turn.isdecimal() else 1


def _gift(step: GiftStep, count: int, *, combo: str = "", final: bool = False) -> Gift:
    return Gift(
        **msgspec.structs.asdict(step.who),
        gift_id=step.gift_id,
        gift_name=step.gift_name,
        count=count,
        diamonds=min(step.unit_diamonds * count, MAX_NUMBER),
        picture=step.picture,
        to=step.to,
        combo=combo,
        final=final,
    )
