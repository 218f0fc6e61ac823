"""Reading a posted form. Which fields mean what is each page's."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from server.web.body import read_bounded
from server.web.problem import BadBody, HttpError
from server.web.render import link

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELDS: Final = 32


class NotAForm(HttpError):
    """The body is no form that a browser of ours sends."""

    status = 415


def see_other(request: web.Request, path: str, **query: str) -> web.Response:
    """After a change: a page that may be loaded again. The language that was asked for stays."""
    asked = {**query, "lang": request.query.get("lang", "")}
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: link(path, **asked)})


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a posted form; of a repeated one the last counts."""
    if request.content_type != FORM_TYPE:
        raise NotAForm(FORM_TYPE)
    body = await read_bounded(request, MAX_FORM_BYTES)
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace"
        )
    except ValueError:  # not UTF-8, or too many fields
        raise BadBody from None
    return dict(pairs)
