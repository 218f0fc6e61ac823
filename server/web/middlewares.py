"""What stands before every handler: the access line, the error exit, the Host check, the headers.

`install` puts them round an application. Handlers raise; only here errors become answers.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Final

import aiohttp_jinja2
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from jinja2 import Template, TemplateNotFound

from server.errors import AppError, Internal
from server.logs import Sparingly
from server.relay.notices import new_ref
from server.web import problem
from server.web.edge import tell_of_request
from server.web.hosts import foreign_origin, is_our_host
from server.web.keys import AUTH, CONFIG
from server.web.options import preferred_lang

__all__ = ["MIDDLEWARES", "foreign_origin", "install", "route_template"]

logger = logging.getLogger(__name__)

API_PREFIX: Final = "/api/"
#: Answers that programs read: their errors are plain text, not pages.
PLAIN_PREFIXES: Final = ("/ws", "/healthz", "/readyz", "/metrics", "/static/")
NEVER_STORED: Final = (API_PREFIX, "/console/")
ERROR_TEMPLATE: Final = "error.html"

#: `{sockets}` is this host's ws: and wss:, which older Safari and Firefox do not count as 'self'.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'{sockets}",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types liverelay",
    )
)

#: Writes the access lines of refusals: anyone can be refused any number of times.
_REFUSALS: Final[web.AppKey[Sparingly]] = web.AppKey("refusals")
#: The response whose headers have gone out, after which an error has nowhere to be told.
_SENT: Final[web.RequestKey[web.StreamResponse]] = web.RequestKey("sent")


def install(app: web.Application) -> None:
    """Put everything here round `app`, the access line outermost."""
    app[_REFUSALS] = Sparingly(logger)
    app.middlewares.extend(MIDDLEWARES)
    app.on_response_prepare.append(_add_headers)


# ---- the access line


@web.middleware
async def access_line(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line a request, from the route's template: paths and queries may hold tokens."""
    begun = time.perf_counter()
    tell_of_request(request)
    try:
        response = await handler(request)
    except web.HTTPException as redirect:
        _log_access(request, redirect.status, begun)
        raise
    _log_access(request, response.status, begun)
    return response


def _log_access(request: web.Request, status: int, begun: float) -> None:
    # Reading is traffic; what changes something or is refused may have to be explained later.
    refused = status >= HTTPStatus.BAD_REQUEST
    quiet = request.method in (hdrs.METH_GET, hdrs.METH_HEAD) and not refused
    if quiet and not logger.isEnabledFor(logging.DEBUG):
        return
    write = logger.debug if quiet else request.app[_REFUSALS].info if refused else logger.info
    write(
        "%s %s %s %.0f ms %s",
        request.method,
        route_template(request),
        status,
        (time.perf_counter() - begun) * 1000,
        request.app[AUTH].client_ip(request),
    )


def route_template(request: web.Request) -> str:
    """The matched route as it was added, such as `/ws/{token}`."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no route)"


# ---- the error exit


@web.middleware
async def error_exit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into the one answer for it."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _answer(request, _from_aiohttp(error))
    except problem.HttpError as error:
        return _answer(request, error)
    except AppError as error:
        ref = new_ref() if error.ours else ""
        if error.ours:
            logger.warning(
                "%s %s: %s, ref %s: %s",
                request.method,
                route_template(request),
                error.code,
                ref,
                error.detail,
            )
        return _answer(request, error, ref=ref)
    except web.RequestPayloadError:
        return _answer(request, problem.BadBody())
    except ConnectionResetError:  # nobody is there to be told
        return request.get(_SENT) or web.Response(status=HTTPStatus.BAD_REQUEST)
    except Exception:
        ref = new_ref()
        logger.exception("%s %s failed, ref %s", request.method, route_template(request), ref)
        return _answer(request, Internal(), ref=ref)


def _from_aiohttp(error: web.HTTPException) -> problem.HttpError:
    kept: dict[str, str] = {
        name: error.headers[name]
        for name in (hdrs.ALLOW, hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE)
        if name in error.headers
    }
    if isinstance(error, web.HTTPMethodNotAllowed):
        return problem.WrongMethod(", ".join(sorted(error.allowed_methods)), headers=kept)
    match error.status:
        case HTTPStatus.NOT_FOUND:
            return problem.NotFound(headers=kept)
        case HTTPStatus.TOO_MANY_REQUESTS if kept.get(hdrs.RETRY_AFTER, "").isdigit():
            return problem.TooManyRequests(int(kept[hdrs.RETRY_AFTER]))
        case _:
            return problem.Other(error.status, headers=kept)


def _answer(
    request: web.Request, error: AppError | problem.HttpError, *, ref: str = ""
) -> web.StreamResponse:
    sent: web.StreamResponse | None = request.get(_SENT)
    if sent is not None:
        if request.transport is not None:
            request.transport.abort()
        return sent
    lang = preferred_lang(request, request.app[CONFIG].server.language)
    if request.path.startswith(API_PREFIX):
        return problem.problem_for(error, lang, ref=ref)
    told = problem.explain(error, lang, ref=ref)
    response: web.Response
    if _page(request) is None or request.path.startswith(PLAIN_PREFIXES):
        lines = (told.message, told.details, told.ref)
        response = web.Response(text="".join(f"{line}\n" for line in lines if line))
    else:
        context = {
            "status": told.status,
            "code": told.code,
            "message": told.message,
            "details": told.details,
            "ref": told.ref,
        }
        response = aiohttp_jinja2.render_template(ERROR_TEMPLATE, request, context)
    response.set_status(told.status)
    response.headers.update(told.headers)
    return response


def _page(request: web.Request) -> Template | None:
    environment = request.app.get(aiohttp_jinja2.APP_KEY)
    if environment is None:
        return None
    try:
        page: Template = environment.get_template(ERROR_TEMPLATE)
    except TemplateNotFound:
        return None
    return page


# ---- the Host check


@web.middleware
async def host_check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse names that are not ours: a hostile page can point its own at this address."""
    if not is_our_host(request.headers.get(hdrs.HOST, ""), request.app[CONFIG]):
        raise problem.ForeignHost
    return await handler(request)


#: In this order, outermost first.
MIDDLEWARES: Final[tuple[Middleware, ...]] = (access_line, error_exit, host_check)


# ---- headers


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    request[_SENT] = response
    headers = response.headers
    if response.status == HTTPStatus.SWITCHING_PROTOCOLS:
        return
    headers.setdefault(hdrs.X_CONTENT_TYPE_OPTIONS, "nosniff")
    headers.setdefault(hdrs.REFERRER_POLICY, "same-origin")
    if request.path.startswith(NEVER_STORED):
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    if response.content_type == "text/html":
        headers.setdefault("Content-Security-Policy", _policy(request))


def _policy(request: web.Request) -> str:
    host = request.headers.get(hdrs.HOST, "")
    known = is_our_host(host, request.app[CONFIG])
    sockets = f" ws://{host} wss://{host}" if known else ""
    return CONTENT_SECURITY_POLICY.format(sockets=sockets)
