"""The ring: what a returning phone gets is whole, or begins with a gap that tells what is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.relay import ring as ring_module
from server.relay.ring import TRIM_SLOTS, Group, Ring, RingBudget, Slot

ALL = Group(None, "final", "ru")


def slot(entry_id: int, *, at: float = 0.0, size: int = 10, kind: str = "chat") -> Slot:
    return Slot(entry_id, kind, b"x" * size, at)


def make(
    count: int = 5, seconds: float = 0.0, *, now: float = 1000.0, limit: int = 1 << 30
) -> Ring:
    return Ring(count=count, seconds=seconds, budget=RingBudget(limit), clock=lambda: now)


def test_replay_begins_after_the_id_the_phone_had() -> None:
    ring = make()
    for entry_id in (3, 7, 9):
        ring.append(slot(entry_id))
    begin, missing = ring.after(7)
    assert missing is None
    assert [s.id for s in ring.between(begin, ring.end)] == [9]


def test_the_longer_of_count_and_time_is_kept() -> None:
    ring = make(count=2, seconds=100, now=1000)
    for entry_id in range(1, TRIM_SLOTS * 2):
        ring.append(slot(entry_id, at=950))
    assert ring.begin == 0, "all are younger than 100 s"
    old = make(count=2, seconds=100, now=1000)
    for entry_id in range(1, TRIM_SLOTS * 2):
        old.append(slot(entry_id, at=800))
    assert old.end - old.begin <= TRIM_SLOTS + 2


def test_what_was_evicted_is_a_gap_with_its_ids() -> None:
    ring = make(count=1)
    for entry_id in range(1, TRIM_SLOTS + 2):
        ring.append(slot(entry_id))
    begin, missing = ring.after(0)
    assert missing is not None
    assert (missing.from_id, missing.to_id) == (1, TRIM_SLOTS)
    assert [s.id for s in ring.between(begin, ring.end)] == [TRIM_SLOTS + 1]


def test_a_gap_right_after_the_phones_id_is_replayed() -> None:
    ring = make()
    ring.append(slot(5))
    ring.append(slot(5, kind="gap"))
    begin, _ = ring.after(5)
    assert [s.type for s in ring.between(begin, ring.end)] == ["gap"]


def test_all_rings_together_stay_within_the_budget() -> None:
    budget = RingBudget(limit=1000)
    rings = [Ring(count=1000, seconds=1e9, budget=budget, clock=lambda: 0.0) for _ in range(3)]
    for n in range(300):
        rings[n % 3].append(slot(n + 1, size=50))
    assert budget.used <= 1000 + 50 * 3
    for ring in rings:
        ring.clear()
    assert budget.used == 0


def test_one_ring_stays_within_its_bytes() -> None:
    ring = make(count=100_000, seconds=1e9)
    big = ring_module.RING_BYTES // 4
    for n in range(10):
        ring.append(slot(n + 1, size=big))
    assert ring.end - ring.begin == 4


def test_a_group_gets_what_it_asked_for() -> None:
    chats = Group(frozenset({"chat"}), "final", "ru")
    everything_live = Group(None, "live", "en")
    gift_step = Slot(1, "gift", b"step", 0.0, live_steps=True)
    status = Slot(2, "status", {"ru": b"ru", "en": b"en"}, 0.0)
    gap = Slot(2, "gap", b"gap", 0.0)
    assert gift_step.bytes_for(ALL) == b""
    assert gift_step.bytes_for(everything_live) == b"step"
    assert gift_step.bytes_for(chats) == b""
    assert (status.bytes_for(chats), status.bytes_for(everything_live)) == (b"ru", b"en")
    assert gap.bytes_for(chats) == b"gap"


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=300),
    st.lists(st.integers(1, 5), max_size=300),
    st.integers(1, 400),
    st.integers(0, 2000),
)
def test_what_a_crash_lost_is_never_lost_in_silence(
    before: list[int], after: list[int], count: int, since: int
) -> None:
    """The log has what came before a crash; then ids are missing; then the next run goes on."""
    ring, published, entry_id = make(count=count), [], 0
    for pause in before:
        entry_id += pause
        published.append(entry_id)
        ring.append(slot(entry_id))
    lost_from, lost_until = entry_id + 1, entry_id + 50
    published += range(lost_from, lost_until + 1)
    ring.append(Slot(entry_id, "gap", b"gap", 0.0, until=lost_until))
    entry_id = lost_until
    for pause in after:
        entry_id += pause
        published.append(entry_id)
        ring.append(slot(entry_id))
    since = min(since, entry_id)
    begin, missing = ring.after(since)
    told: set[int] = set()
    if missing is not None:
        told.update(range(missing.from_id, missing.to_id + 1))
    for found in ring.between(begin, ring.end):
        if found.type == "gap":
            told.update(range(found.id + 1, found.until + 1))
        else:
            assert found.id > since
            assert found.id not in told
            told.add(found.id)
    assert {number for number in published if number > since} <= told
    assert all(number > since for number in told)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=600),
    st.integers(1, 400),
    st.integers(0, 2000),
)
def test_replay_and_gap_together_are_all_that_was_published(
    steps: list[int], count: int, since: int
) -> None:
    ring, ids, entry_id = make(count=count), [], 0
    for pause in steps:
        entry_id += pause
        ids.append(entry_id)
        ring.append(slot(entry_id))
    since = min(since, entry_id)
    begin, missing = ring.after(since)
    got = [s.id for s in ring.between(begin, ring.end)]
    lost = [] if missing is None else [n for n in ids if missing.from_id <= n <= missing.to_id]
    assert lost + got == [n for n in ids if n > since]
