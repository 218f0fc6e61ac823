"""Many rooms: how many one core carries, end to end, beside a relay of stock parts."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from bench.contestants import Contestant, Load, Tools, liverelay, stock
from bench.report import Detail, Findings

PHONES_PER_ROOM: Final = 10
EVENTS_PER_S: Final = 30
#: TikTok puts several events into one frame.
PER_FRAME: Final = 5
WARM_UP_S: Final = 6.0
COUNTED_S: Final = 6.0
#: Carried: everything arrives, and 99 of 100 messages within so long.
ALL: Final = 0.99
SOON_MS: Final = 1000.0
TRIED: Final = {"LiveRelay": (50, 100, 150, 200, 250), "stock parts": (2, 4, 6, 8, 10, 12, 16)}


class Carried(NamedTuple):
    """So many rooms, and how that went."""

    rooms: int
    cpu_share: float
    delivered: float
    p99_ms: float

    @property
    def well(self) -> bool:
        """They were carried."""
        return self.delivered >= ALL and self.p99_ms <= SOON_MS

    def cells(self) -> list[str]:
        """For a table."""
        verdict = "yes" if self.well else "no"
        share, late = f"{self.delivered:.0%}", f"{self.p99_ms:.0f}"
        return [str(self.rooms), f"{self.cpu_share:.0%}", share, late, verdict]


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
    ours, theirs = (most.get(name, Carried(0, 0, 0, 0)) for name in contestants)
    findings.at_least(
        f"rooms on one core, {EVENTS_PER_S} events/s and {PHONES_PER_ROOM} phones each",
        f"{ours.rooms} rooms, {ours.rooms * EVENTS_PER_S * PHONES_PER_ROOM} deliveries/s,"
        f" p99 {ours.p99_ms:.0f} ms",
        f"TikTokLive and FastAPI: {theirs.rooms} rooms",
        ours.rooms / max(1, theirs.rooms),
        10,
    )
    head = ("", "rooms", "CPU", "delivered", "p99 ms", "carried")
    findings.details.append(Detail("Rooms on one core", head, lines))


def _carry(tools: Tools, contestant: Contestant, rooms: int) -> Carried:
    load = Load(rooms * PHONES_PER_ROOM, EVENTS_PER_S, rooms=rooms, per_frame=PER_FRAME)
    with contestant(tools, load) as stage:
        time.sleep(WARM_UP_S + rooms * 0.05)
        cpu = stage.server.cpu_s()
        counted = stage.phones.count(COUNTED_S)
        cpu = stage.server.cpu_s() - cpu
        due = EVENTS_PER_S * counted["seconds"] * load.phones
        return Carried(rooms, cpu / counted["seconds"], counted["frames"] / due, counted["p99_ms"])
