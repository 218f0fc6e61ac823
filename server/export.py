"""`export`: the event log as NDJSON or CSV, and the times its options take."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from server.store.log import Entry

#: How far back `2h` is.
AGO: Final = re.compile(r"(\d{1,9})([smhdw])")
UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
COLUMNS: Final = (
    "id", "time", "type", "level", "creator", "user_id", "code", "ref", "text"
)  # fmt: skip
#: A spreadsheet takes a cell that begins so for a formula (OWASP: CSV injection).
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


class Row(msgspec.Struct, frozen=True):
    """An entry as exported. `time` is RFC 3339, `frame` what phones got."""

    id: int
    time: str
    type: str
    level: str
    creator: str
    user_id: int
    code: str
    ref: str
    text: str
    frame: msgspec.Raw


def read_time(text: str, now: datetime) -> datetime:
    """A time in RFC 3339, or how long ago: `90s`, `30m`, `2h`, `7d`, `1w`. Raises ValueError."""
    if ago := AGO.fullmatch(text):
        seconds = int(ago[1]) * UNIT_S[ago[2]]
        return datetime.fromtimestamp(max(0.0, now.timestamp() - seconds), UTC)
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


async def ndjson(entries: AsyncIterator[Entry]) -> AsyncIterator[str]:
    """One JSON object a line."""
    async for entry in entries:
        yield json_line(entry)


def json_line(entry: Entry) -> str:
    """One entry as a JSON object, with a line's end."""
    row = Row(
        id=entry.id,
        time=_rfc3339(entry.ts),
        type=entry.type,
        level=entry.level,
        creator=entry.creator,
        user_id=entry.user_id,
        code=entry.code,
        ref=entry.ref,
        text=entry.text,
        frame=msgspec.Raw(entry.frame or "null"),
    )
    return msgspec.json.encode(row).decode() + "\n"


async def as_csv(entries: AsyncIterator[Entry]) -> AsyncIterator[str]:
    """RFC 4180 with a header; cells that a spreadsheet would run are quoted with an apostrophe."""
    yield _line(COLUMNS)
    async for entry in entries:
        yield _line(
            (
                entry.id,
                _rfc3339(entry.ts),
                entry.type,
                entry.level,
                entry.creator,
                entry.user_id,
                entry.code,
                entry.ref,
                entry.text,
            )
        )


def _line(cells: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(
        f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
        for cell in cells
    )
    return line.getvalue()


def _rfc3339(ts_ms: int) -> str:
    time = datetime.fromtimestamp(ts_ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
