"""How pages are made: Jinja, the language of a request, texts, addresses. Each page's own routes
and data are elsewhere.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp_jinja2
import jinja2
import msgspec
from aiohttp import hdrs, web
from markupsafe import Markup, escape

from server.relay.notices import LANGS, Lang, Text, fill
from server.web.assets import ASSETS, Assets
from server.web.keys import CONFIG
from server.web.middlewares import NEVER_STORED
from server.web.options import preferred_lang

ROOT: Final = Path(__file__).parents[2]
TEMPLATES: Final = ROOT / "templates"
STATIC: Final = ROOT / "static"
#: What strangers write and nobody sees: controls, what turns the reading direction, spaces without
#: width. Joiners stay: emoji and Persian are made with them. static/console/common.js has the same.
INVISIBLE: Final = re.compile(
    "([\x01-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff])"
)
SOURCE_PATH: Final = "/source.tar.gz"


@cache
def strings() -> dict[str, dict[str, Text]]:
    """The texts of strings.toml, by table and key."""
    source = Path(__file__).with_name("strings.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(source), dict[str, dict[str, Text]])


def text(lang: Lang, name: str, **values: object) -> str:
    """The text `table.key` in a language, its {fields} filled."""
    table, _, key = name.partition(".")
    return fill(strings()[table][key][lang], values)


def setup_templates(app: web.Application) -> None:
    """Give the application its templates and assets."""
    assets = Assets(STATIC)
    app[ASSETS] = assets
    environment = aiohttp_jinja2.setup(
        app,
        default_helpers=False,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # A template that changes on disk belongs to the next start, like the code around it.
        auto_reload=False,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters["clock"] = clock
    environment.filters["marked"] = marked
    environment.filters["rfc3339"] = iso
    environment.filters["duration"] = duration
    config = app[CONFIG]
    lang: Lang = config.server.language
    environment.globals.update(
        static=assets.url,
        source_url=config.server.source_url or SOURCE_PATH,
        # For the error page, which is rendered for requests that may be too broken to ask.
        lang=lang,
        t=partial(text, lang),
        link=link,
        languages=(),
    )


def render(
    request: web.Request, name: str, *, status: int = 200, **context: object
) -> web.Response:
    """A template as the answer to a request, in its language."""
    response: web.Response = aiohttp_jinja2.render_template(
        name, request, {**_about(request), **context}, status=status
    )
    response.headers[hdrs.VARY] = hdrs.ACCEPT_LANGUAGE
    if not request.path.startswith(NEVER_STORED):
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-cache")
    return response


def page_lang(request: web.Request) -> Lang:
    """The language of a page: `?lang=`, else the browser's, else the server's."""
    return _asked_lang(request) or preferred_lang(request, request.app[CONFIG].server.language)


def link(path: str, **query: object) -> str:
    """A path with a query, empty values left out."""
    asked = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(asked, doseq=True)}" if asked else path


def clock(ts_ms: int) -> str:
    """Date and time of a log row, in UTC; scripts turn it into the reader's own zone."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%d.%m %H:%M:%S")


def iso(ts_ms: int) -> str:
    """A time as programs read it."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).isoformat(timespec="milliseconds")


def marked(foreign: str) -> Markup:
    """A stranger's text in which what nobody sees is shown by its code point; it stays in the
    text, for whoever copies that.
    """
    pieces = INVISIBLE.split(foreign)
    for at in range(1, len(pieces), 2):
        code = f"U+{ord(pieces[at]):04X}"
        pieces[at] = Markup('<span class="unseen" data-code="{}">{}</span>').format(
            code, pieces[at]
        )
    return Markup("").join(map(escape, pieces))


def table(name: str, lang: Lang) -> dict[str, str]:
    """A whole table of texts in a language, for a page's script."""
    return {key: entry[lang] for key, entry in strings()[name].items()}


def _about(request: web.Request) -> Mapping[str, Any]:
    asked = _asked_lang(request)
    lang = page_lang(request)
    # A language that was asked for stays asked for from page to page; there is no cookie for it.
    follow: Callable[..., str] = partial(link, lang=asked) if asked else link
    return {
        "lang": lang,
        "t": partial(text, lang),
        "link": follow,
        "languages": [(other, _in_language(request, other)) for other in LANGS],
        "asked_language": asked or "",
        "said": _said(request),
        "close_meaning": partial(_close_meaning, lang),
    }


def _said(request: web.Request) -> str:
    """What the change before this page has to say, a key of the table [said]."""
    said = request.query.get("said", "")
    return said if said in strings()["said"] else ""


def _close_meaning(lang: Lang, code: int, reason: str) -> str:
    """What a close code means to support."""
    known = strings()["closed"]
    name = reason if reason in known else str(code) if str(code) in known else ""
    return known[name or ("other" if code else "none")][lang]


def duration(seconds: float) -> str:
    """A span of time as a clock shows it: 1:05, 2:03:04, 3 d 4:05:06."""
    left = max(0, round(seconds))
    days, left = divmod(left, 86_400)
    hours, left = divmod(left, 3600)
    minutes, left = divmod(left, 60)
    clock = f"{hours}:{minutes:02}:{left:02}" if hours or days else f"{minutes}:{left:02}"
    return f"{days} d {clock}" if days else clock


def _asked_lang(request: web.BaseRequest) -> Lang | None:
    asked = request.query.get("lang")
    return next((lang for lang in LANGS if lang == asked), None)


def _in_language(request: web.Request, lang: Lang) -> str:
    query = [(key, value) for key, value in request.query.items() if key != "lang"]
    return f"{request.path}?{urlencode([*query, ('lang', lang)])}"
