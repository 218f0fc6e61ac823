"""From one ring to many phones: everyone gets everything once and in order, or an honest gap."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from server.config import LimitSettings
from server.relay.fanout import LOOK_AGAIN_S, MAX_PAUSE_S, SLICE_PHONES, Fanout
from server.relay.messages import Gap, text_frame
from server.relay.notices import Notice
from server.relay.outbox import Outbox
from server.relay.ring import TRIM_SLOTS, Combo, Group, Ring, RingBudget, Slot
from tests.fastloop import run_fast

LAG_BYTES = 4096
LAG_S = 10.0


class Link:
    """A transport that a test can stop up; what it holds is sent when it flows again."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.sent = bytearray()
        self.flows = True
        self.closed = False

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def write(self, data: bytes) -> None:
        (self.sent if self.flows else self.held).extend(data)

    def stop(self) -> None:
        self.flows = False

    def flow(self) -> None:
        self.flows = True
        self.sent += self.held
        self.held.clear()

    def frames(self) -> Iterator[dict[str, Any]]:
        """What the phone has read."""
        data, at = bytes(self.sent), 0
        while at < len(data):
            assert data[at] == 0x81, "whole text frames, one after the other"
            size, at = data[at + 1], at + 2
            if size == 126:
                size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            yield json.loads(data[at : at + size])
            at += size


class Phone:
    """An outbox with its link, and which ids it was there for."""

    def __init__(self, group: Group) -> None:
        self.link = Link()
        self.is_cut_off = False
        self.since = 0
        self.gaps: list[Gap] = []
        self.outbox = Outbox(
            self.link,  # type: ignore[arg-type]
            group,
            self,
        )

    def cut_off(self, _last_id: int) -> None:
        self.is_cut_off = True

    def missed(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def dismiss(self, _notice: Notice) -> None:
        raise AssertionError("no room fails here")

    def close_going_away(self) -> None:
        raise AssertionError("no room is closed here")


class Published(NamedTuple):
    """One frame of the room."""

    id: int
    type: str
    step: bool


class House:
    """A ring, its fan-out and its phones."""

    def __init__(self, count: int = 1000) -> None:
        loop = asyncio.get_running_loop()
        # Only the count decides: in this loop a burst takes no time at all.
        self.ring = Ring(count=count, seconds=-1, budget=RingBudget(), clock=loop.time)
        limits = LimitSettings(lag_bytes=LAG_BYTES, lag_s=LAG_S)
        self.fanout = Fanout(self.ring, limits, clock=loop.time)
        self.phones: list[Phone] = []
        self.published: list[Published] = []

    def publish(self, kind: str = "chat", *, step: bool = False, size: int = 0) -> None:
        entry_id = self.ring.last_id + 1
        body = json.dumps({"type": kind, "id": entry_id, "pad": "x" * size}).encode()
        at = asyncio.get_running_loop().time()
        self.ring.append(Slot(entry_id, kind, text_frame(body), at, step))
        self.published.append(Published(entry_id, kind, step))
        self.fanout.wake()

    def join(
        self, types: frozenset[str] | None = None, combo: Combo = "final", since: int | None = None
    ) -> Phone:
        phone = Phone(Group(types, combo, "ru"))
        cursor, phone.since = self.ring.end, self.ring.last_id
        if since is not None:
            phone.since = min(since, self.ring.last_id)
            cursor, missing = self.ring.after(phone.since)
            if missing is not None:
                phone.since = self.ring.floor_id
        phone.outbox.last_id = phone.since
        self.phones.append(phone)
        self.fanout.add(phone.outbox, cursor)
        return phone

    def wanted(self, phone: Phone) -> list[int]:
        """The ids that the phone should have got."""
        types, combo, _ = phone.outbox.group
        return [
            p.id
            for p in self.published
            if p.id > phone.since
            and (types is None or p.type in types)
            and (not p.step or combo == "live")
        ]


async def settle() -> None:
    """Long enough for every pause and every second look."""
    await asyncio.sleep(max(MAX_PAUSE_S, LOOK_AGAIN_S) * 3)


def complete(house: House, phone: Phone) -> None:
    """Fail unless the phone got all that was meant for it, or a gap in its place."""
    frames = list(phone.link.frames())
    got = [frame["id"] for frame in frames if frame["type"] != "gap"]
    assert got == sorted(set(got)), "in order, once"
    wanted = house.wanted(phone)
    assert set(got) <= set(wanted)
    gaps = [(frame["from_id"], frame["to_id"]) for frame in frames if frame["type"] == "gap"]
    assert gaps == [(gap.from_id, gap.to_id) for gap in phone.gaps]
    for missing in set(wanted) - set(got):
        assert any(first <= missing <= last for first, last in gaps), (missing, gaps)
    for first, last in gaps:
        assert not [number for number in got if first <= number <= last], "a gap over what came"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 6)),
        st.tuples(st.just("burst"), st.sampled_from([TRIM_SLOTS, 3 * TRIM_SLOTS])),
        st.tuples(st.just("join"), st.integers(0, 7)),
        st.tuples(st.sampled_from(["stop", "flow", "leave"]), st.integers(0, 5)),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 0.001, 0.05, 0.3, 3.0, 11.0])),
    ),
    max_size=60,
)
KINDS: list[dict[str, Any]] = [
    {}, {"combo": "live"}, {"types": frozenset({"gift"})}, {"types": frozenset()},
    {"since": 0}, {"since": 3}, {"since": 10_000}, {"types": frozenset({"chat"}), "since": 0},
]  # fmt: skip


