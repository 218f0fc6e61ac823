"""Write the hashes of every file that a pinned package may be installed from into the requirement
files, and what is missing there, so that nobody can be given another one.

    make lock

The pins are ours: change a line by hand, then run this. It needs pip-tools, which
tools/requirements.txt has.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FILES: Final = (
    "requirements.txt",
    "requirements-dev.txt",
    "bench/requirements.txt",
    "tools/requirements.txt",
)
PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==([^\s\\;]+)")
HASH: Final = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def canonical(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolved(path: Path) -> dict[str, tuple[str, list[str]]]:
    """name -> (pin, hashes) of everything that a requirement file leads to."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "piptools", "compile", "--generate-hashes", "--allow-unsafe"),
            *("--no-header", "--no-annotate", "--no-emit-options", "--strip-extras", "--quiet"),
            *("--output-file", "-", str(path)),
        ],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        cwd=ROOT,
    )
    packages: dict[str, tuple[str, list[str]]] = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", done.stdout):
        if pin := PIN.match(entry.strip()):
            packages[canonical(pin[1])] = (pin[0], sorted(set(HASH.findall(entry))))
    return packages


def inherited(path: Path) -> set[str]:
    """The packages of the files that this one names with -r."""
    names: set[str] = set()
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            other = path.parent / line.removeprefix("-r ").strip()
            names |= {canonical(pin[1]) for pin in PIN.finditer(other.read_text())}
            names |= inherited(other)
    return names


def locked(path: Path) -> str:
    """The file with hashes, its comments and its order kept."""
    packages, lines, own = resolved(path), list[str](), set[str]()
    for line in path.read_text().splitlines():
        if HASH.search(line):
            continue
        pin = PIN.match(line)
        if pin is None:
            lines.append(line)
            continue
        own.add(canonical(pin[1]))
        lines += _entry(*packages[canonical(pin[1])])
    missing = sorted(packages.keys() - own - inherited(path))
    if missing:
        lines += ["", "# What those need, too."]
    for name in missing:
        lines += _entry(*packages[name])
    return "\n".join(lines) + "\n"


def _entry(pin: str, hashes: list[str]) -> list[str]:
    parts = [pin, *(f"    --hash={value}" for value in hashes)]
    return [f"{part} \\" for part in parts[:-1]] + parts[-1:]


def main() -> None:
    """See above."""
    for name in FILES:
        path = ROOT / name
        path.write_text(locked(path))
        print(f"{name}: {len(PIN.findall(path.read_text()))} packages")


if __name__ == "__main__":
    main()
