"""Run the benchmarks and write RESULTS.md, and what the README quotes of it.

    python -m bench [--rounds 3] [--only NAME ...]

Exit status 1 when a bar is not reached. With --only nothing is written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import broadcast, phones, rooms, signatures, start, upstream
from bench.report import RESULTS, Findings, write_quote
from bench.tools import Tools, build

Scenario = Callable[[Tools, Findings, int], None]

SCENARIOS: Final[dict[str, Scenario]] = {
    "events": upstream.events,
    "clients": upstream.clients,
    "busy": broadcast.busy,
    "calm": broadcast.calm,
    "crowd": broadcast.crowd,
    "rooms": rooms.many,
    "stalled": broadcast.stalled,
    "come": phones.come,
    "signatures": signatures.spent,
    "start": start.soon,
}


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), help="these scenarios")
    arguments = parser.parse_args()
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="liverelay-bench-") as folder:
        tools = build(Path(folder))
        for name in arguments.only or SCENARIOS:
            print(f"{name}: {SCENARIOS[name].__doc__ or ''}", flush=True)
            SCENARIOS[name](tools, findings, arguments.rounds)
    if arguments.only:
        print(findings.markdown())
    else:
        RESULTS.write_text(findings.markdown())
        write_quote()
        print(f"Written to {RESULTS} and the README")
    return 0 if findings.hold else 1


if __name__ == "__main__":
    sys.exit(main())
