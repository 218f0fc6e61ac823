"""Addresses of clients: read in one spelling, counted by household, and whether one is a proxy that
the operator trusts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_address(text: str) -> IPAddress | None:
    """An address in its one spelling; IPv4 inside IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def counted_as(ip: str) -> str:
    """What an address counts as where there are limits: of IPv6 the /64, which a household has
    whole.
    """
    address = read_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return ip


def without_port(hop: str) -> str:
    """Some proxies write `1.2.3.4:567` or `[::1]:567`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


class TrustedProxies:
    """server.trusted_proxies."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(one, strict=False) for one in networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def has(self, address: IPAddress | None) -> bool:
        """Whether this is one of them."""
        return address is not None and any(address in network for network in self._networks)
