"""The schema of TikTok's messages is the pinned library's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from server.upstream import decode, schema

ROOT = Path(__file__).parents[1]


def test_the_schema_is_made_from_the_installed_library() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.make_schema", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_relayed_message_is_in_the_schema() -> None:
    assert decode.RELAYED_METHODS <= schema.MESSAGES.keys()
