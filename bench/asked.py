"""A program of a benchmark answers on standard output when a line comes on standard input."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable


def answer_when_asked(count: Callable[[], int]) -> None:
    """Answer with what `count` says; end with whoever asks."""
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if sys.stdin.readline():
            print(json.dumps({"count": count()}), flush=True)
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sys.stdin, asked)
