"""Who is asking: the client's address, the token it carries, and how often it guessed wrong.

No answers are made here; api.py, phone.py and the console turn what is raised into theirs.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from server.config import Config
from server.errors import Unauthorized
from server.store.users import TokenOwner, Users
from server.web.addresses import TrustedProxies, counted_as, read_address, without_port

#: Per address and minute. One more is answered 429.
BAD_TOKENS_PER_MINUTE: Final = 20
BAD_CODES_PER_MINUTE: Final = 5
BAD_PASSWORDS_PER_MINUTE: Final = 5
#: The same of all addresses together, which somebody with many of them has. What is right is let
#: pass all the same where it can be told before it is counted: a good token always is.
BAD_TOKENS_OF_ALL: Final = 3000
BAD_CODES_OF_ALL: Final = 300
BAD_PASSWORDS_OF_ALL: Final = 60
#: Addresses remembered per counter; the longest silent one is forgotten first.
MAX_ADDRESSES: Final = 10_000
#: Token owners remembered, and for how long should a forget() have been missed.
MAX_CACHED_OWNERS: Final = 20_000
CACHE_S: Final = 60.0
#: Longer ones are none of ours and are not worth hashing.
MAX_TOKEN: Final = 256
#: Proxies that a request is followed back through.
MAX_HOPS: Final = 32
#: What Host and peer address mean nothing beside.
FORWARDING_HEADERS: Final = (
    hdrs.FORWARDED,
    hdrs.X_FORWARDED_FOR,
    hdrs.X_FORWARDED_HOST,
    hdrs.X_FORWARDED_PROTO,
    "X-Real-IP",
    hdrs.VIA,
)
SUBPROTOCOL: Final = "liverelay.v1"
TOKEN_SUBPROTOCOL: Final = "token."  # noqa: S105  what a token stands behind


class Attempts:
    """Bad attempts within the last minute, `per_minute` of each address and `of_all` of which are
    let pass.
    """

    def __init__(
        self, name: str, per_minute: int, of_all: int, *, max_addresses: int = MAX_ADDRESSES
    ) -> None:
        self._name = name
        self._max_addresses = max_addresses
        self._item = RateLimitItemPerMinute(per_minute)
        self._of_all = RateLimitItemPerMinute(of_all)
        self._storage = MemoryStorage()
        self._window = MovingWindowRateLimiter(self._storage)
        # limits keeps an address's empty list for ever: ours bounds how many there are.
        self._addresses: OrderedDict[str, None] = OrderedDict()

    def add(self, ip: str) -> bool:
        """Count one attempt before it is tried; False when there were too many already."""
        key = counted_as(ip)
        self._addresses[key] = None
        self._addresses.move_to_end(key)
        if len(self._addresses) > self._max_addresses:
            self._clear(self._addresses.popitem(last=False)[0])
        # One address that has had its share does not use up everybody's.
        return self._window.hit(self._item, self._name, key) and self._window.hit(
            self._of_all, self._name
        )

    def exhausted(self, ip: str) -> bool:
        """Whether one more attempt would be refused."""
        return not (
            self._window.test(self._item, self._name, counted_as(ip))
            and self._window.test(self._of_all, self._name)
        )

    def clear(self, ip: str) -> None:
        """Forget what was counted: the attempt was a good one."""
        key = counted_as(ip)
        self._addresses.pop(key, None)
        self._clear(key)

    def retry_after_s(self, ip: str) -> int:
        """Whole seconds until an attempt is let pass again, at least 1."""
        own = self._window.get_window_stats(self._item, self._name, counted_as(ip))
        every = self._window.get_window_stats(self._of_all, self._name)
        waits = [reset_at - time.time() for reset_at, left in (own, every) if not left]
        return max(1, math.ceil(max(waits, default=0)))

    def _clear(self, key: str) -> None:
        self._storage.clear(self._item.key_for(self._name, key))


class Auth:
    """Tokens and addresses of requests. Remembers token owners; the store is the truth."""

    def __init__(
        self,
        config: Config,
        users: Users,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_owners: int = MAX_CACHED_OWNERS,
    ) -> None:
        self._max_owners = max_owners
        self._users = users
        self._clock = clock
        self._proxies = TrustedProxies(config.server.trusted_proxies)
        self._owners: OrderedDict[bytes, tuple[TokenOwner, float]] = OrderedDict()
        self._forgotten = 0
        # One more is recorded, so that "more than" can be told from "as many as".
        self._bad_tokens = Attempts("token", BAD_TOKENS_PER_MINUTE + 1, BAD_TOKENS_OF_ALL)
        self.pairing_attempts = Attempts("pairing", BAD_CODES_PER_MINUTE, BAD_CODES_OF_ALL)
        self.password_attempts = Attempts(
            "password", BAD_PASSWORDS_PER_MINUTE, BAD_PASSWORDS_OF_ALL
        )

    def client_ip(self, request: web.BaseRequest) -> str:
        """Who asks: the peer, or behind trusted proxies the right-most hop that is not one.

        Further left a client writes what it likes.
        """
        peer = read_address(request.remote or "")
        if peer is None:
            return request.remote or ""
        hops = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ())).split(",")
        for hop in reversed(hops[-MAX_HOPS:]):
            if not self._proxies.has(peer):
                break
            before = read_address(without_port(hop.strip()))
            if before is None:
                break
            peer = before
        return str(peer)

    def scheme(self, request: web.BaseRequest) -> str:
        """http or https, as the client sees it: a trusted proxy may have ended TLS."""
        peer = read_address(request.remote or "")
        if self._proxies.has(peer):
            nearest = request.headers.get(hdrs.X_FORWARDED_PROTO, "").rpartition(",")[2].strip()
            if nearest in ("http", "https"):
                return nearest
        return request.scheme

    def is_loopback(self, request: web.BaseRequest) -> bool:
        """Whether this machine itself asks, and not through a proxy on it."""
        if any(header in request.headers for header in FORWARDING_HEADERS):
            return False
        address = read_address(self.client_ip(request))
        return address is not None and address.is_loopback

    async def authenticate(self, request_ip: str, token: str) -> TokenOwner:
        """The owner of `token`. Raises Unauthorized, and counts it against the address."""
        if not token or len(token) > MAX_TOKEN or not token.isascii():
            self._bad_tokens.add(request_ip)
            raise Unauthorized("no usable token")
        # Tokens are found by their hash, so no comparison tells a guesser how near it was.
        token_hash = hashlib.sha256(token.encode()).digest()
        owner = self._remembered(token_hash)
        if owner is None:
            forgotten = self._forgotten
            owner = await self._users.find_token(token)
            if owner is None:
                self._bad_tokens.add(request_ip)
                raise Unauthorized("unknown or revoked token")
            if forgotten == self._forgotten:  # else it may have been revoked while we looked
                self._remember(token_hash, owner)
        return owner

    def too_many_bad_tokens(self, ip: str) -> bool:
        """Whether more than BAD_TOKENS_PER_MINUTE were bad; ask only after a token was."""
        return self._bad_tokens.exhausted(ip)

    def bad_token_retry_after_s(self, ip: str) -> int:
        """Whole seconds until a bad token is answered by 401 again."""
        return self._bad_tokens.retry_after_s(ip)

    def forget(self) -> None:
        """Ask the store again: tokens or users changed."""
        self._owners.clear()
        self._forgotten += 1

    def _remembered(self, token_hash: bytes) -> TokenOwner | None:
        owner, until = self._owners.get(token_hash, (None, 0.0))
        return owner if self._clock() < until else None

    def _remember(self, token_hash: bytes, owner: TokenOwner) -> None:
        self._owners[token_hash] = (owner, self._clock() + CACHE_S)
        self._owners.move_to_end(token_hash)
        if len(self._owners) > self._max_owners:
            self._owners.popitem(last=False)


def bearer_token(request: web.BaseRequest) -> str:
    """The token of `Authorization: Bearer T`, or nothing. REST takes it from nowhere else."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def socket_token(request: web.Request) -> str:
    """A phone's token, from the first of: header, subprotocol, path, query; or nothing."""
    return (
        bearer_token(request)
        or _subprotocol_token(request)
        or request.match_info.get("token", "")
        or request.query.get("token", "")
    )


def _subprotocol_token(request: web.BaseRequest) -> str:
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    for protocol in offered.split(","):
        if protocol.strip().startswith(TOKEN_SUBPROTOCOL):
            return protocol.strip().removeprefix(TOKEN_SUBPROTOCOL)
    return ""
