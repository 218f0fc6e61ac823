"""Entering and leaving the console: the password, the one-time link, the log-out."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from server.store.sessions import CodeUnknown, CodeUsed, HashingBusy
from server.web.console import audit
from server.web.console.forms import read_form
from server.web.console.session import (
    CONSOLE_PATH,
    LIVE_SOCKETS,
    LOGIN_PATH,
    check_origin,
    drop_cookie,
    has_session,
    session_token,
    set_cookie,
)
from server.web.keys import AUTH, SESSIONS
from server.web.render import link, page_lang, render, text

#: Where a login may lead: to a page of the console, nowhere else. The path has no dot and no
#: escape, for browsers resolve those; the query has no character that they read in their own way.
NEXT_PAGE: Final = re.compile(
    r"/console/(?!login|logout)[\w/-]*(?:\?[\x21\x23-\x5b\x5d-\x7e]*)?", re.ASCII
)
MAX_NEXT: Final = 500


async def to_console(request: web.Request) -> web.Response:
    """`/console` without its slash."""
    raise web.HTTPFound(CONSOLE_PATH)


async def form(request: web.Request) -> web.Response:
    """The login page; whoever is logged in already goes on."""
    if await has_session(request):
        raise web.HTTPSeeOther(_next(request))
    return await _form(request)


async def log_in(request: web.Request) -> web.Response:
    """Check the password."""
    check_origin(request)
    auth, ip = request.app[AUTH], request.app[AUTH].client_ip(request)
    password = (await read_form(request)).get("password", "")
    # Counted before it is tried, or a burst would be let through whole.
    if not auth.password_attempts.add(ip):
        return await _too_many(request, ip)
    try:
        right = await request.app[SESSIONS].check_password(password)
    except HashingBusy:
        return await _too_many(request, ip)
    if not right:
        problem = text(page_lang(request), "login.wrong")
        return await _form(request, problem=problem, status=HTTPStatus.FORBIDDEN)
    auth.password_attempts.clear(ip)
    return _welcome(request, await request.app[SESSIONS].open(), _next(request), "login")


async def link_form(request: web.Request) -> web.Response:
    """A one-time link only shows a button: programs that look at links must not use it up."""
    return render(request, "console/login_link.html", problem="")


async def log_in_by_link(request: web.Request) -> web.Response:
    """Use the link up."""
    check_origin(request)
    auth, ip = request.app[AUTH], request.app[AUTH].client_ip(request)
    if not auth.password_attempts.add(ip):
        return await _too_many(request, ip)
    lang = page_lang(request)
    try:
        token = await request.app[SESSIONS].redeem_login_code(request.match_info["code"])
    except CodeUnknown:
        problem, status = text(lang, "login.link_unknown"), HTTPStatus.NOT_FOUND
    except CodeUsed:
        problem, status = text(lang, "login.link_used"), HTTPStatus.GONE
    else:
        auth.password_attempts.clear(ip)
        return _welcome(request, token, _next(request), "login_link")
    return render(request, "console/login_link.html", problem=problem, status=status)


async def log_out(request: web.Request) -> web.Response:
    """End the session and what it holds open."""
    token = session_token(request)
    audit.record(request, "logout")
    await request.app[SESSIONS].revoke(token)
    request.app[LIVE_SOCKETS].end_session(token)
    response = _see_other(link(LOGIN_PATH, lang=request.query.get("lang", "")))
    drop_cookie(request, response)
    return response


async def _form(
    request: web.Request, *, problem: str = "", status: int = HTTPStatus.OK
) -> web.Response:
    return render(
        request,
        "console/login.html",
        status=status,
        problem=problem,
        next=request.query.get("next", "")[:MAX_NEXT],
        has_password=await request.app[SESSIONS].has_password(),
    )


async def _too_many(request: web.Request, ip: str) -> web.Response:
    seconds = request.app[AUTH].password_attempts.retry_after_s(ip)
    problem = text(page_lang(request), "login.wait", seconds=seconds)
    response = await _form(request, problem=problem, status=HTTPStatus.TOO_MANY_REQUESTS)
    response.headers[hdrs.RETRY_AFTER] = str(seconds)
    return response


def _welcome(request: web.Request, token: str, path: str, action: str) -> web.Response:
    audit.record(request, action, token=token)
    response = _see_other(path)
    set_cookie(request, response, token)
    return response


def _see_other(path: str) -> web.Response:
    """A redirect as a response, so that it can carry a cookie."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: path})


def _next(request: web.Request) -> str:
    """The page that was asked for before the login, if it is one of the console's."""
    path = request.query.get("next", "")
    if len(path) <= MAX_NEXT and NEXT_PAGE.fullmatch(path):
        return path
    return link(CONSOLE_PATH, lang=request.query.get("lang", ""))
