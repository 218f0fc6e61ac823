"""Phones that come: how fast they are let in, and what one costs while nothing happens."""

from __future__ import annotations

import statistics
import time
from typing import Final, NamedTuple

from bench.contestants import BROADCASTERS, Contestant, Load
from bench.report import Detail, Findings, Row
from bench.tools import Tools

PHONES: Final = 3000
SETTLE_S: Final = 2.0
IDLE_KIB: Final = 18.0
OURS, SEED = "LiveRelay", "FastAPI (the seed)"
#: Peers that know nobody are no match for an accept with a token; their memory is.
COMPARED: Final = (OURS, SEED, "node ws", "socket.io")


class LetIn(NamedTuple):
    """Phones that were let in."""

    cpu_ms: float
    per_s: float
    idle_kib: float


def come(tools: Tools, findings: Findings, rounds: int) -> None:
    """Thousands of phones connect at once; then they only listen."""
    found: dict[str, list[LetIn]] = {name: [] for name in COMPARED}
    for _ in range(rounds):
        for name, all_of_it in found.items():
            all_of_it.append(_let_in(tools, BROADCASTERS[name]))
    medians = {
        name: LetIn(*(statistics.median(column) for column in zip(*many, strict=True)))
        for name, many in found.items()
    }
    ours, seed = medians[OURS], medians[SEED]
    findings.at_least(
        "accepts with authentication, per CPU second",
        f"{1000 / ours.cpu_ms:.0f}, {ours.per_s:.0f} a second by the clock",
        f"{SEED}: {1000 / seed.cpu_ms:.0f}, {seed.per_s:.0f}",
        seed.cpu_ms / ours.cpu_ms,
        2,
    )
    others = [f"{name} {one.idle_kib:.0f}" for name, one in medians.items() if name != OURS]
    findings.add(
        Row(
            "memory of an idle phone",
            f"{ours.idle_kib:.1f} KiB",
            ", ".join(others),
            f"{ours.idle_kib:.1f} KiB",
            f"≤ {IDLE_KIB:g} KiB",
            ours.idle_kib <= IDLE_KIB,
        )
    )
    lines = [
        [name, f"{one.cpu_ms:.2f}", f"{one.per_s:.0f}", f"{one.idle_kib:.1f}"]
        for name, one in medians.items()
    ]
    head = ("", "ms CPU an accept", "accepts a second", "KiB an idle phone")
    findings.details.append(Detail(f"{PHONES} phones come", head, lines))


def _let_in(tools: Tools, contestant: Contestant) -> LetIn:
    with contestant(tools, Load(phones=1, rate=0)) as stage:  # its room is open
        time.sleep(SETTLE_S)
        cpu, rss = stage.server.cpu_s(), stage.server.rss_kib()
        with stage.more(PHONES) as phones:
            seconds = phones.connected()
            time.sleep(SETTLE_S)
            cpu = stage.server.cpu_s() - cpu
            grown = stage.server.rss_kib() - rss
    return LetIn(cpu / PHONES * 1e3, PHONES / seconds, grown / PHONES)
