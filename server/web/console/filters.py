"""What the log page is asked to show, read from its query; store/logquery.py is what it becomes."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from aiohttp import web

from server.errors import InvalidUsername
from server.events import LIVE_EVENT_TYPES
from server.relay.notices import REF_ALPHABET, REF_LENGTH, Lang, texts
from server.store.logquery import EVERYTHING, LogQuery, words_of
from server.usernames import normalise
from server.web.keys import USERS
from server.web.render import text

#: In the order of the page's chips: what support looks for first.
TYPES: Final = (
    "error",
    "status",
    "gap",
    "chat",
    "gift",
    "like",
    "viewer_join",
    "follow",
    "share",
    "subscribe",
    "viewer",
    "question",
    "emote",
    "envelope",
    "battle",
)
#: What staff ask for most, in seconds.
LAST: Final = {"15m": 900, "1h": 3600, "24h": 86_400, "7d": 604_800}
LEVELS: Final = ("info", "warning", "error")
#: SQLite's largest integer.
MAX_ID: Final = 2**63 - 1
MAX_TEXT: Final = 200
CODE: Final = re.compile(r"[a-z_]{1,40}")
#: Nobody's: what cannot be one must find nothing, not everything.
NO_REF: Final = "-"
NO_CODE: Final = "-"
NOBODY: Final = -1
#: Users whose name was asked for; more are not told apart by it anyway.
MAX_NAMED: Final = 50
#: What is typed into fields, by the names of the query.
FIELDS: Final = ("creator", "user", "ref", "code", "q", "from", "to", "last")


class Asked(NamedTuple):
    """A query read: what to look for, what was typed as it was typed, and what is wrong with it."""

    query: LogQuery
    typed: Mapping[str, str]
    problems: Mapping[str, str]

    def address(self) -> dict[str, str | tuple[str, ...]]:
        """The same question as a page's query."""
        return {"type": self.query.types, "level": self.query.levels, **self.typed}

    @property
    def active(self) -> int:
        """How many filters are set."""
        kinds = bool(self.query.types) + bool(self.query.levels)
        return kinds + sum(bool(value) for value in self.typed.values())


NOTHING_ASKED: Final = Asked(EVERYTHING, dict.fromkeys(FIELDS, ""), {})


async def read_filters(request: web.Request, lang: Lang) -> Asked:
    """The filters of a page's query. A wrong value is said by its field, and the rest is shown.

    Raises StoreUnavailable.
    """
    query = request.query
    typed = {name: query.get(name, "").strip()[:MAX_TEXT] for name in FIELDS}
    problems: dict[str, str] = {}
    creator = ""
    try:
        creator = normalise(typed["creator"])
    except InvalidUsername as error:
        problems["creator"] = texts(error, lang)[1]
    if typed["last"] not in LAST:
        typed["last"] = ""
    since_ms = int((time.time() - LAST[typed["last"]]) * 1000) if typed["last"] else 0
    times = {"from": since_ms, "to": 0}
    for name in times:
        if typed[name]:
            moment = read_time(typed[name])
            if moment is None:
                problems[name] = text(lang, "log.bad_time")
            else:
                times[name] = moment
    if typed["q"] and not words_of(typed["q"]):
        problems["q"] = text(lang, "log.bad_search")
    ref = read_ref(typed["ref"])
    code = typed["code"].lower()
    asked = LogQuery(
        types=tuple(name for name in TYPES if name in query.getall("type", [])),
        levels=tuple(name for name in LEVELS if name in query.getall("level", [])),
        creator=creator,
        user_ids=await _user_ids(request, typed["user"]),
        code=(code if CODE.fullmatch(code) else NO_CODE) if code else "",
        ref=ref or (NO_REF if typed["ref"] else ""),
        words=words_of(typed["q"]),
        since_ms=times["from"],
        until_ms=times["to"],
    )
    return Asked(asked, typed, problems)


def read_ref(typed: str) -> str:
    """A reference as it is read out, with or without spaces and dashes."""
    return "".join(char for char in typed.upper() if char in REF_ALPHABET)[:REF_LENGTH]


async def _user_ids(request: web.Request, typed: str) -> tuple[int, ...]:
    """Users by number, or by a part of their name."""
    if not typed:
        return ()
    number = whole_number(typed.removeprefix("#"))
    if number is not None:
        return (number,)
    found = await request.app[USERS].search(typed, limit=MAX_NAMED)
    return tuple(user.user_id for user in found) or (NOBODY,)


def read_time(typed: str) -> int | None:
    """A moment in ms, of what a date field sends or RFC 3339 says; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(typed)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def whole_number(digits: str) -> int | None:
    """A number from 1 that SQLite can hold, else None."""
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_ID)):
        number = int(digits)
        return number if 1 <= number <= MAX_ID else None
    return None


if set(TYPES) != LIVE_EVENT_TYPES | {"error", "status", "gap"}:
    raise AssertionError("filters.TYPES and the event types differ")
