"""`doctor`: looks at everything a server needs, and says what to mend."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from server.config import Config
from server.errors import StartupError
from server.links import base_url, only_this_machine
from server.store.database import Database
from server.upstream import probe
from server.upstream.guard import Guard
from server.upstream.guard.account import KeyReport, account_name
from server.upstream.probe import Probe, SignProbe

#: A clock that is further off than this makes `retry_at` lie.
MAX_CLOCK_OFFSET_S: Final = 30.0
PRICING_URL: Final = "https://www.eulerstream.com/pricing"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: whether it is well, what was seen, and what to do if it is not."""

    name: str
    ok: bool
    seen: str
    mend: str = ""


async def examine(config: Config) -> AsyncIterator[Finding]:
    """Look at one thing after the other."""
    yield _reachability(config)
    async for finding in _database(config, Path(config.database.path)):
        yield finding
    tiktok = await probe.ask_tiktok(config)
    sign = await probe.ask_sign_server(config)
    yield _tiktok(config, tiktok)
    yield _sign_server(config, sign)
    if sign.status:
        yield _limits(config, sign)
    yield _clock(tiktok, sign)


def _reachability(config: Config) -> Finding:
    base = base_url(config, port=config.server.port)
    if only_this_machine(base):
        return Finding(
            "address",
            True,
            f"{base}, which only this machine can open",
            'for phones set server.host = "0.0.0.0", and server.public_url behind a proxy',
        )
    return Finding("address", True, base)


async def _database(config: Config, path: Path) -> AsyncIterator[Finding]:
    """The file, and what its ledger says of the sign budget."""
    if not await asyncio.to_thread(path.exists):
        if os.access(path.parent, os.W_OK):
            yield Finding("database", True, f"{path} is made at the first start")
        else:
            mend = f"let the server write to {path.parent}"
            yield Finding("database", False, f"{path} cannot be made", mend)
        return
    try:
        database = await Database.open(path, serving=False)
    except StartupError as error:
        yield Finding("database", False, str(error), "mend the file, or restore a backup")
        return
    try:
        users = len(await database.users.all())
        yield Finding("database", True, f"{path} is whole, with {users} users")
        guard = Guard(config.sign, database.limits, partial(probe.ask_limits, config))
        await guard.load(only_look=True)
        for report in guard.report():
            yield _budget(config, report)
    finally:
        await database.close()


def _budget(config: Config, report: KeyReport) -> Finding:
    """What the server itself has counted of a key."""
    own = account_name(config.sign.api_key).startswith(report.name.lstrip("#"))
    name = "sign budget" if own else f"sign budget of {report.name}"
    used = ", ".join(
        f"{window.used}{f' of {window.limit}' if window.limit else ''} a {window.window}"
        for window in report.windows
    )
    if not report.blocked_until:
        return Finding(name, True, f"{used} spent")
    until = datetime.fromtimestamp(report.blocked_until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Finding(
        name,
        False,
        f"{used} spent; blocked until {until}, by {report.source}",
        f"wait, or use a key: {PRICING_URL}",
    )


def _tiktok(config: Config, probe: Probe) -> Finding:
    url = config.tiktok.app_url
    if not probe.status:
        return Finding(
            "tiktok", False, f"{url}: {probe.reason}", "look at the network, DNS and proxies"
        )
    return Finding("tiktok", True, f"{url} answers")


def _sign_server(config: Config, probe: SignProbe) -> Finding:
    url = config.sign.url
    if not probe.status:
        return Finding(
            "sign server", False, f"{url}: {probe.reason}", "look at the network, DNS and proxies"
        )
    if probe.status in (401, 403):
        return Finding(
            "sign server", False, f"{url} refuses the key ({probe.status})", "correct sign.api_key"
        )
    if probe.status >= 500:
        return Finding("sign server", False, f"{url} answers {probe.status}", "try again later")
    return Finding("sign server", True, f"{url} answers")


def _limits(config: Config, probe: SignProbe) -> Finding:
    whose = "of sign.api_key" if config.sign.api_key else "without a key"
    if not probe.limits:
        return Finding("limits", True, f"the sign server does not tell those {whose}")
    left = ", ".join(
        f"{limit.remaining} of {limit.maximum} a {limit.window}" for limit in probe.limits
    )
    used_up = [limit.window for limit in probe.limits if limit.remaining <= 0]
    return Finding(
        "limits",
        not used_up,
        f"{left} left {whose}",
        f"wait for the next {used_up[-1]}, or use a key: {PRICING_URL}" if used_up else "",
    )


def _clock(*probes: Probe) -> Finding:
    offsets = [p.clock_offset_s for p in probes if p.clock_offset_s is not None]
    if not offsets:
        return Finding("clock", True, "nobody told the time")
    offset = min(offsets, key=abs)
    ok = abs(offset) <= MAX_CLOCK_OFFSET_S
    seen = "as others say" if ok else f"{abs(offset):.0f} s {'slow' if offset > 0 else 'fast'}"
    return Finding("clock", ok, seen, "" if ok else "set it by the network's time (NTP)")
