"""Web: TikTok's pages and calls that tell whether a creator is live. No signatures: sign.py."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from tests.tiktok.creator import KEPT, LIVE, OFFLINE, Creator
from tests.tiktok.gifts import GIFTS
from tests.tiktok.push import PUSH_PATH
from tests.tiktok.script import next_of
from tests.tiktok.trouble import trouble

PAGE: Final = """<!DOCTYPE html><html><head><title>TikTok LIVE</title></head><body>
<script id="SIGI_STATE" type="application/json">{state}</script></body></html>"""
NO_SUCH_USER: Final = {
    "statusCode": 19881007,
    "message": "user_not_found",
    "data": {"message": "user_not_found"},
}
AGE_RESTRICTED: Final = {
    "data": {"prompts": "This LIVE may not be suitable for some viewers", "message": "age"},
    "status_code": 4003110,
}
NO_DATA: Final = {"status_code": 500, "message": "internal"}
LIES = {"live": LIVE, "offline": OFFLINE}


class Pages:
    """TikTok's web server; what it reads is the creators, what it counts is their look-ups."""

    def __init__(
        self,
        creators: Mapping[str, Creator],
        rooms: Mapping[int, Creator],
        *,
        closing: asyncio.Event,
        drip_s: float,
    ) -> None:
        self.requests: deque[str] = deque(maxlen=KEPT)
        self._creators = creators
        self._rooms = rooms
        self._closing = closing
        self._drip_s = drip_s

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/@{name}/live", self._live_page)
        router.add_get("/api-live/user/room/", self._user_room)
        router.add_get("/webcast/room/check_alive/", self._check_alive)
        router.add_get("/webcast/room/info/", self._room_info)
        router.add_get("/webcast/room/info_by_user/", self._room_info)
        router.add_get("/webcast/gift/list/", self._gift_list)

    @web.middleware
    async def record(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Keep every address that was asked for, also those that do not exist."""
        if not request.path.startswith(PUSH_PATH):
            self.requests.append(request.raw_path)
        return await handler(request)

    async def _trouble(self, request: web.Request, kind: str) -> web.StreamResponse:
        return await trouble(request, kind, closing=self._closing, drip_s=self._drip_s)

    async def _live_page(self, request: web.Request) -> web.StreamResponse:
        creator = self._creators.get(request.match_info["name"])
        kind = None
        if creator is not None:
            creator.lookups.html += 1
            creator.changed()
            kind = next_of(creator.script.html)
        if creator is None or creator.never_live or kind == "not_found":
            return _page({"UserPage": {}})
        if kind is not None and kind not in LIES:
            return await self._trouble(request, kind)
        status = LIES.get(kind or "", creator.status)
        return _page({"LiveRoom": {"liveRoomUserInfo": _user_room(creator, status)}})

    async def _user_room(self, request: web.Request) -> web.StreamResponse:
        creator = self._creators.get(request.query.get("uniqueId", ""))
        if creator is None:
            return web.json_response(NO_SUCH_USER)
        creator.lookups.api += 1
        creator.changed()
        kind = next_of(creator.script.api)
        if kind == "not_found":
            return web.json_response(NO_SUCH_USER)
        if kind is not None and kind not in LIES:
            return await self._trouble(request, kind)
        data = _user_room(creator, LIES.get(kind or "", creator.status))
        return web.json_response({"statusCode": 0, "message": "", "data": data})

    async def _check_alive(self, request: web.Request) -> web.StreamResponse:
        rooms = [int(room) for room in request.query.get("room_ids", "").split(",") if room]
        alive: list[dict[str, Any]] = []
        for room_id in rooms:
            creator = self._rooms.get(room_id)
            if creator is None:
                alive.append(_alive(room_id, False))
                continue
            creator.lookups.check_alive += 1
            creator.changed()
            kind = next_of(creator.script.check_alive)
            if kind == "empty_list":
                return web.json_response({"data": [], "status_code": 0})
            if kind in ("live", "false", "offline"):
                alive.append(_alive(room_id, kind == "live"))
            elif kind is not None:
                return await self._trouble(request, kind)
            else:
                alive.append(_alive(room_id, creator.live and creator.room_id == room_id))
        return web.json_response({"data": alive, "extra": {"now": 0}, "status_code": 0})

    async def _room_info(self, request: web.Request) -> web.StreamResponse:
        room_id = request.query.get("room_id", "")
        creator = self._creators.get(request.query.get("unique_id", ""))
        if creator is None and room_id.isdecimal():
            creator = self._rooms.get(int(room_id))
        if creator is None:
            return web.json_response({"data": {"message": "room not found"}, "status_code": 4003})
        creator.lookups.room_info += 1
        creator.changed()
        kind = next_of(creator.script.room_info)
        if kind == "age_restricted":
            return web.json_response(AGE_RESTRICTED)
        if kind == "no_data":
            return web.json_response(NO_DATA, status=500)
        if kind is not None:
            return await self._trouble(request, kind)
        return web.json_response({"data": _room(creator), "status_code": 0})

    async def _gift_list(self, request: web.Request) -> web.StreamResponse:
        gifts = [
            {"id": gift.id, "name": gift.name, "diamond_count": gift.diamonds, "type": gift.type}
            for gift in GIFTS
        ]
        return web.json_response({"data": {"gifts": gifts}, "status_code": 0})


def _page(state: dict[str, Any]) -> web.Response:
    return web.Response(text=PAGE.format(state=json.dumps(state)), content_type="text/html")


def _user_room(creator: Creator, status: int) -> dict[str, Any]:
    """What page and call say alike: the user, and the live they are in or were in last."""
    user: dict[str, Any] = {
        "id": str(creator.person.user_id),
        "uniqueId": creator.name,
        "nickname": creator.person.nickname or creator.name,
        "avatarThumb": creator.person.picture,
        "status": status,
    }
    if creator.never_live or not creator.room_id:
        return {"user": user, "liveRoom": None}
    user["roomId"] = str(creator.room_id)
    return {"user": user, "liveRoom": {"status": status, "title": f"{creator.name} LIVE"}}


def _alive(room_id: int, alive: bool) -> dict[str, Any]:
    return {"alive": alive, "room_id": room_id, "room_id_str": str(room_id)}


def _room(creator: Creator) -> dict[str, Any]:
    return {
        "id": creator.room_id,
        "id_str": str(creator.room_id),
        "title": f"{creator.name} LIVE",
        "status": creator.status,
        "user_count": 12,
        "like_count": 345,
        "owner": {
            "id_str": str(creator.person.user_id),
            "display_id": creator.name,
            "nickname": creator.person.nickname or creator.name,
            "avatar_thumb": {"url_list": [creator.person.picture]},
        },
    }
