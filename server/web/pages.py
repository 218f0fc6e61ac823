"""The pages anyone may open: the phone app, the help on errors, the source code.

The console's pages are in console/; how a page is rendered is in render.py.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.errors import ERROR_CLASSES
from server.relay.notices import LANGS, ErrorTexts, Lang, catalogue, fill
from server.relay.rows import row_texts
from server.web import assets, source
from server.web.render import ROOT, SOURCE_PATH, page_lang, render, setup_templates, table
from server.web.source import SOURCE, Source

__all__ = ["add_routes", "render", "setup_templates"]

APP_PATH: Final = "/app/"
#: What the help page puts where an error names a value.
EXAMPLE: Final = {"subject": "…", "creator": "…", "ref": "…"}


def add_routes(app: web.Application) -> None:
    """The app, the help page, static files and the source code; the root leads to the app."""
    app[SOURCE] = Source(ROOT)
    router = app.router
    router.add_get("/", home)
    router.add_get("/app", home)
    router.add_get(APP_PATH, phone_app)
    router.add_get("/help/errors", help_errors)
    router.add_get(assets.PREFIX + "{path:.+}", assets.serve)
    router.add_get(SOURCE_PATH, source.serve)


async def home(request: web.Request) -> web.Response:
    """Whoever comes without an address comes for the app. A browser keeps the fragment."""
    raise web.HTTPFound(APP_PATH)


async def phone_app(request: web.Request) -> web.Response:
    """The phone app; its script needs the texts of both languages, and fills rows as we do."""
    texts = catalogue()
    data = {
        "lang": page_lang(request),
        "strings": {lang: table("app", lang) for lang in LANGS},
        "rows": {lang: row_texts(lang) for lang in LANGS},
        "states": {
            lang: {state: said[lang] for state, said in texts.states.items()} for lang in LANGS
        },
        "errors": {
            code: {lang: _explained(entry, lang) for lang in LANGS}
            for code, entry in texts.errors.items()
        },
    }
    response = render(request, "app.html", data=data)
    # It holds the texts of both languages, and nothing that is a secret.
    response.enable_compression()
    return response


def _explained(entry: ErrorTexts, lang: Lang) -> dict[str, object]:
    """What the app needs to explain an error, and to say what a phone was told of it in the other
    language; `details` are all that a frame may hold, in the same order in both.
    """
    variants = [variant.details[lang] for variant in entry.variants.values()]
    return {
        "message": entry.message[lang],
        "details": [entry.details[lang], *variants],
        "cause": entry.cause[lang],
        "fix": entry.fix[lang],
    }


async def help_errors(request: web.Request) -> web.Response:
    """Every error of the catalogue, explained for users and for support."""
    lang = page_lang(request)
    entries = [
        {
            "code": code,
            "message": entry.message[lang],
            "details": fill(entry.details[lang], EXAMPLE),
            "cause": entry.cause[lang],
            "tell": entry.tell[lang],
            "fix": entry.fix[lang],
            "close_code": ERROR_CLASSES[code].close_code,
            "come_back": ERROR_CLASSES[code].come_back.value,
        }
        for code, entry in catalogue().errors.items()
    ]
    return render(request, "help_errors.html", errors=entries)
