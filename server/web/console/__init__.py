"""The console for support staff: its addresses, and the guard before all of them but the login."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.web.console import audit, errors, limits, live, log, login, rooms, user, users
from server.web.console.session import LIVE_SOCKETS, LiveSockets, signed_in

__all__ = ["add_routes"]


PAGES: Final = {
    "/console/": log.show,
    "/console/log/{id}": log.show_row,
    "/console/export": log.save,
    "/console/errors": errors.show,
    "/console/rooms": rooms.show,
    "/console/rooms/{creator}": rooms.show_room,
    "/console/limits": limits.show,
    "/console/users": users.show,
    "/console/users/{user_id}": user.show,
    "/console/audit": audit.show,
}
CHANGES: Final = {
    "/console/logout": login.log_out,
    "/console/rooms/{creator}/{action:reconnect|close}": rooms.change,
    "/console/sessions/{name:[0-9a-f]{6}}/end": audit.end_session,
    "/console/users": users.add,
    "/console/users/{user_id}/pair": user.pair,
    "/console/users/{user_id}/{action:username|disconnect|revoke|delete}": users.change,
}


def add_routes(app: web.Application) -> None:
    """Everything under /console."""
    app[LIVE_SOCKETS] = LiveSockets()
    app.on_shutdown.append(_close_live_sockets)
    router = app.router
    router.add_get("/console", login.to_console)
    router.add_get("/console/login", login.form)
    router.add_post("/console/login", login.log_in)
    router.add_get("/console/login/{code}", login.link_form)
    router.add_post("/console/login/{code}", login.log_in_by_link)
    for path, handler in PAGES.items():
        router.add_get(path, signed_in(handler))
    for path, handler in CHANGES.items():
        router.add_post(path, signed_in(handler))
    # The guard of a socket is its own: a refusal must be accepted to be read.
    router.add_get("/console/live", live.follow)


async def _close_live_sockets(app: web.Application) -> None:
    await app[LIVE_SOCKETS].close()
