"""Is TikTok there, is the sign server, and what does it say is left. Nothing here costs a
signature.

`GET {sign}/webcast/rate_limits` answers {"minute"|"hour"|"day": {"max", "remaining", …}, …}. It is
read by hand: EulerStream's own SDK raises KeyError when a part is missing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import msgspec

from server.config import Config
from server.upstream.http import Attempt, NotingTransport
from server.upstream.retry_after import EPOCH_FROM, EPOCH_MS_FROM, WINDOWS_S, Window

TIMEOUT_S: Final = 5.0


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `status` 0: nothing did, and `reason` says why."""

    status: int = 0
    reason: str = ""
    #: The other side's clock minus ours, in seconds; None when it told no time.
    clock_offset_s: float | None = None


class LimitsLeft(msgspec.Struct, frozen=True):
    """One window of the sign server's limits. `reset_at` is epoch seconds, 0 when not told."""

    window: Window
    remaining: int
    maximum: int
    reset_at: float = 0.0


class SignProbe(Probe, frozen=True, kw_only=True):
    """The sign server's answer and the limits in it."""

    limits: tuple[LimitsLeft, ...] = ()


async def ask_tiktok(config: Config) -> Probe:
    """Fetch TikTok's start page."""
    answer = await _get(config, config.tiktok.app_url, {})
    if isinstance(answer, str):
        return Probe(reason=answer)
    return Probe(status=answer.status_code, clock_offset_s=_clock_offset(answer))


async def ask_sign_server(config: Config) -> SignProbe:
    """Ask the sign server for the limits of the server's key."""
    answer = await _get_limits(config, config.sign.api_key)
    if isinstance(answer, str):
        return SignProbe(reason=answer)
    return SignProbe(
        status=answer.status_code,
        clock_offset_s=_clock_offset(answer),
        limits=read_limits(answer.content) if answer.is_success else (),
    )


async def ask_limits(config: Config, key: str) -> tuple[LimitsLeft, ...]:
    """What is left of a key's limits; nothing when the sign server does not tell."""
    answer = await _get_limits(config, key)
    return () if isinstance(answer, str) or not answer.is_success else read_limits(answer.content)


def read_limits(body: bytes) -> tuple[LimitsLeft, ...]:
    """The windows of an answer; what is no window is left out."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ()
    windows: dict[str, Any] = decoded if isinstance(decoded, dict) else {}
    return tuple(
        LimitsLeft(name, window["remaining"], window["max"], _epoch(window.get("reset_at")))
        for name in WINDOWS_S
        if isinstance(window := windows.get(name), dict)
        and all(type(window.get(key)) is int for key in ("remaining", "max"))
        and window["max"] > 0
    )


def _epoch(value: object) -> float:
    """A time in ISO 8601 or in seconds or milliseconds since 1970; 0 for anything else."""
    if isinstance(value, int | float) and EPOCH_FROM <= value:
        return value / 1000 if value >= EPOCH_MS_FROM else float(value)
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        if time is None:
            return 0.0
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


async def _get_limits(config: Config, key: str) -> httpx.Response | str:
    headers = {"X-Api-Key": key} if key else {}
    return await _get(config, f"{config.sign.url.rstrip('/')}/webcast/rate_limits", headers)


async def _get(config: Config, url: str, headers: dict[str, str]) -> httpx.Response | str:
    """The answer, or why there is none, as the class of what went wrong."""
    transport = NotingTransport(Attempt(), "sign", proxy=config.tiktok.web_proxy)
    async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S, trust_env=False) as client:
        try:
            return await client.get(url, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__


def _clock_offset(answer: httpx.Response) -> float | None:
    try:
        there = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if there.tzinfo is None:
        there = there.replace(tzinfo=UTC)
    return (there - datetime.now(UTC)).total_seconds()
