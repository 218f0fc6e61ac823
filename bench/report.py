"""What was found, as a table: each row is a target, what was measured beside whom, and its bar."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
README: Final = RESULTS.parents[1] / "README.md"
#: What the README quotes stands between these lines.
QUOTE_BEGINS: Final = "<!-- from bench/RESULTS.md, by make bench -->\n"
QUOTE_ENDS: Final = "<!-- until here -->\n"
HEAD: Final = ("what", "LiveRelay", "beside it", "found", "bar", "")


class Row(NamedTuple):
    """One target. `holds` is None where there is no bar."""

    what: str
    ours: str
    theirs: str
    found: str
    bar: str = ""
    holds: bool | None = None


class Detail(NamedTuple):
    """A table of all figures behind some rows."""

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]


class Findings:
    """Rows and details of one run."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.details: list[Detail] = []

    @property
    def hold(self) -> bool:
        """Every bar was reached."""
        return all(row.holds is not False for row in self.rows)

    def add(self, row: Row) -> None:
        """Keep a row, and print it at once."""
        self.rows.append(row)
        print("  " + " | ".join(part for part in _cells(row) if part), flush=True)

    def at_least(self, what: str, ours: str, theirs: str, ratio: float, bar: float) -> None:
        """A row whose found figure is "times as good" and must reach the bar."""
        self.add(Row(what, ours, theirs, _times(ratio), f"≥ {bar:g}×", ratio >= bar))

    def at_most(self, what: str, ours: str, theirs: str, ratio: float, bar: float) -> None:
        """A row whose found figure is a share of another's cost and must stay under the bar."""
        self.add(Row(what, ours, theirs, f"{ratio:.2f}×", f"≤ {bar:g}×", ratio <= bar))

    def markdown(self) -> str:
        """The whole run as a page."""
        parts = [
            "# Results\n",
            "One run of `make bench`. The server has one core, everything else the other; ratios"
            " within a run count, figures are this machine's. How it is measured is told in"
            " `bench/`.\n",
            f"{datetime.datetime.now(datetime.UTC).date()}, {_machine()}\n",
            _table(HEAD, [_cells(row) for row in self.rows]),
        ]
        for detail in self.details:
            parts += [f"## {detail.title}\n", _table(detail.head, detail.lines)]
        return "\n".join(parts)


def quote(results: str) -> str:
    """The part of a page of results that the README has: what, how much, and the bar."""
    lines = results.split("\n\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    return _table(("what", "beside", "found", "bar"), [[r[0], r[2], r[3], r[4]] for r in rows[2:]])


def write_quote() -> None:
    """Put it into the README."""
    before, _, rest = README.read_text(encoding="utf-8").partition(QUOTE_BEGINS)
    after = rest.partition(QUOTE_ENDS)[2]
    quoted = quote(RESULTS.read_text(encoding="utf-8"))
    README.write_text(f"{before}{QUOTE_BEGINS}{quoted}{QUOTE_ENDS}{after}", encoding="utf-8")


def _times(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def _cells(row: Row) -> Sequence[str]:
    mark = {True: "✓", False: "✗ not reached", None: ""}[row.holds]
    return (row.what, row.ours, row.theirs, row.found, row.bar, mark)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].split("\n")[0].strip("\t: ")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{cpu or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()},"
        f" Python {platform.python_version()}, LiveRelay {commit or 'without a commit'}."
    )
