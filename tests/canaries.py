"""Secrets that the running test has used. Wherever a test reads what anybody may read, none of them
may be: answers over HTTP, standard error, the database.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp

#: Of the running test; conftest.py empties it after each.
used: set[str] = set()


def note(secret: str) -> str:
    """This is one; returns it."""
    used.add(secret)
    return secret


def note_printed(out: str) -> None:
    """What a command has printed for the operator may hold some."""
    for secret in re.findall(r'"token":\s*"([^"]+)"|#pair=([\w-]+)|/console/login/([\w-]+)', out):
        note("".join(secret))


def assert_none_in(text: bytes | str, where: str) -> None:
    """Fail where a secret is."""
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    found = [secret for secret in used if secret.encode() in data]
    assert not found, f"{where} holds {found}"


def assert_none_in_database(path: Path) -> None:
    """The file with what has not been moved into it yet."""
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            assert_none_in(file.read_bytes(), str(file))


class Watched(aiohttp.ClientResponse):
    """An answer over HTTP: `ClientSession(response_class=Watched)`."""

    async def read(self) -> bytes:
        """The body, looked at."""
        body = await super().read()
        assert_none_in(body, f"{self.method} {self.url.path}")
        assert_none_in(str([*self.headers.items()]), f"the headers of {self.url.path}")
        return body


def watched_session(**options: Any) -> aiohttp.ClientSession:
    """A client whose answers are looked at."""
    return aiohttp.ClientSession(response_class=Watched, **options)
