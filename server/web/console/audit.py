"""The audit log: every login, look at a user and change by staff; the page that shows it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from server.errors import StoreUnavailable
from server.store.audit import AuditEntry
from server.store.sessions import session_name
from server.tasks import TaskOwner
from server.web.console.filters import whole_number
from server.web.console.forms import see_other
from server.web.console.session import LIVE_SOCKETS, session_token
from server.web.keys import AUTH, DATABASE, SESSIONS
from server.web.render import link, render

logger = logging.getLogger(__name__)

PAGE_ROWS: Final = 100
#: Entries that wait for a disk that refuses; then the oldest are lost, and said in the log.
MAX_WAITING: Final = 1000
MAX_SUBJECT: Final = 300


class Audit:
    """Writes entries behind the back of the pages, in order."""

    def __init__(self) -> None:
        self._waiting: deque[AuditEntry] = deque(maxlen=MAX_WAITING)
        self._tasks = TaskOwner("audit")

    def add(self, app: web.Application, entry: AuditEntry) -> None:
        """Keep an entry; it is on disk in a moment."""
        self._waiting.append(entry)
        if not self._tasks:
            self._tasks.start(self._write(app), name="writing")

    async def flush(self, app: web.Application) -> None:
        """Wait until what is known is written, or cannot be."""
        await self._tasks.drained()
        if self._waiting:
            await self._write(app)

    async def close(self, app: web.Application) -> None:
        """The server stops."""
        await self.flush(app)
        await self._tasks.close()

    async def _write(self, app: web.Application) -> None:
        while self._waiting:
            batch = list(self._waiting)
            try:
                await app[DATABASE].audit.append(batch)
            except StoreUnavailable as error:
                logger.warning("%s audit entries wait: %s", len(batch), error.detail)
                return
            for _ in batch:
                self._waiting.popleft()


AUDIT: Final[web.AppKey[Audit]] = web.AppKey("audit")


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[None]:
    """For the application's life."""
    audit = app[AUDIT] = Audit()
    try:
        yield
    finally:
        await audit.close(app)


def record(request: web.Request, action: str, subject: str = "", *, token: str = "") -> None:
    """Note that whoever asks looked at something or changed it.

    `action` is a key of the table [audit] of strings.toml; `token` the session's where the request
    does not have it yet.
    """
    entry = AuditEntry(
        ts=int(time.time() * 1000),
        staff=session_name(token or session_token(request)),
        ip=request.app[AUTH].client_ip(request),
        action=action,
        subject=subject[:MAX_SUBJECT],
    )
    request.app[AUDIT].add(request.app, entry)


async def show(request: web.Request) -> web.Response:
    """`GET /console/audit`."""
    before = whole_number(request.query.get("before", ""))
    await request.app[AUDIT].flush(request.app)
    rows = await request.app[DATABASE].audit.page(before=before, limit=PAGE_ROWS + 1)
    shown, more = rows[:PAGE_ROWS], len(rows) > PAGE_ROWS
    older = link("/console/audit", before=shown[-1].audit_id) if more else ""
    return render(
        request,
        "console/audit.html",
        rows=shown,
        older_url=older,
        sessions=await request.app[SESSIONS].open_ones(),
        own=session_name(session_token(request)),
    )


async def end_session(request: web.Request) -> web.Response:
    """`POST /console/sessions/{name}/end`: somebody else's, or one's own that was left open."""
    name, sessions = request.match_info["name"], request.app[SESSIONS]
    record(request, "session_ended", name)
    done = await sessions.end(name)
    await request.app[LIVE_SOCKETS].check(sessions)
    return see_other(request, "/console/audit", said="session_ended" if done else "session_gone")
