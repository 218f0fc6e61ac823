"""`/console/rooms`: every creator at the moment, and what stands against others."""

from __future__ import annotations

import time
from typing import Final

from aiohttp import web

from server.relay.notices import Lang
from server.relay.room import RoomReport
from server.store.errorgroups import HOUR_MS, ErrorGroup
from server.store.logquery import LogQuery
from server.web.console import audit
from server.web.console.charts import line
from server.web.console.forms import see_other
from server.web.console.log import newest_first
from server.web.keys import DATABASE, EVENT_LOG, LOG, ROOMS
from server.web.problem import NotFound
from server.web.render import link, page_lang, render, text

#: A room's last error is looked for so far back.
HOURS: Final = 24
MAX_GROUPS: Final = 1000
ROOM_ROWS: Final = 50


async def show(request: web.Request) -> web.Response:
    """Open rooms, then creators whose failure is remembered."""
    lang = page_lang(request)
    errors = await _last_errors(request)
    rooms = request.app[ROOMS]
    reports = rooms.report()
    known = {report.creator for report in reports}
    return render(
        request,
        "console/rooms.html",
        rooms=[_shown(report, errors.get(report.creator), lang) for report in reports],
        failures=[told for told in rooms.failures() if told.creator not in known],
        now=time.time(),
    )


async def show_room(request: web.Request) -> web.Response:
    """`/console/rooms/{name}`: one of them, with its newest rows."""
    lang, creator = page_lang(request), request.match_info["creator"]
    rooms = request.app[ROOMS]
    report = next((room for room in rooms.report() if room.creator == creator), None)
    failure = next((told for told in rooms.failures() if told.creator == creator), None)
    query = LogQuery(creator=creator)
    rows = await newest_first(request.app[LOG], request.app[EVENT_LOG], query, before=None)
    if report is None and failure is None and not rows:
        raise NotFound
    audit.record(request, "room", f"@{creator}")
    error = (await _last_errors(request)).get(creator)
    return render(
        request,
        "console/room.html",
        creator=creator,
        room=_shown(report, error, lang) if report else None,
        failure=failure,
        rows=rows[:ROOM_ROWS],
        log_url=link("/console/", creator=creator),
        now=time.time(),
    )


async def change(request: web.Request) -> web.Response:
    """`POST /console/rooms/{name}/{reconnect|close}`."""
    creator, action = request.match_info["creator"], request.match_info["action"]
    rooms = request.app[ROOMS]
    done = rooms.reconnect(creator) if action == "reconnect" else rooms.close_room(creator)
    audit.record(request, f"room_{action}", f"@{creator}")
    said = f"room_{action}" if done else "room_gone"
    return see_other(request, "/console/rooms", said=said)


async def _last_errors(request: web.Request) -> dict[str, ErrorGroup]:
    since_ms = int(time.time() * 1000) - HOURS * HOUR_MS
    groups = await request.app[DATABASE].errors.since(since_ms, limit=MAX_GROUPS)
    last: dict[str, ErrorGroup] = {}
    for group in groups:  # the latest first
        last.setdefault(group.creator, group)
    return last


def _shown(report: RoomReport, error: ErrorGroup | None, lang: Lang) -> dict[str, object]:
    rate = report.events_per_s[-1] if report.events_per_s else 0.0
    return {
        "report": report,
        "rate": rate,
        "error": error,
        "rate_chart": line(report.events_per_s, text(lang, "rooms.rate_chart", rate=f"{rate:.1f}")),
        "viewers_chart": line(
            report.viewers_then, text(lang, "rooms.viewers_chart", viewers=report.viewers)
        ),
    }
