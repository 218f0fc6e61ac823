"""Who is logged in to the console: the cookie, the guard before its pages, and the sockets that
end with a session.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from server.store.sessions import SESSION_LIFE_S, Sessions
from server.web.hosts import foreign_origin
from server.web.keys import AUTH, CONFIG, SESSIONS
from server.web.problem import ForeignOrigin

COOKIE: Final = "liverelay_console"
COOKIE_PATH: Final = "/console"
CONSOLE_PATH: Final = "/console/"
LOGIN_PATH: Final = "/console/login"
#: Longer cookies are none of ours and are not worth hashing.
MAX_TOKEN: Final = 256

#: Ends a console page's socket, with the reason it is told.
End = Callable[[str], None]

SIGNED_OUT: Final = "signed_out"
GOING_AWAY: Final = "going_away"


class LiveSockets:
    """The live sockets of each session, so that a log-out ends them."""

    def __init__(self) -> None:
        self._of_session: dict[str, set[End]] = {}
        self.closing = False

    def add(self, token: str, end: End) -> Callable[[], None]:
        """Remember a socket; returns what forgets it."""
        self._of_session.setdefault(token, set()).add(end)

        def forget() -> None:
            ends = self._of_session.get(token, set())
            ends.discard(end)
            if not ends:
                self._of_session.pop(token, None)

        return forget

    def end_session(self, token: str) -> None:
        """The session is over: so are its sockets."""
        for end in tuple(self._of_session.get(token, ())):
            end(SIGNED_OUT)

    async def check(self, sessions: Sessions) -> None:
        """End the sockets of sessions that another process has ended. Raises StoreUnavailable."""
        for token in tuple(self._of_session):
            if not await sessions.find(token):
                self.end_session(token)

    async def close(self) -> None:
        """The server stops."""
        self.closing = True
        for ends in tuple(self._of_session.values()):
            for end in tuple(ends):
                end(GOING_AWAY)


LIVE_SOCKETS: Final[web.AppKey[LiveSockets]] = web.AppKey("live_sockets")


def session_token(request: web.BaseRequest) -> str:
    """The session's token as the cookie says it, or nothing."""
    token = request.cookies.get(COOKIE, "")
    return token if token.isascii() and len(token) <= MAX_TOKEN else ""


async def has_session(request: web.Request) -> bool:
    """Whether the request comes from somebody who is logged in. Raises StoreUnavailable."""
    token = session_token(request)
    return bool(token) and await request.app[SESSIONS].find(token)


def signed_in(handler: Handler) -> Handler:
    """Let only staff through; others are led to the login and back."""

    @functools.wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        check_origin(request)
        if await has_session(request):
            return await handler(request)
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise web.HTTPSeeOther(LOGIN_PATH)
        query: dict[str, str] = {}
        if request.path_qs != CONSOLE_PATH:
            query["next"] = request.path_qs
        if "lang" in request.query:
            query["lang"] = request.query["lang"]
        raise web.HTTPSeeOther(f"{LOGIN_PATH}?{urlencode(query)}" if query else LOGIN_PATH)

    return guarded


def check_origin(request: web.Request) -> None:
    """Refuse what a page of another site makes a browser send. Reading is harmless: it cannot
    read the answer.
    """
    reading = request.method in (hdrs.METH_GET, hdrs.METH_HEAD)
    if not reading and foreign_origin(request, request.app[CONFIG]):
        raise ForeignOrigin


def set_cookie(request: web.Request, response: web.Response, token: str) -> None:
    """Give the browser its session."""
    response.set_cookie(
        COOKIE,
        token,
        path=COOKIE_PATH,
        max_age=SESSION_LIFE_S,
        httponly=True,
        samesite="Lax",
        secure=_under_tls(request),
    )


def drop_cookie(request: web.Request, response: web.Response) -> None:
    """Take it away."""
    response.del_cookie(
        COOKIE, path=COOKIE_PATH, httponly=True, samesite="Lax", secure=_under_tls(request)
    )


def _under_tls(request: web.Request) -> bool:
    return request.app[AUTH].scheme(request) == "https"
