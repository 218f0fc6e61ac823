"""What a live page shows: the rows that match a filter, or those that one phone is handed."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from server.errors import StoreUnavailable
from server.store.connections import ConnectionRow
from server.store.log import Entry
from server.store.logquery import LogQuery
from server.web.console import follow
from server.web.console.filters import read_filters, whole_number
from server.web.keys import DATABASE, EVENT_LOG, LOG, PHONES
from server.web.problem import NotFound
from server.web.render import page_lang


class View(Protocol):
    """Of one page."""

    def may_match(self, entry: Entry) -> bool:
        """Whether an entry can belong there; called for every one that comes, so it is quick."""

    async def settle(self, entries: list[Entry]) -> list[Entry]:
        """Those that do belong there, as they are shown."""

    async def stored(self, after: int, limit: int) -> list[Entry]:
        """The newest on disk after an id, at most so many. Raises StoreUnavailable."""


class LogView:
    """The log page's."""

    def __init__(self, app: web.Application, query: LogQuery) -> None:
        self._log = app[LOG]
        self._query = query

    def may_match(self, entry: Entry) -> bool:
        """By the filter."""
        return self._query.match(entry)

    async def settle(self, entries: list[Entry]) -> list[Entry]:
        """All of them."""
        return entries

    async def stored(self, after: int, limit: int) -> list[Entry]:
        """By the filter."""
        return await self._log.page(self._query, after=after, limit=limit)


class FollowView:
    """The page's of one connection of a phone, which may change rooms meanwhile."""

    def __init__(self, app: web.Application, connection: ConnectionRow) -> None:
        self._app = app
        self._connection = connection

    def may_match(self, entry: Entry) -> bool:
        """A row of the user, or of any room: which rooms it is in is looked up later."""
        return not entry.user_id or entry.user_id == self._connection.user_id

    async def settle(self, entries: list[Entry]) -> list[Entry]:
        """Those that the phone was handed, in its language."""
        what = await self._handed()
        return [
            follow.as_shown(entry, what.connection) for entry in entries if what.was_handed(entry)
        ]

    async def stored(self, after: int, limit: int) -> list[Entry]:
        """What it was handed after an id."""
        await self._app[EVENT_LOG].flush()
        rows = await follow.rows(self._app[LOG], await self._handed(), limit=limit)
        return [entry for entry in rows.entries if entry.id > after]

    async def _handed(self) -> follow.Handed:
        await self._app[PHONES].recorder.flush()
        store = self._app[DATABASE].connections
        connection = await store.get(self._connection.connection_id) or self._connection
        stays = await store.stays(connection.connection_id)
        return await follow.handed(self._app[LOG], connection, stays)


async def view_of(request: web.Request) -> View:
    """What the page of this request shows. Raises NotFound, StoreUnavailable."""
    if "connection" not in request.query:
        asked = await read_filters(request, page_lang(request))
        return LogView(request.app, asked.query)
    connection_id = whole_number(request.query["connection"])
    if connection_id is None:
        raise NotFound
    try:
        await request.app[PHONES].recorder.flush()
    except StoreUnavailable:
        pass  # it may be there already
    connection = await request.app[DATABASE].connections.get(connection_id)
    if connection is None:
        raise NotFound
    return FollowView(request.app, connection)
