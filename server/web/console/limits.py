"""`/console/limits`: what the sign server still lets through, key by key."""

from __future__ import annotations

import time

from aiohttp import web

from server.upstream.guard.account import KeyReport, WindowReport
from server.web.console.charts import gauge
from server.web.keys import GUARD, ROOMS
from server.web.render import page_lang, render, text


async def show(request: web.Request) -> web.Response:
    """A card for each key, and what sharing, lingering and remembering saved."""
    lang, now = page_lang(request), time.time()

    def drawn(window: WindowReport) -> dict[str, object]:
        said = text(lang, "limits.gauge", used=window.used, limit=window.limit or "?")
        picture = gauge(window.used, window.limit, said) if window.limit else ""
        return {"window": window, "gauge": picture}

    def card(key: KeyReport) -> dict[str, object]:
        return {"key": key, "windows": [drawn(window) for window in key.windows]}

    return render(
        request,
        "console/limits.html",
        keys=[card(key) for key in request.app[GUARD].report()],
        saved=request.app[ROOMS].saved,
        now=now,
    )
