"""The addresses we hand out: where this server is reached, and the links that let somebody in."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from server.config import Config

LOOPBACK: Final = "127.0.0.1"
#: RFC 5737, nobody's. As the peer of a datagram that is never sent it makes the system say which
#: of this machine's addresses faces others.
NOBODYS_ADDRESS: Final = ("192.0.2.1", 9)


def base_url(config: Config, *, port: int) -> str:
    """Where phones and browsers reach the server, without a final slash."""
    server = config.server
    if server.public_url:
        return server.public_url.rstrip("/")
    host = _own_address() if _is_any(server.host) else server.host
    if ":" in host:
        host = f"[{host}]"
    return f"{'https' if server.tls_cert else 'http'}://{host}:{port}"


def pairing_url(base: str, code: str) -> str:
    """The link that pairs a phone. Browsers never send what follows a `#`, so no log has it."""
    return f"{base}/app/#pair={code}"


def console_login_url(base: str, code: str) -> str:
    """The link that opens the console once."""
    return f"{base}/console/login/{code}"


def only_this_machine(base: str) -> bool:
    """Whether nobody else can open an address."""
    host = urlsplit(base).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect(NOBODYS_ADDRESS)
        except OSError:  # no network at all
            return LOOPBACK
        address: str = unsent.getsockname()[0]
        return address
