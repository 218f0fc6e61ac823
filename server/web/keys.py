"""The application's collaborators, by type. app.py puts them in; handlers take them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:  # names for the type checker: importing them here would close import circles
    from server.clock import Clock
    from server.config import Config
    from server.lag import LoopLag
    from server.relay.eventlog import EventLog
    from server.relay.rooms import Rooms
    from server.relay.visits import Visits
    from server.store.database import Database
    from server.store.log import LogStore
    from server.store.sessions import Sessions
    from server.store.users import Users
    from server.upstream.guard import Guard
    from server.upstream.tiktok import TikTok
    from server.web.auth import Auth
    from server.web.edge import Edge
    from server.web.phones import Phones
    from server.web.status import Checks

CONFIG: Final[web.AppKey[Config]] = web.AppKey("config")
CLOCK: Final[web.AppKey[Clock]] = web.AppKey("clock")
DATABASE: Final[web.AppKey[Database]] = web.AppKey("database")
USERS: Final[web.AppKey[Users]] = web.AppKey("users")
SESSIONS: Final[web.AppKey[Sessions]] = web.AppKey("sessions")
LAG: Final[web.AppKey[LoopLag]] = web.AppKey("lag")
LOG: Final[web.AppKey[LogStore]] = web.AppKey("log")
EVENT_LOG: Final[web.AppKey[EventLog]] = web.AppKey("event_log")
ROOMS: Final[web.AppKey[Rooms]] = web.AppKey("rooms")
VISITS: Final[web.AppKey[Visits]] = web.AppKey("visits")
GUARD: Final[web.AppKey[Guard]] = web.AppKey("guard")
PHONES: Final[web.AppKey[Phones]] = web.AppKey("phones")
TIKTOK: Final[web.AppKey[TikTok]] = web.AppKey("tiktok")
AUTH: Final[web.AppKey[Auth]] = web.AppKey("auth")
EDGE: Final[web.AppKey[Edge]] = web.AppKey("edge")
CHECKS: Final[web.AppKey[Checks]] = web.AppKey("checks")
