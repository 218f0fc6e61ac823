"""The console for support staff: its addresses, and the guard before all of them but the login."""

from __future__ import annotations

from aiohttp import web

from server.web.console import live, log, login
from server.web.console.session import LIVE_SOCKETS, LiveSockets, signed_in

__all__ = ["add_routes"]


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
    router.add_post("/console/logout", signed_in(login.log_out))
    router.add_get("/console/", signed_in(log.show))
    # The guard of a socket is its own: a refusal must be accepted to be read.
    router.add_get("/console/live", live.follow)


async def _close_live_sockets(app: web.Application) -> None:
    await app[LIVE_SOCKETS].close()
