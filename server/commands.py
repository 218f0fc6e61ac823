"""What each command does; cli.py reads the command line and turns errors into exit statuses."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from server import doctor, export
from server.config import Config
from server.configfile import load
from server.errors import InvalidUsername, StartupError
from server.links import base_url, pairing_url
from server.relay.notices import texts
from server.startup import qr
from server.store.database import Database
from server.store.logquery import LogQuery
from server.store.sessions import MAX_PASSWORD
from server.store.users import User, Users, UserUnknown
from server.usernames import harmless, normalise

DEFAULT_CONFIG: Final = Path("config.toml")
MAX_NAME: Final = 64
MIN_PASSWORD: Final = 8
EXIT_FAILED: Final = 1


class CommandFailed(Exception):
    """The command was asked rightly and cannot be done; exit status 1."""


def settings(args: argparse.Namespace) -> Config:
    """The configuration that a command line names. Raises StartupError."""
    return load(args.config or DEFAULT_CONFIG, required=args.config is not None)


async def serve_until_stopped(args: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    # Only this command needs the web server; the others answer sooner without it.
    from server.app import serve

    await serve(settings(args))


async def user_add(args: argparse.Namespace) -> None:
    """Add a user; print a token and a pairing link."""
    name = args.name.strip()
    if not name or harmless(name, MAX_NAME) != name:
        raise StartupError(f"--name: expected 1 to {MAX_NAME} visible characters")
    try:
        username = normalise(args.tiktok)
    except InvalidUsername as error:
        raise StartupError(f"--tiktok: {texts(error, 'en')[1]}") from None
    async with _database(settings(args)) as database:
        user = await database.users.create(name, username)
        token = await database.users.add_token(user.user_id)
        await _print_access(args, database.users, user.user_id, token)


async def user_list(args: argparse.Namespace) -> None:
    """Print every user."""
    async with _database(settings(args)) as database:
        users = await database.users.all()
    _print(args, [_public(user) for user in users], _table(users))


async def user_link(args: argparse.Namespace) -> None:
    """A pairing link for one more phone; the others stay."""
    config = settings(args)
    async with _database(config) as database, _known(args.id):
        code = await database.users.add_pairing_code(args.id)
    link = pairing_url(base_url(config, port=config.server.port), code)
    drawn = qr(link) if sys.stdout.isatty() and not args.json else ""
    text = f"{link} (once, 10 minutes)\n{drawn}".rstrip("\n")
    _print(args, {"user_id": args.id, "pair_url": link}, text)


async def user_token(args: argparse.Namespace) -> None:
    """A new token and pairing link; the old tokens end, and with them the phones they let in."""
    async with _database(settings(args)) as database, _known(args.id):
        token = await database.users.replace_tokens(args.id)
        await _print_access(args, database.users, args.id, token)


async def user_delete(args: argparse.Namespace) -> None:
    """Delete a user with the user's log."""
    async with _database(settings(args)) as database:
        if not await database.users.delete(args.id):
            raise CommandFailed(f"there is no user {args.id}; see user list")
    _print(args, {"user_id": args.id, "deleted": True}, f"user {args.id} is deleted")


async def set_password(args: argparse.Namespace) -> None:
    """Set the console's password."""
    password = _read_password(from_stdin=args.password_stdin)
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise StartupError(f"the password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    async with _database(settings(args)) as database:
        await database.sessions.set_password(password)
    print("The password is set; login links and open sessions have ended")


async def examine(args: argparse.Namespace) -> int:
    """Examine everything; a configuration that cannot be read is a finding too."""
    findings: list[doctor.Finding] = []

    def tell(finding: doctor.Finding) -> None:
        findings.append(finding)
        if not args.json:
            mend = f"\n      → {finding.mend}" if finding.mend else ""
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.seen}{mend}")

    try:
        config = settings(args)
    except StartupError as error:
        tell(doctor.Finding("configuration", False, str(error), "correct what the line names"))
    else:
        path = args.config or DEFAULT_CONFIG
        seen = str(path) if path.exists() else "no file, so the defaults"
        tell(doctor.Finding("configuration", True, seen))
        async for finding in doctor.examine(config):
            tell(finding)
    if args.json:
        print(msgspec.json.encode(findings).decode())
    return 0 if all(finding.ok for finding in findings) else EXIT_FAILED


async def export_log(args: argparse.Namespace) -> None:
    """Write the event log."""
    if args.json and args.format == "csv":
        raise StartupError("--json and --format csv cannot go together")
    now = datetime.now(UTC)
    since, until = _time("--since", args.since, now), _time("--until", args.until, now)
    writer = export.as_csv if args.format == "csv" else export.ndjson
    async with _database(settings(args)) as database:
        query = LogQuery(
            since_ms=int(since.timestamp() * 1000) if since else 0,
            until_ms=int(until.timestamp() * 1000) if until else 0,
        )
        async for line in writer(database.log.export(query)):
            sys.stdout.write(line)
    sys.stdout.flush()


# ---- helpers


@asynccontextmanager
async def _database(config: Config) -> AsyncIterator[Database]:
    """The database beside a server that may be running."""
    database = await Database.open(Path(config.database.path), serving=False)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _known(user_id: int) -> AsyncIterator[None]:
    try:
        yield
    except UserUnknown:
        raise CommandFailed(f"there is no user {user_id}; see user list") from None


async def _print_access(args: argparse.Namespace, users: Users, user_id: int, token: str) -> None:
    config = settings(args)
    code = await users.add_pairing_code(user_id)
    link = pairing_url(base_url(config, port=config.server.port), code)
    text = f"user_id   {user_id}\ntoken     {token}\npair_url  {link} (once, 10 minutes)"
    _print(args, {"user_id": user_id, "token": token, "pair_url": link}, text)


def _print(args: argparse.Namespace, data: object, text: str) -> None:
    print(msgspec.json.encode(data).decode() if args.json else text)


def _public(user: User) -> dict[str, object]:
    return {
        "user_id": user.user_id,
        "name": user.name,
        "tiktok_username": user.tiktok_username,
    }


def _table(users: Sequence[User]) -> str:
    if not users:
        return "no users"
    rows = [("user_id", "tiktok_username", "name")]
    rows += [(str(u.user_id), u.tiktok_username or "-", u.name) for u in users]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {name}" for a, b, name in rows)


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        try:
            return sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise StartupError("--password-stdin: is not UTF-8 text") from None
    if not sys.stdin.isatty():
        raise StartupError("standard input is no terminal: use --password-stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise CommandFailed("the two passwords differ; nothing was changed")
    return password


def _time(option: str, text: str, now: datetime) -> datetime | None:
    if not text:
        return None
    try:
        return export.read_time(text, now)
    except (ValueError, OverflowError):
        raise StartupError(
            f'{option} = "{harmless(text, 40)}": expected a time such as 2026-11-24T18:00:00Z, '
            "or how long ago: 2h, 7d"
        ) from None
