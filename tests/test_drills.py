"""Drills: what goes wrong on a real machine, done to a real server process, while a healthy phone
watches. `make drill` does them at full length and prints the figures.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import resource
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cable import Cable
from tests.process import Server, environment, run
from tests.tiktok import Creator, TikTok, frames
from tests.tiktok.envelope import fetch_result, msg_frame, push_frame
from tests.witness import PATIENCE_S, Witness

FULL = os.environ.get("LIVERELAY_DRILL") == "full"
#: Figures that are promises: held at full length, on a machine that does nothing else.
READY_S, RESUMED_S, CONNECTS_S, GONE_S = 5.0, 10.0, 0.5, 12.0
LATE_S, LATE_P999_S = 0.25, 0.05
IDLE_KIB = 18.0

pytestmark = pytest.mark.timeout(900 if FULL else 120)

SETTINGS = """
[limits]
connections_per_user = 20000
connections_per_ip = 20000
[sign.anonymous_limits]
minute = 100000
hour = 100000
day = 100000
"""


def told(what: str, seconds: float, promised: float) -> None:
    """Print a figure; at full length it must be what is promised."""
    print(f"{what}: {seconds:.3f} s (promised: {promised:g} s)")
    if FULL:
        assert seconds <= promised, what


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
def env(tmp_path: Path, tiktok: TikTok) -> Iterator[dict[str, str]]:
    (tmp_path / "config.toml").write_text(SETTINGS)
    yield environment(tmp_path, tiktok)


async def token_of(tmp_path: Path, username: str) -> str:
    done = await run(tmp_path, "user", "add", "--name", "u", "--tiktok", username, "--json")
    token: str = json.loads(done.out)["token"]
    return token


@asynccontextmanager
async def watched(
    server: Server, http: aiohttp.ClientSession, creator: Creator, token: str
) -> AsyncIterator[Witness]:
    """A witness who hears the creator."""
    async with Witness(http, creator, token, server.url) as witness:
        await witness.hears(5)
        yield witness


@asynccontextmanager
async def relaying(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> AsyncIterator[tuple[Server, Witness]]:
    """A server, and a witness of a live on it."""
    creator = tiktok.creator("masha", live=True)
    token = await token_of(tmp_path, "masha")
    async with Server(tmp_path, env) as server, watched(server, http, creator, token) as witness:
        yield server, witness


async def told_lag(http: aiohttp.ClientSession, server: Server) -> None:
    """Print how late the event loop has been."""
    seen = await server.metrics(http)
    told("the loop late at most", seen["liverelay_loop_lag_seconds"], LATE_S)
    told("the loop late, 99.9 %", seen["liverelay_loop_lag_p999_seconds"], LATE_P999_S)


async def becomes(
    http: aiohttp.ClientSession,
    server: Server,
    name: str,
    value: float,
    patience_s: float = PATIENCE_S,
) -> float:
    """Wait until a metric has a value; how long that took."""
    begun = time.monotonic()
    async with asyncio.timeout(patience_s):
        while True:
            if (await server.metrics(http))[name] == value:
                return time.monotonic() - begun
            await asyncio.sleep(0.05)


async def ready(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with http.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.02)


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "liverelay.db")) as database:
        return database.execute(query).fetchall()


async def test_killed_again_and_again_it_keeps_what_it_acknowledged(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    chance = random.Random(7)
    creators = [tiktok.creator(f"creator{number}", live=True) for number in range(3)]
    tokens = [await token_of(tmp_path, creator.name) for creator in creators]
    settings = await token_of(tmp_path, "nobody")
    bearer = {"Authorization": f"Bearer {settings}"}
    acknowledged = tried = "nobody"
    changes = 0

    async def change_settings(url: str) -> None:
        nonlocal acknowledged, tried, changes
        while True:
            tried = f"name{changes}"
            body = {"tiktok_username": tried}
            async with http.put(
                f"{url}/api/me/tiktok-username", json=body, headers=bearer
            ) as answer:
                assert answer.status == 200, await answer.text()
            acknowledged = tried
            changes += 1

    witnesses: list[Witness] = []
    watching = AsyncExitStack()
    slowest = 0.0
    for _ in range(50 if FULL else 5):
        spent = tiktok.sign.spent()
        begun = time.monotonic()
        async with Server(tmp_path, env) as server:
            await ready(http, server.url)
            slowest = max(slowest, time.monotonic() - begun)
            async with http.get(f"{server.url}/api/me", headers=bearer) as answer:
                assert (await answer.json())["tiktok_username"] in {acknowledged, tried}
            for witness in witnesses:
                witness.url = server.url
            for creator, token in zip(creators[len(witnesses) :], tokens, strict=False):
                witness = Witness(http, creator, token, server.url)
                witnesses.append(await watching.enter_async_context(witness))
            await asyncio.gather(*(witness.hears() for witness in witnesses))
            changing = asyncio.create_task(change_settings(server.url))
            await asyncio.sleep(chance.uniform(0.05, 0.5))
            server.process.kill()
            await server.process.wait()
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await changing
        assert tiktok.sign.spent() - spent <= len(creators)
        assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    await watching.aclose()
    for witness in witnesses:
        witness.check()
    assert changes > 5
    assert "Traceback" not in server.err
    told("ready after a kill, the slowest", slowest, READY_S)


async def test_a_full_disk_loses_no_event_and_the_log_resumes(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    async with relaying(tmp_path, tiktok, env, http) as (server, witness):
        server.refuse_writes()
        await becomes(http, server, "liverelay_event_log_failing", 1)
        begun = time.monotonic()
        while time.monotonic() < begun + (60 if FULL else 2):
            await witness.hears(10)
        server.accept_writes()
        resumed = await becomes(http, server, "liverelay_event_log_failing", 0)
        await witness.hears()
        await witness.finish()
        witness.check_whole()
        assert witness.connects == 1
        assert (await server.metrics(http))["liverelay_event_log_dropped"] == 0
        assert await server.stop() == 0
    kept = rows(tmp_path, "SELECT count(*) FROM events WHERE type = 'chat'")
    assert kept == [(witness.sent,)]
    assert "Traceback" not in server.err
    told("the log resumed after", resumed, RESUMED_S)


async def test_a_frozen_process_that_is_resumed_has_lost_nothing(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    async with relaying(tmp_path, tiktok, env, http) as (server, witness):
        for _ in range(10 if FULL else 2):
            server.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.5)
            server.process.send_signal(signal.SIGCONT)
            await witness.hears(100)
        await witness.finish()
        witness.check_whole()
        assert tiktok.sign.spent() == 1
        assert await server.stop() == 0
    assert "Traceback" not in server.err


async def test_bombs_and_floods_in_one_room_cost_the_next_one_nothing(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    creator, flood = (tiktok.creator(name, live=True) for name in ("masha", "flood"))
    tokens = [await token_of(tmp_path, name) for name in ("masha", "flood")]
    async with (
        Server(tmp_path, env) as server,
        watched(server, http, creator, tokens[0]) as witness,
        watched(server, http, flood, tokens[1]) as flooded,
    ):
        bomb, flooding = await asyncio.to_thread(_bomb_and_flood)
        for _ in range(20 if FULL else 2):
            await flood.send_raw(bomb)
            await flood.send_bad_gzip()
            await flood.send_truncated_gzip(frames.chat("fan", "x" * 9000))
            await flood.send_garbage()
            await flood.send_text("not what TikTok sends")
            await witness.hears(5)
        for frame in flooding:
            await flood.send_raw(frame)
            await asyncio.sleep(0.1)
        await witness.hears(5)
        await witness.finish()
        witness.check_whole()
        assert witness.connects == 1
        flooded.check()
        await told_lag(http, server)
        assert await server.stop() == 0
    assert "Traceback" not in server.err


def _bomb_and_flood() -> tuple[bytes, list[bytes]]:
    """A frame of 50 kB that unpacks to 50 MB, and five hundred likes a frame."""
    bomb = push_frame(gzip.compress(b"\0" * 50_000_000), compression="gzip")
    flood = [
        msg_frame(fetch_result([frames.like("fan", 1, number) for number in range(500)]))
        for _ in range(100 if FULL else 10)
    ]
    return bomb, flood


async def test_strangers_in_crowds_keep_no_phone_out(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    rude, good = await token_of(tmp_path, "masha"), await token_of(tmp_path, "masha")
    counts = (500, 1000, 1_000_000) if FULL else (100, 200, 20_000)
    async with relaying(tmp_path, tiktok, env, http) as (server, witness):
        attacker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.attacker", server.url, rude, *map(str, counts)),
            cwd=Path(__file__).parents[1],
            stdout=asyncio.subprocess.PIPE,
        )
        assert attacker.stdout is not None
        assert await attacker.stdout.readline() == b"attacking\n"
        ended = asyncio.create_task(attacker.communicate())
        slowest, visits = 0.0, 0
        while not ended.done():
            begun = time.monotonic()
            async with http.ws_connect(f"{server.url}/ws/{good}") as ws:
                first = await ws.receive_json()
            slowest = max(slowest, time.monotonic() - begun)
            assert first["state"] == "live"
            visits += 1
            await asyncio.sleep(0.05)
        out, _ = await ended
        assert attacker.returncode == 0
        assert visits > 10
        await told_lag(http, server)
        await witness.finish()
        witness.check_whole()
        assert witness.connects == 1
        assert await server.stop() == 0
    assert "Traceback" not in server.err
    told("a good phone connects in, the slowest", slowest, CONNECTS_S)
    told("an attacker's socket lives, the longest", float(out), GONE_S)


async def idle_phone(port: int, token: str) -> socket.socket:
    """Connect a phone that only listens, and wait for its first frame."""
    loop, phone = asyncio.get_running_loop(), socket.socket()
    phone.setblocking(False)
    await loop.sock_connect(phone, ("127.0.0.1", port))
    request = (
        f"GET /ws/{token} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    )
    await loop.sock_sendall(phone, request.encode())
    got = b""
    while b'"state":"live"' not in got:
        piece = await loop.sock_recv(phone, 4096)
        assert piece, got
        got += piece
    return phone


async def test_thousands_of_idle_phones_cost_little_and_rooms_stay_live(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    count = 10_000 if FULL else 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 30_000)), hard))
    quiet = tiktok.creator("quiet", live=True)
    idle = await token_of(tmp_path, "quiet")
    phones: list[socket.socket] = []
    async with relaying(tmp_path, tiktok, env, http) as (server, witness):
        port = int(server.url.rsplit(":", 1)[1])
        phones.append(await idle_phone(port, idle))  # its room is open
        before = server.rss_kib
        while len(phones) < count:
            phones += await asyncio.gather(*(idle_phone(port, idle) for _ in range(20)))
        assert (await server.metrics(http))["liverelay_phones"] == len(phones) + 1
        await witness.hears()
        idle_kib = (server.rss_kib - before) / len(phones)
        await witness.finish()
        witness.check_whole()
        assert witness.connects == 1
        for phone in phones:
            phone.close()
        assert await server.stop() == 0
    assert tiktok.sign.spent() == 2
    await quiet.wait_gone()
    assert "Traceback" not in server.err
    print(f"an idle phone: {idle_kib:.1f} KiB (promised: {IDLE_KIB:g})")
    if FULL:
        assert idle_kib <= IDLE_KIB


async def test_a_stop_in_any_phase_is_a_clean_one(
    tmp_path: Path, env: dict[str, str], tiktok: TikTok
) -> None:
    tiktok.creator("user1", live=True)
    stops = 60 if FULL else 10
    for number in range(stops):
        with (tmp_path / "stderr.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(Path(__file__).parents[1] / "run.py")),
                cwd=tmp_path,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
            await asyncio.sleep(2.5 * number / stops)
            process.send_signal(signal.SIGTERM)
            status = await asyncio.wait_for(process.wait(), 10)
        written = (tmp_path / "stderr.log").read_text()
        # Before the interpreter has got to us, a signal ends it as it ends any program.
        assert status == 0 or (status == -signal.SIGTERM and "Listening" not in written)
        assert "Traceback" not in written
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_database_that_is_deleted_under_it_costs_no_event(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    async with relaying(tmp_path, tiktok, env, http) as (server, witness):
        for suffix in ("", "-wal", "-shm"):
            os.unlink(f"{tmp_path}/liverelay.db{suffix}")
        await witness.hears(100)
        await witness.finish()
        witness.check_whole()
        assert await server.stop() == 0
        assert "Traceback" not in server.err
    async with Server(tmp_path, env) as server:
        await ready(http, server.url)
        assert server.pairing_code
        assert await server.stop() == 0


async def test_a_database_that_is_broken_under_it_costs_no_event(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    async with relaying(tmp_path, tiktok, env, http) as (server, witness):
        noise = random.Random(3).randbytes(1 << 20)
        for name in ("liverelay.db", "liverelay.db-wal"):
            with (tmp_path / name).open("r+b") as file:
                file.write(noise)
        await witness.hears(100)
        await witness.finish()
        witness.check_whole()
        assert await server.stop() == 0
        assert "Traceback" not in server.err
    done = await run(tmp_path, "serve", env=env)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1, done.err


async def test_a_phone_that_vanished_is_noticed(
    tmp_path: Path, tiktok: TikTok, env: dict[str, str], http: aiohttp.ClientSession
) -> None:
    tiktok.creator("masha", live=True)
    token = await token_of(tmp_path, "masha")
    async with (
        Server(tmp_path, env) as server,
        Cable(int(server.url.rsplit(":", 1)[1])) as cable,
        http.ws_connect(f"{cable.url}/ws/{token}") as ws,
    ):
        await ws.receive_json()
        cable.hold()
        await becomes(http, server, "liverelay_phones", 1)
        await becomes(http, server, "liverelay_phones", 0, patience_s=45)
        assert await server.stop() == 0
