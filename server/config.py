"""The settings, typed, with their defaults and the rules between them. configfile.py reads them in.

Durations are seconds (`_s`), sizes bytes (`_bytes`). config.toml explains every key to operators.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

#: Keys whose values never appear in a message.
SECRET_KEYS: Final = frozenset({"api_key", "session_id", "metrics_token", "web_proxy", "ws_proxy"})

HTTP_SCHEMES: Final = ("http", "https")

#: A host as a Host header names it; its port does not count.
HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]+(?::\d{1,5})?")
#: The longest duration that makes sense.
A_YEAR_S: Final = 31_536_000

Seconds = Annotated[float, Meta(ge=0, le=A_YEAR_S)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=A_YEAR_S)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: unknown keys are errors."""


class ServerSettings(Section, frozen=True, kw_only=True):
    """Where we listen and how we present ourselves."""

    host: str = "127.0.0.1"
    port: Port = 8080
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    language: Literal["ru", "en"] = "ru"
    source_url: str = ""
    metrics_token: str = ""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class DatabaseSettings(Section, frozen=True, kw_only=True):
    """Where the SQLite file is; relative to the working directory."""

    path: Annotated[str, Meta(min_length=1)] = "liverelay.db"


class TikTokSettings(Section, frozen=True, kw_only=True):
    """How TikTok is reached."""

    app_url: str = "https://www.tiktok.com"
    webcast_url: str = "https://webcast.tiktok.com/webcast"
    web_proxy: str = ""
    ws_proxy: str = ""
    session_id: str = ""
    tt_target_idc: str = ""


class SignLimits(Section, frozen=True, kw_only=True):
    """New connections that a key may start per window."""

    minute: Count = 5
    hour: Count = 30
    day: Count = 100


class SignSettings(Section, frozen=True, kw_only=True):
    """The sign server (EulerStream) and how carefully it is asked."""

    url: str = "https://api.eulerstream.com"
    api_key: str = ""
    timeout_s: PositiveSeconds = 10
    min_interval_s: Seconds = 1
    max_wait_s: Seconds = 15
    anonymous_limits: SignLimits = SignLimits()


class RoomSettings(Section, frozen=True, kw_only=True):
    """How a creator's room lives."""

    linger_s: Seconds = 120
    backlog: Count = 1000
    backlog_s: Seconds = 120
    when_offline: Literal["wait", "close"] = "wait"
    offline_poll_s: PositiveSeconds = 20
    stall_s: PositiveSeconds = 60
    combo_idle_s: PositiveSeconds = 10
    connect_timeout_s: PositiveSeconds = 30
    max_rooms: Count = 500


class LimitSettings(Section, frozen=True, kw_only=True):
    """What phones may hold and how far one may fall behind."""

    connections_per_user: Count = 10
    connections_per_ip: Count = 100
    lag_bytes: Annotated[int, Meta(ge=4096)] = 262_144
    lag_s: PositiveSeconds = 10
    max_connections: Count = 20_000


class LogSettings(Section, frozen=True, kw_only=True):
    """How much of the event log is kept."""

    keep_days: Count = 14
    max_rows: Count = 2_000_000
    live_events: bool = True


class Config(Section, frozen=True, kw_only=True):
    """Every setting; the field names are config.toml's sections."""

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    tiktok: TikTokSettings = TikTokSettings()
    sign: SignSettings = SignSettings()
    rooms: RoomSettings = RoomSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()


#: What is wrong, as (section.key, the rest of the sentence).
Problem = tuple[str, str]


def problems(config: Config) -> Iterator[Problem]:
    """What one value's type cannot tell: rules between keys, addresses that are none."""
    server, tiktok = config.server, config.tiktok
    if bool(server.tls_cert) != bool(server.tls_key):
        missing = "tls_key" if server.tls_cert else "tls_cert"
        yield f"server.{missing}", " is empty: tls_cert and tls_key go together"
    if bool(tiktok.session_id) != bool(tiktok.tt_target_idc):
        missing = "tt_target_idc" if tiktok.session_id else "session_id"
        yield f"tiktok.{missing}", " is empty: session_id and tt_target_idc go together"
    limits = config.sign.anonymous_limits
    if not limits.minute <= limits.hour <= limits.day:
        given = {"minute": limits.minute, "hour": limits.hour, "day": limits.day}
        yield (
            "sign.anonymous_limits",
            f" = {shown(given)}: a longer window cannot allow less than a shorter one",
        )
    yield from _bad_urls(config)
    for host in server.allowed_hosts:
        if not HOST_NAME.fullmatch(host):
            yield (
                "server.allowed_hosts",
                f" = {shown(host)}: expected a host name such as relay.example.org",
            )
    for network in server.trusted_proxies:
        if not _is_network(network):
            yield (
                "server.trusted_proxies",
                f" = {shown(network)}: expected an IP address or a network such as 10.0.0.0/8",
            )


def _bad_urls(config: Config) -> Iterator[Problem]:
    server, tiktok = config.server, config.tiktok
    proxy_schemes = (*HTTP_SCHEMES, "socks5")
    for key, value, schemes in (
        ("tiktok.app_url", tiktok.app_url, HTTP_SCHEMES),
        ("tiktok.webcast_url", tiktok.webcast_url, HTTP_SCHEMES),
        ("sign.url", config.sign.url, HTTP_SCHEMES),
        *(("server.public_url", url, HTTP_SCHEMES) for url in (server.public_url,) if url),
        *(("server.source_url", url, HTTP_SCHEMES) for url in (server.source_url,) if url),
        *(("server.allowed_origins", url, HTTP_SCHEMES) for url in server.allowed_origins),
        *(("tiktok.web_proxy", url, proxy_schemes) for url in (tiktok.web_proxy,) if url),
        *(("tiktok.ws_proxy", url, proxy_schemes) for url in (tiktok.ws_proxy,) if url),
    ):
        if not _is_url(value, schemes):
            given = "(hidden)" if key.partition(".")[2] in SECRET_KEYS else shown(value)
            begins = " or ".join(f"{scheme}://" for scheme in schemes)
            yield key, f" = {given}: expected a URL that begins with {begins}"


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and value == value.strip()


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _toml(value: object) -> str:
    """A value as it stands in config.toml."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


def shown(value: object) -> str:
    """A value as an operator's message quotes it, cut to one readable line."""
    text = _toml(value)
    return text if len(text) <= 80 else text[:79] + "…"
