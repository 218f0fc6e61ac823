"""The command line: reads it, runs a command, says in one line what went wrong.

`python run.py --help` lists the commands. Exit status: 0 done, 1 it could not be done, 2 it was
asked wrongly, or the configuration or the database cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from server import commands
from server.commands import EXIT_FAILED, CommandFailed
from server.errors import StartupError, StoreUnavailable
from server.startup import invocation
from server.usernames import harmless

#: Of what went wrong, this much is told.
MAX_REASON: Final = 500
EXIT_WRONG: Final = 2

Command = Callable[[argparse.Namespace], Awaitable[int | None]]


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Called for every mistake."""
        raise StartupError(f"{message}; see {invocation()} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        args = _parser().parse_args(argv)
        return asyncio.run(args.run(args)) or 0
    except StartupError as error:
        return _fail(str(error), EXIT_WRONG)
    except StoreUnavailable as error:
        return _fail(f"the database cannot be used: {error.detail}", EXIT_WRONG)
    except CommandFailed as error:
        return _fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_FAILED)
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _fail(reason: str, status: int) -> int:
    print(f"liverelay: {harmless(reason, MAX_REASON)}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=invocation(),
        description="LiveRelay: TikTok LIVE on phones. Without a command it serves.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of config.toml")
    parser.set_defaults(run=commands.serve_until_stopped, json=False)
    groups = parser.add_subparsers(title="commands", metavar="COMMAND")
    groups.add_parser("serve", help="serve (the default)", allow_abbrev=False)
    _add_user_commands(groups.add_parser("user", help="add, list, delete users"))
    console = groups.add_parser("console", help="the console's password")
    command = _add(console.add_subparsers(required=True), "set-password", commands.set_password)
    command.add_argument(
        "--password-stdin", action="store_true", help="read it from standard input"
    )
    _add(groups, "doctor", commands.examine, prints=True)
    command = _add(groups, "export", commands.export_log, prints=True)
    command.add_argument("--since", default="", metavar="TIME", help="RFC 3339, or 2h, 7d ago")
    command.add_argument("--until", default="", metavar="TIME", help="see --since")
    command.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
    return parser


def _add_user_commands(parser: argparse.ArgumentParser) -> None:
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    command = _add(groups, "add", commands.user_add, prints=True)
    command.add_argument("--name", required=True)
    command.add_argument("--tiktok", default="", metavar="USERNAME")
    _add(groups, "list", commands.user_list, prints=True)
    for name, run in (
        ("link", commands.user_link),
        ("token", commands.user_token),
        ("delete", commands.user_delete),
    ):
        command = _add(groups, name, run, prints=True)
        command.add_argument("id", type=int, metavar="ID")


def _add(groups: Any, name: str, run: Command, *, prints: bool = False) -> argparse.ArgumentParser:
    doc = (run.__doc__ or "").strip().split("\n")[0].rstrip(".")
    command: argparse.ArgumentParser = groups.add_parser(
        name, help=doc, description=doc, allow_abbrev=False
    )
    command.set_defaults(run=run)
    if prints:
        command.add_argument("--json", action="store_true", help="print data for programs")
    return command
