"""Strangers who mean harm, in a process of their own, so that nobody's figures are theirs.

python -m tests.attacker URL TOKEN SLOW BAD_TOKENS JUNK

SLOW sockets never finish a request, BAD_TOKENS guess, and the owner of TOKEN sends JUNK frames that
say nothing, over as many sockets as it takes. Prints "attacking", and, when the server has got rid
of every socket, how long the slowest one lived (seconds).
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import Final
from urllib.parse import urlsplit

import aiohttp

#: Longer than any socket may live.
PATIENCE_S: Final = 60.0
#: Guesses and slow requests begun at once.
ABREAST: Final = 50
JUNK: Final = ("{", "null", '{"action":"dance"}', "x" * 200, '{"action":' * 50, "[[[[[[")
JUNK_BATCH: Final = 1000


async def slow(host: str, port: int, number: int) -> float:
    """One that dribbles a header; returns how long it was let."""
    begun = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionError:
        return time.monotonic() - begun
    try:
        writer.write(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n")
        while not reader.at_eof():
            writer.write(b"X: %d\r\n" % number if number % 2 else b"")
            try:
                await asyncio.wait_for(reader.read(1), 1)
            except TimeoutError:
                continue
    except ConnectionError:
        pass
    finally:
        writer.close()
    return time.monotonic() - begun


async def guess(http: aiohttp.ClientSession, url: str, number: int) -> float:
    """One bad token; returns how long its socket lived."""
    begun = time.monotonic()
    try:
        async with http.ws_connect(f"{url}/ws/guess{number}", autoclose=False) as ws:
            while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            await ws.receive()  # never answers the close: the server must not wait for it
    except aiohttp.ClientError:
        pass
    return time.monotonic() - begun


async def junk(http: aiohttp.ClientSession, url: str, token: str, count: int) -> float:
    """So many frames that say nothing; returns how long the longest socket lived."""
    longest, kinds, left = 0.0, itertools.cycle(JUNK), count
    while left > 0:
        begun = time.monotonic()
        try:
            async with http.ws_connect(f"{url}/ws/{token}", params={"live": "manual"}) as ws:
                while left > 0 and not ws.closed:
                    for _ in range(min(JUNK_BATCH, left)):
                        await ws.send_str(next(kinds))
                        left -= 1
                    await asyncio.sleep(0)
        except (aiohttp.ClientError, ConnectionError):
            pass
        longest = max(longest, time.monotonic() - begun)
    return longest


async def attack(url: str, token: str, slows: int, guesses: int, frames: int) -> None:
    """All at once."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    abreast = asyncio.Semaphore(ABREAST)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def guessing(number: int) -> float:
            async with abreast:
                return await guess(http, url, number)

        print("attacking", flush=True)
        async with asyncio.timeout(PATIENCE_S):
            lived = await asyncio.gather(
                *(slow(host, port, number) for number in range(slows)),
                *(guessing(number) for number in range(guesses)),
                junk(http, url, token, frames),
            )
    print(f"{max(lived):.2f}", flush=True)


if __name__ == "__main__":
    address, secret, *counts = sys.argv[1:]
    asyncio.run(attack(address, secret, *map(int, counts)))
