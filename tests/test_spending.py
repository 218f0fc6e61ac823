"""Signatures are spent like money: against a sign server that really limits and really counts."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Serve
from tests.phone import Phone
from tests.process import Server, environment, run
from tests.tiktok import SignAnswer, TikTok, frames


async def test_two_hundred_phones_at_once_in_twenty_spellings_are_one_signature(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(limits={"connections_per_ip": 1000})
    tiktok.creator("anna.b", live=True)
    spellings = [
        form.format(name)
        for name in ("anna.b", "ANNA.B", "Anna.b", "aNNa.B")
        for form in ("{}", "@{}", " {} ", "https://www.tiktok.com/@{}", "tiktok.com/@{}/live")
    ]
    tokens = [(await relay.user())[1] for _ in range(40)]
    phones = await asyncio.gather(
        *(relay.phone(tokens[number % 40], live="manual") for number in range(200))
    )
    await asyncio.gather(
        *(
            phone.send(action="connect_tiktok", username=spellings[number % 20])
            for number, phone in enumerate(phones)
        )
    )
    await asyncio.gather(*(phone.expect_live() for phone in phones))
    assert len(tiktok.sign.requests) == 1


async def test_phones_that_drop_and_return_all_the_time_cost_one_signature_a_creator(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(limits={"connections_per_ip": 1000})
    names = [f"creator{number}" for number in range(5)]
    for name in names:
        tiktok.creator(name, live=True)
    tokens = [(await relay.user(names[number % 5]))[1] for number in range(100)]

    async def come_and_go(token: str) -> None:
        epoch, last = "", 0
        for _ in range(6):
            query = {"since": str(last), "epoch": epoch} if epoch else {}
            phone = await relay.phone(token, **query)
            first = await phone.expect("status")
            epoch = first["epoch"]
            if first["state"] != "live":
                await phone.expect_live()
            last = max([first["last_id"], *(f["id"] for f in phone.frames if "id" in f)])
            await phone.close()

    await asyncio.gather(*(come_and_go(token) for token in tokens))
    assert len(tiktok.sign.requests) == 5


async def test_one_user_who_cycles_through_creators_does_not_empty_the_hour(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve(rooms={"linger_s": 0.0}, server={"language": "en"})
    names = [f"creator{number}" for number in range(10)]
    for name in names:
        tiktok.creator(name, live=True)
    _, token = await relay.user()
    refusals = []
    for name in names:
        phone = await relay.phone(token, live="manual")
        await phone.send(action="connect_tiktok", username=name)
        while (frame := await phone.next()) is not None and frame.get("state") != "live":
            if frame["type"] == "error":
                refusals.append(frame)
        await phone.close()
    assert len(tiktok.sign.requests) == 3
    assert len(refusals) == 7
    assert {refusal["code"] for refusal in refusals} == {"rate_limited"}
    assert all(500 <= refusal["retry_after"] <= 600 for refusal in refusals)
    assert "too many lives" in refusals[0]["details"]
    other = await relay.phone_of(names[9])
    await other.expect_live()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    ("headers", "label"),
    [
        ({"Retry-After": "300"}, ""),
        ({"RateLimit-Reset": "300"}, ""),
        ({}, "rate_limit_account_hour"),
    ],
    ids=["retry-after", "ratelimit-reset", "label"],
)
async def test_a_429_is_obeyed_across_restarts(
    signum: int, headers: dict[str, str], label: str, tmp_path: Path, tiktok: TikTok
) -> None:
    for name in ("anna", "boris"):
        tiktok.creator(name, live=True)
    tokens = []
    for name in ("anna", "boris"):
        done = await run(tmp_path, "user", "add", "--name", name, "--tiktok", name, "--json")
        tokens.append(json.loads(done.out)["token"])
    tiktok.sign.script = [SignAnswer.rate_limited(headers, label=label)]
    env = environment(tmp_path, tiktok)
    async with aiohttp.ClientSession() as http:
        async with Server(tmp_path, env) as server:
            phone = Phone(await http.ws_connect(f"{server.url}/ws/{tokens[0]}"))
            first = await phone.expect_error("rate_limited")
            server.process.send_signal(signum)
            await server.process.wait()
        async with Server(tmp_path, env) as server:
            for token in tokens:
                phone = Phone(await http.ws_connect(f"{server.url}/ws/{token}"))
                again = await phone.expect_error("rate_limited")
                assert abs(again["retry_after"] - first["retry_after"]) <= 20
            assert await server.stop() == 0
    assert [request.status for request in tiktok.sign.requests] == [429]


async def test_a_budget_that_is_used_up_is_known_without_asking(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(sign={"max_wait_s": 0.0, "min_interval_s": 0.0})
    tiktok.sign.limits.default = {"minute": 3, "hour": 30, "day": 100}
    for number in range(6):
        tiktok.creator(f"creator{number}", live=True)
    outcomes = []
    for number in range(6):
        phone = await relay.phone_of(f"creator{number}")
        while (frame := await phone.next()) is not None and frame.get("state") != "live":
            if frame["type"] == "error":
                outcomes.append(frame["code"])
    assert outcomes == ["rate_limited"] * 3
    assert [request.status for request in tiktok.sign.requests] == [200] * 3


async def test_a_lost_stream_comes_back_while_new_rooms_are_told_to_wait(
    tiktok: TikTok, serve: Serve
) -> None:
    limits = {"minute": 100, "hour": 10, "day": 100}
    tiktok.sign.limits.default = limits
    relay = await serve(sign={"max_wait_s": 0.0, "min_interval_s": 0.0})
    watching = []
    for number in range(7):
        tiktok.creator(f"creator{number}", live=True)
        phone = await relay.phone_of(f"creator{number}")
        await phone.expect_live()
        watching.append(phone)
    tiktok.creator("late", live=True)
    await (await relay.phone_of("late")).expect_error("rate_limited")
    await tiktok.creator("creator0").wait_connected()
    tiktok.creator("creator0").reset()
    await watching[0].expect("status", state="reconnecting")
    await watching[0].expect_live()
    await tiktok.creator("creator0").wait_connected()
    await tiktok.creator("creator0").send(frames.chat("fan", "back"))
    await watching[0].expect("chat", message="back")
    assert len(tiktok.sign.requests) == 8
