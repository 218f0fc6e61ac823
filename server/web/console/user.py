"""`/console/users/{id}`: follow a user. What each of their connections was handed, the error as the
phone draws it, settings and phones.
"""

from __future__ import annotations

import io
import time
from typing import Final

import msgspec
import segno
from aiohttp import web
from markupsafe import Markup

from server.errors import InvalidUsername, StoreUnavailable
from server.links import base_url, pairing_url
from server.relay.notices import texts
from server.store.connections import ConnectionRow, Stay
from server.store.log import Entry
from server.usernames import normalise
from server.web.console import audit, follow
from server.web.console.filters import MAX_TEXT, read_ref, whole_number
from server.web.console.log import BLANK_ROW, MAX_ROWS
from server.web.console.users import the_user
from server.web.keys import AUTH, CONFIG, DATABASE, EVENT_LOG, LOG, PHONES, ROOMS, USERS
from server.web.render import link, page_lang, render, table

CONNECTIONS: Final = 30
PAGE_ROWS: Final = 200


class Snackbar(msgspec.Struct, frozen=True):
    """An error frame as the phone drew it."""

    code: str
    message: str
    details: str = ""
    ref: str = ""
    ts: int = 0
    retry_at: str = ""


async def show(request: web.Request) -> web.Response:
    """The page; `connection=` chooses one, else it is the one of `ref=`, else the latest."""
    user = await the_user(request)
    app, lang = request.app, page_lang(request)
    await _written(request)
    store = app[DATABASE].connections
    ref = read_ref(request.query.get("ref", ""))
    chosen_id = whole_number(request.query.get("connection", ""))
    connections = await store.of_user(user.user_id, limit=CONNECTIONS)
    chosen = await _chosen(request, user.user_id, connections, chosen_id, ref)
    before = whole_number(request.query.get("before", ""))
    rows = follow.Rows([], None)
    stays: list[Stay] = []
    if chosen is not None:
        stays = await store.stays(chosen.connection_id)
        what = await follow.handed(app[LOG], chosen, stays)
        rows = await follow.rows(app[LOG], what, before=before, limit=PAGE_ROWS)
    audit.record(request, "user", f"#{user.user_id} {user.name}")
    newest = before is None and chosen is not None and not chosen.closed_at
    live_url = ""
    if newest and chosen is not None:
        live_url = link(
            "/console/live",
            connection=chosen.connection_id,
            after=str(max((row.id for row in rows.entries), default=app[EVENT_LOG].last_id)),
        )
    error = next((entry for entry in rows.entries if entry.type == "error"), None)
    address = f"/console/users/{user.user_id}"
    return render(
        request,
        "console/user.html",
        user=user,
        room_state=app[ROOMS].state(user.tiktok_username),
        connections=connections,
        open_now=app[PHONES].open_connections(user.user_id),
        chosen=chosen,
        stays=stays,
        rows=rows.entries,
        blank_row=BLANK_ROW,
        ref=ref,
        snackbar=_snackbar(error) if error else None,
        phones=await app[USERS].phones(user.user_id),
        problem=_problem(request),
        typed=request.query.get("typed", "")[:MAX_TEXT],
        older_url=(
            link(address, connection=chosen.connection_id, before=str(rows.before))
            if rows.before and chosen
            else ""
        ),
        newest_url=link(address, connection=chosen.connection_id) if before and chosen else "",
        now=time.time(),
        data={"live": live_url, "max_rows": MAX_ROWS, "strings": table("live", lang)},
        live_url=live_url,
        pairing=None,
    )


async def pair(request: web.Request) -> web.Response:
    """`POST /console/users/{id}/pair`: a link and a QR code, good once and for ten minutes."""
    user = await the_user(request)
    code = await request.app[USERS].add_pairing_code(user.user_id)
    url = pairing_url(_base(request), code)
    audit.record(request, "pairing_code", f"#{user.user_id} {user.name}")
    return render(request, "console/pair.html", user=user, url=url, qr=_qr(url))


async def _chosen(
    request: web.Request,
    user_id: int,
    connections: list[ConnectionRow],
    chosen_id: int | None,
    ref: str,
) -> ConnectionRow | None:
    store = request.app[DATABASE].connections
    if chosen_id is not None:
        chosen = await store.get(chosen_id)
        return chosen if chosen is not None and chosen.user_id == user_id else None
    if ref:
        told = [entry for entry in await request.app[LOG].of_ref(ref) if entry.user_id == user_id]
        for entry in told:
            for row in connections:
                if entry.connection_id == row.connection_id or (
                    not entry.connection_id
                    and row.opened_at <= entry.ts
                    and (not row.closed_at or entry.ts <= row.closed_at + follow.GRACE_MS)
                ):
                    return row
    return connections[0] if connections else None


async def _written(request: web.Request) -> None:
    """What is known shall be on the page; while the disk refuses there is less."""
    try:
        await request.app[PHONES].recorder.flush()
        await request.app[EVENT_LOG].settle()
    except StoreUnavailable:
        return


def _snackbar(entry: Entry) -> Snackbar:
    return msgspec.json.decode(entry.frame, type=Snackbar)


def _problem(request: web.Request) -> str:
    if request.query.get("said") != "bad_username":
        return ""
    try:
        normalise(request.query.get("typed", ""))
    except InvalidUsername as error:
        return texts(error, page_lang(request))[1]
    return ""


def _base(request: web.Request) -> str:
    """Where staff reached us is where phones do, unless the operator says otherwise."""
    config = request.app[CONFIG]
    if config.server.public_url:
        return base_url(config, port=config.server.port)
    return f"{request.app[AUTH].scheme(request)}://{request.host}"


def _qr(url: str) -> Markup:
    drawn = io.BytesIO()
    code = segno.make(url, error="m")
    code.save(drawn, kind="svg", xmldecl=False, svgns=True, omitsize=True, dark="#000")
    return Markup(drawn.getvalue().decode())  # noqa: S704  segno's own drawing
