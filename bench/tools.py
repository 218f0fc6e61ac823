"""What the benchmarks need that is not Python: compiled programs, and Node's packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

PEERS: Final = Path(__file__).parent / "peers"
NEEDED: Final = ("gcc", "node", "npm")


class Tools(NamedTuple):
    """The compiled programs, and a folder for everything that is written."""

    phones: Path
    floor: Path
    folder: Path

    def fresh(self) -> Path:
        """A new empty folder in it."""
        made = self.folder / f"run-{sum(1 for _ in self.folder.iterdir())}"
        made.mkdir()
        return made


def build(folder: Path) -> Tools:
    """Compile and install what is compared. Ends the program when a tool is missing."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        sys.exit(f"The benchmarks need {', '.join(missing)}: Debian's packages gcc, nodejs, npm.")
    for name in ("phones", "floor"):
        source = PEERS / f"{name}.c"
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", folder / name, source], check=True)
    npm = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(npm, cwd=PEERS, check=True)
    runs = folder / "runs"
    runs.mkdir()
    return Tools(folder / "phones", folder / "floor", runs)
