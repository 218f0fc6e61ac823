"""What a phone asks for in its query. Unknown options and unknown values are ignored, never
refused.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from aiohttp import web

from server.events import LIVE_EVENT_TYPES
from server.relay.notices import LANGS, Lang
from server.relay.replay import Since
from server.relay.ring import Combo, Group

#: What an app says of itself, shown to support.
DEVICE_CHARS: Final = 64
#: An id never has more digits than fit 2^63.
ID_DIGITS: Final = 18
EPOCH_CHARS: Final = 64
#: Groups that are one object for all their phones.
KEPT_GROUPS: Final = 64


class PhoneOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one connect. `lang` is None when the query names none."""

    manual: bool = False
    since: Since | None = None
    types: frozenset[str] | None = None
    combo: Combo = "final"
    lang: Lang | None = None
    platform: str = ""
    os: str = ""
    device: str = ""

    def group(self, lang: Lang) -> Group:
        """The phones that this one shares its bytes with."""
        return _group(self.types, self.combo, lang)


@lru_cache(maxsize=KEPT_GROUPS)
def _group(types: frozenset[str] | None, combo: Combo, lang: Lang) -> Group:
    """One object for all phones alike."""
    return Group(types, combo, lang)


def read_options(request: web.BaseRequest) -> PhoneOptions:
    """The options in a request's query."""
    query = request.query
    return PhoneOptions(
        manual=query.get("live") == "manual",
        since=_since(query.get("since", ""), query.get("epoch", "")),
        types=_types(query.get("types", "")),
        combo="live" if query.get("combo") == "live" else "final",
        lang=_lang(query.get("lang", "")),
        platform=_device_text(query.get("platform", "")),
        os=_device_text(query.get("os", "")),
        device=_device_text(query.get("device", "")),
    )


def preferred_lang(request: web.BaseRequest, default: Lang) -> Lang:
    """The first language of Accept-Language that we speak, by its weight."""
    header = request.headers.get("Accept-Language", "")
    best, best_weight = default, 0.0
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        lang = _lang(tag.strip().lower().partition("-")[0])
        weight = _weight(parameter)
        if lang is not None and weight > best_weight:
            best, best_weight = lang, weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _lang(text: str) -> Lang | None:
    return next((lang for lang in LANGS if lang == text), None)


def _since(text: str, epoch: str) -> Since | None:
    """Where the phone left off; text that is no id is an id nobody ever had."""
    if not text:
        return None
    digits = text if text.isascii() and text.isdigit() and len(text) <= ID_DIGITS else ""
    return Since(int(digits) if digits else -1, epoch[:EPOCH_CHARS])


def _types(text: str) -> frozenset[str] | None:
    if not text:
        return None
    return frozenset(name.strip() for name in text.split(",")) & LIVE_EVENT_TYPES


def _device_text(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:DEVICE_CHARS]
