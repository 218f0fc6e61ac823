"""The application: builds every object once, in order, and takes them down in reverse.

The only module that sees all of the others. Order of life: store, event log, TikTok, rooms, phones.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import gc
import logging
import resource
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from server import logs, startup
from server.clock import Clock
from server.config import Config, shown
from server.errors import StartupError, StoreUnavailable
from server.lag import LoopLag
from server.relay.cooldowns import Cooldowns
from server.relay.ended import EndedLives
from server.relay.eventlog import EventLog
from server.relay.keeper import Upstream
from server.relay.rooms import Rooms
from server.relay.visits import Visits
from server.store.database import Database
from server.tasks import TaskOwner
from server.upstream import probe
from server.upstream.guard import Guard
from server.upstream.tiktok import TikTok
from server.web import api, asyncapi, console, health, middlewares, pages, phone, shell, status
from server.web.auth import Auth
from server.web.body import MAX_BODY_BYTES
from server.web.console import audit as console_audit
from server.web.console.session import LIVE_SOCKETS
from server.web.edge import Edge, EdgeSite
from server.web.keys import (
    AUTH,
    CHECKS,
    CLOCK,
    CONFIG,
    DATABASE,
    EDGE,
    EVENT_LOG,
    GUARD,
    LAG,
    LOG,
    PHONES,
    ROOMS,
    SESSIONS,
    TIKTOK,
    USERS,
    VISITS,
)
from server.web.phones import Phones
from server.web.recorder import Recorder
from server.web.status import Checks

logger = logging.getLogger(__name__)

#: A command beside the running server is noticed within a second.
CHANGES_POLL_S: Final = 0.5
#: A phone is a descriptor; the soft limit of many systems is 1024.
WANTED_DESCRIPTORS: Final = 65_536
#: aiohttp waits this long for requests under way; phones are closed before.
SHUTDOWN_TIMEOUT_S: Final = 3.0


def create_app(config: Config, clock: Clock | None = None) -> web.Application:
    """The application for these settings. Its objects live from start-up to clean-up."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[CONFIG] = config
    app[CLOCK] = clock or Clock()
    app[EDGE] = Edge(config)
    middlewares.install(app)
    pages.setup_templates(app)
    for module in (phone, api, asyncapi, health, pages, shell, status, console):
        module.add_routes(app)
    app.cleanup_ctx.extend(
        [_lag, _store, console_audit.running, _event_log, _tiktok, _relay, _changes]
    )
    app.on_shutdown.append(_close_phones)
    return app


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartupError when it cannot begin."""
    logs.setup(config)
    _raise_descriptor_limit()
    runner = web.AppRunner(create_app(config), shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.tell_loop_error)
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    try:
        await runner.setup()
        port = await _listen(runner, config)
        app = runner.app
        try:
            first = await startup.first_user(app[USERS], config)
            await startup.print_links(config, app[USERS], app[SESSIONS], first, port=port)
        except StoreUnavailable as error:
            raise StartupError(f"{config.database.path}: {error.detail}") from None
        await stop.wait()
        logger.info("Stopping")
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, config: Config) -> int:
    """Open the port; returns which one it is."""
    server = config.server
    site = EdgeSite(runner, server.host, server.port, ssl_context=_tls(config))
    try:
        await site.start()
    except OSError as error:
        mend = "choose another port, or stop who has it"
        if error.errno != errno.EADDRINUSE:
            mend = "give server.host an address of this machine, or a port above 1023"
        raise StartupError(
            f"server.host = {shown(server.host)}, server.port = {server.port}: cannot listen: "
            f"{error.strerror or error}; {mend}"
        ) from None
    port: int = runner.addresses[0][1]
    logger.info("Listening on %s port %s", server.host, port)
    return port


def _tls(config: Config) -> ssl.SSLContext | None:
    server = config.server
    if not server.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(server.tls_cert, server.tls_key)
    except (OSError, ssl.SSLError) as error:
        reason = "not a PEM pair" if isinstance(error, ssl.SSLError) else error.strerror
        raise StartupError(
            f"server.tls_cert = {shown(server.tls_cert)}: certificate or key cannot be used: "
            f"{reason}"
        ) from None
    return context


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@asynccontextmanager
async def _lag(app: web.Application) -> AsyncIterator[None]:
    lag = app[LAG] = LoopLag()
    lag.start()
    try:
        yield
    finally:
        lag.stop()


@asynccontextmanager
async def _store(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    database = await Database.open(Path(config.database.path), serving=True)
    app[DATABASE] = database
    app[USERS] = database.users
    app[SESSIONS] = database.sessions
    app[LOG] = database.log
    app[AUTH] = Auth(config, database.users)
    try:
        yield
    finally:
        await database.close()


@asynccontextmanager
async def _event_log(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    clock = app[CLOCK]
    log = EventLog(
        app[LOG], config.log, config.server.language, clock_ms=lambda: int(clock.wall() * 1000)
    )
    try:
        await log.start()
    except StoreUnavailable as error:
        raise StartupError(f"{config.database.path}: {error.detail}") from None
    app[EVENT_LOG] = log
    try:
        yield
    finally:
        await log.close()


@asynccontextmanager
async def _tiktok(app: web.Application) -> AsyncIterator[None]:
    tiktok = TikTok(app[CONFIG], on_loaded=_settle_heap)
    app[TIKTOK] = tiktok
    tiktok.start()
    try:
        yield
    finally:
        await tiktok.close()


@asynccontextmanager
async def _relay(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    database, clock = app[DATABASE], app[CLOCK]
    look = functools.partial(probe.ask_limits, config)
    guard = Guard(config.sign, database.limits, look, clock=clock)
    cooldowns = Cooldowns(database.cooldowns, clock, offline_s=config.rooms.offline_poll_s)
    ended = EndedLives(database.lives, clock)
    try:
        await guard.load()
        await cooldowns.load()
        await ended.load()
    except StoreUnavailable as error:
        raise StartupError(f"{config.database.path}: {error.detail}") from None
    visits = Visits(database.visits, config.rooms.linger_s)
    upstream = Upstream(app[TIKTOK], guard, ended)
    rooms = Rooms(config, upstream, app[EVENT_LOG], visits, cooldowns)
    app[GUARD] = guard
    app[ROOMS] = rooms
    app[VISITS] = visits
    recorder = Recorder(
        database.connections, config.log.keep_days, lambda: int(clock.wall() * 1000)
    )
    try:
        await recorder.start(app[EVENT_LOG].last_id)
    except StoreUnavailable as error:
        raise StartupError(f"{config.database.path}: {error.detail}") from None
    app[PHONES] = Phones(config, app[USERS], rooms, app[EVENT_LOG], recorder, clock)
    app[CHECKS] = checks = Checks(config, guard, database.limits, clock)
    try:
        yield
    finally:
        await checks.close()
        await recorder.close()
        await rooms.close()
        await guard.close()
        await cooldowns.close()
        await ended.close()
        await visits.close()


@asynccontextmanager
async def _changes(app: web.Application) -> AsyncIterator[None]:
    """Notice what commands beside the server change in the database."""
    tasks = TaskOwner("changes")
    tasks.start(_watch_changes(app), name="watch")
    try:
        yield
    finally:
        await tasks.close()


async def _watch_changes(app: web.Application) -> None:
    users, auth, phones = app[USERS], app[AUTH], app[PHONES]
    await phones.check_all()
    seen = await users.revision()
    while True:
        await asyncio.sleep(CHANGES_POLL_S)
        try:
            revision = await users.revision()
            if revision != seen:
                auth.forget()
                await phones.check_all()
                await app[LIVE_SOCKETS].check(app[SESSIONS])
                seen = revision
        except StoreUnavailable as error:
            logger.debug("Changes cannot be looked for: %s", error.detail)
        except Exception:
            # One phone that cannot be moved must not end the watch over all the others.
            logger.exception("Changes could not be followed")


async def _close_phones(app: web.Application) -> None:
    await app[PHONES].close()


def _settle_heap() -> None:
    """What the library built at import stays for good: a full collection need not walk it again."""
    gc.collect()
    gc.freeze()
