"""Is TikTok there, is the sign server, and what does it say is left. Nothing here costs a
signature.

`GET {sign}/webcast/rate_limits` answers {"minute"|"hour"|"day": {"max", "remaining", …}, …}. It is
read by hand: EulerStream's own SDK raises KeyError when a part is missing.
"""

from __future__ import annotations

import time
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
    """One window of the sign server's limits. It resets `reset_s` after the answer, None when that
    was not told.
    """

    window: Window
    remaining: int
    maximum: int
    reset_s: float | None = None


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
        limits=_limits_in(answer),
    )


async def ask_limits(config: Config, key: str) -> tuple[LimitsLeft, ...]:
    """What is left of a key's limits; nothing when the sign server does not tell."""
    answer = await _get_limits(config, key)
    return () if isinstance(answer, str) else _limits_in(answer)


def read_limits(body: bytes, now: float) -> tuple[LimitsLeft, ...]:
    """The windows of an answer given at `now` (epoch seconds); what is no window is left out."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ()
    windows: dict[str, Any] = decoded if isinstance(decoded, dict) else {}
    return tuple(
        LimitsLeft(name, window["remaining"], window["max"], _left(window.get("reset_at"), now))
        for name in WINDOWS_S
        if isinstance(window := windows.get(name), dict)
        and all(type(window.get(key)) is int for key in ("remaining", "max"))
        and window["max"] > 0
    )


def _limits_in(answer: httpx.Response) -> tuple[LimitsLeft, ...]:
    """Measured by the clock of whoever answered: ours may be off."""
    now = time.time() + (_clock_offset(answer) or 0.0)
    return read_limits(answer.content, now) if answer.is_success else ()


def _left(value: object, now: float) -> float | None:
    """Seconds until a time in ISO 8601, or in seconds or milliseconds since 1970."""
    if isinstance(value, int | float) and value >= EPOCH_FROM:
        return (value / 1000 if value >= EPOCH_MS_FROM else value) - now
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        if at is None:
            return None
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None


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
