"""HTTP to TikTok and the sign server: verified, bounded, and every answer noted.

TikTokLive makes its own requests; this transport sits under its httpx clients. What an attempt was
answered decides the error code (failures.py), because the library's exceptions lose it.
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import Final, Literal, NamedTuple

import httpx
import msgspec

#: A page or an API answer larger than this is not one of TikTok's.
MAX_BODY_BYTES: Final = 2 << 20
#: Of a failed answer this much is kept, for the label of a rate limit.
KEPT_BODY_BYTES: Final = 16 << 10
#: Answers noted per attempt; an attempt makes a handful of requests.
MAX_ANSWERS: Final = 16

ROOM_INFO_PATH: Final = "/room/info/"

HostKind = Literal["app", "webcast", "sign"]


class Answer(NamedTuple):
    """One HTTP answer of the attempt. Headers and body are kept of the sign server's only."""

    host_kind: HostKind
    path: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    #: The body is JSON, whatever the status.
    is_json: bool = False


class AnswerTooLarge(httpx.TransportError):
    """An answer went past MAX_BODY_BYTES."""


@cache
def tls_context() -> ssl.SSLContext:
    """The one verifying TLS context; loading the CAs costs 30 ms, so everybody shares it."""
    return ssl.create_default_context()


class Attempt:
    """The answers that one attempt to reach a creator has had, in order."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        #: Hosts that no connection could be made to: they have not seen the request.
        self.unreached: set[HostKind] = set()

    def note(self, answer: Answer) -> None:
        """Keep an answer, within MAX_ANSWERS."""
        if len(self.answers) < MAX_ANSWERS:
            self.answers.append(answer)


class NotingTransport(httpx.AsyncBaseTransport):
    """Reads each answer whole, within the bound, and notes it on the attempt."""

    def __init__(self, attempt: Attempt, host_kind: HostKind, *, proxy: str = "") -> None:
        self._attempt = attempt
        self._host_kind: HostKind = host_kind
        self._inner = httpx.AsyncHTTPTransport(verify=tls_context(), proxy=proxy or None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises AnswerTooLarge beside what httpx raises."""
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self._attempt.unreached.add(self._host_kind)
            raise
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise AnswerTooLarge("the answer is too large", request=request)
        finally:
            await response.aclose()
            self._note(request, response, bytes(body))
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(
            response.status_code,
            headers=headers,
            content=bytes(body),
            extensions=response.extensions,
        )

    def _note(self, request: httpx.Request, response: httpx.Response, body: bytes) -> None:
        path = request.url.path
        kind = self._host_kind
        if kind == "app" and path.startswith("/webcast/"):
            kind = "webcast"
        failed = kind == "sign" and response.status_code != httpx.codes.OK
        self._attempt.note(
            Answer(
                host_kind=kind,
                path=path,
                status=response.status_code,
                headers=tuple(response.headers.multi_items()) if kind == "sign" else (),
                body=body[:KEPT_BODY_BYTES] if failed or path.endswith(ROOM_INFO_PATH) else b"",
                is_json=_is_json(body),
            )
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
