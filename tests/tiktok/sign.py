"""Sign: EulerStream's server, which hands out the address of a push socket, at a price.

Every request to /webcast/fetch is recorded, and counted against the key's limits whether or not a
script then spoils the answer; the limits refuse by themselves, with the real status and headers.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict

from tests.tiktok.creator import KEPT, PATIENCE_S, Creator
from tests.tiktok.envelope import fetch_result
from tests.tiktok.frames import viewers
from tests.tiktok.limits import ANONYMOUS, Limits, Window
from tests.tiktok.listener import Listener, dead_port
from tests.tiktok.script import next_of
from tests.tiktok.trouble import Troubles, trouble

KINDS: Final = frozenset(
    {
        "", "garbage", "json", "truncated", "no_cookies", "no_cursor", "no_push_server",
        "no_route_params", "no_is_first", "bad_push_server", "ws_fallback", *Troubles,
    }
)  # fmt: skip
COOKIES: Final = "ttwid=1%7Cstand-in; Path=/; Domain=.tiktok.com"
GARBAGE: Final = b"\xff\xfe\xfdnot a fetch result at all"
# Breaks off in the name of the first message, so that all the rest is missing
TRUNCATED_BYTES: Final = 16
# Which headers a 429 carries differs by the year; UPSTREAM.md, section 0
RATE_LIMIT_HEADERS: Final = frozenset(
    {"Retry-After", "RateLimit-Remaining", "RateLimit-Reset", "X-RateLimit-Reset"}
)
ERRORS: Final = {
    401: {"code": 401, "message": "The API key is invalid."},
    402: {"code": 402, "message": "This endpoint needs a paid plan."},
    403: {"code": 403, "message": "You do not have permission to use this endpoint."},
    404: {"code": 404, "message": "Not found."},
    500: {"code": 500, "message": "Internal server error."},
}


@dataclass(frozen=True, slots=True)
class SignAnswer:
    """A scripted answer: a whole response, or with `kind` the usual one spoilt in one way.

    The kinds are in KINDS. "refused" is for SignServer.script only: it closes the whole socket.
    """

    kind: str = ""
    status: int = 200
    headers: Mapping[str, str] | tuple[tuple[str, str], ...] = ()
    body: bytes | str | dict[str, Any] | list[Any] | None = None
    push_server: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}, not one of {sorted(KINDS)}")

    @classmethod
    def rate_limited(
        cls,
        headers: Mapping[str, str] | tuple[tuple[str, str], ...] = (),
        *,
        label: str = "",
        body: bytes | str | dict[str, Any] | list[Any] | None = None,
    ) -> "SignAnswer":
        """A 429 with exactly these headers."""
        if body is None:
            body = {"code": 429, "message": "Rate limit exceeded."}
            if label:
                body["limit_label"] = label
        return cls(status=429, headers=headers, body=body)


SignScript = SignAnswer | str | int | list["SignAnswer | str | int | None"] | None


@dataclass(frozen=True, slots=True)
class SignRequest:
    """One request for a signature, as it was answered; status 0 was never answered."""

    time: float
    key: str
    room_id: str
    status: int
    admitted: bool


class SignServer:
    """The sign server on a port of its own."""

    def __init__(
        self,
        limits: Limits,
        rooms: Mapping[int, Creator],
        *,
        clock: Callable[[], float] = time.time,
        closing: asyncio.Event,
        drip_s: float,
    ) -> None:
        self.limits = limits
        self.requests: deque[SignRequest] = deque(maxlen=KEPT)
        self.scripts_by_key: dict[str, SignScript] = {}
        self.limit_headers: frozenset[str] | set[str] = RATE_LIMIT_HEADERS
        #: While it is there and not set, answers are counted and not sent.
        self.hold: asyncio.Event | None = None
        self.limits_script: str | list[str | None] | None = None
        self.limits_looked_at = 0
        self.tokens: deque[str] = deque(maxlen=KEPT)
        self.push_server = ""
        self._script: SignScript = None
        self._changed = asyncio.Event()
        self._rooms = rooms
        self._clock = clock
        self._closing = closing
        self._drip_s = drip_s
        self._dead = dead_port()
        app = web.Application()
        for path in ("/webcast/fetch", "/webcast/fetch/"):
            app.router.add_get(path, self._fetch)
        for path in ("/webcast/rate_limits", "/webcast/rate_limits/"):
            app.router.add_get(path, self._rate_limits)
        self.listener = Listener(app)

    @property
    def script(self) -> SignScript:
        """What goes wrong for everyone; "refused" closes the socket until it is changed."""
        return self._script

    @script.setter
    def script(self, script: SignScript) -> None:
        self._script = script
        if script == "refused":
            self.listener.refuse()
        else:
            self.listener.accept()

    @property
    def dead_url(self) -> str:
        """A WebSocket address that refuses connections."""
        return f"ws://127.0.0.1:{self._dead.getsockname()[1]}/webcast/im/push/"

    def spent(self, key: str | None = None) -> int:
        """Count the signatures spent: those the limits let through, of one key ("" anonymous)."""
        return sum(r.admitted and key in (None, r.key) for r in self.requests)

    async def wait_spent(self, count: int, key: str | None = None) -> None:
        """Wait until so many signatures are spent."""
        async with asyncio.timeout(PATIENCE_S):
            while self.spent(key) < count:
                await self._changed.wait()

    async def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        await self.listener.close()
        self._dead.close()

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("X-Api-Key", ANONYMOUS)
        room_id = request.query.get("room_id", "")
        exhausted = self.limits.spend(key)
        creator = self._rooms.get(int(room_id)) if room_id.isdecimal() else None
        if exhausted is not None:
            return self._record(request, self._too_many(exhausted), creator, admitted=False)
        if creator is None:
            return self._record(request, _plain_error(404), None)
        answer = self._scripted(key, creator)
        if answer.kind in Troubles and answer.kind != "empty":
            # written down before, because the client may be gone before there is an answer
            self._record(request, None, creator)
            return await trouble(request, answer.kind, closing=self._closing, drip_s=self._drip_s)
        response = self._record(request, self._answer(answer, creator), creator)
        if self.hold is not None:
            await self.hold.wait()
        return response

    def _scripted(self, key: str, creator: Creator) -> SignAnswer:
        for script in (self.scripts_by_key.get(key), creator.script.sign, self._script):
            answer = next_of(script)
            if isinstance(answer, SignAnswer):
                return answer
            if isinstance(answer, int):
                return SignAnswer(status=answer)
            if isinstance(answer, str):
                return SignAnswer(kind=answer)
        return SignAnswer()

    def _record(
        self,
        request: web.Request,
        response: web.Response | None,
        creator: Creator | None,
        *,
        admitted: bool = True,
    ) -> web.Response:
        key = request.headers.get("X-Api-Key", ANONYMOUS)
        room_id = request.query.get("room_id", "")
        status = 0 if response is None else response.status
        self.requests.append(SignRequest(self._clock(), key, room_id, status, admitted))
        self._changed.set()
        self._changed = asyncio.Event()
        if creator is not None:
            creator.changed()
        response = web.Response() if response is None else response
        response.headers.setdefault("X-Request-Id", secrets.token_hex(8))
        response.headers.setdefault("X-Agent-Id", "stand-in")
        return response

    def _answer(self, answer: SignAnswer, creator: Creator) -> web.Response:
        headers = CIMultiDict(answer.headers)
        if answer.status == 200 and answer.kind != "no_cookies":
            headers.setdefault("X-Set-TT-Cookie", COOKIES)
        if answer.body is not None:
            return _response(answer.status, answer.body, headers)
        if answer.status != 200:
            return _plain_error(answer.status, headers)
        match answer.kind:
            case "empty":
                return web.Response(headers=headers)
            case "garbage":
                return _response(200, GARBAGE, headers)
            case "json":
                return _response(200, {"code": 200, "message": "ok"}, headers)
        data = self._first_answer(answer, creator)
        if answer.kind == "truncated":
            data = data[:TRUNCATED_BYTES]
        return _response(200, data, headers)

    def _first_answer(self, answer: SignAnswer, creator: Creator) -> bytes:
        token = secrets.token_urlsafe(12)
        self.tokens.append(token)
        push_server = self.push_server
        if answer.push_server is not None:
            push_server = answer.push_server
        elif answer.kind == "bad_push_server":
            push_server = push_server.replace("ws://", "http://", 1)
        elif answer.kind == "ws_fallback":
            push_server = f"{push_server}ws-fallback.eulerstream.com/"
        elif creator.script.handshake == "refused":
            push_server = self.dead_url
        now_ms = int(self._clock() * 1000)
        return fetch_result(
            creator.history or ([viewers(1)] if answer.kind == "truncated" else []),
            history=True,
            cursor="" if answer.kind == "no_cursor" else f"{now_ms}_stand-in_1_1",
            internal_ext=f"fetch_time:{now_ms}|start_time:0|fetch_id:{now_ms}",
            push_server="" if answer.kind == "no_push_server" else push_server,
            route_params=None
            if answer.kind == "no_route_params"
            else {"wrss": token, "imprp": "x"},
            is_first=answer.kind != "no_is_first",
            now_ms=now_ms,
            heartbeat_ms=10_000,
        )

    def _too_many(self, window: Window) -> web.Response:
        wait_s = max(1, round(window.reset_at - self._clock() + 0.5))
        headers = {
            "Retry-After": str(wait_s),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(wait_s),
            "X-RateLimit-Reset": str(int(window.reset_at)),
        }
        answer = SignAnswer.rate_limited(label=window.label)
        kept = {name: value for name, value in headers.items() if name in self.limit_headers}
        return _response(429, answer.body or b"", CIMultiDict(kept))

    async def _rate_limits(self, request: web.Request) -> web.StreamResponse:
        self.limits_looked_at += 1
        kind = next_of(self.limits_script)
        if kind is not None:
            return await trouble(request, kind, closing=self._closing, drip_s=self._drip_s)
        windows = self.limits.windows(request.headers.get("X-Api-Key", ANONYMOUS))
        body: dict[str, Any] = {
            window.name: {
                "max": window.max,
                "remaining": window.remaining,
                "reset_at": datetime.fromtimestamp(window.reset_at, UTC).isoformat(),
            }
            for window in windows
        }
        return web.json_response(body | {"load_shedding": {"enabled": False, "level": 0}})


def _plain_error(status: int, headers: CIMultiDict[str] | None = None) -> web.Response:
    if status in ERRORS:
        return _response(status, ERRORS[status], headers or CIMultiDict())
    page = f"<html><body><h1>{status}</h1></body></html>"
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)


def _response(
    status: int, body: bytes | str | dict[str, Any] | list[Any], headers: CIMultiDict[str]
) -> web.Response:
    if isinstance(body, (dict, list)):
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    headers.setdefault("Content-Type", "application/octet-stream")
    return web.Response(status=status, body=data, headers=headers)
