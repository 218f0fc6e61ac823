"""The running code, packed: what the AGPL asks us to offer to everyone who uses the server.

The operator's configuration stays out, wherever it is kept, for it may hold keys; without one the
defaults apply, so what is packed runs as it is.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import hdrs, web

#: The folder that the archive unpacks to.
FOLDER: Final = "liverelay"
FILES: Final = (
    "run.py",
    "requirements.txt",
    "requirements-dev.txt",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
)
FOLDERS: Final = ("server", "templates", "static", "tools")
#: TOML files of ours: any other may be a configuration that --config names.
TEXTS: Final = frozenset({"catalogue.toml", "strings.toml"})
#: Code and its data; nothing that an operator may have left beside it.
SUFFIXES: Final = frozenset(
    {
        ".binpb",
        ".css",
        ".html",
        ".js",
        ".png",
        ".py",
        ".sql",
        ".svg",
        ".txt",
        ".webmanifest",
    }
)


class Archive(msgspec.Struct, frozen=True):
    """The packed code."""

    body: bytes
    etag: str


class Source:
    """Packs the code below `root` when it is first asked for, once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._packing = asyncio.Lock()
        self._archive: Archive | None = None

    async def archive(self) -> Archive:
        """The code as .tar.gz."""
        async with self._packing:
            if self._archive is None:
                self._archive = await asyncio.to_thread(_pack, self._root)
            return self._archive


SOURCE: Final[web.AppKey[Source]] = web.AppKey("source")


async def serve(request: web.Request) -> web.Response:
    """`GET /source.tar.gz`."""
    archive = await request.app[SOURCE].archive()
    headers = {hdrs.ETAG: archive.etag, hdrs.CACHE_CONTROL: "no-cache"}
    if archive.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{FOLDER}-source.tar.gz"'
    return web.Response(body=archive.body, content_type="application/gzip", headers=headers)


def _pack(root: Path) -> Archive:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _code(root):
            body = path.read_bytes()
            member = tarfile.TarInfo(f"{FOLDER}/{path.relative_to(root).as_posix()}")
            member.size = len(body)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(body))
    body = buffer.getvalue()
    return Archive(body=body, etag=f'"{hashlib.sha256(body).hexdigest()[:16]}"')


def _code(root: Path) -> Iterator[Path]:
    for name in FILES:
        if (root / name).is_file():
            yield root / name
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            parts = path.relative_to(root).parts
            hidden = any(part.startswith((".", "__pycache__")) for part in parts)
            ours = path.suffix in SUFFIXES or path.name in TEXTS
            if ours and not hidden and path.is_file() and not path.is_symlink():
                yield path
