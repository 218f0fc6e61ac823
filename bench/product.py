"""LiveRelay as operators run it, with as many users as a benchmark needs."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.processes import SERVER_CORE, Process, free_port, wait_for_port
from server.store.database import Database

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = sys.executable

CONFIG: Final = """\
[server]
port = {port}
log_level = "warning"
[tiktok]
app_url = "{app}"
webcast_url = "{webcast}"
[sign]
url = "{sign}"
min_interval_s = 0
anonymous_limits = {{ minute = 100000, hour = 100000, day = 100000 }}
[rooms]
max_rooms = 2000
[limits]
connections_per_user = 100000
connections_per_ip = 100000
"""


class Relay(Process):
    """The server. `paths` has one request path for each user: user n watches room n - 1."""

    def __init__(
        self, folder: Path, addresses: dict[str, str], users: int, *, wait: bool = True
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "config.toml").write_text(CONFIG.format(port=self.port, **addresses))
        self.tokens = asyncio.run(_add_users(folder / "liverelay.db", users))
        super().__init__([PYTHON, ROOT / "run.py"], core=SERVER_CORE, cwd=folder)
        if wait:
            wait_for_port(self.port)

    def ready(self) -> None:
        """Wait until rooms can open."""
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).close()
                return
            except urllib.error.HTTPError:
                time.sleep(0.05)

    def path(self, user: int = 0) -> str:
        return f"/ws/{self.tokens[user]}"


async def _add_users(path: Path, count: int) -> list[str]:
    database = await Database.open(path, serving=False)
    try:
        tokens = []
        for number in range(count):
            user = await database.users.create(f"user {number}", f"room{number}")
            tokens.append(await database.users.add_token(user.user_id))
        return tokens
    finally:
        await database.close()


@contextmanager
def feeder(rooms: int) -> Iterator[tuple[Process, dict[str, str]]]:
    """TikTok on loopback, and its addresses."""
    with Process([PYTHON, "-m", "bench.feeder", str(rooms)]) as process:
        yield process, process.answer()
