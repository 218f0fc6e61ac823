"""`/status`: is it me or TikTok? What anyone may know of the way to TikTok; no names.

Nobody who looks makes the server look: it asks once a minute at most, and only while somebody
wants to know. Neither question costs a signature.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal, cast

import msgspec
from aiohttp import web

from server.clock import Clock
from server.config import Config
from server.errors import StoreUnavailable
from server.store.limits import LimitStore
from server.tasks import TaskOwner
from server.upstream import probe
from server.upstream.guard import Guard
from server.web.keys import CHECKS
from server.web.render import render

#: How old an answer may be before it is asked for again.
FRESH_S: Final = 60.0
#: Older than this it is not shown while the new one is on its way.
STALE_S: Final = 600.0
#: It is there, and lets nobody in: a key that does not fit, a wall against robots.
REFUSALS: Final = frozenset({401, 402, 403})
SERVER_ERROR: Final = 500

State = Literal["up", "failing", "down"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How things stood at `at` (epoch seconds). `last_ok` is when the sign server last let a
    connection through, 0 for never within a day.
    """

    at: float
    sign: State
    tiktok: State
    last_ok: float


class Checks:
    """The last check, and the one under way."""

    def __init__(self, config: Config, guard: Guard, limits: LimitStore, clock: Clock) -> None:
        self._config = config
        self._guard = guard
        self._limits = limits
        self._clock = clock
        self._tasks = TaskOwner("status")
        self._last: Check | None = None
        self._last_at = 0.0
        self._looking: asyncio.Task[Check] | None = None

    async def latest(self) -> Check:
        """How things stand, or stood a short while ago."""
        age_s = self._clock.mono() - self._last_at
        looking = self._looking
        if looking is None and (self._last is None or age_s >= FRESH_S):
            looking = self._looking = self._tasks.start(self._look(), name="look")
        if looking is None or (self._last is not None and age_s < STALE_S):
            return cast("Check", self._last)
        return await asyncio.shield(looking)

    def limited_until(self) -> float:
        """Until when new lives cannot be connected to without an own key; 0: they can."""
        return self._guard.closed_until(self._config.sign.api_key)

    async def close(self) -> None:
        """End a look that is under way."""
        await self._tasks.close()

    async def _look(self) -> Check:
        try:
            sign, tiktok = await asyncio.gather(
                probe.ask_sign_server(self._config), probe.ask_tiktok(self._config)
            )
            try:
                last_ok = await self._limits.last_ok_ms() / 1000
            except StoreUnavailable:
                last_ok = 0.0
            self._last = Check(
                at=self._clock.wall(), sign=_state(sign), tiktok=_state(tiktok), last_ok=last_ok
            )
            self._last_at = self._clock.mono()
            return self._last
        finally:
            self._looking = None


def _state(answer: probe.Probe) -> State:
    if answer.status == 0:
        return "down"
    failing = answer.status >= SERVER_ERROR or answer.status in REFUSALS
    return "failing" if failing else "up"


def add_routes(app: web.Application) -> None:
    """The one page."""
    app.router.add_get("/status", status_page)


async def status_page(request: web.Request) -> web.Response:
    """Who is to blame, in a sentence, and what that is read from."""
    checks = request.app[CHECKS]
    check = await checks.latest()
    limited_until = checks.limited_until()
    return render(
        request,
        "status.html",
        check=check,
        limited_until=limited_until,
        verdict=_verdict(check, limited=limited_until > 0),
    )


def _verdict(check: Check, *, limited: bool) -> str:
    """The key of the sentence; what keeps everybody out comes first."""
    if check.tiktok != "up":
        return "tiktok"
    if check.sign != "up":
        return "sign"
    return "limited" if limited else "fine"
