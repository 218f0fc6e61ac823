"""What one creator's client costs to make: "ours" or "stock", NUMBER of them, nothing connected.

    python clients.py ours|stock NUMBER

Prints the CPU seconds and the KiB of one.
"""

import asyncio
import gc
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from TikTokLive import TikTokLiveClient

from server.config import Config
from server.upstream.client import RelayClient
from server.upstream.http import Attempt, tls_context

KIND, NUMBER = sys.argv[1], int(sys.argv[2])


class Nobody:
    def on_frame(self) -> None: ...
    def on_bad_frame(self) -> None: ...
    def on_result(self, result: object) -> None: ...


def make(number: int) -> TikTokLiveClient:
    if KIND == "stock":
        return TikTokLiveClient(f"creator{number}")
    return RelayClient(Config(), f"creator{number}", key="", attempt=Attempt(), heard=Nobody())


def rss_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def main() -> None:
    tls_context()
    kept = [make(-1)]  # what is made once for all is not this one's cost
    gc.collect()
    begun_kib, begun = rss_kib(), time.process_time()
    kept += [make(number) for number in range(NUMBER)]
    spent = time.process_time() - begun
    gc.collect()
    grown = rss_kib() - begun_kib
    print(json.dumps({"seconds": spent / NUMBER, "kib": grown / NUMBER}), flush=True)


asyncio.run(main())
