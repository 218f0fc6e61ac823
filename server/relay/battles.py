"""Battles: who the sides are. TikTok names them when a battle starts and sends bare ids
afterwards.
"""

from __future__ import annotations

from server.events import Battle, BattleStep, Side


class Battles:
    """The battle that is going on in one room."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._scores: dict[str, int] = {}

    def step(self, step: BattleStep) -> Battle:
        """Take one message; the event has every side known so far."""
        if step.phase == "start":
            self._names, self._scores = {}, {}
        self._names.update(step.names)
        self._scores.update(step.scores)
        sides = dict.fromkeys([*self._names, *self._scores])
        event = Battle(
            phase=step.phase,
            sides=tuple(
                Side(username=self._names.get(side, ""), score=self._scores.get(side, 0))
                for side in sides
            ),
        )
        if step.phase == "end":
            self._names, self._scores = {}, {}
        return event
