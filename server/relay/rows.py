"""The text of one log row, from the templates that the phone page's JavaScript fills the same
way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from server.relay.notices import catalogue, fill

#: Left out of a frame when zero, so that an absent one reads 0; every other field reads as text.
NUMBERS: Final = {"count": 0, "total": 0, "current": 0, "diamonds": 0}


def row_text(frame_type: str, frame: Mapping[str, Any]) -> str:
    """What the row of a frame says, on the phone and in the console."""
    values = {**NUMBERS, **frame}
    if frame_type == "battle":
        sides = frame.get("sides", ())
        values["sides"] = " : ".join(f"@{side['username']} {side['score']}" for side in sides)
    return fill(catalogue().rows.get(frame_type, "{type}"), values).rstrip()
