"""TikTok's side: what an event costs beside stock TikTokLive, and what a creator's client costs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

from bench.processes import SERVER_CORE, Process
from bench.product import PYTHON, feeder
from bench.report import Detail, Findings
from bench.tools import PEERS, Tools

WARM_UP_S: Final = 2.0
COUNTED_S: Final = 5.0
#: Events a second that fill a core, for each.
FULL: Final = {"decoding.py": 40_000, "stock_decoding.py": 1_000}
OURS, STOCK = FULL
#: Events in one frame of TikTok's: a quiet room, a busy one, and what a frame holds at most.
PER_FRAME: Final = (1, 5, 20)
#: The row's.
USUAL: Final = 20
CLIENTS: Final = {"ours": 400, "stock": 60}


def events(_tools: Tools, findings: Findings, rounds: int) -> None:
    """From TikTok's frame to the bytes that phones get, on a full core."""
    lines = []
    for per_frame in PER_FRAME:
        cost: dict[str, list[float]] = {OURS: [], STOCK: []}
        for _ in range(rounds):
            for program, found in cost.items():
                found.append(_event_us(program, per_frame))
        ours, stock = statistics.median(cost[OURS]), statistics.median(cost[STOCK])
        lines.append([str(per_frame), f"{ours:.0f}", f"{stock:.0f}", f"{stock / ours:.0f}×"])
        if per_frame == USUAL:
            findings.at_least(
                "CPU of a live event, from frame to message, against stock TikTokLive",
                f"{ours:.0f} µs",
                f"{stock:.0f} µs",
                stock / ours,
                50,
            )
    findings.details.append(
        Detail(
            "CPU of a live event, by events in a frame",
            ("events a frame", "LiveRelay µs", "TikTokLive µs", ""),
            lines,
        )
    )


def _event_us(program: str, per_frame: int) -> float:
    with feeder(1) as (source, addresses):
        urls = [addresses[name] for name in ("app", "webcast", "sign")]
        command: list[str | Path] = [PYTHON, PEERS / program, *urls]
        with Process(command, core=SERVER_CORE) as process:
            process.line()
            source.say(f"{FULL[program]} {per_frame} again")
            time.sleep(WARM_UP_S)
            count, cpu = _count(process), process.cpu_s()
            time.sleep(COUNTED_S)
            return (process.cpu_s() - cpu) / max(1, _count(process) - count) * 1e6


def _count(process: Process) -> int:
    process.say("count")
    count: int = process.answer()["count"]
    return count


def clients(_tools: Tools, findings: Findings, rounds: int) -> None:
    """What it costs to make the client of one creator."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], "stock": []}
    for _ in range(rounds):
        for kind, number in CLIENTS.items():
            command: list[str | Path] = [PYTHON, PEERS / "clients.py", kind, str(number)]
            with Process(command, core=SERVER_CORE) as process:
                found[kind].append(process.answer())
    for what, unit, scale, bar in (("seconds", "ms", 1e3, 50.0), ("kib", "KiB", 1.0, 10.0)):
        ours, stock = (
            statistics.median(one[what] for one in found[kind]) * scale for kind in CLIENTS
        )
        findings.at_least(
            f"creating a room's client, {'CPU' if unit == 'ms' else 'memory'}",
            f"{ours:.2g} {unit}",
            f"{stock:.3g} {unit}",
            stock / max(ours, 0.001),
            bar,
        )
