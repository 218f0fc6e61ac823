"""The phone's WebSocket: who may connect, and how a refusal is told. What comes then is
connection.py's.
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from server.errors import AppError, Internal, StoreUnavailable, Unauthorized
from server.relay import messages
from server.relay.notices import Lang, notice
from server.store.users import TokenOwner
from server.web.auth import SUBPROTOCOL, Auth, socket_token
from server.web.connection import (
    CLOSE_TIMEOUT_S,
    HEARTBEAT_S,
    MAX_FRAME_BYTES,
    Connection,
)
from server.web.edge import tell_of_phone
from server.web.hosts import foreign_origin
from server.web.keys import AUTH, CONFIG, PHONES
from server.web.options import preferred_lang, read_options
from server.web.phones import Phones

logger = logging.getLogger(__name__)


def add_routes(app: web.Application) -> None:
    """`/ws`, and `/ws/T` for shipped apps that send their token in the path."""
    app.router.add_get("/ws", connect_phone)
    app.router.add_get("/ws/{token}", connect_phone)


async def connect_phone(request: web.Request) -> web.StreamResponse:
    """Serve one phone. Every refusal but a foreign page's is accepted first and explained."""
    app = request.app
    config, auth, phones = app[CONFIG], app[AUTH], app[PHONES]
    if foreign_origin(request, config):
        raise web.HTTPForbidden(text="This page may not connect here.\n")
    options = read_options(request)
    ip = auth.client_ip(request)
    owner = await _authenticate(auth, ip, socket_token(request))
    if isinstance(owner, Unauthorized) and auth.too_many_bad_tokens(ip):
        retry_after = str(auth.bad_token_retry_after_s(ip))
        raise web.HTTPTooManyRequests(headers={"Retry-After": retry_after})
    ws = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        heartbeat=HEARTBEAT_S,
        autoping=False,
        compress=False,
        timeout=CLOSE_TIMEOUT_S,
        max_msg_size=MAX_FRAME_BYTES + 1,
    )
    await ws.prepare(request)
    transport = request.transport
    if transport is None:
        return ws
    lang = options.lang or preferred_lang(request, config.server.language)
    if isinstance(owner, AppError):
        await _refuse(phones, ws, transport, owner, lang)
        return ws
    refusal: AppError | None = None
    try:
        lang = options.lang or await phones.lang(owner.user_id) or lang
        # Last: nothing is awaited between this and the phone's being counted.
        await phones.make_place(owner.user_id, ip)
    except AppError as error:
        refusal = error
    except Exception:
        logger.exception("A phone of user_id=%s could not be let in", owner.user_id)
        refusal = Internal()
    connection_id = phones.recorder.opened(owner.user_id, owner.token_hash, ip, options, lang)
    if refusal is not None:
        await _refuse(phones, ws, transport, refusal, lang, owner.user_id, connection_id)
        return ws
    connection = Connection(
        phones,
        ws,
        transport,
        user_id=owner.user_id,
        token_hash=owner.token_hash,
        ip=ip,
        options=options,
        lang=lang,
        connection_id=connection_id,
    )
    phones.add(connection)
    tell_of_phone(request)
    try:
        if phones.closing:
            connection.close_going_away()
        await connection.serve()
    finally:
        phones.remove(connection)
    return ws


async def _authenticate(auth: Auth, ip: str, token: str) -> TokenOwner | AppError:
    """The token's owner, or why it is nobody's: that is told only after the upgrade."""
    try:
        return await auth.authenticate(ip, token)
    except (Unauthorized, StoreUnavailable) as error:
        return error


async def _refuse(
    phones: Phones,
    ws: web.WebSocketResponse,
    transport: asyncio.Transport,
    error: AppError,
    lang: Lang,
    user_id: int = 0,
    connection_id: int = 0,
) -> None:
    """Explain, then close: a refused handshake reaches app code as a mute 1006."""
    told = notice(error)
    phones.log_notice(told, user_id, lang, connection_id=connection_id)
    if connection_id:
        phones.recorder.closed(connection_id, error.close_code, told.close_reason())
    if not transport.is_closing():
        transport.write(messages.wire(told.frame(lang, now=phones.wall())))
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S * 2):
            await ws.close(
                code=error.close_code,
                message=told.close_reason().encode(),
                drain=False,
            )
    except TimeoutError:
        transport.abort()
