"""What the log page is asked to show: read from a query, put to the store, held against live
entries. Both must agree, or a row would be there live and gone after a reload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypedDict

import msgspec
from aiohttp import web

from server.errors import InvalidUsername
from server.events import LIVE_EVENT_TYPES
from server.relay.notices import REF_ALPHABET, REF_LENGTH, Lang, texts
from server.store.log import Entry
from server.usernames import normalise
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
#: SQLite's largest integer.
MAX_ID: Final = 2**63 - 1
MAX_TEXT: Final = 200
#: Nobody's reference: what cannot be one must find nothing, not everything.
NO_REF: Final = "-"


class StoreFilter(TypedDict):
    """What LogStore.page takes."""

    types: tuple[str, ...]
    creator: str
    user_id: int
    ref: str


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of a row; an empty value asks for nothing."""

    types: tuple[str, ...] = ()
    creator: str = ""
    user_id: int = 0
    ref: str = ""

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        return self != Filters()

    def for_store(self) -> StoreFilter:
        """The same question as arguments of LogStore.page."""
        return StoreFilter(
            types=self.types, creator=self.creator, user_id=self.user_id, ref=self.ref
        )

    def query(self) -> dict[str, str | tuple[str, ...]]:
        """The same question as a page's query."""
        user = str(self.user_id) if self.user_id else ""
        return {"type": self.types, "creator": self.creator, "user": user, "ref": self.ref}

    def match(self, entry: Entry) -> bool:
        """Whether a live entry belongs on the page."""
        return (
            (not self.types or entry.type in self.types)
            and (not self.creator or entry.creator == self.creator)
            and (not self.user_id or entry.user_id == self.user_id)
            and (not self.ref or entry.ref == self.ref)
        )


class Asked(NamedTuple):
    """A query read: the filters, what was typed as it was typed, and what is wrong with it."""

    filters: Filters
    typed: Mapping[str, str]
    problems: tuple[str, ...] = ()


def read_filters(request: web.Request, lang: Lang) -> Asked:
    """The filters of a page's query. A wrong value is said, and the rest is still shown."""
    query = request.query
    typed = {name: query.get(name, "").strip()[:MAX_TEXT] for name in ("creator", "user", "ref")}
    problems: list[str] = []
    creator = ""
    try:
        creator = normalise(typed["creator"])
    except InvalidUsername as error:
        problems.append(": ".join((text(lang, "log.creator"), texts(error, lang)[1])))
    user_id = whole_number(typed["user"].removeprefix("#"))
    if typed["user"] and user_id is None:
        problems.append(text(lang, "log.bad_user"))
    wanted = query.getall("type", [])
    ref = "".join(char for char in typed["ref"].upper() if char in REF_ALPHABET)[:REF_LENGTH]
    filters = Filters(
        types=tuple(name for name in TYPES if name in wanted),
        creator=creator,
        user_id=user_id or 0,
        ref=ref or (NO_REF if typed["ref"] else ""),
    )
    return Asked(filters, typed, tuple(problems))


def whole_number(digits: str) -> int | None:
    """A number from 1 that SQLite can hold, else None."""
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_ID)):
        number = int(digits)
        return number if 1 <= number <= MAX_ID else None
    return None


if set(TYPES) != LIVE_EVENT_TYPES | {"error", "status", "gap"}:
    raise AssertionError("filters.TYPES and the event types differ")
