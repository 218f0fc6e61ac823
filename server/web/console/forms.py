"""Reading a posted form: how much, for how long. Which fields mean what is each page's."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from server.web.problem import BadBody, BodyTooBig, BodyTooSlow, HttpError

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELDS: Final = 32
FORM_TIMEOUT_S: Final = 10.0


class NotAForm(HttpError):
    """The body is no form that a browser of ours sends."""

    status = 415


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a posted form; of a repeated one the last counts."""
    if request.content_type != FORM_TYPE:
        raise NotAForm(FORM_TYPE)
    if (request.content_length or 0) > MAX_FORM_BYTES:
        raise BodyTooBig(str(MAX_FORM_BYTES))
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_FORM_BYTES:
                    raise BodyTooBig(str(MAX_FORM_BYTES))
    except TimeoutError:
        raise BodyTooSlow from None
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace"
        )
    except ValueError:  # not UTF-8, or too many fields
        raise BadBody from None
    return dict(pairs)
