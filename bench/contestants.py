"""Who is compared: each starts with its phones, is fed, and says what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.processes import SERVER_CORE, Phones, Process, free_port, wait_for_port
from bench.product import PYTHON, Relay, feeder
from bench.tools import PEERS, Tools


class Load(NamedTuple):
    """What a contestant is to carry: `stalled` of the phones read nothing."""

    phones: int
    rate: float
    rooms: int = 1
    per_frame: int = 1
    kind: str = "chat"
    stalled: int = 0


class Said(NamedTuple):
    """Events, and chats of them."""

    events: int
    chats: int


class Stage(NamedTuple):
    """A contestant at work. `more` lets further phones in; `source` is its TikTok, if any."""

    server: Process
    phones: Phones
    more: Callable[[int], Phones]
    source: Process | None = None

    def said(self) -> Said:
        """What TikTok has sent so far, over all rooms."""
        if self.source is None:
            raise RuntimeError("this contestant speaks by itself")
        self.source.say("said")
        return Said(**self.source.answer())


Contestant = Callable[[Tools, Load], AbstractContextManager[Stage]]


@contextmanager
def liverelay(tools: Tools, load: Load) -> Iterator[Stage]:
    """The product, end to end: TikTok on loopback, through the real library, to the phones."""
    with ExitStack() as stack:
        source, addresses = stack.enter_context(feeder(load.rooms))
        relay = stack.enter_context(Relay(tools.fresh(), addresses, load.rooms))
        relay.ready()
        paths = [relay.path(number) for number in range(load.rooms)]
        yield _with_phones(stack, tools, relay, relay.port, paths, load, source)


@contextmanager
def stock(tools: Tools, load: Load) -> Iterator[Stage]:
    """TikTokLive and FastAPI as they come, end to end on the same TikTok."""
    with ExitStack() as stack:
        source, addresses = stack.enter_context(feeder(load.rooms))
        server, port = stack.enter_context(relay_of_stock_parts(addresses, "creator"))
        paths = [f"/ws/room{number}" for number in range(load.rooms)]
        yield _with_phones(stack, tools, server, port, paths, load, source)


@contextmanager
def relay_of_stock_parts(
    addresses: dict[str, str], client_for: str
) -> Iterator[tuple[Process, int]]:
    """See peers/stock_relay.py; the process and its port."""
    port = free_port()
    urls = (addresses["app"], addresses["webcast"], addresses["sign"])
    program = PEERS / "stock_relay.py"
    with _peer([PYTHON, program, str(port), *urls, client_for], port) as server:
        yield server, port


def _peer_of(*command: str | Path, mode: str = "ws", path: str = "/ws") -> Contestant:
    @contextmanager
    def contestant(tools: Tools, load: Load) -> Iterator[Stage]:
        port = free_port()
        program = [tools.floor if part == "floor" else part for part in command]
        with ExitStack() as stack:
            server = stack.enter_context(_peer([*program, str(port), str(load.rate)], port))
            yield _with_phones(stack, tools, server, port, [path], load, mode=mode)

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
    """Let the phones in, one path after the other, and begin to speak."""

    def more(count: int, stalled: int = 0) -> Phones:
        of_each = [paths[number % len(paths)] for number in range(count)]
        return Phones(tools.phones, port, of_each, tools.fresh(), mode=mode, stalled=stalled)

    phones = stack.enter_context(more(load.phones, load.stalled))
    phones.connected()
    if source is not None:
        source.say(f"{load.rate} {load.per_frame} {load.kind}")
    return Stage(server, phones, more, source)


@contextmanager
def _peer(command: list[str | Path], port: int) -> Iterator[Process]:
    with Process(command, core=SERVER_CORE) as server:
        wait_for_port(port)
        yield server


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
