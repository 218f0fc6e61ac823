"""What is installed: exactly the files that were looked at."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "bench/requirements.txt",
    "tools/requirements.txt",
)
PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)((?: --hash=sha256:[0-9a-f]{64})+)")


def entries(file: str) -> list[str]:
    """The requirements of a file, each on one line."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


@pytest.mark.parametrize("file", FILES)
def test_every_package_is_pinned_with_its_hashes(file: str) -> None:
    listed = entries(file)
    assert listed
    assert [entry for entry in listed if not PIN.fullmatch(entry)] == []


@pytest.mark.parametrize("file", FILES[:2])
def test_what_is_installed_is_what_is_pinned(file: str) -> None:
    for entry in entries(file):
        pin = PIN.fullmatch(entry)
        assert pin is not None
        assert metadata.version(pin[1]) == pin[2]


def test_the_audit_looks_at_everything_and_fails_on_what_it_skips() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    audits = re.findall(r"bin/pip-audit (.+)", makefile)
    assert [audit.split(" -r ")[1] for audit in audits] == list(FILES[:2])
    assert all({"--strict", "--require-hashes"} <= set(audit.split()) for audit in audits)
    assert not re.search(r"^\t-.*pip-audit", makefile, re.MULTILINE)
