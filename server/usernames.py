"""TikTok usernames: the one normaliser for REST, WebSocket, command line and console.

Pure text; whether TikTok knows the name is found out in upstream/. TikTokLive puts names into URLs
unescaped, so nothing may reach it that has not been through here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from server.errors import InvalidUsername

#: A normalised name. Use fullmatch: `$` would let a final newline through.
USERNAME: Final = re.compile(r"[a-z0-9_.]{1,23}[a-z0-9_]")

#: A profile or live address. ASCII only: with re.IGNORECASE alone the Kelvin sign is a `k`.
PROFILE_URL: Final = re.compile(
    r"(?:https?://)?(?:www\.|m\.)?tiktok\.com/(?:@|%40)([^/?#]+)(?:/live)?/?(?:[?#].*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)

#: A shared link carries a few hundred characters of tracking; more than this is no username.
MAX_INPUT: Final = 2048
#: How much of the offending text an error quotes.
MAX_SUBJECT: Final = 40
#: How many different look-alike letters an error names.
MAX_LOOKALIKES: Final = 8

#: Letters that pass for Latin ones in a name: Cyrillic, Greek, and Turkish dotless i.
LOOKALIKES: Final = frozenset(
    "аекорсухіјѕԁһԛԝѵӏ" + "АВЕКМНОРСТУХІЈЅԀҺԚԜѴӀ" + "αικνορυ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "ı"
)


def normalise(text: str) -> str:
    """The username in `text`: a name, `@name`, or the address of a profile or live.

    Empty text, or only spaces, is the empty name. Raises InvalidUsername.
    """
    text = text.strip()
    if not text:
        return ""
    if len(text) > MAX_INPUT:
        raise _invalid(text)
    address = PROFILE_URL.fullmatch(text)
    name = address[1] if address else text.removeprefix("@")
    if not name.isascii():
        raise _not_latin(name, quoted=text)
    name = name.lower()
    if not USERNAME.fullmatch(name):
        raise _invalid(text)
    return name


def _not_latin(name: str, *, quoted: str) -> InvalidUsername:
    """Name the letters only when they are all that the eye cannot see is wrong."""
    foreign = dict.fromkeys(char for char in name if not char.isascii())
    if not all(_looks_latin(char) for char in foreign):
        return _invalid(quoted)
    named = [f"«{char}»" for char in foreign]
    more = ["…"] if len(named) > MAX_LOOKALIKES else []
    return InvalidUsername(variant="lookalike", subject=", ".join(named[:MAX_LOOKALIKES] + more))


def _looks_latin(char: str) -> bool:
    """Whether `char` passes for a Latin letter: by the table, or as a form of one (K, ａ, 𝐚)."""
    plain = unicodedata.normalize("NFKC", char)
    return char in LOOKALIKES or (char.isalpha() and plain.isascii() and plain.isalpha())


def _invalid(text: str) -> InvalidUsername:
    return InvalidUsername(subject=harmless(text, MAX_SUBJECT))


def harmless(text: str, limit: int) -> str:
    """Foreign text cut to `limit` characters that move no cursor, hide nothing and encode.

    Control, format (bidi, zero-width), surrogate and unassigned characters become `�`.
    """
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if _is_visible(char) else "\N{REPLACEMENT CHARACTER}" for char in cut)


def _is_visible(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] != "C" and category not in ("Zl", "Zp")
