"""Battles: two creators against each other, from the start over the score to the end."""

from collections.abc import Iterable, Mapping
from typing import Any

from TikTokLiveProto.v3.webcast.im import LinkMicArmiesTriggerReason, LinkMicBattleBattleAction
from TikTokLiveProto.v3.webcast.model.message import WebcastLinkMicArmies, WebcastLinkMicBattle

from tests.tiktok.message import Message, message
from tests.tiktok.people import Person, image, person

Scores = Mapping[Person | str, int]


def battle_start(battle: int, sides: Iterable[Person | str], *, id: int | None = None) -> Message:
    return _battle(battle, dict.fromkeys(sides, 0), LinkMicBattleBattleAction.OPEN, id)


def battle_end(battle: int, scores: Scores, *, id: int | None = None) -> Message:
    return _battle(battle, scores, LinkMicBattleBattleAction.FINISH, id)


def battle_score(battle: int, scores: Scores, *, id: int | None = None) -> Message:
    """The score in a battle; it names the sides by id only."""
    return message(
        WebcastLinkMicArmies,
        id=id,
        battle_id=battle,
        armies={person(who).user_id: _army(person(who), score) for who, score in scores.items()},
        trigger_reason=LinkMicArmiesTriggerReason.SCORE_UPDATE,
    )


def _army(user: Person, score: int) -> dict[str, Any]:
    return {"hostscore": score, "anchor_id_str": str(user.user_id)}


def _battle(
    battle: int, scores: Scores, action: LinkMicBattleBattleAction, id: int | None
) -> Message:
    sides = {person(who): score for who, score in scores.items()}
    return message(
        WebcastLinkMicBattle,
        id=id,
        battle_id=battle,
        action=action,
        battle_settings={"battle_id": battle, "duration": 300},
        anchors_info=[{"key": side.user_id, "value": {"user": _rival(side)}} for side in sides],
        armies=[{"key": side.user_id, "value": _army(side, sides[side])} for side in sides],
        battle_result={
            side.user_id: {"user_id": side.user_id, "score": score} for side, score in sides.items()
        },
    )


def _rival(user: Person) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "nick_name": user.nickname or user.username,
        "display_id": user.username,
        "avatar_thumb": image(user.picture),
    }
