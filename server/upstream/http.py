"""HTTP to TikTok and the sign server: verified, bounded, and every answer noted.

TikTokLive makes its own requests; these transports sit under its httpx clients. What an attempt was
answered decides the error code (failures.py), because the library's exceptions lose it.
"""

from __future__ import annotations

import ssl
import zlib
from functools import cache
from typing import Final, Literal, NamedTuple

import httpx
import msgspec

from server.upstream.envelope import BadFrame, Message, split_sign_answer

#: A page or an API answer larger than this is not one of TikTok's.
MAX_BODY_BYTES: Final = 2 << 20
#: Of a failed answer this much is kept, for the label of a rate limit.
KEPT_BODY_BYTES: Final = 16 << 10
#: Answers noted per attempt; an attempt makes a handful of requests.
MAX_ANSWERS: Final = 16

ROOM_INFO_PATH: Final = "/room/info/"
SIGN_PATH: Final = "/webcast/fetch"

#: The codings that we ask for and read, and zlib's window bits for each.
CODINGS: Final = {"gzip": 31, "deflate": 15}

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


class BadAnswer(httpx.TransportError):
    """An answer went past MAX_BODY_BYTES, or is packed in a way that we did not ask for."""


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
        #: What TikTok had to tell of the time before, from the sign server's answer.
        self.history: list[Message] = []

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
        """Send a request; raises BadAnswer beside what httpx raises."""
        request.headers["Accept-Encoding"] = ", ".join(CODINGS)
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self._attempt.unreached.add(self._host_kind)
            raise
        body = b""
        try:
            body = await _read(request, response)
        finally:
            await response.aclose()
            self._note(request, response, body)
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(
            response.status_code,
            headers=headers,
            content=self._content(request, response, body),
            extensions=response.extensions,
        )

    def _content(self, request: httpx.Request, response: httpx.Response, body: bytes) -> bytes:
        """What the library gets of a body."""
        return body

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


class SignTransport(NotingTransport):
    """Reads a signature before the library does, which is slow over messages and slower over bombs.

    The library gets the answer without messages; of what is no such answer it gets nothing.
    """

    def __init__(self, attempt: Attempt, *, proxy: str = "") -> None:
        super().__init__(attempt, "sign", proxy=proxy)

    def _content(self, request: httpx.Request, response: httpx.Response, body: bytes) -> bytes:
        if response.status_code != httpx.codes.OK or SIGN_PATH not in request.url.path:
            return body
        try:
            answer = split_sign_answer(body)
        except BadFrame:
            return b""
        self._attempt.history = answer.history
        return answer.rest


async def _read(request: httpx.Request, response: httpx.Response) -> bytes:
    """The body, unpacked within the bound. Raises BadAnswer."""
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    inflater = None
    if coding != "identity":
        if coding not in CODINGS:  # one coding over another is a bomb in a bomb
            raise BadAnswer("packed in a way that was not asked for", request=request)
        inflater = zlib.decompressobj(CODINGS[coding])
    body = bytearray()
    async for raw in response.aiter_raw():
        chunk = raw
        if inflater is not None:
            try:
                chunk = inflater.decompress(raw, MAX_BODY_BYTES + 1 - len(body))
            except zlib.error as error:
                raise BadAnswer(f"{coding}: {error}", request=request) from None
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadAnswer("the answer is too large", request=request)
    return bytes(body)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
