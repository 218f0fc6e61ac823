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

TIMEOUT_S: Final = 5.0
WINDOWS: Final = ("minute", "hour", "day")


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `status` 0: nothing did, and `reason` says why."""

    status: int = 0
    reason: str = ""
    #: The other side's clock minus ours, in seconds; None when it told no time.
    clock_offset_s: float | None = None


class LimitsLeft(msgspec.Struct, frozen=True):
    """One window of the sign server's limits."""

    window: str
    remaining: int
    maximum: int


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
    headers = {"X-Api-Key": config.sign.api_key} if config.sign.api_key else {}
    answer = await _get(config, f"{config.sign.url.rstrip('/')}/webcast/rate_limits", headers)
    if isinstance(answer, str):
        return SignProbe(reason=answer)
    return SignProbe(
        status=answer.status_code,
        clock_offset_s=_clock_offset(answer),
        limits=read_limits(answer.content) if answer.is_success else (),
    )


def read_limits(body: bytes) -> tuple[LimitsLeft, ...]:
    """The windows of an answer; what is no window is left out."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ()
    windows: dict[str, Any] = decoded if isinstance(decoded, dict) else {}
    return tuple(
        LimitsLeft(name, window["remaining"], window["max"])
        for name in WINDOWS
        if isinstance(window := windows.get(name), dict)
        and all(type(window.get(key)) is int for key in ("remaining", "max"))
    )


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
