"""Static files: read once at the start, compressed, and served from memory under an address that
names their contents.

The version stands in the path (`/static/v-1a2b3c/app/main.js`), not in a query: modules import
each other by relative address, so what they import is versioned with them. Without a version
(`/static/liverelay.js`, for other people's pages) a file is asked for again each time.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import hdrs, web

PREFIX: Final = "/static/"
VERSION_MARK: Final = "v-"
VERSION_CHARS: Final = 12
A_YEAR_S: Final = 31_536_000
#: Not mimetypes: what it knows depends on the machine. Other suffixes are not served.
CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
COMPRESSED: Final = frozenset({".css", ".js", ".svg", ".txt", ".webmanifest"})


class Asset(msgspec.Struct, frozen=True):
    """One file; `packed` is its gzip, empty when that would not help."""

    body: bytes
    packed: bytes
    content_type: str
    etag: str


class Assets:
    """Every file below a folder."""

    def __init__(self, root: Path) -> None:
        self._files = {
            path.relative_to(root).as_posix(): _read(path)
            for path in sorted(root.rglob("*"))
            if path.suffix in CONTENT_TYPES and path.is_file()
        }
        digest = hashlib.sha256()
        for name, asset in self._files.items():
            digest.update(f"{name}\0{asset.etag}\0".encode())
        self.version = digest.hexdigest()[:VERSION_CHARS]

    def url(self, name: str) -> str:
        """The address of a file, which changes when any file does."""
        if name not in self._files:
            raise KeyError(f"static/{name} does not exist")
        return f"{PREFIX}{VERSION_MARK}{self.version}/{name}"

    def below(self, folder: str) -> list[str]:
        """The names of the files in a folder."""
        return [name for name in self._files if name.startswith(folder)]

    def find(self, path: str) -> tuple[Asset | None, bool]:
        """The file at a path below `/static/`, and whether the path names today's version."""
        version, slash, name = path.partition("/")
        if slash and version.startswith(VERSION_MARK):
            return self._files.get(name), version == VERSION_MARK + self.version
        return self._files.get(path), False


ASSETS: Final[web.AppKey[Assets]] = web.AppKey("assets")


async def serve(request: web.Request) -> web.Response:
    """`GET /static/…`."""
    asset, current = request.app[ASSETS].find(request.match_info["path"])
    if asset is None:
        raise web.HTTPNotFound
    headers = {
        hdrs.ETAG: asset.etag,
        hdrs.CACHE_CONTROL: f"public, max-age={A_YEAR_S}, immutable" if current else "no-cache",
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        # They are public, and other pages may import the client library.
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    }
    if asset.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = asset.content_type
    body = asset.body
    if asset.packed and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower():
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        body = asset.packed
    return web.Response(body=body, headers=headers)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    packed = gzip.compress(body, mtime=0) if path.suffix in COMPRESSED else b""
    return Asset(
        body=body,
        packed=packed if len(packed) < len(body) else b"",
        content_type=CONTENT_TYPES[path.suffix],
        etag=f'"{hashlib.sha256(body).hexdigest()[:16]}"',
    )
