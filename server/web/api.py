"""The REST calls of a phone: pairing, its user's settings, its user's log.

JSON in, JSON out, a bearer token and never a cookie. What goes wrong is raised; middlewares.py
answers it as a problem.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from server.errors import Unauthorized
from server.events import LIVE_EVENT_TYPES
from server.logs import register_secret
from server.relay import messages
from server.relay.notices import Lang, rfc3339, state_text
from server.store.log import Entry
from server.store.users import CodeUnknown, CodeUsed, TokenOwner, User
from server.usernames import normalise
from server.web.auth import bearer_token
from server.web.body import read_json
from server.web.keys import AUTH, CONFIG, DATABASE, EVENT_LOG, PHONES, ROOMS, USERS, VISITS
from server.web.options import preferred_lang
from server.web.problem import BadParameter, CodeNotFound, CodeSpent, TooManyRequests

#: The log page: how many frames one answer holds.
DEFAULT_EVENTS: Final = 100
MAX_EVENTS: Final = 500
#: SQLite's largest id.
MAX_ID: Final = 2**63 - 1
#: Long enough that its last four characters give nothing away.
MIN_SIGN_KEY: Final = 8
MAX_SIGN_KEY: Final = 256

EVENT_TYPES: Final = LIVE_EVENT_TYPES | {"status", "gap", "error"}


class PairRequest(msgspec.Struct, frozen=True):
    """`POST /api/pair`."""

    code: Annotated[str, Meta(min_length=1, max_length=64)]


class LanguageRequest(msgspec.Struct, frozen=True):
    """`PUT /api/me/language`."""

    language: Literal["ru", "en"]


class UsernameRequest(msgspec.Struct, frozen=True):
    """`PUT /api/me/tiktok-username`; empty clears it."""

    tiktok_username: str


class SignKeyRequest(msgspec.Struct, frozen=True):
    """`PUT /api/me/sign-key`; empty removes it."""

    sign_api_key: str


class Paired(msgspec.Struct, frozen=True):
    """A phone's own token, told this once."""

    user_id: int
    token: str
    ws_url: str


class RoomState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The room of the user's creator; `retry_at` is RFC 3339 and only there while it waits."""

    state: str
    retry_at: str | None = None


class Me(msgspec.Struct, frozen=True):
    """The user as phones see it."""

    user_id: int
    name: str
    tiktok_username: str
    lang: str
    sign_key_last4: str
    room: RoomState


class Events(msgspec.Struct, frozen=True):
    """A page of the user's log, newest first; `next_before` is null on the last one."""

    events: list[msgspec.Raw]
    next_before: int | None


def add_routes(app: web.Application) -> None:
    """Everything under /api/; what is not here is a problem `not_found`."""
    router = app.router
    router.add_post("/api/pair", pair)
    router.add_get("/api/me", me)
    router.add_put("/api/me/language", set_language)
    router.add_put("/api/me/tiktok-username", set_tiktok_username)
    router.add_put("/api/me/sign-key", set_sign_key)
    router.add_delete("/api/me/token", revoke_token)
    router.add_get("/api/me/events", events)


async def pair(request: web.Request) -> web.Response:
    """Change a pairing code for a token."""
    auth = request.app[AUTH]
    ip = auth.client_ip(request)
    body = await read_json(request, PairRequest)
    # Counted before it is tried, or a burst would be let through whole.
    if not auth.pairing_attempts.add(ip):
        raise TooManyRequests(auth.pairing_attempts.retry_after_s(ip))
    try:
        user_id, token = await request.app[USERS].redeem_pairing_code(body.code.strip())
    except CodeUnknown:
        raise CodeNotFound from None
    except CodeUsed:
        raise CodeSpent from None
    auth.pairing_attempts.clear(ip)
    paired = Paired(user_id=user_id, token=token, ws_url=_ws_url(request))
    return _json(paired, status=HTTPStatus.CREATED)


async def me(request: web.Request) -> web.Response:
    """The user of the token."""
    owner = await _owner(request)
    user = await request.app[USERS].get(owner.user_id)
    if user is None:
        raise Unauthorized("the user was deleted")
    return _json(_me(request, user))


async def set_language(request: web.Request) -> web.Response:
    """The language the user is written to in."""
    owner = await _owner(request)
    body = await read_json(request, LanguageRequest)
    user = await request.app[USERS].set_language(owner.user_id, body.language)
    await request.app[PHONES].user_changed(owner.user_id)
    return _json(_me(request, user))


async def set_tiktok_username(request: web.Request) -> web.Response:
    """Whose live the user's phones show; those connected move at once."""
    owner = await _owner(request)
    body = await read_json(request, UsernameRequest)
    username = normalise(body.tiktok_username)
    user = await request.app[USERS].set_tiktok_username(owner.user_id, username)
    request.app[ROOMS].look_again(username)
    await request.app[PHONES].user_changed(owner.user_id)
    return _json(_me(request, user))


