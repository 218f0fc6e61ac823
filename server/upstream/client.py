"""TikTokLive's client with our decoder (envelope.py) under it: the library signs, connects,
enters and keeps alive.

Leans on private seams of TikTokLive 7.0.1 (the version is pinned; tests/test_upstream_contract.py
fails on another): the WebSocket client's connect class, `send_ack`, and
`_parse_webcast_response`. Importing this module imports the library, which takes seconds: only
tiktok.py does, in a thread.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Protocol

import httpx
from TikTokLive.client.client import TikTokLiveClient
from TikTokLive.client.errors import WebcastBlockedError
from TikTokLive.client.web.web_client import TikTokWebClient
from TikTokLive.client.web.web_settings import WebDefaults
from TikTokLive.client.ws.ws_client import WebcastWSClient
from TikTokLive.client.ws.ws_connect import WebcastConnect, WebcastProxyConnect
from TikTokLive.client.ws.ws_utils import extract_websocket_options
from websockets.exceptions import InvalidStatusCode  # type: ignore[attr-defined]
from websockets.legacy.client import WebSocketClientProtocol

from server.config import Config
from server.upstream.envelope import (
    BadFrame,
    encode_ack,
    parse_fetch_result,
    parse_push_frame,
)
from server.upstream.http import Attempt, NotingTransport, SignTransport, tls_context

logger = logging.getLogger(__name__)

#: A push frame above this is refused by the WebSocket itself; TikTok's are far smaller.
MAX_FRAME_BYTES: Final = 8 << 20
HANDSHAKE_TIMEOUT_S: Final = 5.0
#: The library waits three times this for a peer that is gone.
CLOSE_TIMEOUT_S: Final = 1.0
#: What TikTok may ask for as heartbeat interval; the library obeys any value, 0 included.
PING_INTERVAL_S: Final = (1.0, 60.0)
HTTP_TIMEOUT_S: Final = 5.0
#: Names the sign server that may be given a session, which is a whole account.
SESSION_CONSENT: Final = "WHITELIST_AUTHENTICATED_SESSION_ID_HOST"

#: In the address of a socket that the sign server keeps itself, for when it cannot sign.
FALLBACK_SOCKET: Final = "ws-fallback"
#: Handshake answers by which TikTok says that it took us for a robot.
BLOCKED_STATUSES: Final = frozenset({200, 400})


class Heard(Protocol):
    """Who is told what comes; nothing of it may raise."""

    def on_frame(self) -> None:
        """A frame could be read, heartbeat replies included."""

    def on_bad_frame(self) -> None:
        """A frame could not be read."""

    def on_result(self, result: Any) -> None:
        """A fetch result. `.is_first` is the sign server's own answer; `.messages` each have
        `.method`, `.payload`, `.is_history`.
        """


class WatchedProtocol(WebSocketClientProtocol):
    """Notes when bytes last came: the library notices no half-open connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bytes_at = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        """Note the time, then let the library read."""
        self.bytes_at = asyncio.get_running_loop().time()
        super().data_received(data)


class _DecodingConnect(WebcastConnect):  # type: ignore[misc]
    """Yields what decode.py read in place of the library's messages; a bad frame is skipped."""

    def __init__(self, *, heard: Heard, initial_webcast_response: Any, **kwargs: Any) -> None:
        self._heard = heard
        self.push_server = str(initial_webcast_response.push_server)
        if self.push_server.startswith("wss:"):
            kwargs["ssl"] = tls_context()
        super().__init__(initial_webcast_response=initial_webcast_response, **kwargs)

    async def __aiter__(self) -> AsyncIterator[tuple[Any, Any]]:
        try:
            async with self as protocol:
                self._ws = protocol
                options = extract_websocket_options(protocol.response_headers)
                self._ws_options: dict[str, str] | None = _within_bounds(options)
                yield None, self._initial_response
                async for data in protocol:
                    for number, read in enumerate(self._parts(data)):
                        if number:  # others have their turn between the slices of a large frame
                            await asyncio.sleep(0)
                        yield read
        except InvalidStatusCode as error:
            if error.status_code in BLOCKED_STATUSES:
                raise WebcastBlockedError("handshake refused") from error
            raise
        finally:
            self._ws = None
            self._ws_options = None

    def _parts(self, data: bytes | str) -> Iterator[tuple[Any, Any]]:
        try:
            frame = parse_push_frame(data.encode() if isinstance(data, str) else data)
            self._heard.on_frame()
            if frame.payload_type == "msg":
                for part in parse_fetch_result(frame):
                    yield frame, part
        except BadFrame as error:
            self._heard.on_bad_frame()
            logger.debug("Bad frame from TikTok skipped: %s", error)


class _DecodingProxyConnect(_DecodingConnect, WebcastProxyConnect):  # type: ignore[misc]
    """The same through a proxy."""