@settings(max_examples=300)
@given(steps=STEPS, count=st.sampled_from([1, 50, 1000]))
def test_whatever_phones_do_each_gets_everything_once_and_in_order_or_a_gap(
    steps: list[tuple[str, Any]], count: int
) -> None:
    async def play() -> None:
        house = House(count)
        house.join()
        for number, (name, value) in enumerate(steps):
            match name:
                case "publish":
                    for _ in range(value):
                        house.publish(["chat", "gift"][number % 2], step=number % 5 == 0, size=40)
                case "burst":
                    for _ in range(value):
                        house.publish(size=50)
                case "join":
                    house.join(**KINDS[value])
                case "pass":
                    await asyncio.sleep(value)
                case _:
                    phone = house.phones[value % len(house.phones)]
                    if name == "leave":
                        phone.link.closed = True
                        house.fanout.remove(phone.outbox)
                    else:
                        getattr(phone.link, name)()
        for phone in house.phones:
            phone.link.flow()
        await settle()
        for phone in house.phones:
            if not phone.link.closed and not phone.is_cut_off:
                complete(house, phone)
        house.fanout.close()

    run_fast(play())


def played(scene: Callable[[House], Any], count: int = 1000) -> None:
    async def play() -> None:
        house = House(count)
        await scene(house)
        house.fanout.close()

    run_fast(play())


def test_what_comes_between_two_slices_of_a_flush_is_not_counted_as_sent() -> None:
    async def scene(house: House) -> None:
        phones = [house.join() for _ in range(SLICE_PHONES + 50)]
        late = phones[-1]
        house.publish()
        await asyncio.sleep(0)  # the first slice
        house.publish()
        house.publish()
        await asyncio.sleep(0)  # the second, with the first frame only
        late.link.stop()
        late.link.write(b"x" * (LAG_BYTES + 1))
        for _ in range(2000):
            house.publish()
        await asyncio.sleep(LOOK_AGAIN_S * 2)
        late.link.held.clear()
        late.link.flow()
        await settle()
        for phone in (phones[0], late):
            complete(house, phone)

    played(scene, count=1)


def test_a_phone_that_takes_nothing_is_cut_off_and_delays_nobody() -> None:
    async def scene(house: House) -> None:
        healthy, stuck = house.join(), house.join()
        stuck.link.stop()
        for _ in range(300):
            house.publish(size=50)
            await asyncio.sleep(0.01)
        assert len(list(healthy.link.frames())) >= 290
        assert not stuck.is_cut_off
        await asyncio.sleep(LAG_S)
        assert stuck.is_cut_off
        assert stuck.link.get_write_buffer_size() < LAG_BYTES + 4096
        await settle()
        complete(house, healthy)

    played(scene)


def test_a_slow_phone_that_makes_progress_is_not_cut_off() -> None:
    async def scene(house: House) -> None:
        slow = house.join()
        slow.link.stop()
        for _ in range(40):
            for _ in range(100):
                house.publish(size=50)
            await asyncio.sleep(LAG_S / 2)
            del slow.link.held[:200]
        assert not slow.is_cut_off

    played(scene, count=1)


def test_where_there_is_nothing_to_join_a_frame_goes_out_at_once() -> None:
    async def scene(house: House) -> None:
        phone = house.join()
        await asyncio.sleep(1)
        begun = asyncio.get_running_loop().time()
        house.publish()
        await asyncio.sleep(0)
        assert len(list(phone.link.frames())) == 1
        assert asyncio.get_running_loop().time() == begun

    played(scene)


def test_phones_that_want_the_same_are_written_the_same_bytes() -> None:
    async def scene(house: House) -> None:
        phones = [house.join() for _ in range(50)]
        written: list[bytes] = []
        for phone in phones:
            phone.link.write = written.append  # type: ignore[method-assign]
        for _ in range(20):
            house.publish()
        await settle()
        assert len({id(data) for data in written}) < len(written) / 10

    played(scene)
