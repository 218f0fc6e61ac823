"""A row of the log: its text, from the templates that the phone page's JavaScript fills the same
way, and an entry before that text is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from server.relay.notices import Lang, catalogue, fill
from server.store.log import Entry, Level

#: Left out of a frame when zero, so that an absent one reads 0; every other field reads as text.
NUMBERS: Final = {"count": 0, "total": 0, "current": 0, "diamonds": 0}

_decode = msgspec.json.Decoder(dict).decode


def row_text(frame_type: str, frame: Mapping[str, Any], lang: Lang) -> str:
    """What the row of a frame says, on the phone and in the console."""
    texts = catalogue()
    values = {**NUMBERS, **frame}
    match frame_type:
        case "battle":
            sides = frame.get("sides", ())
            values["sides"] = " : ".join(f"@{side['username']} {side['score']}" for side in sides)
            values["phase"] = texts.phases[frame["phase"]][lang]
        case "gap":
            values["reason"] = texts.gaps[frame["reason"]][lang]
    template = texts.rows.get(frame_type)
    return fill(template[lang] if template else "{type}", values).rstrip()


def row_texts(lang: Lang) -> dict[str, dict[str, str]]:
    """What a page's script needs to say the same, in one language."""
    texts = catalogue()
    return {
        "templates": {name: row[lang] for name, row in texts.rows.items()},
        "gaps": {name: gap[lang] for name, gap in texts.gaps.items()},
        "phases": {name: phase[lang] for name, phase in texts.phases.items()},
    }


class Record(NamedTuple):
    """An entry before its text is made; `frame` is the JSON that phones get."""

    id: int
    ts: int
    type: str
    level: Level
    creator: str
    user_id: int
    code: str
    ref: str
    frame: bytes
    msg_id: int = 0
    connection_id: int = 0

    def entry(self, lang: Lang) -> Entry:
        """The row that console and database show, in the server's language."""
        return Entry(
            id=self.id,
            ts=self.ts,
            type=self.type,
            level=self.level,
            creator=self.creator,
            user_id=self.user_id,
            code=self.code,
            ref=self.ref,
            text=row_text(self.type, _decode(self.frame), lang),
            frame=self.frame.decode(),
            msg_id=self.msg_id,
            connection_id=self.connection_id,
        )
