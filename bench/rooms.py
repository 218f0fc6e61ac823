"""Many rooms: how many one core carries, end to end, beside a relay of stock parts."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from bench.contestants import Contestant, Load, liverelay, stock
from bench.report import Detail, Findings
from bench.tools import Tools

PHONES_PER_ROOM: Final = 10
EVENTS_PER_S: Final = 30
#: TikTok puts several events into one frame.
PER_FRAME: Final = 5
WARM_UP_S: Final = 6.0
COUNTED_S: Final = 6.0
#: Carried: everything arrives (a window cuts through some flushes), and 99 of 100 within so long.
ALL: Final = 0.95
SOON_MS: Final = 1000.0
TRIED: Final = {"LiveRelay": (100, 200, 250, 300), "stock parts": (4, 8, 12, 16, 20)}


class Carried(NamedTuple):
    """So many rooms, and how that went: of the events, and of the chats in them."""

    rooms: int
    cpu_share: float
    sent: float
    delivered: float
    p99_ms: float

    @property
    def well(self) -> bool:
        """They were carried."""
        return self.sent >= ALL and self.delivered >= ALL and self.p99_ms <= SOON_MS

    def cells(self) -> list[str]:
        """For a table."""
        verdict = "yes" if self.well else "no"
        shares = (f"{share:.0%}" for share in (self.cpu_share, self.sent, self.delivered))
        return [str(self.rooms), *shares, f"{self.p99_ms:.0f}", verdict]


def many(tools: Tools, findings: Findings, _rounds: int) -> None:
    """More and more rooms, until a core is full."""
    most: dict[str, Carried] = {}
    lines: list[list[str]] = []
    contestants: dict[str, Contestant] = {"LiveRelay": liverelay, "stock parts": stock}
    for name, contestant in contestants.items():
        for rooms in TRIED[name]:
            carried = _carry(tools, contestant, rooms)
            lines.append([name, *carried.cells()])
            print(f"    {', '.join(lines[-1])}", flush=True)
            if not carried.well:
                break
            most[name] = carried
    ours, theirs = (most.get(name, Carried(0, 0, 0, 0, 0)) for name in contestants)
    findings.at_least(
        f"rooms on one core, {EVENTS_PER_S} events/s and {PHONES_PER_ROOM} phones each",
        f"{ours.rooms} rooms, {ours.rooms * EVENTS_PER_S * PHONES_PER_ROOM} deliveries/s,"
        f" p99 {ours.p99_ms:.0f} ms",
        f"TikTokLive and FastAPI: {theirs.rooms} rooms",
        ours.rooms / max(1, theirs.rooms),
        10,
    )
    head = ("", "rooms", "CPU", "sent", "delivered", "p99 ms", "carried")
    findings.details.append(Detail("Rooms on one core", head, lines))


def _carry(tools: Tools, contestant: Contestant, rooms: int) -> Carried:
    load = Load(rooms * PHONES_PER_ROOM, EVENTS_PER_S, rooms=rooms, per_frame=PER_FRAME, kind="mix")
    with contestant(tools, load) as stage:
        time.sleep(WARM_UP_S + rooms * 0.05)
        cpu, said = stage.server.cpu_s(), stage.said()
        counted = stage.phones.count(COUNTED_S)
        cpu, now = stage.server.cpu_s() - cpu, stage.said()
        seconds = counted["seconds"]
        return Carried(
            rooms,
            cpu_share=cpu / seconds,
            sent=(now.events - said.events) / (rooms * EVENTS_PER_S * seconds),
            delivered=counted["stamped"] / max(1, (now.chats - said.chats) * PHONES_PER_ROOM),
            p99_ms=counted["p99_ms"],
        )
