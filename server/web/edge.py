"""The edge: every socket passes here before a request is read from it. How many strangers an
address may have, how long they may keep silent, and what is counted instead of printed.

A socket is a stranger until it has sent a whole request, a client until it is closed, and a phone
once its token was good; phones have limits of their own (phones.py).
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from server.config import Config
from server.logs import Sparingly
from server.web.addresses import TrustedProxies, counted_as, read_address
from server.web.keys import EDGE

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

#: For a whole request line with its headers, for the first byte after an answer, and for a body
#: that nobody reads: a socket that takes longer is closed.
HEAD_TIMEOUT_S: Final = 10.0
LINGERING_S: Final = 1.5
TLS_TIMEOUT_S: Final = 10.0
MAX_LINE_BYTES: Final = 8190
MAX_FIELD_BYTES: Final = 8190
MAX_HEADERS: Final = 64
#: Strangers of one address, and of all together. One more closes the one that has been silent
#: longest, but for those that have just come: their request may be on its way.
STRANGERS_PER_ADDRESS: Final = 256
STRANGERS: Final = 4096
GRACE_S: Final = 1.0
#: Sockets of one address that are no phones; one more is not served.
SOCKETS_PER_ADDRESS: Final = 1024
#: Descriptors that are kept for the database, TikTok and the log when sockets take all others.
RESERVED_DESCRIPTORS: Final = 512
#: Phones that connect at once wait in the kernel instead of being refused by it. asyncio takes as
#: many in one turn as it is told the backlog is, before any of them can be refused here.
LISTEN_BACKLOG: Final = 4096
ACCEPTED_AT_ONCE: Final = 32
#: Unacknowledged bytes this old end a connection (ms; Linux' TCP_USER_TIMEOUT). Longer than a
#: phone has to answer a ping, so that it is the ping that decides where there is one.
USER_TIMEOUT_MS: Final = 40_000
#: Unsent bytes the kernel takes from us: more would hide how late a phone is.
NOTSENT_LOWAT_BYTES: Final = 16_384


class Edge:
    """Counts sockets and decides which of them are served."""

    def __init__(self, config: Config) -> None:
        self._proxies = TrustedProxies(config.server.trusted_proxies)
        self._per_address = max(SOCKETS_PER_ADDRESS, config.limits.connections_per_ip)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._max_sockets = soft - min(RESERVED_DESCRIPTORS, soft // 2)
        self._open: Counter[str] = Counter()
        #: Strangers, the longest silent first: of all, and of each address.
        self._strangers: dict[EdgeProtocol, None] = {}
        self._of_address: dict[str, dict[EdgeProtocol, None]] = {}
        #: Sockets of every kind.
        self.sockets = 0
        #: Sockets that were not served, by why.
        self.refused: Counter[str] = Counter()
        #: Requests that were no HTTP.
        self.malformed = 0
        self._lines = Sparingly(logger)

    def admit(self, protocol: EdgeProtocol, peer: str) -> bool:
        """A socket is accepted; False when it must not be served."""
        address = protocol.address
        self.sockets += 1
        self._open[address] += 1
        if self.sockets > self._max_sockets and not self._close_silent(self._strangers):
            return self._refuse("descriptors")
        if self._proxies and self._proxies.has(read_address(peer)):
            of_address = 0
        elif self._open[address] > self._per_address:
            return self._refuse("address")
        else:
            of_address = len(self._of_address.get(address, ()))
        if of_address >= STRANGERS_PER_ADDRESS:
            self._close_silent(self._of_address[address])
        elif len(self._strangers) >= STRANGERS:
            self._close_silent(self._strangers)
        self._strangers[protocol] = self._of_address.setdefault(address, {})[protocol] = None
        return True

    def asked(self, protocol: EdgeProtocol) -> None:
        """It has sent a whole request."""
        if self._strangers.pop(protocol, self) is self:
            return
        strangers = self._of_address[protocol.address]
        del strangers[protocol]
        if not strangers:
            del self._of_address[protocol.address]

    def now_a_phone(self, protocol: EdgeProtocol) -> None:
        """Its token was good: it is not counted against its address any more."""
        if not protocol.is_phone:
            protocol.is_phone = True
            self._forget_address(protocol.address)

    def gone(self, protocol: EdgeProtocol) -> None:
        """A socket is closed, or was never served."""
        self.asked(protocol)
        self.sockets -= 1
        if not protocol.is_phone:
            self._forget_address(protocol.address)

    def count_malformed(self, address: str, error: HttpProcessingError) -> None:
        """What came was no HTTP: not our bug, and it may hold a token."""
        self.malformed += 1
        self._lines.info("Malformed request from %s: %s", address, type(error).__name__)

    def _forget_address(self, address: str) -> None:
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]

    def _refuse(self, why: str) -> bool:
        self.refused[why] += 1
        self._lines.warning("A connection was not served: too many (%s)", why)
        return False

    def _close_silent(self, strangers: Iterable[EdgeProtocol]) -> bool:
        """Make place by the one that has been silent longest; False when all have just come."""
        oldest = next(iter(strangers), None)
        if oldest is None or oldest.opened_at > time.monotonic() - GRACE_S:
            return False
        self.refused["silent"] += 1
        self.asked(oldest)
        oldest.abort()
        return True


class EdgeProtocol(web.RequestHandler):
    """aiohttp's protocol of one socket, which the edge is told of."""

    __slots__ = ("_edge", "_served", "address", "is_phone", "opened_at")

    def __init__(self, edge: Edge, server: web.Server, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._edge = edge
        self._served = False
        self.address = ""
        self.is_phone = False
        self.opened_at = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        peer = transport.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else ""
        self.address = counted_as(host)
        self._served = self._edge.admit(self, host)
        if not self._served:
            cast("asyncio.Transport", transport).abort()
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by asyncio."""
        self._edge.gone(self)
        if self._served:
            super().connection_lost(exc)

    def abort(self) -> None:
        """Close without a word."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp answers by itself: bytes that are no HTTP are counted and not printed."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self._edge.count_malformed(self.address, exc)
        response = web.Response(status=status, text="This is not HTTP as we read it.\n")
        response.force_close()
        return response


class EdgeSite(web.BaseSite):
    """A listening port whose sockets pass the edge."""

    __slots__ = ("_address", "_edge")

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context)
        self._address = (host, port)
        self._edge = runner.app[EDGE]

    @property
    def name(self) -> str:
        """Where it listens, for aiohttp's own messages."""
        host, port = self._address
        return f"{'https' if self._ssl_context else 'http'}://{host}:{port}"

    async def start(self) -> None:
        """Open the port. Raises OSError."""
        await super().start()
        server = cast("web.Server", self._runner.server)  # BaseSite has looked
        host, port = self._address
        self._server = await asyncio.get_running_loop().create_server(
            lambda: EdgeProtocol(
                self._edge,
                server,
                access_log=None,
                keepalive_timeout=HEAD_TIMEOUT_S,
                lingering_time=LINGERING_S,
                max_line_size=MAX_LINE_BYTES,
                max_field_size=MAX_FIELD_BYTES,
                max_headers=MAX_HEADERS,
                tcp_keepalive=False,  # see _tune
            ),
            host,
            port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=TLS_TIMEOUT_S if self._ssl_context else None,
            backlog=ACCEPTED_AT_ONCE,
        )
        for listening in self._server.sockets:
            with listening.dup() as same:
                _tune(same)
                same.listen(LISTEN_BACKLOG)


def tell_of_request(request: web.Request) -> None:
    """A whole request has come: who sent it is no stranger any more."""
    if isinstance(request.protocol, EdgeProtocol):
        request.app[EDGE].asked(request.protocol)


def tell_of_phone(request: web.Request) -> None:
    """The request's socket is a phone's from now on."""
    if isinstance(request.protocol, EdgeProtocol):
        request.app[EDGE].now_a_phone(request.protocol)


def _tune(listening: socket.socket) -> None:
    """Options that every accepted socket inherits. A peer that has vanished, or reads nothing at
    all, does not hold one for a quarter of an hour, the kernel's own patience; and the kernel does
    not hide megabytes of lateness.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_NOTSENT_LOWAT", NOTSENT_LOWAT_BYTES),
    ):
        if hasattr(socket, name):  # Linux has both
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
