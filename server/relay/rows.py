"""A row of the log: its text, from the templates that the phone page's JavaScript fills the same
way, and an entry before that text is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from server.relay.notices import catalogue, fill
from server.store.log import Entry, Level

#: Left out of a frame when zero, so that an absent one reads 0; every other field reads as text.
NUMBERS: Final = {"count": 0, "total": 0, "current": 0, "diamonds": 0}

_decode = msgspec.json.Decoder(dict).decode


def row_text(frame_type: str, frame: Mapping[str, Any]) -> str:
    """What the row of a frame says, on the phone and in the console."""
    values = {**NUMBERS, **frame}
    if frame_type == "battle":
        sides = frame.get("sides", ())
        values["sides"] = " : ".join(f"@{side['username']} {side['score']}" for side in sides)
    return fill(catalogue().rows.get(frame_type, "{type}"), values).rstrip()


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

    def entry(self) -> Entry:
        """The row that console and database show."""
        return Entry(
            id=self.id,
            ts=self.ts,
            type=self.type,
            level=self.level,
            creator=self.creator,
            user_id=self.user_id,
            code=self.code,
            ref=self.ref,
            text=row_text(self.type, _decode(self.frame)),
            frame=self.frame.decode(),
            msg_id=self.msg_id,
        )
