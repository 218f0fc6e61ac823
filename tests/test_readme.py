"""The README: what it quotes and names is there."""

from __future__ import annotations

import re
from pathlib import Path

from bench.report import QUOTE_BEGINS, QUOTE_ENDS, quote

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_last_run() -> None:
    quoted = README.partition(QUOTE_BEGINS)[2].partition(QUOTE_ENDS)[0]
    assert quoted == quote((ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8"))
    assert quoted.count("\n") > 10
    assert "not reached" not in quoted


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        for link in links:
            assert link.startswith("http") or (page.parent / link).exists(), (page.name, link)


def test_every_target_that_is_named_can_be_made() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
