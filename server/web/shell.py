"""What makes the phone app installable: its manifest, its service worker, the page without a
network.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from server.web.assets import ASSETS, Assets
from server.web.render import ROOT, STATIC, page_lang, render, text

APP_PATH: Final = "/app/"
SCRIPTS: Final = "app/"
#: What the app's page loads besides its own folder.
SHARED: Final = ("base.css", "icon.svg", "liverelay.js", "shell/early.js", "shell/offline.js")
#: What the app's page is made of besides the assets: the worker has to fetch it anew when one
#: changes.
PAGE_SOURCES: Final = (
    "templates/base.html",
    "templates/app.html",
    "templates/offline.html",
    "server/web/strings.toml",
    "server/relay/catalogue.toml",
)
BACKGROUND: Final = "#f6f7f9"
BRAND: Final = "#0b6e69"


def add_routes(app: web.Application) -> None:
    """Below /app/, because a service worker rules its own folder."""
    router = app.router
    router.add_get(APP_PATH + "manifest.webmanifest", manifest)
    router.add_get(APP_PATH + "sw.js", service_worker)
    router.add_get(APP_PATH + "offline", offline)


def shell(assets: Assets) -> list[str]:
    """The addresses of everything that the app loads."""
    return [assets.url(name) for name in (*assets.below(SCRIPTS), *SHARED)]


async def manifest(request: web.Request) -> web.Response:
    """What a phone shows of the installed app."""
    assets, lang = request.app[ASSETS], page_lang(request)
    icons = [
        {"src": assets.url(f"icons/{name}.png"), "sizes": size, "type": "image/png", "purpose": use}
        for name, size, use in (
            ("192", "192x192", "any"),
            ("512", "512x512", "any"),
            ("maskable-512", "512x512", "maskable"),
        )
    ]
    body = {
        "id": APP_PATH,
        "start_url": APP_PATH,
        "scope": APP_PATH,
        "name": "LiveRelay",
        "short_name": "LiveRelay",
        "description": text(lang, "app.about"),
        "lang": lang,
        "display": "standalone",
        "orientation": "portrait",
        "background_color": BACKGROUND,
        "theme_color": BRAND,
        "categories": ["social", "utilities"],
        "icons": icons,
    }
    return web.Response(
        text=json.dumps(body, ensure_ascii=False),
        content_type="application/manifest+json",
        headers={hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: hdrs.ACCEPT_LANGUAGE},
    )


async def service_worker(request: web.Request) -> web.Response:
    """The worker's script, told what the shell is today: another shell is another script."""
    assets = request.app[ASSETS]
    head = f"const VERSION = {json.dumps(_version(assets.version))};\n"
    head += f"const SHELL = {json.dumps(shell(assets))};\n"
    return web.Response(
        text=head + _worker(),
        content_type="text/javascript",
        headers={hdrs.CACHE_CONTROL: "no-cache"},
    )


async def offline(request: web.Request) -> web.Response:
    """The page that the worker shows when there is no network and no app to show."""
    return render(request, "offline.html")


@cache
def _worker() -> str:
    return (STATIC / "shell" / "sw.js").read_text(encoding="utf-8")


@cache
def _version(assets: str) -> str:
    digest = hashlib.sha256(assets.encode())
    for name in PAGE_SOURCES:
        digest.update(Path(ROOT / name).read_bytes())
    return digest.hexdigest()[:12]
