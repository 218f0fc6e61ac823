"""An error becomes what a human is told: public text in a language, the wire frame, the close
reason.

The texts are in catalogue.toml, read once. Nothing private passes: an AppError's `detail` stays
behind.
"""

from __future__ import annotations

import re
import secrets
import time
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from server.errors import ERROR_CLASSES, AppError, ComeBack

Lang = Literal["ru", "en"]
LANGS: Final[tuple[Lang, ...]] = ("ru", "en")

#: No 0/O, 1/I/L: a user reads the reference out over the phone.
REF_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
REF_LENGTH: Final = 8
#: RFC 6455: a close frame holds 125 bytes, two of them the code.
CLOSE_REASON_BYTES: Final = 123
FIELD: Final = re.compile(r"\{(\w+)\}")


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text in both languages."""

    ru: str
    en: str

    def __getitem__(self, lang: Lang) -> str:
        return self.en if lang == "en" else self.ru


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another `details` for a code, chosen by AppError.variant."""

    details: Text


class ErrorTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is said about one code, to phones and on the help page."""

    message: Text
    details: Text
    cause: Text
    tell: Text
    fix: Text
    variants: dict[str, Variant] = {}


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every text that people are shown, by code, state, gap reason, phase and row type."""

    errors: dict[str, ErrorTexts]
    states: dict[str, Text]
    gaps: dict[str, Text]
    phases: dict[str, Text]
    rows: dict[str, Text]


@cache
def catalogue() -> Catalogue:
    """The texts of catalogue.toml, parsed and checked against the error classes on first use."""
    source = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    texts = msgspec.convert(tomllib.loads(source), Catalogue)
    if texts.errors.keys() != ERROR_CLASSES.keys():
        raise ValueError(f"catalogue.toml and errors.py differ: {texts.errors.keys()}")
    return texts


class ErrorFrame(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="error"
):
    """The `error` frame. `retry_after` (seconds) and `retry_at` (RFC 3339) come together or not."""

    ts: int
    code: str
    message: str
    details: str
    retry_after: int | None = None
    retry_at: str | None = None
    ref: str
    closing: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One incident as people meet it: every phone in its scope gets this error under this `ref`.

    `retry_at` is epoch seconds, None where the code has no time to come back.
    """

    error: AppError
    ref: str
    creator: str = ""
    retry_at: float | None = None

    @property
    def code(self) -> str:
        """The stable code."""
        return self.error.code

    def frame(self, lang: Lang, *, now: float, closing: bool = True) -> ErrorFrame:
        """The wire frame in `lang`; `retry_after` is what is left at `now` (epoch seconds)."""
        message, details = texts(self.error, lang, creator=self.creator, ref=self.ref)
        retry_after = None if self.retry_at is None else max(1, _ceil(self.retry_at - now))
        return ErrorFrame(
            ts=int(now * 1000),
            code=self.code,
            message=message,
            details=details,
            retry_after=retry_after,
            retry_at=None if self.retry_at is None else rfc3339(self.retry_at),
            ref=self.ref,
            closing=closing,
        )

    def close_reason(self) -> str:
        """The close reason: the code and the time to come back, should the frame be lost."""
        if self.retry_at is None:
            return self.code
        return f"{self.code} {_ceil(self.retry_at)}"[:CLOSE_REASON_BYTES]


def notice(error: AppError, *, creator: str = "", ref: str = "") -> Notice:
    """Make the notice of a new incident; give `ref` to repeat a remembered one."""
    at = None
    if error.come_back is ComeBack.AT_RETRY_AT:
        at = error.retry_at
        if at is None and error.come_back_s is not None:
            at = time.time() + error.come_back_s
    return Notice(error=error, ref=ref or new_ref(), creator=creator, retry_at=at)


def new_ref() -> str:
    """A short reference that a user can read out to support."""
    return "".join(secrets.choice(REF_ALPHABET) for _ in range(REF_LENGTH))


def texts(error: AppError, lang: Lang, *, creator: str = "", ref: str = "") -> tuple[str, str]:
    """The public (message, details) of an error."""
    entry = catalogue().errors[error.code]
    variant = entry.variants.get(error.variant)
    details = (variant.details if variant else entry.details)[lang]
    named = {"subject": error.subject, "creator": creator or error.subject, "ref": ref}
    return entry.message[lang], fill(details, named)


def state_text(state: str, lang: Lang, *, creator: str) -> str:
    """What a `status` frame says in `lang`."""
    return fill(catalogue().states[state][lang], {"creator": creator})


def fill(template: str, values: Mapping[str, object]) -> str:
    """Put values into {fields}; a field without a value stays empty.

    One pass, and not str.format: a nickname may hold braces, and must stay what it is.
    """
    return FIELD.sub(lambda match: str(values.get(match[1], "")), template)


def rfc3339(epoch_s: float) -> str:
    """An epoch time, rounded up to the second so that nobody comes back early, in UTC."""
    return datetime.fromtimestamp(_ceil(epoch_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ceil(value: float) -> int:
    return -int(-value // 1)
