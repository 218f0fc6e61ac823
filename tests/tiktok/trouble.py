"""Trouble: the ways in which any HTTP answer can go wrong, whoever gives it."""

import asyncio
import gzip
import socket
import struct
from typing import Final

from aiohttp import web

CAPTCHA_PAGE: Final = """<!DOCTYPE html><html><head><title>Security check</title></head>
<body><div id="captcha_container"></div><script>window.__captcha = {"type": "verify"}</script>
</body></html>"""
ERROR_PAGE: Final = "<html><body><h1>{status}</h1><hr>nginx</body></html>"
FORBIDDEN: Final = {"message": "forbidden", "data": {}, "status_code": 10221}

#: 64 MiB in 64 KiB, and that once more: a client that unpacks without a bound feels it.
BOMB: Final = gzip.compress(b"\0" * (64 << 20), 9)
DOUBLE_BOMB: Final = gzip.compress(BOMB, 9)

Troubles = (
    "captcha", "empty", "500", "502", "403", "redirect", "hang", "drip", "reset", "bomb",
    "double_bomb",
)  # fmt: skip


async def trouble(
    request: web.Request, kind: str, *, closing: asyncio.Event, drip_s: float
) -> web.StreamResponse:
    """Answer a request wrongly, in one of the ways of Troubles."""
    match kind:
        case "captcha":
            return web.Response(text=CAPTCHA_PAGE, content_type="text/html")
        case "empty":
            return web.Response()
        case "500" | "502" | "503":
            page = ERROR_PAGE.format(status=kind)
            return web.Response(status=int(kind), text=page, content_type="text/html")
        case "403":
            return web.json_response(FORBIDDEN, status=403)
        case "redirect":
            return web.Response(status=302, headers={"Location": "/login"})
        case "hang":
            await closing.wait()
            return cut(request)
        case "drip":
            return await _drip(request, closing, drip_s)
        case "reset":
            return reset(request)
        case "bomb":
            return web.Response(body=BOMB, headers={"Content-Encoding": "gzip"})
        case "double_bomb":
            return web.Response(body=DOUBLE_BOMB, headers={"Content-Encoding": "gzip, gzip"})
    raise ValueError(f"unknown trouble {kind!r}, not one of {Troubles}")


async def _drip(request: web.Request, closing: asyncio.Event, drip_s: float) -> web.StreamResponse:
    """Send a byte now and then, for ever: no time-out that counts per read will notice."""
    response = web.StreamResponse(headers={"Content-Type": "text/html"})
    response.content_length = 1 << 20
    await response.prepare(request)
    while not closing.is_set():
        try:
            await response.write(b" ")
        except ConnectionResetError:
            break
        try:
            async with asyncio.timeout(drip_s):
                await closing.wait()
        except TimeoutError:
            continue
    cut(request)
    return response


def cut(request: web.BaseRequest) -> web.Response:
    """End the connection without an answer; the response returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def reset(request: web.BaseRequest) -> web.Response:
    """End the connection with a TCP RST."""
    linger_zero(request.transport)
    return cut(request)


def linger_zero(transport: asyncio.BaseTransport | None) -> None:
    """Make the next close of this connection a RST instead of a FIN."""
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
