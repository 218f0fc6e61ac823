"""Fixtures: TikTok on loopback, LiveRelay in front of it, phones in front of that."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from server.clock import Clock
from server.lag import BLOCKED_S, LoopLag
from tests import canaries
from tests.liverelay import LiveRelay, config_for
from tests.tiktok import TikTok, frames

# Machines are shared: a slow example is no failure. CI must not fail by luck.
settings.register_profile(
    "liverelay", deadline=None, derandomize=os.environ.get("CI") == "true", print_blob=True
)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("LIVERELAY_FUZZ", "0")) or 100,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz" if "LIVERELAY_FUZZ" in os.environ else "liverelay")

Serve = Callable[..., Awaitable[LiveRelay]]


@pytest.fixture
async def tiktok() -> AsyncIterator[TikTok]:
    """TikTok and its sign server, unlimited."""
    await asyncio.to_thread(frames.warm_up)
    async with TikTok(ping_interval=1.0) as stand_in:
        yield stand_in


@pytest.fixture
async def serve(tiktok: TikTok, tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a server with changed settings: `await serve(rooms={"linger_s": 0})`."""
    async with AsyncExitStack() as stack:

        async def start(clock: Clock | None = None, **sections: dict[str, Any]) -> LiveRelay:
            relay = LiveRelay(config_for(tmp_path, tiktok, **sections), clock)
            return await stack.enter_async_context(relay)

        yield start


@pytest.fixture
async def relay(serve: Serve) -> LiveRelay:
    """A server with default settings."""
    return await serve()


@pytest.fixture(autouse=True)
async def nothing_blocks_the_loop() -> AsyncIterator[None]:
    """Fail a test in which the loop's thread works for longer than that without a turn for others.

    In CPU time: what the machine does besides is not ours. The server, TikTok, and the phones of a
    test share the loop, so each has less than this.
    """
    lag = LoopLag()
    lag.start()
    yield
    lag.stop()
    assert lag.longest_turn_s < BLOCKED_S, f"the loop was blocked for {lag.longest_turn_s:.3f} s"


@pytest.fixture(autouse=True)
def canaries_are_of_one_test() -> Iterator[None]:
    """Forget the secrets of a test after it."""
    yield
    canaries.used.clear()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failed run: green must mean that everything ran."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("CI") == "true" and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped: in CI that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
