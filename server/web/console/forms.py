"""Reading a posted form. Which fields mean what is each page's."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from server.web.body import read_bounded
from server.web.problem import BadBody, HttpError

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELDS: Final = 32


class NotAForm(HttpError):
    """The body is no form that a browser of ours sends."""

    status = 415


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
