"""The threat model: every row names the tests that show it, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "docs" / "threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    """The rows of the tables that promise something."""
    found, promising = [], False
    for line in MODEL.read_text(encoding="utf-8").splitlines():
        if line.startswith("| threat |"):
            promising = True
        elif not line.startswith("|"):
            promising = False
        elif promising and not line.startswith("|---"):
            found.append(line)
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip())
def test_every_row_names_tests_that_exist(row: str) -> None:
    named = NAMED.findall(row)
    assert named
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"{file} has no {name}"


def test_every_part_has_rows() -> None:
    headings = re.findall(r"^## (.+)$", MODEL.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows()) >= 40
    assert headings[2:] == [
        "The edge",
        "Guessing",
        "Browsers",
        "Phones",
        "Upstream",
        "Secrets",
        "The machine",
        "Supply",
    ]