def _within_bounds(options: dict[str, str]) -> dict[str, str]:
    """Drop a heartbeat interval the library would choke on; it then uses its own."""
    try:
        interval = float(options.get("ping-interval", ""))
    except ValueError:
        interval = 0.0
    low, high = PING_INTERVAL_S
    if not low <= interval <= high:
        options.pop("ping-interval", None)
    return options


class RelayClient(TikTokLiveClient):  # type: ignore[misc]
    """One connection to one creator; `heard` is told at once what comes."""

    def __init__(
        self,
        config: Config,
        creator: str,
        *,
        key: str,
        attempt: Attempt,
        heard: Heard,
    ) -> None:
        self.protocol: WatchedProtocol | None = None
        self._heard = heard
        super().__init__(
            creator,
            ws_proxy=httpx.Proxy(config.tiktok.ws_proxy) if config.tiktok.ws_proxy else None,
            web_kwargs=web_arguments(config, attempt, key=key),
            ws_kwargs={
                "open_timeout": HANDSHAKE_TIMEOUT_S,
                "close_timeout": CLOSE_TIMEOUT_S,
                "max_size": MAX_FRAME_BYTES,
                "create_protocol": self._create_protocol,
            },
        )
        prepare_web(self.web, config, attempt)
        ws: WebcastWSClient = self._ws
        proxied = ws._ws_proxy is not None
        kind = _DecodingProxyConnect if proxied else _DecodingConnect
        ws._connect_generator_class = functools.partial(kind, heard=heard)
        ws.send_ack = self._send_ack

    def _create_protocol(self, *args: Any, **kwargs: Any) -> WatchedProtocol:
        self.protocol = WatchedProtocol(*args, **kwargs)
        return self.protocol

    async def _send_ack(self, webcast_response: Any, webcast_push_frame: Any) -> None:
        ack = encode_ack(webcast_push_frame.log_id, webcast_response.internal_ext or "-")
        await self._ws.send(ack)

    async def _parse_webcast_response(self, webcast_response: Any) -> AsyncIterator[Any]:
        """Hand the result over; the library emits nothing itself."""
        self._heard.on_result(webcast_response)
        return
        yield

    @property
    def ping_interval_s(self) -> float:
        """How often the connection sends heartbeats."""
        options = self._ws._connection_generator
        seen = options.ws_options if options is not None else None
        return float((seen or {}).get("ping-interval", WebcastWSClient.DEFAULT_PING_INTERVAL))

    @property
    def falls_back(self) -> bool:
        """Whether the sign server gave a socket of its own in place of TikTok's."""
        generator = self._ws._connection_generator
        return generator is not None and FALLBACK_SOCKET in generator.push_server

    async def release(self) -> None:
        """Close both HTTP clients and the heartbeat; the connection's task must have ended."""
        heartbeat: asyncio.Task[None] | None = self._ws._ping_loop
        if heartbeat is not None:
            heartbeat.cancel()
            await asyncio.wait({heartbeat})
        await release_web(self.web)


def use_addresses(config: Config) -> None:
    """Point the library at the configured TikTok; it keeps its addresses in one global.

    It hands a session to the sign server only when told so by name, in the environment. Whoever
    sets tiktok.session_id says so: that is what config.toml asks for.
    """
    WebDefaults.tiktok_app_url = config.tiktok.app_url.rstrip("/")
    WebDefaults.tiktok_webcast_url = config.tiktok.webcast_url.rstrip("/")
    WebDefaults.tiktok_sign_url = config.sign.url.rstrip("/")
    if config.tiktok.session_id:
        os.environ[SESSION_CONSENT] = WebDefaults.tiktok_sign_url.partition("://")[2]


def web_arguments(config: Config, attempt: Attempt, *, key: str) -> dict[str, Any]:
    """Constructor arguments of the library's web client: ours to verify, bound and note."""
    transport = NotingTransport(attempt, "app", proxy=config.tiktok.web_proxy)
    return {
        "httpx_kwargs": {
            "transport": transport,
            "timeout": HTTP_TIMEOUT_S,
            "trust_env": False,
        },
        "signer_kwargs": {"sign_api_key": key or None, "sign_api_base": config.sign.url},
    }


def prepare_web(web: TikTokWebClient, config: Config, attempt: Attempt) -> None:
    """Give the library's web client a sign client that verifies TLS and has a time-out."""
    sdk = web.signer.sdk_client
    headers = dict(sdk._headers)
    if web.signer.sign_api_key:
        headers["X-Api-Key"] = web.signer.sign_api_key
    sdk.set_async_httpx_client(
        httpx.AsyncClient(
            base_url=config.sign.url,
            headers=headers,
            timeout=config.sign.timeout_s,
            transport=SignTransport(attempt, proxy=config.tiktok.web_proxy),
            trust_env=False,
        )
    )
    if config.tiktok.session_id:
        web.set_session(config.tiktok.session_id, config.tiktok.tt_target_idc)


async def release_web(web: TikTokWebClient) -> None:
    """Close both HTTP clients; the library closes only one."""
    await web.close()
    await web.signer.client.aclose()
