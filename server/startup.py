"""What a start prints for the operator: the links that let the first phone and support staff in.

To standard output, never through logging: the links are secrets, and logs are kept and passed on.
"""

from __future__ import annotations

import io
import sys
from typing import Final, TextIO

import segno

from server.config import Config
from server.links import base_url, console_login_url, only_this_machine, pairing_url
from server.store.sessions import Sessions
from server.store.users import Users

FIRST_USER_ID: Final = 1
FIRST_USER_NAME: Final = "user 1"

_PHONE: Final = """\
Телефон: откройте ссылку или наведите камеру на код (один раз, 10 минут)
Phone: open the link or point the camera at the code (once, 10 minutes)
  {url}
"""
_CONSOLE: Final = """\
Консоль поддержки (один раз, 10 минут; пароль: python run.py console set-password)
Support console (once, 10 minutes; password: python run.py console set-password)
  {url}
"""
_ONLY_HERE: Final = """\
Эти ссылки открываются только на этом компьютере. Для телефонов в вашей сети задайте
в config.toml: server.host = "0.0.0.0"
These links open on this machine only. For phones in your network set
in config.toml: server.host = "0.0.0.0"
"""


async def first_user(users: Users) -> None:
    """Give an empty database its user 1. Raises StoreUnavailable."""
    if not await users.all():
        await users.create(FIRST_USER_NAME)


async def print_links(config: Config, users: Users, sessions: Sessions, *, port: int) -> None:
    """Print what is still needed: user 1's pairing link until one was used, the console's login
    link while no password is set. Raises StoreUnavailable.
    """
    base = base_url(config, port=port)
    parts = [f"LiveRelay: {base}\n"]
    first = await users.get(FIRST_USER_ID)
    if first is not None and not await users.paired(FIRST_USER_ID):
        url = pairing_url(base, await users.add_pairing_code(FIRST_USER_ID))
        parts.append(_PHONE.format(url=url))
        if sys.stdout.isatty():
            parts.append(qr(url))
    if not await sessions.has_password():
        url = console_login_url(base, await sessions.add_login_code())
        parts.append(_CONSOLE.format(url=url))
    if only_this_machine(base):
        parts.append(_ONLY_HERE)
    write("\n".join(parts), sys.stdout)


def qr(url: str) -> str:
    """A link as a QR code in block characters."""
    drawn = io.StringIO()
    segno.make(url, error="m").terminal(drawn, compact=True, border=2)
    return drawn.getvalue()


def write(text: str, stream: TextIO) -> None:
    """Print at once: the stream may be a pipe that somebody waits on."""
    print(text, file=stream, flush=True)
