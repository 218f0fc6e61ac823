"""The live log as a page: rows rendered here, useful as they are; live.py sends what comes after
them. And one row by itself, in its context; and all that match, as a file.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import hdrs, web

from server import export
from server.relay.eventlog import EventLog
from server.store.log import Entry, LogStore
from server.store.logquery import LogQuery
from server.web.console import audit
from server.web.console.filters import (
    LAST,
    LEVELS,
    TYPES,
    Asked,
    read_filters,
    whole_number,
)
from server.web.console.session import CONSOLE_PATH
from server.web.keys import EVENT_LOG, LOG
from server.web.problem import NotFound
from server.web.render import link, page_lang, render, table, text

PAGE_ROWS: Final = 100
#: Rows that a page keeps while new ones come.
MAX_ROWS: Final = 1000
#: Rows of the same creator around one that is looked at.
CONTEXT_ROWS: Final = 15
EXPORTS: Final = {
    "ndjson": ("application/x-ndjson", export.ndjson),
    "csv": ("text/csv", export.as_csv),
}

#: The row that the page's script clones and fills.
BLANK_ROW: Final = Entry(
    id=0, ts=0, type="", level="info", creator="", user_id=0, code="", ref="", text="", frame=""
)


async def show(request: web.Request) -> web.Response:
    """`GET /console/`: the newest rows, or with `before=` those before an id."""
    lang = page_lang(request)
    asked = await read_filters(request, lang)
    problems = dict(asked.problems)
    before = whole_number(request.query.get("before", ""))
    if before is None and request.query.get("before"):
        problems["before"] = text(lang, "log.bad_before")
    event_log = request.app[EVENT_LOG]
    rows = await newest_first(request.app[LOG], event_log, asked.query, before=before)
    rows, more = rows[:PAGE_ROWS], len(rows) > PAGE_ROWS
    asked_lang = lang if request.query.get("lang") == lang else ""
    address = {**asked.address(), "lang": asked_lang}
    live_url = ""
    if before is None and not problems:
        # With nothing shown, everything that matches is new.
        live_url = link("/console/live", **asked.address(), after=str(rows[0].id if rows else 0))
    return render(
        request,
        "console/log.html",
        rows=rows,
        blank_row=BLANK_ROW,
        types=TYPES,
        levels=LEVELS,
        last=tuple(LAST),
        asked=asked,
        asked_lang=asked_lang,
        problems=problems,
        before=before,
        disk_refuses=event_log.writer_failing,
        newest_url=link(CONSOLE_PATH, **address),
        older_url=link(CONSOLE_PATH, **address, before=str(rows[-1].id)) if more else "",
        exports={kind: _export_url(asked, kind) for kind in EXPORTS},
        live_url=live_url,
        data={"live": live_url, "max_rows": MAX_ROWS, "strings": table("live", lang)},
    )


def _export_url(asked: Asked, kind: str) -> str:
    return link("/console/export", **asked.address(), format=kind)


async def newest_first(
    store: LogStore, event_log: EventLog, query: LogQuery, *, before: int | None
) -> list[Entry]:
    """A page of rows and one more, those included that the disk does not have yet."""
    limit = PAGE_ROWS + 1
    rows = {entry.id: entry for entry in await store.page(query, before=before, limit=limit)}
    if before is None:
        # Rows of the last moment, or all of them while the disk refuses, are only in memory.
        rows.update((e.id, e) for e in event_log.recent(0) if query.match(e))
    return sorted(rows.values(), key=lambda entry: entry.id, reverse=True)[:limit]


async def show_row(request: web.Request) -> web.Response:
    """`GET /console/log/{id}`: one row, with what came before and after it in the same room."""
    entry_id = whole_number(request.match_info["id"])
    store, event_log = request.app[LOG], request.app[EVENT_LOG]
    recent = event_log.recent(0)
    entry = next((e for e in recent if e.id == entry_id), None)
    if entry is None and entry_id is not None:
        entry = await store.get(entry_id)
    if entry is None:
        raise NotFound
    if request.query.get("format") == "json":
        return web.Response(text=export.json_line(entry), content_type="application/json")
    audit.record(request, "row", str(entry.id))
    around = LogQuery(creator=entry.creator)
    rows = {e.id: e for e in await store.page(around, before=entry.id, limit=CONTEXT_ROWS)}
    rows.update((e.id, e) for e in await store.first(around, after=entry.id, limit=CONTEXT_ROWS))
    newest = max(rows, default=0)
    memory = [e for e in recent if around.match(e) and e.id > newest]
    rows.update((e.id, e) for e in memory[:CONTEXT_ROWS])
    rows[entry.id] = entry
    return render(
        request,
        "console/row.html",
        entry=entry,
        rows=sorted(rows.values(), key=lambda e: e.id, reverse=True),
        frame=_pretty(entry.frame),
        data={"strings": table("live", page_lang(request))},
    )


def _pretty(frame: str) -> str:
    try:
        return msgspec.json.format(frame or "null", indent=2)
    except msgspec.DecodeError:
        return frame


async def save(request: web.Request) -> web.StreamResponse:
    """`GET /console/export`: every row that matches, oldest first, as a file."""
    asked = await read_filters(request, page_lang(request))
    kind = request.query.get("format", "ndjson")
    if kind not in EXPORTS:
        raise NotFound
    audit.record(request, "export", link(kind, **asked.address()))
    content_type, write = EXPORTS[kind]
    name = f"liverelay-{datetime.now(UTC):%Y%m%d-%H%M%S}.{kind}"
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: f"{content_type}; charset=utf-8",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
        }
    )
    await response.prepare(request)
    waiting: list[str] = []
    async for line in write(request.app[LOG].export(asked.query)):
        waiting.append(line)
        if len(waiting) >= PAGE_ROWS:
            await response.write("".join(waiting).encode())
            waiting.clear()
    await response.write("".join(waiting).encode())
    await response.write_eof()
    return response
