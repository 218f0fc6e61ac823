"""Gifts are counted once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.events import GiftStep, Who
from server.relay.combos import MAX_COMBOS, Combos, Counted

IDLE_S = 10.0


def step(count: int, *, ends: bool = False, group: str = "g", user: str = "1", **other) -> GiftStep:
    fields = {"gift_id": "5655", "gift_name": "Rose", "unit_diamonds": 1, "picture": "", "to": ""}
    fields |= other
    who = Who(user=user, username=user, user_id=user)
    streakable = fields.pop("streakable", True)
    return GiftStep(who=who, group=group, count=count, streakable=streakable, ends=ends, **fields)


def final_counts(counted: list[Counted]) -> list[int]:
    return [gift.count for gift, step_only in counted if not step_only]


def test_a_combo_is_one_gift_with_its_last_count() -> None:
    combos = Combos(IDLE_S)
    out = [*combos.step(step(1), 0), *combos.step(step(2), 1), *combos.step(step(3, ends=True), 2)]
    assert final_counts(out) == [3]
    assert [(c.gift.count, c.gift.final) for c in out] == [(1, False), (2, False), (3, True)]
    assert len({c.gift.combo for c in out}) == 1


def test_a_gift_that_cannot_be_combined_is_counted_at_once() -> None:
    (only,) = Combos(IDLE_S).step(step(4, streakable=False, unit_diamonds=25), 0)
    assert (only.gift.count, only.gift.diamonds, only.gift.combo, only.step_only) == (
        4,
        100,
        "",
        False,
    )


def test_a_combo_whose_end_never_comes_is_counted_after_the_idle_time() -> None:
    combos = Combos(IDLE_S)
    combos.step(step(7), 100)
    assert combos.next_expiry() == 110
    assert combos.expire(109.9) == []
    assert final_counts(combos.expire(110)) == [7]
    assert combos.next_expiry() is None


def test_a_step_after_the_idle_time_begins_a_new_combo_that_counts_from_there() -> None:
    combos = Combos(IDLE_S)
    combos.step(step(5), 0)
    (first,) = combos.expire(10)
    out = combos.step(step(8, ends=True), 20)
    assert final_counts(out) == [3]
    assert out[-1].gift.combo != first.gift.combo


def test_a_late_copy_of_a_counted_step_is_no_gift() -> None:
    combos = Combos(IDLE_S)
    combos.step(step(3, ends=True), 0)
    assert combos.step(step(3, ends=True), 1) == []
    assert combos.step(step(2), 1) == []


def test_combos_without_a_group_are_each_counted_from_their_own_beginning() -> None:
    combos = Combos(IDLE_S)
    counted, names = [], []
    for total in (3, 2, 5):
        for count in range(1, total + 1):
            out = combos.step(step(count, group="0", ends=count == total), 0)
        counted += final_counts(out)
        names.append(out[-1].gift.combo)
    assert counted == [3, 2, 5]
    assert len(set(names)) == 3


def test_gifts_of_other_viewers_groups_and_guests_are_apart() -> None:
    combos = Combos(IDLE_S)
    for other in (step(2), step(2, user="2"), step(2, group="h"), step(2, to="guest")):
        combos.step(other, 0)
    assert final_counts(combos.finish_all()) == [2, 2, 2, 2]


def test_open_combos_are_bounded_and_nothing_is_lost_by_it() -> None:
    combos = Combos(IDLE_S)
    out = [c for n in range(MAX_COMBOS + 10) for c in combos.step(step(1, user=str(n)), n)]
    out += combos.finish_all()
    assert sum(final_counts(out)) == MAX_COMBOS + 10


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.booleans(), st.sampled_from(["a", "b"]), st.floats(0, 15)),
        max_size=40,
    )
)
def test_whatever_the_order_all_gifts_together_are_the_highest_total(
    steps: list[tuple[int, bool, str, float]],
) -> None:
    combos, now, out = Combos(IDLE_S), 0.0, []
    for count, ends, user, pause in steps:
        now += pause
        out += combos.expire(now)
        out += combos.step(step(count, ends=ends, user=user), now)
    out += combos.finish_all()
    for user in {user for _, _, user, _ in steps}:
        given_counts = [c.gift.count for c in out if not c.step_only and c.gift.user == user]
        assert sum(given_counts) == max(count for count, _, name, _ in steps if name == user)
        assert all(count > 0 for count in given_counts)
