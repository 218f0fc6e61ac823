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
from server.web.console.filters import whole_number
from server.web.console.log import MAX_ROWS
from server.web.console.row import Batch, row
from server.web.console.session import (
    GOING_AWAY,
    LIVE_SOCKETS,
    SIGNED_OUT,
    has_session,
    session_token,
)
from server.web.console.views import View, view_of
from server.web.hosts import foreign_origin
from server.web.keys import CONFIG, EVENT_LOG, SESSIONS
from server.web.problem import ForeignOrigin

#: Above so many a second, chats and likes are only counted; errors never are.
FOLD_PER_S: Final = 50.0
FOLDABLE: Final = frozenset({"chat", "like"})
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
    view = await view_of(request)
    after = whole_number(request.query.get("after", "")) or 0
    page = _Page(ws, transport, view)
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

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport, view: View) -> None:
        self.ws = ws
        self.waiting: deque[Entry] = deque()
        self.woken = asyncio.Event()
        self.end_reason = ""
        self._transport = transport
        self._view = view
        self._fold = _Fold()

    def tell(self, entry: Entry) -> None:
        """A new entry; called from the relay, so it neither waits nor logs."""
        if not self._view.may_match(entry):
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
        return [entry for entry in entries if self._view.may_match(entry)]

    async def missed(self, request: web.Request, after: int) -> list[Entry]:
        """What came after the page's last row, oldest first, and one more than a page keeps."""
        app = request.app
        try:
            stored = await self._view.stored(after, MAX_ROWS + 1)
        except StoreUnavailable:  # memory has the newest
            stored = []
        memory = {e.id: e for e in self.matching(app[EVENT_LOG].recent(after))}
        memory.update((e.id, e) for e in self.waiting if e.id > after)
        self.waiting.clear()
        found = {entry.id: entry for entry in stored}
        found.update((e.id, e) for e in await self._view.settle(list(memory.values())))
        return sorted(found.values(), key=lambda entry: entry.id)[-MAX_ROWS - 1 :]

    async def take(self) -> tuple[list[Entry], dict[str, int]]:
        """What waits, without what is too much to read; and how much that is, by type."""
        entries = list(self.waiting)
        self.waiting.clear()
        return self._fold.split(await self._view.settle(entries), time.monotonic())


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
            await _send_rows(page, *await page.take())
            await asyncio.sleep(GATHER_S)
        code = CLOSE_POLICY if page.end_reason == SIGNED_OUT else CLOSE_GOING_AWAY
        await _close(page, code, page.end_reason)
    except StoreUnavailable:
        await _close(page, CLOSE_UPSTREAM, "store_unavailable")
    except ConnectionError:  # the page has gone; its reader ends
        return


class _Fold:
    """Lets FOLD_PER_S chats and likes a second through, and everything else."""

    def __init__(self) -> None:
        self._left = FOLD_PER_S
        self._at = 0.0

    def split(self, entries: list[Entry], now: float) -> tuple[list[Entry], dict[str, int]]:
        """The rows to show, and the number of others by type."""
        self._left = min(FOLD_PER_S, self._left + (now - self._at) * FOLD_PER_S)
        self._at = now
        shown: list[Entry] = []
        folded: dict[str, int] = {}
        for entry in entries:
            if entry.type not in FOLDABLE:
                shown.append(entry)
            elif self._left >= 1:
                self._left -= 1
                shown.append(entry)
            else:
                folded[entry.type] = folded.get(entry.type, 0) + 1
        return shown, folded


async def _send_rows(
    page: _Page,
    entries: list[Entry],
    folded: dict[str, int] | None = None,
    *,
    skipped: bool = False,
) -> None:
    if not entries and not folded:
        return
    for start in range(0, max(1, len(entries)), BATCH_ROWS):
        rows = [row(entry) for entry in entries[start : start + BATCH_ROWS]]
        first = start == 0
        batch = Batch(rows=rows, skipped=skipped and first, folded=(folded or {}) if first else {})
        await page.ws.send_str(msgspec.json.encode(batch).decode())


async def _close(page: _Page, code: int, reason: str) -> None:
    """Close politely within the time-out, else cut off: close() to a stalled peer never returns."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await page.ws.close(code=code, message=reason.encode(), drain=False)
    except TimeoutError:
        page.cut_off()
