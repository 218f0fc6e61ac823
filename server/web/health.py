"""Whether the process lives, can serve, and what it counts: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from server.errors import StoreUnavailable
from server.web.auth import bearer_token
from server.web.keys import (
    AUTH,
    CONFIG,
    DATABASE,
    EDGE,
    EVENT_LOG,
    GUARD,
    LAG,
    PHONES,
    ROOMS,
    TIKTOK,
)

#: A database that takes longer serves nobody.
READY_TIMEOUT_S: Final = 3.0

GAUGES: Final[tuple[tuple[str, str, Callable[[web.Application], float]], ...]] = (
    ("liverelay_phones", "Phones connected now", lambda app: app[PHONES].count()),
    (
        "liverelay_loop_lag_seconds",
        "The most that the event loop was late within the last minute",
        lambda app: app[LAG].worst_s,
    ),
    (
        "liverelay_loop_lag_p999_seconds",
        "How late the event loop was in all but one of a thousand looks of the last minute",
        lambda app: app[LAG].p999_s,
    ),
    ("liverelay_rooms", "Creators at the moment", lambda app: len(app[ROOMS])),
    (
        "liverelay_event_log_dropped",
        "Entries that the disk refused for too long",
        lambda app: app[EVENT_LOG].dropped,
    ),
    ("liverelay_tasks", "Tasks of the event loop", lambda _: len(asyncio.all_tasks())),
    ("liverelay_sockets", "Sockets of every kind", lambda app: app[EDGE].sockets),
    (
        "liverelay_malformed_requests",
        "Requests that were no HTTP",
        lambda app: app[EDGE].malformed,
    ),
    (
        "liverelay_bad_messages",
        "Frames and messages of TikTok's that could not be read",
        lambda app: app[TIKTOK].bad_messages,
    ),
    (
        "liverelay_event_log_failing",
        "1 while the disk refuses the event log",
        lambda app: int(app[EVENT_LOG].writer_failing),
    ),
)

_REGISTRY: Final[web.AppKey[CollectorRegistry]] = web.AppKey("metrics_registry")


def add_routes(app: web.Application) -> None:
    """The three paths. Metrics are the application's own: a process may hold several in tests."""
    registry = CollectorRegistry()
    registry.register(_Relay(app))
    ProcessCollector(registry=registry)
    app[_REGISTRY] = registry
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)


async def healthz(_request: web.Request) -> web.Response:
    """The event loop turns; nothing else is asked."""
    return web.json_response({"status": "ok"}, headers={hdrs.CACHE_CONTROL: "no-store"})


async def readyz(request: web.Request) -> web.Response:
    """The store, which is open only when it is migrated, answers, and TikTokLive is loaded."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            store = await request.app[DATABASE].ready()
    except (StoreUnavailable, TimeoutError):
        store = False
    tiktok = request.app[TIKTOK].ready
    ready = store and tiktok
    return web.json_response(
        {"status": "ready" if ready else "unavailable", "store": store, "tiktok": tiktok},
        status=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text, for this machine itself or whoever has server.metrics_token."""
    if not _may_read_metrics(request):
        return web.Response(
            status=HTTPStatus.UNAUTHORIZED,
            text="Only from this machine, or with server.metrics_token.\n",
            headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
        )
    return web.Response(
        body=generate_latest(request.app[_REGISTRY]),
        headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST, hdrs.CACHE_CONTROL: "no-store"},
    )


def _may_read_metrics(request: web.Request) -> bool:
    if request.app[AUTH].is_loopback(request):
        return True
    expected = request.app[CONFIG].server.metrics_token.encode()
    given = bearer_token(request).encode(errors="replace")
    return bool(expected) and hmac.compare_digest(given, expected)


class _Relay(Collector):
    """What the relay's own objects say when they are asked."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names alone: registering comes before there is anything to ask."""
        for name, text, _ in GAUGES:
            yield GaugeMetricFamily(name, text)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The values now."""
        for name, text, read in GAUGES:
            yield GaugeMetricFamily(name, text, value=read(self._app))
        refused = GaugeMetricFamily(
            "liverelay_sockets_refused", "Sockets that were not served", labels=("why",)
        )
        for why, count in self._app[EDGE].refused.items():
            refused.add_metric((why,), count)
        yield refused
        yield from self._sign_budget()

    def _sign_budget(self) -> Iterator[GaugeMetricFamily]:
        used = GaugeMetricFamily(
            "liverelay_sign_used", "Sign requests in a window", labels=("key", "window")
        )
        left = GaugeMetricFamily(
            "liverelay_sign_left", "Sign requests that a window allows", labels=("key", "window")
        )
        blocked = GaugeMetricFamily(
            "liverelay_sign_blocked_until", "When the sign server opens again", labels=("key",)
        )
        for report in self._app[GUARD].report():
            blocked.add_metric((report.name,), report.blocked_until)
            for window in report.windows:
                used.add_metric((report.name, window.window), window.used)
                if window.left is not None:
                    left.add_metric((report.name, window.window), window.left)
        saved = GaugeMetricFamily(
            "liverelay_sign_saved", "Sign requests that were needless", labels=("by",)
        )
        for by, count in msgspec.structs.asdict(self._app[ROOMS].saved).items():
            saved.add_metric((by,), count)
        yield from (used, left, blocked, saved)
