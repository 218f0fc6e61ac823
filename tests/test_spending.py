"""Signatures are spent like money: against a sign server that really limits and really counts."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import formatdate
from pathlib import Path

import aiohttp
import pytest

from server.config import SignLimits
from tests.conftest import Serve
from tests.house import Shifted
from tests.liverelay import LiveRelay
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
    # Handshakes of both ends share the loop here, and a hundred in one turn would block it.
    shaking_hands = asyncio.Semaphore(20)

    async def come_and_go(token: str) -> None:
        epoch, last = "", 0
        for _ in range(60):
            query = {"since": str(last), "epoch": epoch} if epoch else {}
            async with shaking_hands:
                phone = await relay.phone(token, **query)
            first = await phone.expect("status")
            assert not epoch or first["recovered"]
            epoch = first["epoch"]
            last = max([first["last_id"], *(f["id"] for f in phone.frames if "id" in f)])
            await phone.close()

    await asyncio.gather(*(come_and_go(token) for token in tokens))
    await tiktok.sign.wait_spent(5)  # the phones may be quicker than TikTok's pages
    assert len(tiktok.sign.requests) == 5
    saved = relay.rooms.saved
    assert saved.sharing + saved.lingering >= 6000 - 100
    assert saved.remembering == 0


async def test_one_user_who_cycles_through_creators_does_not_empty_the_hour(
    serve: Serve, tiktok: TikTok
) -> None:
    relay = await serve(rooms={"linger_s": 0.0}, server={"language": "en"})
    names = [f"creator{number}" for number in range(30)]
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
    assert len(refusals) == 27
    assert {refusal["code"] for refusal in refusals} == {"rate_limited"}
    assert all(500 <= refusal["retry_after"] <= 600 for refusal in refusals)
    assert "too many lives" in refusals[0]["details"]
    other = await relay.phone_of(names[29])
    await other.expect_live()


def _epoch_header(seconds: float) -> str:
    return str(int(time.time() + seconds))


HEADERS: dict[str, tuple[Callable[[], dict[str, str]], str, float]] = {
    "seconds": (lambda: {"Retry-After": "300"}, "", 300),
    "date": (lambda: {"Retry-After": formatdate(time.time() + 300, usegmt=True)}, "", 300),
    "ratelimit-reset": (lambda: {"RateLimit-Reset": "300", "RateLimit-Remaining": "0"}, "", 300),
    "x-ratelimit-reset": (lambda: {"X-RateLimit-Reset": _epoch_header(300)}, "", 300),
    "milliseconds": (lambda: {"X-RateLimit-Reset": _epoch_header(300) + "000"}, "", 300),
    "two that differ": (lambda: {"RateLimit-Reset": "900", "Retry-After": "300"}, "", 300),
    "one unreadable": (lambda: {"Retry-After": "soon", "RateLimit-Reset": "300"}, "", 300),
    "minute label": (dict, "rate_limit_account_minute", 60),
    "day label": (dict, "rate_limit_account_day", 86_400),
    "nothing": (dict, "", 3600),
}


@pytest.mark.parametrize("form", HEADERS)
async def test_after_a_429_nothing_is_asked_before_its_time_and_then_one_by_one(
    form: str, tiktok: TikTok, serve: Serve
) -> None:
    headers, label, wait = HEADERS[form]
    clock = Shifted()
    creators = [tiktok.creator(name, live=True) for name in ("anna", "boris", "carla")]
    tiktok.sign.limits_script = "500"
    relay = await serve(clock.clock(), sign={"min_interval_s": 0.05})
    tokens = [(await relay.user(creator.name))[1] for creator in creators]
    tiktok.sign.script = [SignAnswer.rate_limited(headers(), label=label)]

    async def told(relay: LiveRelay, token: str) -> float:
        """Seconds until the time that a phone is told, by its own clock, which is never off."""
        phone = await relay.phone(token)
        error = await phone.expect_error("rate_limited")
        at = datetime.fromisoformat(error["retry_at"]).timestamp()
        assert phone.close_reason == f"rate_limited {at:.0f}"
        assert abs(error["retry_after"] - (at - clock.wall())) <= 1
        return at - clock.wall()

    # A time of day is in whole seconds, and some pass until it is read.
    assert wait - 1 <= await told(relay, tokens[0]) <= wait + 2
    for jump in (-90_000, 90_000, 0):
        clock.jump(jump)
        for token in tokens:
            assert wait - 3 <= await told(relay, token) <= wait + 2
    await relay.stop()
    relay = await serve(clock.clock(), sign={"min_interval_s": 0.05})
    for token in tokens:
        assert wait - 5 <= await told(relay, token) <= wait + 2
    assert len(tiktok.sign.requests) == 1

    clock.move(wait + 2)
    tiktok.sign.hold = asyncio.Event()
    phones = [await relay.phone(token) for token in tokens]
    await creators[0].until(lambda: len(tiktok.sign.requests) == 2)
    tiktok.sign.hold.set()
    for phone in phones:
        await phone.expect_live()
    assert [request.status for request in tiktok.sign.requests] == [429, 200, 200, 200]


async def test_a_hundred_who_are_told_to_wait_come_back_at_their_time_and_all_get_in(
    tiktok: TikTok, serve: Serve
) -> None:
    limits = {"minute": 200, "hour": 2000, "day": 2000}
    tiktok.sign.limits.default = limits
    clock = Shifted()
    relay = await serve(
        clock.clock(),
        sign={"min_interval_s": 0.02, "anonymous_limits": SignLimits(**limits)},
        limits={"connections_per_ip": 1000},
    )
    tiktok.creator("first", live=True)
    tiktok.sign.script = [SignAnswer.rate_limited({"Retry-After": "300"})]
    await (await relay.phone_of("first")).expect_error("rate_limited")
    told: dict[str, float] = {}
    for number in range(100):
        tiktok.creator(f"creator{number}", live=True)
        _, token = await relay.user(f"creator{number}")
        error = await (await relay.phone(token)).expect_error("rate_limited")
        told[token] = datetime.fromisoformat(error["retry_at"]).timestamp()

    async def comes_back(token: str) -> None:
        await asyncio.sleep(max(0.0, told[token] - clock.wall()))
        await (await relay.phone(token)).expect_live()

    clock.move(min(told.values()) - clock.wall())
    await asyncio.gather(*map(comes_back, told))
    statuses = [request.status for request in tiktok.sign.requests]
    assert statuses == [429] + [200] * 100


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
async def test_a_429_is_obeyed_by_the_process_that_comes_after(
    signum: int, tmp_path: Path, tiktok: TikTok
) -> None:
    for name in ("anna", "boris"):
        tiktok.creator(name, live=True)
    tokens = []
    for name in ("anna", "boris"):
        done = await run(tmp_path, "user", "add", "--name", name, "--tiktok", name, "--json")
        tokens.append(json.loads(done.out)["token"])
    tiktok.sign.script = [SignAnswer.rate_limited({"Retry-After": "300"})]
    env = environment(tmp_path, tiktok)
    async with aiohttp.ClientSession() as http:
        async with Server(tmp_path, env) as server:
            phone = Phone(await http.ws_connect(f"{server.url}/ws/{tokens[0]}"))
            first = await phone.expect_error("rate_limited")
            server.process.send_signal(signum)
            await server.process.wait()
        async with Server(tmp_path, env) as server:
            phone = Phone(await http.ws_connect(f"{server.url}/ws/{tokens[0]}"))
            again = await phone.expect_error("rate_limited")
            assert (again["ref"], again["retry_at"]) == (first["ref"], first["retry_at"])
            phone = Phone(await http.ws_connect(f"{server.url}/ws/{tokens[1]}"))
            other = await phone.expect_error("rate_limited")
            assert other["retry_at"] >= first["retry_at"]
            doctor = await run(tmp_path, "doctor", "--json", env=env)
            assert await server.stop() == 0
    assert [request.status for request in tiktok.sign.requests] == [429]
    findings = {finding["name"]: finding for finding in json.loads(doctor.out)}
    budget = findings["sign budget"]
    assert not budget["ok"]
    assert "1 of 5 a minute, 1 of 30 a hour" in budget["seen"]
    assert "blocked until" in budget["seen"]
    assert budget["seen"].endswith("by retry-after")


@pytest.mark.parametrize(
    ("sign", "code"),
    [(500, "sign_unavailable"), (401, "sign_key_invalid"), ("hang", "sign_unavailable")],
)
async def test_a_restart_spends_nothing_for_a_room_that_was_cooling_down(
    sign: object, code: str, tiktok: TikTok, serve: Serve
) -> None:
    creator = tiktok.creator("anna", live=True)
    creator.script.sign = sign  # type: ignore[assignment]
    relay = await serve(sign={"timeout_s": 0.5})
    _, token = await relay.user("anna")
    first = await (await relay.phone(token)).expect_error(code)
    await relay.stop()
    relay = await serve(sign={"timeout_s": 0.5})
    again = await (await relay.phone(token)).expect_error(code)
    assert again["ref"] == first["ref"]
    assert again.get("retry_at") == first.get("retry_at")
    assert len(tiktok.sign.requests) == 1


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


async def test_an_own_key_is_tried_first_and_a_bad_one_not_again(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve()
    for name in ("anna", "boris", "carla"):
        tiktok.creator(name, live=True)
    tiktok.sign.scripts_by_key["bad key 12345"] = 401
    user, token = await relay.user("anna")
    await relay.users.set_sign_key(user.user_id, "bad key 12345")
    await (await relay.phone(token)).expect_live()
    assert [request.key for request in tiktok.sign.requests] == ["bad key 12345", ""]

    phone = await relay.phone(token, live="manual")
    await phone.send(action="connect_tiktok", username="boris")
    await phone.expect_live()
    assert [request.key for request in tiktok.sign.requests][2:] == [""]

    headers = {"Authorization": f"Bearer {token}"}
    body = {"sign_api_key": "good key 12345".replace(" ", "-")}
    async with relay.http.put(f"{relay.url}/api/me/sign-key", json=body, headers=headers) as ok:
        assert ok.status == 200
    await phone.send(action="connect_tiktok", username="carla")
    await phone.expect_live()
    assert [request.key for request in tiktok.sign.requests][3:] == ["good-key-12345"]


async def test_a_new_key_is_signed_with_when_the_stream_is_lost_without_a_reconnect(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve()
    creator = tiktok.creator("anna", live=True)
    _, token = await relay.user("anna")
    phone = await relay.phone(token)
    await phone.expect_live()
    headers = {"Authorization": f"Bearer {token}"}
    body = {"sign_api_key": "own-key-12345"}
    async with relay.http.put(f"{relay.url}/api/me/sign-key", json=body, headers=headers) as ok:
        assert ok.status == 200
    await creator.wait_connected()
    creator.reset()
    await phone.expect("status", state="reconnecting")
    await phone.expect_live()
    assert [request.key for request in tiktok.sign.requests] == ["", "own-key-12345"]


async def test_an_own_key_opens_a_room_that_the_servers_key_may_not(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve()
    tiktok.creator("anna", live=True)
    tiktok.sign.scripts_by_key[""] = SignAnswer.rate_limited({"Retry-After": "300"})
    await (await relay.phone_of("anna")).expect_error("rate_limited")
    user, token = await relay.user("anna")
    await relay.users.set_sign_key(user.user_id, "own-key-12345")
    await (await relay.phone(token)).expect_live()
    await (await relay.phone_of("anna")).expect_live()
    assert [request.key for request in tiktok.sign.requests] == ["", "own-key-12345"]
