"""Who is compared: each starts with its phones, is fed, and says what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.processes import SERVER_CORE, Phones, Process, free_port, wait_for_port
from bench.product import PYTHON, Relay, feeder

PEERS = Path(__file__).parent / "peers"


class Load(NamedTuple):
    """What a contestant is to carry: `stalled` of the phones read nothing."""

    phones: int
    rate: float
    rooms: int = 1
    per_frame: int = 1
    kind: str = "chat"
    stalled: int = 0


class Stage(NamedTuple):
    """A contestant at work."""

    server: Process
    phones: Phones
    connect_s: float
    rss_before_kib: int


class Tools(NamedTuple):
    """The compiled programs, and a folder for everything that is written."""

    phones: Path
    floor: Path
    folder: Path


Contestant = Callable[[Tools, Load], Any]


@contextmanager
def liverelay(tools: Tools, load: Load) -> Iterator[Stage]:
    """The product, end to end: TikTok on loopback, through the real library, to the phones."""
    with ExitStack() as stack:
        source, addresses = stack.enter_context(feeder(load.rooms))
        folder = _fresh(tools.folder)
        relay = stack.enter_context(Relay(folder, addresses, load.rooms))
        relay.ready()
        rss = relay.rss_kib()
        paths = [relay.path(number % load.rooms) for number in range(load.phones)]
        phones = stack.enter_context(
            Phones(tools.phones, relay.port, paths, folder, stalled=load.stalled)
        )
        connect_s = phones.connected()
        source.say(f"{load.rate} {load.per_frame} {load.kind}")
        yield Stage(relay, phones, connect_s, rss)


@contextmanager
def stock(tools: Tools, load: Load) -> Iterator[Stage]:
    """TikTokLive and FastAPI as they come, end to end on the same TikTok."""
    with ExitStack() as stack:
        source, addresses = stack.enter_context(feeder(load.rooms))
        port = free_port()
        urls = (addresses["app"], addresses["webcast"], addresses["sign"])
        server = stack.enter_context(_peer([PYTHON, PEERS / "stock_relay.py", str(port), *urls], port))
        paths = [f"/ws/room{number % load.rooms}" for number in range(load.phones)]
        yield _with_phones(stack, tools, server, port, paths, load, source)


def _peer_of(*command: str | Path, mode: str = "ws", path: str = "/ws") -> Contestant:
    @contextmanager
    def contestant(tools: Tools, load: Load) -> Iterator[Stage]:
        port = free_port()
        program = [tools.floor if part == "floor" else part for part in command]
        with ExitStack() as stack:
            server = stack.enter_context(_peer([*program, str(port), str(load.rate)], port))
            yield _with_phones(stack, tools, server, port, [path] * load.phones, load, mode=mode)

    return contestant


def _with_phones(
    stack: ExitStack,
    tools: Tools,
    server: Process,
    port: int,
    paths: list[str],
    load: Load,
    source: Process | None = None,
    mode: str = "ws",
) -> Stage:
    rss = server.rss_kib()
    folder = _fresh(tools.folder)
    phones = stack.enter_context(
        Phones(tools.phones, port, paths, folder, mode=mode, stalled=load.stalled)
    )
    connect_s = phones.connected()
    if source is not None:
        source.say(f"{load.rate} {load.per_frame} {load.kind}")
    return Stage(server, phones, connect_s, rss)


@contextmanager
def _peer(command: list[str | Path], port: int) -> Iterator[Process]:
    with Process(command, core=SERVER_CORE) as server:
        wait_for_port(port)
        yield server


def _fresh(folder: Path) -> Path:
    number = sum(1 for _ in folder.iterdir())
    made = folder / f"run-{number}"
    made.mkdir()
    return made


floor = _peer_of("floor")
node_ws = _peer_of("node", PEERS / "ws.mjs")
socketio = _peer_of(
    "node", PEERS / "socketio.mjs", mode="socketio", path="/socket.io/?EIO=4&transport=websocket"
)
fastapi = _peer_of(PYTHON, PEERS / "fastapi_seed.py", path="/ws/token")

BROADCASTERS: dict[str, Contestant] = {
    "LiveRelay": liverelay,
    "C, one send() a message": floor,
    "node ws": node_ws,
    "socket.io": socketio,
    "FastAPI (the seed)": fastapi,
}
