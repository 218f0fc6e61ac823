"""`/console/live`: what comes after a page's last row, as it happens, over one WebSocket.

Subscribe first, then send what came after the page's last id, then what was told meanwhile: no gap
and no duplicate. A page that does not read is cut off, and comes back with its last id.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

import msgspec
from aiohttp import WSMsgType, web

from server.errors import (
    CLOSE_GOING_AWAY,
    CLOSE_POLICY,
    CLOSE_UPSTREAM,
    StoreUnavailable,
)
from server.store.log import Entry
from server.tasks import TaskOwner
from server.web.console.filters import Filters, read_filters, whole_number
from server.web.console.log import MAX_ROWS
from server.web.console.session import (
    GOING_AWAY,
    LIVE_SOCKETS,
    SIGNED_OUT,
    has_session,
    session_token,
)
from server.web.hosts import foreign_origin
from server.web.keys import CONFIG, EVENT_LOG, LOG, SESSIONS
from server.web.problem import ForeignOrigin
from server.web.render import page_lang

#: Entries that wait for one page; one that lets more pile up is cut off.
MAX_WAITING: Final = 5_000
#: Rows of one message, and how long a burst is gathered before it is sent.
BATCH_ROWS: Final = 200
GATHER_S: Final = 0.1
HEARTBEAT_S: Final = 30.0
CLOSE_TIMEOUT_S: Final = 2.0
#: How often a socket's session is looked up: another process may have ended it.
SESSION_CHECK_S: Final = 60.0
#: Pages send nothing; a frame as long as this is not from ours.
MAX_FRAME_BYTES: Final = 1024


class Row(msgspec.Struct, frozen=True):
    """An entry as the page's script fills it in."""

    id: int
    ts: int
    type: str
    level: str
    creator: str
    user_id: int
    code: str
    ref: str
    text: str


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message: rows, oldest first. `skipped`: more had come than a page keeps."""

    rows: list[Row]
    skipped: bool = False


async def follow(request: web.Request) -> web.StreamResponse:
    """Serve one page's socket."""
    app = request.app
    if foreign_origin(request, app[CONFIG]):
        raise ForeignOrigin
    allowed = await has_session(request)
    ws = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S,
        timeout=CLOSE_TIMEOUT_S,
        max_msg_size=MAX_FRAME_BYTES,
        compress=False,
    )
    await ws.prepare(request)
    transport = request.transport
    if transport is None:
        return ws
    if not allowed or app[LIVE_SOCKETS].closing:
        code = CLOSE_GOING_AWAY if allowed else CLOSE_POLICY
        await ws.close(code=code, message=(GOING_AWAY if allowed else SIGNED_OUT).encode())
        return ws
    filters = read_filters(request, page_lang(request)).filters
    after = whole_number(request.query.get("after", "")) or 0
    page = _Page(ws, transport, filters)
    tasks = TaskOwner("console page")
    token = session_token(request)
    unsubscribe = app[EVENT_LOG].subscribe(page.tell)
    forget = app[LIVE_SOCKETS].add(token, page.end)
    try:
        sending = tasks.start(_send(request, page, after, token), name="rows")
        async for message in ws:
            if message.type is WSMsgType.ERROR:
                break
        sending.cancel()
    finally:
        unsubscribe()
        forget()
        await tasks.close()
    return ws


class _Page:
    """One console page: what waits for it, and how it ends."""

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport, filters: Filters
    ) -> None:
        self.ws = ws
        self.waiting: deque[Entry] = deque()
        self.woken = asyncio.Event()
        self.end_reason = ""
        self._transport = transport
        self._filters = filters

    def tell(self, entry: Entry) -> None:
        """A new entry; called from the relay, so it neither waits nor logs."""
        if not self._filters.match(entry):
            return
        self.waiting.append(entry)
        if len(self.waiting) > MAX_WAITING:
            self.waiting.clear()
            self.cut_off()
        self.woken.set()

    def end(self, reason: str) -> None:
        """Close as soon as the sender gets to it."""
        self.end_reason = reason
        self.woken.set()

    def cut_off(self) -> None:
        """The page does not read: it cannot be told."""
        self._transport.abort()

    def matching(self, entries: list[Entry]) -> list[Entry]:
        """Those that belong on this page."""
        return [entry for entry in entries if self._filters.match(entry)]

    async def missed(self, request: web.Request, after: int) -> list[Entry]:
        """What came after the page's last row, oldest first, and one more than a page keeps."""
        app = request.app
        try:
            stored = await app[LOG].page(
                after=after, limit=MAX_ROWS + 1, **self._filters.for_store()
            )
        except StoreUnavailable:  # memory has the newest
            stored = []
        found = {entry.id: entry for entry in stored}
        found.update((e.id, e) for e in self.matching(app[EVENT_LOG].recent(after)))
        found.update((e.id, e) for e in self.waiting if e.id > after)
        self.waiting.clear()
        return sorted(found.values(), key=lambda entry: entry.id)[-MAX_ROWS - 1 :]


async def _send(request: web.Request, page: _Page, after: int, token: str) -> None:
    """Everything the page is sent, and its close."""
    try:
        missed = await page.missed(request, after)
        skipped = len(missed) > MAX_ROWS
        # What was told before this line is in `missed`; entries are numbered as they are told.
        await _send_rows(page, missed[-MAX_ROWS:], skipped=skipped)
        check_at = time.monotonic() + SESSION_CHECK_S
        while not page.end_reason:
            try:
                async with asyncio.timeout(max(0.0, check_at - time.monotonic())):
                    await page.woken.wait()
            except TimeoutError:
                check_at = time.monotonic() + SESSION_CHECK_S
                if not await request.app[SESSIONS].find(token):
                    page.end(SIGNED_OUT)
                continue
            page.woken.clear()
            await _send_rows(page, _take(page))
            await asyncio.sleep(GATHER_S)
        code = CLOSE_POLICY if page.end_reason == SIGNED_OUT else CLOSE_GOING_AWAY
        await _close(page, code, page.end_reason)
    except StoreUnavailable:
        await _close(page, CLOSE_UPSTREAM, "store_unavailable")
    except ConnectionError:  # the page has gone; its reader ends
        return


def _take(page: _Page) -> list[Entry]:
    entries = list(page.waiting)
    page.waiting.clear()
    return entries


async def _send_rows(page: _Page, entries: list[Entry], *, skipped: bool = False) -> None:
    for start in range(0, len(entries), BATCH_ROWS):
        rows = [_row(entry) for entry in entries[start : start + BATCH_ROWS]]
        batch = Batch(rows=rows, skipped=skipped and start == 0)
        await page.ws.send_str(msgspec.json.encode(batch).decode())


def _row(entry: Entry) -> Row:
    return Row(
        id=entry.id,
        ts=entry.ts,
        type=entry.type,
        level=entry.level,
        creator=entry.creator,
        user_id=entry.user_id,
        code=entry.code,
        ref=entry.ref,
        text=entry.text,
    )


async def _close(page: _Page, code: int, reason: str) -> None:
    """Close politely within the time-out, else cut off: close() to a stalled peer never returns."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await page.ws.close(code=code, message=reason.encode(), drain=False)
    except TimeoutError:
        page.cut_off()
