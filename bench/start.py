"""The start: how soon a probe is answered, and how soon a phone can be served."""

from __future__ import annotations

import statistics
import time
import urllib.error
import urllib.request
from typing import Final

from bench.processes import PATIENCE_S
from bench.product import Relay, feeder
from bench.report import Findings, Row
from bench.tools import Tools

HEALTHY_S: Final = 1.0
READY_S: Final = 5.0


def soon(tools: Tools, findings: Findings, rounds: int) -> None:
    """Start the server again and again on the same database."""
    healthy: list[float] = []
    ready: list[float] = []
    with feeder(1) as (_, addresses):
        for _ in range(rounds):
            relay = Relay(tools.fresh(), addresses, 1, wait=False)
            begun = time.monotonic()
            with relay:
                healthy.append(_until_answered(relay, "/healthz") - begun)
                ready.append(_until_answered(relay, "/readyz") - begun)
    for what, found, bar in (
        ("first answer on /healthz", statistics.median(healthy), HEALTHY_S),
        ("ready for the first room", statistics.median(ready), READY_S),
    ):
        findings.add(
            Row(
                f"start: {what}",
                f"{found:.2f} s",
                "",
                f"{found:.2f} s",
                f"< {bar:g} s",
                found < bar,
            )
        )


def _until_answered(relay: Relay, path: str) -> float:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{relay.url}{path}", timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
        else:
            return time.monotonic()
    raise RuntimeError(f"{path} is not answered")
