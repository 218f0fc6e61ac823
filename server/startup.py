"""What a start prints for the operator: where the server is, and how the first phone and support
staff get in.

To standard output, never through logging: the links are secrets, and logs are kept and passed on.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Final, TextIO

import segno

from server.config import Config
from server.links import base_url, console_login_url, only_this_machine, pairing_url
from server.store.sessions import Sessions
from server.store.users import User, Users

FIRST_USER_NAME: Final = {"ru": "Пользователь 1", "en": "User 1"}

_PHONE: Final = """\
Телефон: откройте ссылку или наведите камеру на код (один раз, 10 минут)
Phone: open the link or point the camera at the code (once, 10 minutes)
  {url}
"""
_ANOTHER_PHONE: Final = """\
Телефоны · Phones
  {base}/app/
Ссылка ещё для одного телефона · a link for one more: {call} user link {user_id}
"""
_CONSOLE: Final = """\
Консоль поддержки (один раз, 10 минут; пароль: {call} console set-password)
Support console (once, 10 minutes; password: {call} console set-password)
  {url}
"""
_CONSOLE_AGAIN: Final = """\
Консоль поддержки, по паролю · Support console, by password
  {base}/console/
"""
_ONLY_HERE: Final = """\
Эти ссылки открываются только на этом компьютере. Для телефонов в вашей сети задайте
в config.toml: server.host = "0.0.0.0"
These links open on this machine only. For phones in your network set
in config.toml: server.host = "0.0.0.0"
"""


def invocation() -> str:
    """How a command of this program is called from where the operator stands."""
    python = Path(sys.executable)
    if sys.prefix == sys.base_prefix:
        return "python run.py"
    shown = os.path.relpath(python)
    return f"{python if shown.startswith('..') else shown} run.py"


async def first_user(users: Users, config: Config) -> User:
    """The first user, who is made in an empty database. Raises StoreUnavailable."""
    known = await users.all()
    return known[0] if known else await users.create(FIRST_USER_NAME[config.server.language])


async def print_links(
    config: Config, users: Users, sessions: Sessions, first: User, *, port: int
) -> None:
    """Print the first user's pairing link until one was used, and the console's login link while no
    password is set; then, where they are. Raises StoreUnavailable.
    """
    base, call = base_url(config, port=port), invocation()
    local = only_this_machine(base)
    parts = [f"LiveRelay: {base}\n"]
    if await users.paired(first.user_id):
        parts.append(_ANOTHER_PHONE.format(base=base, call=call, user_id=first.user_id))
    else:
        url = pairing_url(base, await users.add_pairing_code(first.user_id))
        parts.append(_PHONE.format(url=url))
        if sys.stdout.isatty() and not local:
            parts.append(qr(url))
    if await sessions.has_password():
        parts.append(_CONSOLE_AGAIN.format(base=base))
    else:
        url = console_login_url(base, await sessions.add_login_code())
        parts.append(_CONSOLE.format(url=url, call=call))
    if local:
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
