"""A 429 of the sign server -> how long to wait, and who says so. Pure.

No two versions of the server say it alike, so everything is read and nothing is trusted: Retry-
After, then RateLimit-Reset, then X-RateLimit-Reset, then the label's window, then one hour. Never
RateLimit-Remaining, which counts calls, though TikTokLive 7.0.1 takes it for seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple

import msgspec

from server.errors import RateLimited

Headers = Iterable[tuple[str, str]]
Window = Literal["minute", "hour", "day"]

MIN_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 86_400.0
DEFAULT_WAIT_S: Final = 3_600.0
WINDOWS_S: Final[dict[Window, float]] = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
#: A number above this is a time, not a delay; above the next, a time in milliseconds.
EPOCH_FROM: Final = 1e9
EPOCH_MS_FROM: Final = 1e11

#: Headers of a 429 that are kept, for operators and for EulerStream's support.
KEPT_HEADERS: Final = frozenset(
    {
        "date",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "retry-after",
        "x-agent-id",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-request-id",
    }
)
KEPT_HEADER_CHARS: Final = 128

# ASCII digits only: int() takes Arabic ones as well, and a server that sends those is guessing too.
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_LABEL: Final = re.compile(r"rate_limit_(account|room_id)_(minute|hour|day)")


class Wait(NamedTuple):
    """Seconds to wait, within MIN_WAIT_S and MAX_WAIT_S, and what said so."""

    seconds: float
    source: Literal["retry-after", "ratelimit-reset", "x-ratelimit-reset", "label", "default"]


class LimitLabel(NamedTuple):
    """Which limit was hit: of the account, which is the address without a key, or of one room."""

    scope: Literal["account", "room_id"]
    window: Window


class SignRateLimited(RateLimited):
    """The sign server's 429: what it said of the wait, and the headers that may have said it.

    The guard, which knows what else stands against the request, sets `retry_at`.
    """

    def __init__(self, detail: str, wait: Wait, label: LimitLabel | None, headers: Headers) -> None:
        super().__init__(detail)
        self.wait = wait
        self.label = label
        self.of_room = label is not None and label.scope == "room_id"
        self.headers = [
            (name, value[:KEPT_HEADER_CHARS])
            for name, value in headers
            if name.lower() in KEPT_HEADERS
        ]


def read_wait(headers: Headers, now: float) -> Wait | None:
    """The wait that the headers tell; None when they tell none.

    Times are measured against the answer's own Date; `now` (epoch seconds) stands in without one.
    """
    values: dict[str, str] = {}
    for name, value in headers:
        values.setdefault(name.lower(), value.strip())
    there = _date(values.get("date", "")) or now
    retry_after = values.get("retry-after", "")
    date = _date(retry_after)
    seconds = date - there if date is not None else _seconds(retry_after, there)
    if seconds is not None:
        return Wait(_clamp(seconds), "retry-after")
    if (seconds := _seconds(values.get("ratelimit-reset", ""), there)) is not None:
        return Wait(_clamp(seconds), "ratelimit-reset")
    if (seconds := _seconds(values.get("x-ratelimit-reset", ""), there)) is not None:
        return Wait(_clamp(seconds), "x-ratelimit-reset")
    return None


def fallback_wait(label: LimitLabel | None) -> Wait:
    """The wait when no header tells: the label's window, else one hour."""
    if label is None:
        return Wait(DEFAULT_WAIT_S, "default")
    return Wait(WINDOWS_S[label.window], "label")


def read_label(body: bytes) -> LimitLabel | None:
    """The `limit_label` of the answer's body, if it is one that we know."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    label = decoded.get("limit_label") if isinstance(decoded, dict) else None
    match = _LABEL.fullmatch(label) if isinstance(label, str) else None
    return LimitLabel(match[1], match[2]) if match else None  # type: ignore[arg-type]


def _seconds(text: str, now: float) -> float | None:
    """A delay, from a delay or a time; None for what is no number."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if value >= EPOCH_MS_FROM:
        return value / 1000 - now
    return value - now if value >= EPOCH_FROM else value


def _date(text: str) -> float | None:
    """An HTTP date as epoch seconds."""
    if not text or _NUMBER.fullmatch(text):
        return None
    try:
        parsed = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _clamp(seconds: float) -> float:
    return min(max(seconds, MIN_WAIT_S), MAX_WAIT_S)
