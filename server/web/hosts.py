"""Which names and which pages are ours: the rules for Host and Origin, without an answer."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from server.config import Config

#: What a Host header of ours can be made of; it is quoted in the Content-Security-Policy.
HOST_HEADER: Final = re.compile(r"[A-Za-z0-9._-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
#: Phones of a day name few; strangers may name any.
KEPT_HOSTS: Final = 256
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def is_our_host(host: str, config: Config) -> bool:
    """Whether a Host header names us: an IP address, localhost, public_url's host, allowed_hosts.

    No DNS answer can make an address or localhost mean somebody else, so they are always ours.
    """
    name = _host_name(host)
    if name is None:
        return False
    ours = {"localhost", urlsplit(config.server.public_url).hostname}
    ours.update(_host_name(allowed) for allowed in config.server.allowed_hosts)
    return name in ours or _is_ip(name)


def foreign_origin(request: web.BaseRequest, config: Config) -> bool:
    """Whether a page of another site asks: its Origin is neither Host, public_url nor allowed.

    No Origin is no page: browsers send it with every WebSocket and every POST.
    """
    origins = request.headers.getall(hdrs.ORIGIN, [])
    if not origins:
        return False
    if len(origins) > 1:
        return True
    origin = _origin(origins[0])
    if origin is None:
        return True
    scheme, host, port = origin
    # The scheme is not compared: behind a proxy that ends TLS we do not know our own.
    if (host, port) == _authority(request.headers.get(hdrs.HOST, ""), scheme):
        return False
    allowed = (config.server.public_url, *config.server.allowed_origins)
    return origin not in {_origin(url) for url in allowed if url}


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of a URL; None when it has none, as in `Origin: null`."""
    try:
        parts = urlsplit(url)
        if not parts.scheme or not parts.hostname:
            return None
        return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None


def _authority(host: str, scheme: str) -> tuple[str, int | None] | None:
    origin = _origin(f"{scheme}://{host}")
    return None if origin is None else origin[1:]


@lru_cache(maxsize=KEPT_HOSTS)
def _host_name(host: str) -> str | None:
    """The name in a Host header without its port, lower-cased; None when it is none."""
    if not HOST_HEADER.fullmatch(host):
        return None
    authority = _authority(host, "http")
    return None if authority is None else authority[0].removesuffix(".")


@lru_cache(maxsize=KEPT_HOSTS)
def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
