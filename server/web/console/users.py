"""`/console/users`: who there is, found by name, TikTok username, number or reference; what staff
change of them.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.errors import InvalidUsername
from server.relay.notices import REF_LENGTH, texts
from server.store.logquery import LogQuery
from server.store.users import User, UserUnknown
from server.usernames import normalise
from server.web.auth import Auth
from server.web.console import audit
from server.web.console.filters import MAX_TEXT, read_ref, whole_number
from server.web.console.forms import read_form, see_other
from server.web.keys import AUTH, EVENT_LOG, LOG, PHONES, ROOMS, USERS
from server.web.problem import NotFound
from server.web.render import link, page_lang, render, text

PAGE_USERS: Final = 100
MAX_NAME: Final = 100


async def show(request: web.Request) -> web.Response:
    """The list; a reference or a number leads straight to where it belongs."""
    asked = request.query.get("q", "").strip()[:MAX_TEXT]
    if target := await _straight_to(request, asked):
        raise web.HTTPFound(target)
    return await _page(request, asked)


async def add(request: web.Request) -> web.Response:
    """`POST /console/users`: a new user."""
    form = await read_form(request)
    name = form.get("name", "").strip()[:MAX_NAME]
    lang = page_lang(request)
    if not name:
        return await _page(request, "", problem=text(lang, "users.no_name"), typed=form)
    try:
        username = normalise(form.get("tiktok_username", ""))
    except InvalidUsername as error:
        return await _page(request, "", problem=texts(error, lang)[1], typed=form)
    user = await request.app[USERS].create(name, username)
    audit.record(request, "user_added", f"#{user.user_id} {name}")
    return see_other(request, f"/console/users/{user.user_id}", said="user_added")


async def _page(
    request: web.Request, asked: str, *, problem: str = "", typed: dict[str, str] | None = None
) -> web.Response:
    after = whole_number(request.query.get("after", "")) or 0
    found = await request.app[USERS].search(asked, after=after, limit=PAGE_USERS + 1)
    users, more = found[:PAGE_USERS], len(found) > PAGE_USERS
    rooms, counts = request.app[ROOMS], request.app[PHONES].counts()
    more_url = link("/console/users", q=asked, after=users[-1].user_id) if more else ""
    return render(
        request,
        "console/users.html",
        status=422 if problem else 200,
        asked=asked,
        users=[(u, counts.get(u.user_id, 0), rooms.state(u.tiktok_username)) for u in users],
        problem=problem,
        typed=typed or {},
        more_url=more_url,
    )


async def _straight_to(request: web.Request, asked: str) -> str:
    number = whole_number(asked.removeprefix("#"))
    if number is not None and await request.app[USERS].get(number) is not None:
        return link(f"/console/users/{number}", lang=request.query.get("lang", ""))
    ref = read_ref(asked)
    if len(ref) != REF_LENGTH or ref != asked.upper().replace("-", "").replace(" ", ""):
        return ""
    query = LogQuery(ref=ref)
    memory = [entry for entry in request.app[EVENT_LOG].recent(0) if query.match(entry)]
    rows = memory or await request.app[LOG].page(query, limit=PAGE_USERS)
    whose = {entry.user_id for entry in rows if entry.user_id}
    if len(whose) == 1:
        return link(f"/console/users/{whose.pop()}", ref=ref)
    return link("/console/", ref=ref) if rows else ""


# ---- changes of one user


async def change(request: web.Request) -> web.Response:
    """`POST /console/users/{id}/{action}`."""
    user = await the_user(request)
    match request.match_info["action"]:
        case "username":
            return await _set_username(request, user)
        case "disconnect":
            count = request.app[PHONES].disconnect(user.user_id)
            audit.record(request, "user_disconnected", f"#{user.user_id}, {count}")
            return _back(request, user, "disconnected")
        case "revoke":
            return await _revoke(request, user)
        case "delete":
            return await _delete(request, user)
    raise NotFound


async def the_user(request: web.Request) -> User:
    """The user of the address. Raises NotFound."""
    user_id = whole_number(request.match_info["user_id"])
    user = await request.app[USERS].get(user_id) if user_id is not None else None
    if user is None:
        raise NotFound
    return user


async def _set_username(request: web.Request, user: User) -> web.Response:
    typed = (await read_form(request)).get("tiktok_username", "")
    try:
        username = normalise(typed)
    except InvalidUsername:
        return _back(request, user, "bad_username", typed=typed[:MAX_TEXT])
    await request.app[USERS].set_tiktok_username(user.user_id, username)
    request.app[ROOMS].look_again(username)
    await request.app[PHONES].user_changed(user.user_id)
    audit.record(request, "user_username", f"#{user.user_id} @{username}")
    return _back(request, user, "username_set")


async def _revoke(request: web.Request, user: User) -> web.Response:
    phone = (await read_form(request)).get("phone", "")
    token_hash = await request.app[USERS].token_of(user.user_id, phone)
    if token_hash is not None and await request.app[USERS].revoke_token(token_hash):
        _forget_tokens(request.app[AUTH])
        request.app[PHONES].drop_token(token_hash)
        audit.record(request, "token_revoked", f"#{user.user_id} {phone}")
    return _back(request, user, "revoked")


async def _delete(request: web.Request, user: User) -> web.Response:
    if (await read_form(request)).get("sure") != str(user.user_id):
        return _back(request, user, "not_sure")
    if not await request.app[USERS].delete(user.user_id):
        raise UserUnknown
    _forget_tokens(request.app[AUTH])
    await request.app[PHONES].check_all()
    audit.record(request, "user_deleted", f"#{user.user_id} {user.name}")
    return see_other(request, "/console/users", said="user_deleted")


def _forget_tokens(auth: Auth) -> None:
    auth.forget()


def _back(request: web.Request, user: User, said: str, **query: str) -> web.Response:
    return see_other(request, f"/console/users/{user.user_id}", said=said, **query)
