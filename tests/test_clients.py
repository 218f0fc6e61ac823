"""The Python client of the docs keeps the rules that it is there to show."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.cable import Cable
from tests.liverelay import LiveRelay
from tests.phone import PATIENCE_S
from tests.tiktok import SignAnswer, TikTok, frames

PATH = Path(__file__).parents[1] / "docs" / "clients" / "liverelay.py"
_spec = importlib.util.spec_from_file_location("docs_clients_liverelay", PATH)
assert _spec is not None
assert _spec.loader is not None
client: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(client)


async def next_of(relay: AsyncIterator[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Read on to the next frame with these fields."""
    async with asyncio.timeout(PATIENCE_S):
        async for frame in relay:
            if fields.items() <= frame.items():
                return frame
    raise AssertionError("the client has ended")


async def test_it_yields_the_live(relay: LiveRelay, tiktok: TikTok) -> None:
    creator = tiktok.creator("masha", live=True)
    _, token = await relay.user("masha")
    async with client.LiveRelay(f"{relay.url}/ws", token, {"lang": "en"}) as live:
        frames_of = aiter(live)
        status = await next_of(frames_of, type="status", state="live")
        assert status["message"] == "✅ Connected to @masha's live"
        await creator.send(frames.chat("anna", "hi"))
        assert (await next_of(frames_of, type="chat"))["message"] == "hi"
        await frames_of.aclose()


async def test_it_replays_what_a_cut_has_cost_and_tells_nothing_twice(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator = tiktok.creator("masha", live=True)
    _, token = await relay.user("masha")
    async with (
        Cable(relay.port) as cable,
        client.LiveRelay(f"{cable.url}/ws", token) as live,
    ):
        frames_of = aiter(live)
        await next_of(frames_of, state="live")
        heard = []
        for number in range(6):
            if number % 3 == 1:
                cable.cut()
            await creator.send(frames.chat("anna", str(number)))
            if number % 3 == 0:
                heard.append((await next_of(frames_of, type="chat"))["message"])
        while len(heard) < 6:
            heard.append((await next_of(frames_of, type="chat"))["message"])
        await frames_of.aclose()
    assert heard == [str(number) for number in range(6)]


async def test_it_comes_back_when_it_was_told_and_not_before(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = [SignAnswer.rate_limited({"Retry-After": "2"}), None]
    _, token = await relay.user("masha")
    waits: list[tuple[float, str]] = []
    loop = asyncio.get_running_loop()
    told_at = []

    def waiting(seconds: float, error: dict[str, Any]) -> None:
        waits.append((seconds, error["code"]))
        told_at.append(loop.time())

    async with client.LiveRelay(f"{relay.url}/ws", token, on_wait=waiting) as live:
        frames_of = aiter(live)
        error = await next_of(frames_of, type="error")
        status = await next_of(frames_of, type="status", state="connecting")
        back_at = loop.time()
        await next_of(frames_of, state="live")
        await frames_of.aclose()
    assert waits == [(error["retry_after"], "rate_limited")]
    assert back_at - told_at[0] >= error["retry_after"] - 0.1
    assert status["ts"] >= error["ts"] + error["retry_after"] * 1000 - 100


async def test_it_stops_where_only_the_user_can_help(relay: LiveRelay) -> None:
    _, token = await relay.user("")
    async with client.LiveRelay(f"{relay.url}/ws", token) as live:
        with pytest.raises(client.Halted) as halted:
            async for _ in live:
                pass
    assert halted.value.error["code"] == "username_required"
    assert str(halted.value) == "⚠️ Необходимо указать TikTok username"
