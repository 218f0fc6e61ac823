"""The edge: sockets of strangers, however many, slow or malformed, keep no phone out."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from server.clock import Clock
from server.config import Config, LimitSettings, ServerSettings
from server.web import edge
from server.web.edge import Edge, EdgeProtocol
from server.web.keys import EDGE
from tests.liverelay import LiveRelay
from tests.phone import Phone
from tests.process import Server, environment, run
from tests.tiktok import TikTok, frames

#: Longer than the edge's own time-outs.
PATIENCE_S = 30.0

Stranger = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def stranger(relay: LiveRelay, data: bytes = b"") -> Stranger:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(data)
    return reader, writer


async def hung_up(one: Stranger) -> bytes:
    """What is said to it until the socket is closed."""
    reader, writer = one
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


SLOW = {
    "silent": b"",
    "half a request line": b"GET /app",
    "endless headers": b"GET /app/ HTTP/1.1\r\nHost: localhost\r\n",
    "a body that does not come": b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    "a body that nobody reads": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 1000\r\n\r\n{",
    "kept alive": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "slow after an answer": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal",
    "an upgrade without its key": b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
}


async def test_whoever_is_slow_is_hung_up_on_while_a_phone_gets_everything(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator = tiktok.creator("masha", live=True)
    slow = [await stranger(relay, data) for data in SLOW.values() for _ in range(20)]

    async def dribble(one: Stranger) -> None:
        while not one[1].is_closing():
            one[1].write(b"X")
            await asyncio.sleep(0.5)

    dribbling = [asyncio.create_task(dribble(one)) for one in slow[:60]]
    phone = await relay.phone_of("masha")
    await phone.expect_live()
    await creator.send(frames.chat("fan", "still here"))
    await phone.expect("chat", message="still here")
    await asyncio.gather(*map(hung_up, slow))
    for task in dribbling:
        task.cancel()
    await creator.send(frames.chat("fan", "and after"))
    await phone.expect("chat", message="and after")
    assert relay.app[EDGE].sockets == 1


class Peer(EdgeProtocol):
    """A socket that is none: the edge only counts it."""

    __slots__ = ("aborted",)

    def __init__(self, address: str, opened_at: float) -> None:
        self.address = address
        self.is_phone = False
        self.opened_at = opened_at
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def edge_of(**server: object) -> Edge:
    return Edge(Config(server=ServerSettings(**server), limits=LimitSettings()))  # type: ignore[arg-type]


def test_one_stranger_too_many_of_an_address_ends_the_longest_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = Clock().mono()
    door = edge_of()
    old = [Peer("1.1.1.1", now - 60) for _ in range(edge.STRANGERS_PER_ADDRESS)]
    other = Peer("2.2.2.2", now - 60)
    for peer in (other, *old):
        assert door.admit(peer, peer.address)
    door.asked(old[0])
    assert door.admit(Peer("1.1.1.1", now), "1.1.1.1")
    assert not any(peer.aborted for peer in old)
    assert door.admit(Peer("1.1.1.1", now), "1.1.1.1")
    assert [peer.aborted for peer in (other, *old[:3])] == [False, False, True, False]
    assert door.refused == {"silent": 1}


def test_those_that_have_just_come_are_given_a_moment() -> None:
    now = Clock().mono() + 60
    door = edge_of()
    burst = [Peer("1.1.1.1", now) for _ in range(2 * edge.STRANGERS_PER_ADDRESS)]
    assert all(door.admit(peer, "1.1.1.1") for peer in burst)
    assert not any(peer.aborted for peer in burst)


def test_an_address_has_so_many_sockets_and_phones_are_not_among_them() -> None:
    now = Clock().mono() + 60
    door = edge_of()
    peers = [Peer("1.1.1.1", now) for _ in range(edge.SOCKETS_PER_ADDRESS + 1)]
    assert [door.admit(peer, "1.1.1.1") for peer in peers][-2:] == [True, False]
    door.gone(peers[-1])
    door.now_a_phone(peers[0])
    door.now_a_phone(peers[0])
    assert door.admit(Peer("1.1.1.1", now), "1.1.1.1")
    assert not door.admit(Peer("1.1.1.1", now), "1.1.1.1")
    assert door.admit(Peer("2.2.2.2", now), "2.2.2.2")


def test_a_trusted_proxy_is_not_one_address() -> None:
    now = Clock().mono()
    door = edge_of(trusted_proxies=("10.0.0.0/8",))
    peers = [Peer("10.0.0.1", now - 60) for _ in range(2 * edge.SOCKETS_PER_ADDRESS)]
    assert all(door.admit(peer, "10.0.0.1") for peer in peers)
    assert not any(peer.aborted for peer in peers)


def test_what_is_gone_leaves_nothing_behind() -> None:
    door = edge_of()
    peers = [Peer(f"1.1.1.{number % 5}", 0.0) for number in range(50)]
    for number, peer in enumerate(peers):
        door.admit(peer, peer.address)
        if number % 2:
            door.asked(peer)
        if number % 4 == 1:
            door.now_a_phone(peer)
    for peer in peers:
        door.gone(peer)
    assert door.sockets == 0
    assert not door._open
    assert not door._strangers
    assert not door._of_address


MALFORMED: dict[str, Callable[[int], bytes]] = {
    "no HTTP": lambda n: b"\x16\x03\x01" + bytes([n % 256]) * 20,
    "a control character": lambda n: b"GET /ws/SECRET\x01 HTTP/1.1\r\n\r\n",
    "another version": lambda n: b"GET /ws?token=SECRET HTTP/9\r\n\r\n",
    "a header without a colon": lambda n: b"GET / HTTP/1.1\r\nAuthorization SECRET\r\n\r\n",
    "a long header": lambda n: b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"SECRET" * 2000 + b"\r\n\r\n",
    "many headers": lambda n: b"GET / HTTP/1.1\r\n" + b"X: SECRET\r\n" * 200 + b"\r\n",
    "two lengths": lambda n: (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
    ),
    "length and chunks": lambda n: (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a bad chunk": lambda n: (
        b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
    "a foreign host": lambda n: b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "nowhere": lambda n: b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n,
    "a method that is none": lambda n: b"BREW /api/me HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no token": lambda n: b"GET /api/me HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no JSON": lambda n: (
        b"POST /api/pair HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{"
    ),
}
IS_HTTP = {"a foreign host", "nowhere", "no token", "no JSON"}
HOW_MANY = int(os.environ.get("LIVERELAY_MALFORMED", "1400"))


async def test_malformed_requests_are_counted_and_not_printed(
    tmp_path: Path, tiktok: TikTok
) -> None:
    async with Server(tmp_path, environment(tmp_path, tiktok)) as server:
        port = int(server.url.rsplit(":", 1)[1])

        async def ask(number: int) -> None:
            make = list(MALFORMED.values())[number % len(MALFORMED)]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(make(number))
            try:
                line = await asyncio.wait_for(reader.readline(), PATIENCE_S)
            finally:
                writer.close()
                await writer.wait_closed()
            assert line[9:10] == b"4", (number % len(MALFORMED), line)

        for start in range(0, HOW_MANY, 100):
            await asyncio.gather(*map(ask, range(start, min(start + 100, HOW_MANY))))
        async with aiohttp.ClientSession() as http, http.get(f"{server.url}/metrics") as answer:
            metrics = await answer.text()
        written = server.err
        assert await server.stop() == 0
    names = list(MALFORMED)
    no_http = sum(names[number % len(names)] not in IS_HTTP for number in range(HOW_MANY))
    assert f"liverelay_malformed_requests {float(no_http)}\n" in metrics
    assert len(written.splitlines()) <= 20
    assert "SECRET" not in written
    assert "Traceback" not in written


async def test_a_phone_connects_while_descriptors_run_out(tmp_path: Path, tiktok: TikTok) -> None:
    tiktok.creator("masha", live=True)
    added = await run(tmp_path, "user", "add", "--name", "m", "--tiktok", "masha", "--json")
    token = json.loads(added.out)["token"]
    async with Server(tmp_path, environment(tmp_path, tiktok), descriptors=256) as server:
        port = int(server.url.rsplit(":", 1)[1])
        async with aiohttp.ClientSession() as http, AsyncExitStack() as crowd:
            for _ in range(300):
                crowd.callback((await asyncio.open_connection("127.0.0.1", port))[1].close)
            phone = Phone(await connects(http, f"{server.url}/ws/{token}"))
            await phone.expect_live()
            async with http.get(f"{server.url}/metrics") as answer:
                metrics = await answer.text()
        assert await server.stop() == 0
        assert "Traceback" not in server.err
    assert 'liverelay_sockets_refused{why="descriptors"}' in metrics


async def connects(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    """As an app does: again, until there is a place."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await http.ws_connect(url)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