async def set_sign_key(request: web.Request) -> web.Response:
    """The user's own EulerStream key, of which only the end is ever told again."""
    owner = await _owner(request)
    body = await read_json(request, SignKeyRequest)
    key = body.sign_api_key.strip()
    if key:
        if not MIN_SIGN_KEY <= len(key) <= MAX_SIGN_KEY:
            raise BadParameter(f"sign_api_key: {MIN_SIGN_KEY}–{MAX_SIGN_KEY} characters")
        if not all("!" <= char <= "~" for char in key):
            raise BadParameter("sign_api_key: ASCII characters without spaces")
        register_secret(key)
    user = await request.app[USERS].set_sign_key(owner.user_id, key)
    request.app[PHONES].key_changed(owner.user_id, key)
    if user.tiktok_username:
        request.app[ROOMS].settings_changed(user.tiktok_username)
    return _json(_me(request, user))


async def revoke_token(request: web.Request) -> web.Response:
    """End the token that asks; its phones are told."""
    owner = await _owner(request)
    await request.app[USERS].revoke_token(owner.token_hash)
    request.app[AUTH].forget()
    request.app[PHONES].drop_token(owner.token_hash)
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def events(request: web.Request) -> web.Response:
    """What the user's phones were shown, newest first."""
    owner = await _owner(request)
    lang = await request.app[PHONES].lang(owner.user_id)
    lang = lang or preferred_lang(request, request.app[CONFIG].server.language)
    limit = _number(request, "limit", most=MAX_EVENTS) or DEFAULT_EVENTS
    before = _number(request, "before", most=MAX_ID)
    types = _types(request)
    if types is not None and not types:  # only unknown names: nothing has those
        return _json(Events(events=[], next_before=None))
    await request.app[EVENT_LOG].settle()
    rows = await request.app[DATABASE].visits.page(
        owner.user_id,
        before=before,
        limit=limit + 1,
        types=types or (),
        left_at=request.app[VISITS].left_at(owner.user_id),
    )
    page = rows[:limit]
    return _json(
        Events(
            events=[_frame(row, lang) for row in page],
            next_before=page[-1].id if len(rows) > limit else None,
        )
    )


def _frame(row: Entry, lang: Lang) -> msgspec.Raw:
    """An entry as its phone was sent it; the log keeps statuses in the server's language."""
    if row.type != "status":
        return msgspec.Raw(row.frame)
    status = messages.read_status(row.frame)
    said = state_text(status.state, lang, creator=status.tiktok_username)
    return msgspec.Raw(messages.to_json(msgspec.structs.replace(status, message=said)))


# ---- reading requests


async def _owner(request: web.Request) -> TokenOwner:
    """Who the bearer token belongs to. Raises Unauthorized, or TooManyRequests to a guesser."""
    auth = request.app[AUTH]
    ip = auth.client_ip(request)
    try:
        return await auth.authenticate(ip, bearer_token(request))
    except Unauthorized:
        if auth.too_many_bad_tokens(ip):
            raise TooManyRequests(auth.bad_token_retry_after_s(ip)) from None
        raise


def _number(request: web.Request, name: str, *, most: int) -> int | None:
    """A whole number from 1 to `most` in the query; None when there is none."""
    text = request.query.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)):
        number = int(text)
        if 1 <= number <= most:
            return number
    raise BadParameter(f"{name}: 1–{most}")


def _types(request: web.Request) -> frozenset[str] | None:
    """The types asked for; None when all are."""
    text = request.query.get("types", "")
    return frozenset(name.strip() for name in text.split(",")) & EVENT_TYPES if text else None


# ---- answers


def _me(request: web.Request, user: User) -> Me:
    rooms = request.app[ROOMS]
    creator = user.tiktok_username
    retry_at = rooms.retry_at(creator) if creator else None
    room = RoomState(
        state=(rooms.state(creator) if creator else "") or "stopped",
        retry_at=None if retry_at is None else rfc3339(retry_at),
    )
    return Me(
        user_id=user.user_id,
        name=user.name,
        tiktok_username=creator,
        lang=user.lang,
        sign_key_last4=user.sign_key_last4,
        room=room,
    )


def _ws_url(request: web.Request) -> str:
    """Where this phone opens its WebSocket: under public_url, or where it found us."""
    base = request.app[CONFIG].server.public_url.rstrip("/")
    if not base:
        base = f"{request.app[AUTH].scheme(request)}://{request.host}"
    return "ws" + base.removeprefix("http") + "/ws"


def _json(value: msgspec.Struct, *, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        headers={hdrs.CONTENT_TYPE: "application/json"},
    )
