"""The settings, typed, with their defaults and the rules between them. configfile.py reads them in.

Durations are seconds (`_s`), sizes bytes (`_bytes`). config.toml explains every key to operators.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from server.errors import StartupError

#: Keys whose values never appear in a message.
SECRET_KEYS: Final = frozenset({"api_key", "session_id", "metrics_token"})

Seconds = Annotated[float, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
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


def check(config: Config) -> None:
    """Rules that one value's type cannot tell."""
    server = config.server
    if bool(server.tls_cert) != bool(server.tls_key):
        raise StartupError("server.tls_cert and server.tls_key go together: set both or neither")
    urls = {
        "server.public_url": (server.public_url, ("http", "https")),
        "tiktok.app_url": (config.tiktok.app_url, ("http", "https")),
        "tiktok.webcast_url": (config.tiktok.webcast_url, ("http", "https")),
        "sign.url": (config.sign.url, ("http", "https")),
    }
    for name, (value, schemes) in urls.items():
        if name == "server.public_url" and not value:
            continue
        _check_url(name, value, schemes)
    for origin in server.allowed_origins:
        _check_url("server.allowed_origins", origin, ("http", "https"))
    limits = config.sign.anonymous_limits
    if not limits.minute <= limits.hour <= limits.day:
        raise StartupError(
            "sign.anonymous_limits: a longer window cannot allow less than a shorter one "
            f"(minute = {limits.minute}, hour = {limits.hour}, day = {limits.day})"
        )
    if bool(config.tiktok.session_id) != bool(config.tiktok.tt_target_idc):
        raise StartupError("tiktok.session_id and tiktok.tt_target_idc go together")
    _check_proxies(config)


def _check_url(name: str, value: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or value != value.strip():
        raise StartupError(
            f"{name} = {shown(value)}: expected a URL that begins with {schemes[0]}:// "
            f"or {schemes[-1]}://"
        )


def _check_proxies(config: Config) -> None:
    for network in config.server.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise StartupError(
                f"server.trusted_proxies = {shown(network)}: expected an IP address or a network "
                "such as 10.0.0.0/8"
            ) from None
    for name, value in (
        ("tiktok.web_proxy", config.tiktok.web_proxy),
        ("tiktok.ws_proxy", config.tiktok.ws_proxy),
    ):
        if value:
            _check_url(name, value, ("http", "https", "socks5"))


def shown(value: object) -> str:
    """A value as an operator's message quotes it, cut to one readable line."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
