"""Across a restart, clean or not: nothing silent is lost, nothing comes twice, no id is reused."""

from __future__ import annotations

import signal
from pathlib import Path

import aiohttp
import pytest

from tests.phone import Phone
from tests.process import Server, environment, run
from tests.tiktok import Creator, TikTok, frames


async def phone_of(server: Server, http: aiohttp.ClientSession, **query: str) -> Phone:
    """The phone of user 1."""
    return Phone(await http.ws_connect(f"{server.url}/ws", params=query))


async def chats(creator: Creator, phone: Phone, first: int, last: int) -> None:
    """Numbered messages, all of which the phone gets."""
    await creator.wait_connected()
    for number in range(first, last):
        await creator.send(frames.chat("fan", str(number)))
    await phone.expect("chat", message=str(last - 1))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
async def test_a_phone_that_returns_after_a_restart_misses_nothing_in_silence(
    signum: int, tmp_path: Path, tiktok: TikTok
) -> None:
    creator = tiktok.creator("anna", live=True)
    await run(tmp_path, "user", "add", "--name", "x", "--tiktok", "anna")
    env = environment(tmp_path, tiktok)
    async with aiohttp.ClientSession() as http:
        async with Server(tmp_path, env) as server:
            code = {"code": server.pairing_code}
            async with http.post(f"{server.url}/api/pair", json=code) as answer:
                token = (await answer.json())["token"]
            early = await phone_of(server, http, token=token)
            status = await early.expect_live()
            first_status = early.frames[0]
            await chats(creator, early, 0, 10)
            seen = early.of("chat")[-1]["id"]
            await early.close()
            late = await phone_of(server, http, token=token)
            await late.expect_live()
            await chats(creator, late, 10, 20)
            server.process.send_signal(signum)
            await late.expect_close()
            await server.process.wait()
        old_ids = {frame["id"] for frame in [*early.frames, *late.frames] if "id" in frame}
        async with Server(tmp_path, env) as server:
            back = await phone_of(
                server, http, token=token, since=str(seen), epoch=first_status["epoch"]
            )
            await back.expect_live()
            await chats(creator, back, 20, 25)
            assert await server.stop() == 0
    assert back.frames[0]["epoch"] == first_status["epoch"]
    assert back.frames[0]["recovered"] is True
    got = [int(frame["message"]) for frame in back.of("chat")]
    assert got == sorted(set(got))
    assert got[-5:] == [20, 21, 22, 23, 24]
    missing = set(range(10, 20)) - set(got)
    gaps = [gap for gap in back.of("gap") if gap["reason"] == "restart"]
    if signum == signal.SIGTERM:
        assert not missing
    if missing:
        (gap,) = gaps
        lost = {frame["id"] for frame in late.of("chat") if int(frame["message"]) in missing}
        assert all(gap["from_id"] <= number <= gap["to_id"] for number in lost)
    new_ids = {frame["id"] for frame in back.frames if frame.get("id", 0) > max(old_ids)}
    fresh = {frame["id"] for frame in back.of("chat") if int(frame["message"]) >= 20}
    assert fresh <= new_ids
    assert status["state"] == "live"
