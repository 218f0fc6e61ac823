"""One busy room: what a delivery costs, beside all peers; thousands of phones; one that stalls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bench.contestants import BROADCASTERS, Contestant, Load, liverelay
from bench.report import Detail, Findings, Row
from bench.tools import Tools

WARM_UP_S: Final = 3.0
COUNTED_S: Final = 5.0
#: Of the messages due within the window, which cuts through a flush or two, what each phone got.
ALL: Final = 0.97
MIB: Final = 1024

FLOOR: Final = "C, one send() a message"
FASTAPI: Final = "FastAPI (the seed)"


class Measured(NamedTuple):
    """One contestant under one load."""

    cpu_us: float
    cpu_share: float
    delivered: float
    least: float
    lost: int
    p50_ms: float
    p99_ms: float
    rss_kib: int
    grown_kib: int

    @property
    def whole(self) -> bool:
        """No phone was lost, and each got everything."""
        return self.lost == 0 and self.least >= ALL

    def cells(self) -> list[str]:
        """For a table."""
        return [
            f"{self.cpu_us:.1f}",
            f"{self.cpu_share:.0%}",
            f"{self.delivered:.0%}",
            f"{self.p50_ms:.0f}",
            f"{self.p99_ms:.0f}",
            f"{self.rss_kib / MIB:.0f}",
        ]


CELLS: Final = ("µs CPU a delivery", "CPU", "delivered", "p50 ms", "p99 ms", "memory MiB")


def measure(tools: Tools, contestant: Contestant, load: Load) -> Measured:
    """Let one contestant carry a load for a while."""
    with contestant(tools, load) as stage:
        time.sleep(WARM_UP_S)
        cpu, rss = stage.server.cpu_s(), stage.server.rss_kib()
        counted: dict[str, Any] = stage.phones.count(COUNTED_S)
        cpu = stage.server.cpu_s() - cpu
        due = load.rate * counted["seconds"]
        return Measured(
            cpu_us=cpu / max(1, counted["frames"]) * 1e6,
            cpu_share=cpu / counted["seconds"],
            delivered=counted["frames"] / (due * (load.phones - load.stalled)),
            least=counted["least"] / due,
            lost=counted["lost"],
            p50_ms=counted["p50_ms"],
            p99_ms=counted["p99_ms"],
            rss_kib=stage.server.rss_kib(),
            grown_kib=stage.server.rss_kib() - rss,
        )


def compare(
    tools: Tools, load: Load, rounds: int, contestants: Mapping[str, Contestant] = BROADCASTERS
) -> dict[str, Measured]:
    """Rounds in which all take turns; of each contestant the round of median cost."""
    found: dict[str, list[Measured]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            measured = measure(tools, contestant, load)
            found[name].append(measured)
            print(f"    {number + 1}/{rounds} {name}: {', '.join(measured.cells())}", flush=True)
    return {
        name: sorted(measured, key=lambda one: one.cpu_us)[len(measured) // 2]
        for name, measured in found.items()
    }


def busy(tools: Tools, findings: Findings, rounds: int) -> None:
    """1000 phones, 100 messages a second."""
    found = compare(tools, Load(phones=1000, rate=100), rounds)
    ours = found["LiveRelay"].cpu_us
    for name, bar in ((FLOOR, 2.0), ("node ws", 3.0), ("socket.io", 3.0), (FASTAPI, 8.0)):
        findings.at_least(
            f"deliveries per CPU second, 1000 phones × 100 messages/s, against {name}",
            f"{ours:.1f} µs",
            f"{found[name].cpu_us:.1f} µs",
            found[name].cpu_us / ours,
            bar,
        )
    _detail(findings, "1000 phones, 100 messages a second", found)


def calm(tools: Tools, findings: Findings, rounds: int) -> None:
    """1000 phones, 20 messages a second: there is little to join."""
    found = compare(tools, Load(phones=1000, rate=20), rounds)
    ours, c, seed = (found[name].cpu_us for name in ("LiveRelay", FLOOR, FASTAPI))
    what = "CPU of a delivery, 1000 phones × 20 messages/s"
    findings.at_most(f"{what}, against C", f"{ours:.1f} µs", f"{c:.1f} µs", ours / c, 1.6)
    findings.at_least(
        f"{what}, against {FASTAPI}", f"{ours:.1f} µs", f"{seed:.1f} µs", seed / ours, 2.5
    )
    _detail(findings, "1000 phones, 20 messages a second", found)


def crowd(tools: Tools, findings: Findings, rounds: int) -> None:
    """9500 phones in one room."""
    load = Load(phones=9500, rate=10)
    peers = {name: BROADCASTERS[name] for name in ("LiveRelay", "node ws", "socket.io", FASTAPI)}
    found = compare(tools, load, max(1, rounds - 2), peers)
    ours = found["LiveRelay"]
    holds = ours.whole and ours.cpu_share < 0.7 and ours.p99_ms < 1500
    theirs = ", ".join(
        f"{name} {measured.delivered:.0%}" for name, measured in found.items() if measured != ours
    )
    findings.add(
        Row(
            "9500 phones in one room, 10 messages/s, one core",
            f"{ours.delivered:.0%} delivered, CPU {ours.cpu_share:.0%}, p99 {ours.p99_ms:.0f} ms",
            theirs,
            "all delivered"
            if ours.whole
            else f"one phone got {ours.least:.0%}, {ours.lost} were lost",
            "all, CPU < 70 %, p99 < 1.5 s",
            holds,
        )
    )
    _detail(findings, "9500 phones, 10 messages a second", found)


def stalled(tools: Tools, findings: Findings, rounds: int) -> None:
    """One phone of 1000 reads nothing."""
    grown: dict[bool, list[int]] = {False: [], True: []}
    beside_one: list[Measured] = []
    late: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for with_one in (False, True):
            load = Load(phones=1000, rate=100, stalled=int(with_one))
            measured = measure(tools, liverelay, load)
            grown[with_one].append(measured.grown_kib)
            late[with_one].append(measured.p99_ms)
            if with_one:
                beside_one.append(measured)
    more_kib = statistics.median(grown[True]) - statistics.median(grown[False])
    without, beside = statistics.median(late[False]), statistics.median(late[True])
    least = min(measured.least for measured in beside_one)
    whole = all(measured.whole for measured in beside_one)
    holds = whole and more_kib < MIB and beside < 2 * without + 20
    findings.add(
        Row(
            "one stalled phone among 1000: the others",
            f"{least:.0%} delivered, p99 {beside:.0f} ms beside it, {without:.0f} ms without",
            "",
            f"memory {more_kib / MIB:+.1f} MiB",
            "unchanged, < +1 MiB",
            holds,
        )
    )


def _detail(findings: Findings, title: str, found: Mapping[str, Measured]) -> None:
    lines = [[name, *measured.cells()] for name, measured in found.items()]
    findings.details.append(Detail(title, ("", *CELLS), lines))
