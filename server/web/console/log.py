"""The live log as a page: rows rendered here, useful as they are; live.py sends what comes after
them.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.relay.eventlog import EventLog
from server.store.log import Entry, LogStore
from server.web.console.filters import TYPES, Filters, read_filters, whole_number
from server.web.console.session import CONSOLE_PATH
from server.web.keys import EVENT_LOG, LOG
from server.web.render import link, page_lang, render, table, text

PAGE_ROWS: Final = 100
#: Rows that a page keeps while new ones come.
MAX_ROWS: Final = 1000

#: The row that the page's script clones and fills.
BLANK_ROW: Final = Entry(
    id=0, ts=0, type="", level="info", creator="", user_id=0, code="", ref="", text="", frame=""
)


async def show(request: web.Request) -> web.Response:
    """`GET /console/`: the newest rows, or with `before=` those before an id."""
    lang = page_lang(request)
    filters, typed, problems = read_filters(request, lang)
    before = whole_number(request.query.get("before", ""))
    if before is None and request.query.get("before"):
        problems += (text(lang, "log.bad_before"),)
    event_log = request.app[EVENT_LOG]
    rows = await newest_first(request.app[LOG], event_log, filters, before=before)
    rows, more = rows[:PAGE_ROWS], len(rows) > PAGE_ROWS
    asked_lang = lang if request.query.get("lang") == lang else ""
    query = {**filters.query(), "lang": asked_lang}
    live_url = ""
    if before is None:
        # With nothing shown, everything that matches is new.
        live_url = link("/console/live", **filters.query(), after=str(rows[0].id if rows else 0))
    return render(
        request,
        "console/log.html",
        rows=rows,
        blank_row=BLANK_ROW,
        types=TYPES,
        filters=filters,
        asked=typed,
        asked_lang=asked_lang,
        problems=problems,
        before=before,
        disk_refuses=event_log.writer_failing,
        newest_url=link(CONSOLE_PATH, **query),
        older_url=link(CONSOLE_PATH, **query, before=str(rows[-1].id)) if more else "",
        live_url=live_url,
        data={"live": live_url, "max_rows": MAX_ROWS, "strings": table("live", lang)},
    )


async def newest_first(
    store: LogStore, event_log: EventLog, filters: Filters, *, before: int | None
) -> list[Entry]:
    """A page of rows and one more, those included that the disk does not have yet."""
    limit = PAGE_ROWS + 1
    rows = {
        entry.id: entry
        for entry in await store.page(before=before, limit=limit, **filters.for_store())
    }
    if before is None:
        # Rows of the last moment, or all of them while the disk refuses, are only in memory.
        rows.update((e.id, e) for e in event_log.recent(0) if filters.match(e))
    return sorted(rows.values(), key=lambda entry: entry.id, reverse=True)[:limit]
