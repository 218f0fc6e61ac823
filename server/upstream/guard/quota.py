"""So many in so much time, for each of many names: rooms that a user starts, requests of one room.

Pure; times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

Name = TypeVar("Name", bound=Hashable)

#: Names remembered; beyond it those that are free again are forgotten.
MAX_NAMES: Final = 10_000


class Rate(NamedTuple):
    """At most `most` in any `window_s` seconds."""

    most: int
    window_s: float


class Quota(Generic[Name]):
    """What each name has taken lately, held against every rate."""

    def __init__(self, *rates: Rate) -> None:
        self._rates = rates
        self._longest_s = max(rate.window_s for rate in rates)
        self._taken: dict[Name, list[float]] = {}

    def opens_at(self, name: Name, now: float, also: Iterable[float] = ()) -> float:
        """When the name may take one more: `now`, or later. `also` counts as taken too."""
        times = sorted([*self._lately(name, now), *also])
        return max([now, *_ends(times, self._rates)])

    def take(self, name: Name, at: float) -> None:
        """The name takes one."""
        self._taken[name] = [*self._lately(name, at), at]
        if len(self._taken) > MAX_NAMES:
            self._taken = {n: times for n, times in self._taken.items() if self._lately(n, at)}

    def give_back(self, name: Name, at: float) -> None:
        """What was taken at this time came to nothing."""
        taken = self._taken.get(name, [])
        if at in taken:
            taken.remove(at)

    def _lately(self, name: Name, now: float) -> list[float]:
        return [at for at in self._taken.get(name, ()) if at > now - self._longest_s]


def _ends(times: Sequence[float], rates: Iterable[Rate]) -> list[float]:
    """For each rate that is used up, or was: when it allows one more."""
    return [times[-rate.most] + rate.window_s for rate in rates if len(times) >= rate.most]
