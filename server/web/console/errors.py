"""`/console/errors`: what failed in the last day, by kind and creator."""

from __future__ import annotations

import time
from typing import Final

from aiohttp import web

from server.relay.notices import catalogue
from server.store.errorgroups import HOUR_MS
from server.web.console.charts import bars
from server.web.keys import DATABASE
from server.web.render import link, page_lang, render, text

HOURS: Final = 24
MAX_GROUPS: Final = 200


async def show(request: web.Request) -> web.Response:
    """Groups, the latest first, each with the last day hour by hour."""
    lang = page_lang(request)
    # Whole hours, so that a bar means the same for all of its time.
    since_ms = (int(time.time() * 1000) // HOUR_MS - HOURS + 1) * HOUR_MS
    texts = catalogue().errors
    groups = [
        {
            "group": group,
            "message": texts[group.code].message[lang] if group.code in texts else "",
            "chart": bars(
                [group.by_hour.get(hour, 0) for hour in range(HOURS)],
                text(lang, "errors.chart", count=group.failures),
                css="danger",
            ),
            "log_url": link(
                "/console/", type="error", code=group.code, creator=group.creator, last="24h"
            ),
        }
        for group in await request.app[DATABASE].errors.since(since_ms, limit=MAX_GROUPS)
    ]
    return render(request, "console/errors.html", groups=groups, hours=HOURS)
