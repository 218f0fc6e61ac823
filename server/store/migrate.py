"""Before the database is opened: is the file ours and whole, and is its schema of today.

Synchronous, over sqlite3 itself, in a thread at start-up. Whatever is wrong becomes a
StartupError with one line, and no file is made beside one that is not ours.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path
from typing import Final

from server.errors import StartupError

#: "LRly": the file belongs to LiveRelay (PRAGMA application_id).
APPLICATION_ID: Final = 0x4C526C79
MIGRATIONS: Final = Path(__file__).with_name("migrations")
BUSY_TIMEOUT_S: Final = 4.0
#: Larger files are not read whole at start; SQLite meets damage when it reads there.
QUICK_CHECK_BYTES: Final = 64 << 20

#: Rows of the table meta that must be whole numbers.
COUNTERS: Final = ("revision", "next_id", "running")

# The SQLite file format, 1.3: header string, user version at 60, application id at 68.
_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
_USER_VERSION_AT: Final = 60
_APPLICATION_ID_AT: Final = 68


def prepare(path: Path, migrations: Path = MIGRATIONS) -> None:
    """Check the file at `path`, make it when there is none, and bring its schema up to date.

    Raises StartupError.
    """
    scripts = sorted(migrations.glob("[0-9]*.sql"))
    version = _check_file(path, latest=len(scripts))
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            if version is not None and path.stat().st_size <= QUICK_CHECK_BYTES:
                _check_whole(connection, path)
            _migrate(connection, path, scripts)
            _check_counters(connection, path)
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise StartupError(f"{path}: the database cannot be used: {error}") from None
    except sqlite3.DatabaseError as error:
        raise StartupError(f"{path}: the database is damaged: {error}") from None


def _check_file(path: Path, *, latest: int) -> int | None:
    """Look at the file's header; returns its schema version, None for a new file."""
    if not path.parent.is_dir():
        raise StartupError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise StartupError(f"{path}: is a folder, not a database file")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(f"{path}: cannot be opened: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        return None
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StartupError(f"{path}: is not an SQLite database, or is damaged; it was left alone")
    (version,) = struct.unpack_from("!I", header, _USER_VERSION_AT)
    (application_id,) = struct.unpack_from("!I", header, _APPLICATION_ID_AT)
    if application_id != APPLICATION_ID:
        raise StartupError(f"{path}: is another program's database; it was left alone")
    if version > latest:
        raise StartupError(
            f"{path}: was written by a newer LiveRelay (schema {version}, this one knows "
            f"{latest}); update LiveRelay"
        )
    return int(version)


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StartupError(f"{path}: the database is damaged: {verdict}")


def _check_counters(connection: sqlite3.Connection, path: Path) -> None:
    """The counters that everything is numbered by: with a wrong one ids would come again."""
    found = dict(connection.execute("SELECT key, typeof(value) FROM meta").fetchall())
    for key in COUNTERS:
        if found.get(key) != "integer":
            raise StartupError(
                f"{path}: the database is damaged: meta.{key} is {found.get(key, 'missing')}"
            )


def _migrate(connection: sqlite3.Connection, path: Path, scripts: list[Path]) -> None:
    # Setting the mode again writes, and a running server would be in the way.
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == len(scripts):
        return
    if version:
        _back_up(connection, path.with_name(f"{path.name}.backup-v{version}"))
    for number, script in enumerate(scripts[version:], start=version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID};"
                f"{script.read_text(encoding='utf-8')}"
                f"PRAGMA user_version = {number}; COMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.close(descriptor)
    backup = sqlite3.connect(target)
    try:
        connection.backup(backup)
    finally:
        backup.close()
