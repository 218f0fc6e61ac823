"""What is asked of the event log: as SQL for what is stored, as a check for what comes live. Both
must agree, or a row would be there live and gone after a reload.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from server.store.log import Entry

#: A word as FTS5's tokenizer unicode61 cuts it: letters and digits.
WORD: Final = re.compile(r"[^\W_]+")
MAX_WORDS: Final = 12


class Conditions(NamedTuple):
    """`FROM {tables} WHERE {where} ORDER BY {number}` and the values of its marks."""

    tables: str
    where: str
    values: list[Any]
    number: str


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of an entry; an empty value asks for nothing.

    `words` are the beginnings of words, in any case, that its text must have, all of them.
    `since_ms` is the first moment that counts, `until_ms` the first that does not any more.
    """

    types: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    creator: str = ""
    user_ids: tuple[int, ...] = ()
    code: str = ""
    ref: str = ""
    words: tuple[str, ...] = ()
    since_ms: int = 0
    until_ms: int = 0

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        return self != LogQuery()

    def conditions(self, *, before: int | None = None, after: int | None = None) -> Conditions:
        """As SQL; `before` and `after` are ids."""
        tables, parts, values = "events", ["TRUE"], list[Any]()

        def must(condition: str, *needed: Any) -> None:
            parts.append(condition)
            values.extend(needed)

        if self.words:
            tables = "events_text JOIN events ON events.id = events_text.rowid"
            must("events_text MATCH ?", " ".join(f'"{word}"*' for word in self.words))
        for column, value in (("creator", self.creator), ("code", self.code), ("ref", self.ref)):
            if value:
                must(f"{column} = ?", value)
                if column != "creator":
                    parts.append(f"{column} <> ''")  # the index is of those alone
        for column, options in (
            ("type", self.types),
            ("level", self.levels),
            ("user_id", self.user_ids),
        ):
            if options:
                must(f"{column} IN ({', '.join('?' for _ in options)})", *options)
        if self.user_ids:
            parts.append("user_id <> 0")  # and this one of rows that are somebody's
        if self.since_ms:
            must("ts >= ?", self.since_ms)
        if self.until_ms:
            must("ts < ?", self.until_ms)
        number = "events_text.rowid" if self.words else "id"
        if before is not None:
            must(f"{number} < ?", before)
        if after is not None:
            must(f"{number} > ?", after)
        return Conditions(tables, " AND ".join(parts), values, number)

    def match(self, entry: Entry) -> bool:
        """Whether an entry that is not stored yet belongs to the answer."""
        return (
            (not self.types or entry.type in self.types)
            and (not self.levels or entry.level in self.levels)
            and (not self.creator or entry.creator == self.creator)
            and (not self.user_ids or entry.user_id in self.user_ids)
            and (not self.code or entry.code == self.code)
            and (not self.ref or entry.ref == self.ref)
            and (not self.since_ms or entry.ts >= self.since_ms)
            and (not self.until_ms or entry.ts < self.until_ms)
            and (not self.words or _has_words(entry.text, self.words))
        )


#: Asks for nothing.
EVERYTHING: Final = LogQuery()


def words_of(text: str) -> tuple[str, ...]:
    """The words of a search, as they are compared."""
    return tuple(dict.fromkeys(WORD.findall(text.lower())))[:MAX_WORDS]


def _has_words(text: str, wanted: tuple[str, ...]) -> bool:
    words = WORD.findall(text.lower())
    return all(any(word.startswith(start) for word in words) for start in wanted)
