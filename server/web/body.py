"""Reading a body: how much, for how long, and JSON into which shape. No call's own rules here."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from server.web.problem import BadJson, BadParameter, BodyTooBig, BodyTooSlow, NotJson

T = TypeVar("T")

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 10.0


async def read_json(request: web.Request, model: type[T]) -> T:
    """The JSON body as `model`; unknown fields are ignored, so that newer apps work."""
    if request.content_type != "application/json":
        raise NotJson
    body = await read_bounded(request, MAX_BODY_BYTES)
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as error:
        raise BadParameter(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadJson from None


async def read_bounded(request: web.Request, max_bytes: int) -> bytes:
    """The whole body. Raises BodyTooBig past `max_bytes`, BodyTooSlow past BODY_TIMEOUT_S."""
    if (request.content_length or 0) > max_bytes:
        raise BodyTooBig(str(max_bytes))
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise BodyTooBig(str(max_bytes))
    except TimeoutError:
        raise BodyTooSlow from None
    return bytes(body)
