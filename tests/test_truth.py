"""Whatever goes wrong upstream, the phone gets exactly one truthful error and the right close code.

Each case drives the real TikTokLive against TikTok on loopback, through the whole server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import pytest

from server.relay.notices import catalogue
from tests.conftest import Serve
from tests.tiktok import Creator, SignAnswer, TikTok

Script = Callable[[TikTok, Creator], None]


class Case(NamedTuple):
    """A failure, the code it must become, and what it may cost."""

    name: str
    script: Script
    code: str
    close_code: int
    signatures: int


def _sign(kind: object) -> Script:
    return lambda tiktok, creator: setattr(creator.script, "sign", kind)


def _pages(kind: str) -> Script:
    def script(tiktok: TikTok, creator: Creator) -> None:
        creator.script.html = creator.script.api = kind

    return script


def _handshake(kind: object) -> Script:
    return lambda tiktok, creator: setattr(creator.script, "handshake", kind)


def _never_live(tiktok: TikTok, creator: Creator) -> None:
    creator.go_offline()
    creator.never_live = True


def _unknown(tiktok: TikTok, creator: Creator) -> None:
    del tiktok.creators[creator.name]


def _refused(tiktok: TikTok, creator: Creator) -> None:
    tiktok.sign.script = "refused"


CASES = [
    Case("never live", _never_live, "user_not_found", 1008, 0),
    Case("not found", _unknown, "user_not_found", 1008, 0),
    Case("captcha", _pages("captcha"), "blocked", 1011, 0),
    Case("pages 403", _pages("403"), "blocked", 1011, 0),
    Case("pages 500", _pages("500"), "connect_failed", 1011, 0),
    Case("pages empty", _pages("empty"), "blocked", 1011, 0),
    Case("pages reset", _pages("reset"), "connect_failed", 1011, 0),
    Case("pages bomb", _pages("bomb"), "connect_failed", 1011, 0),
    Case("pages bomb in a bomb", _pages("double_bomb"), "connect_failed", 1011, 0),
    Case("sign bomb", _sign("bomb"), "sign_unavailable", 1011, 1),
    Case("sign zeros", _sign(SignAnswer(body=b"\0" * (1 << 20))), "sign_unavailable", 1011, 1),
    Case(
        "sign of a million messages",
        _sign(SignAnswer(body=b"\x0a\x00" * (1 << 19))),
        "sign_unavailable",
        1011,
        1,
    ),
    Case("sign 401", _sign(401), "sign_key_invalid", 1008, 1),
    Case("sign 402", _sign(402), "premium_required", 1008, 1),
    Case("sign 403", _sign(403), "premium_required", 1008, 1),
    Case("sign 404", _sign(404), "sign_unavailable", 1011, 1),
    Case(
        "sign 429", _sign(SignAnswer.rate_limited({"Retry-After": "90"})), "rate_limited", 1008, 1
    ),
    Case("sign 429 bare", _sign(SignAnswer.rate_limited()), "rate_limited", 1008, 1),
    Case("sign 500", _sign(500), "sign_unavailable", 1011, 1),
    Case("sign 502", _sign(502), "sign_unavailable", 1011, 1),
    Case("sign empty", _sign("empty"), "sign_unavailable", 1011, 1),
    Case("sign garbage", _sign("garbage"), "sign_unavailable", 1011, 1),
    Case("sign json", _sign("json"), "sign_unavailable", 1011, 1),
    Case("sign truncated", _sign("truncated"), "sign_unavailable", 1011, 1),
    Case("sign no cookies", _sign("no_cookies"), "sign_unavailable", 1011, 1),
    Case("sign no cursor", _sign("no_cursor"), "sign_unavailable", 1011, 1),
    Case("sign no push server", _sign("no_push_server"), "sign_unavailable", 1011, 1),
    Case("sign hangs", _sign("hang"), "sign_unavailable", 1011, 1),
    Case("sign drips", _sign("drip"), "sign_unavailable", 1011, 1),
    Case("sign reset", _sign("reset"), "sign_unavailable", 1011, 1),
    Case("sign refused", _refused, "sign_unavailable", 1011, 0),
    Case("handshake 200", _handshake(200), "blocked", 1011, 1),
    Case("handshake 400", _handshake(400), "blocked", 1011, 1),
    Case("handshake 403", _handshake(403), "connect_failed", 1011, 1),
    Case("handshake 500", _handshake(500), "connect_failed", 1011, 1),
    Case("handshake reset", _handshake("reset"), "connect_failed", 1011, 1),
    Case("handshake refused", _handshake("refused"), "connect_failed", 1011, 1),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_each_failure_is_one_truthful_error(
    case: Case,
    tiktok: TikTok,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    relay = await serve(sign={"timeout_s": 1.0})
    creator = tiktok.creator("anna", live=True)
    case.script(tiktok, creator)
    phone = await relay.phone_of("anna", lang="ru")

    error = await phone.expect_error(case.code)

    texts = catalogue().errors[case.code]
    assert error["message"] == texts.message.ru
    assert error["closing"] is True
    assert phone.close_code == case.close_code
    assert phone.close_reason.split()[0] == case.code
    assert ("retry_at" in error) == ("retry_after" in error) == (" " in phone.close_reason)
    if case.close_code == 1011 or case.code == "rate_limited":
        assert error["retry_after"] >= 1
    assert len(tiktok.sign.requests) == case.signatures

    rows = [row for row in relay.event_log.recent(0) if row.type == "error"]
    assert [(row.code, row.ref, row.creator) for row in rows] == [(case.code, error["ref"], "anna")]
    assert texts.message.ru in rows[0].text
    assert not [record for record in caplog.records if record.exc_info], "a traceback was logged"
    assert "Traceback" not in capfd.readouterr().err
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == [] or case.code in {
        "rate_limited"
    }


async def test_the_seeds_rate_limit_is_told_in_its_own_words(
    tiktok: TikTok, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    relay = await serve()
    creator = tiktok.creator("anna", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "3600"})
    phone = await relay.phone_of("anna")

    error = await phone.expect_error("rate_limited")

    assert error["message"] == "❌ Достигнут лимит подключений TikTok API"
    assert error["details"] == (
        "Подождите несколько минут или используйте EulerStream API для снятия лимитов."
    )
    assert 3590 <= error["retry_after"] <= 3601  # the end of a block is spread a little
    assert phone.close_code == 1008
    lines = [f"{record.levelname}: {record.getMessage()}" for record in caplog.records]
    assert "INFO: 🔴 Подключение к TikTok Live: @anna" in lines
    assert "ERROR: ❌ Rate limit от TikTok API: Too many connections started" in lines
    assert (
        "INFO: 💡 Подсказка: Для снятия лимита используйте EulerStream API: "
        "https://www.eulerstream.com/pricing"
    ) in lines


async def test_a_user_without_a_username_is_told_in_the_seeds_words(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    relay = await serve()
    user, token = await relay.user()
    phone = await relay.phone(token)

    error = await phone.expect_error("username_required")

    assert error["message"] == "⚠️ Необходимо указать TikTok username"
    assert error["details"] == "Перейдите в настройки и укажите ваш TikTok username"
    assert (phone.close_code, phone.close_reason) == (1008, "username_required")
    line = f"⚠️ TikTok username не указан для user_id={user.user_id}"
    assert ("WARNING", line) in [(r.levelname, r.getMessage()) for r in caplog.records]


async def test_the_same_failure_in_english(tiktok: TikTok, serve: Serve) -> None:
    relay = await serve()
    phone = await relay.phone_of("nobody", lang="en")
    error = await phone.expect_error("user_not_found")
    assert error["message"] == "⚠️ TikTok user not found"
    assert "@nobody" in error["details"]


async def test_with_tiktok_unreachable_the_phone_is_told_and_does_not_hang(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve()
    tiktok.creator("anna", live=True)
    tiktok.refuse()
    phone = await relay.phone_of("anna")
    assert (await phone.expect_error("connect_failed"))["retry_after"] >= 1


async def test_an_offline_creator_is_waited_for_and_costs_no_signature(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(rooms={"offline_poll_s": 0.05})
    creator = tiktok.creator("anna", live=False)
    phone = await relay.phone_of("anna")
    waiting = await phone.expect("status", state="waiting")
    assert waiting["tiktok_username"] == "anna"
    assert "connected" not in waiting
    assert not tiktok.sign.requests

    creator.go_live()
    await phone.expect_live()
    assert len(tiktok.sign.requests) == 1


async def test_when_the_server_is_set_to_close_an_offline_creator_is_an_error(
    tiktok: TikTok, serve: Serve
) -> None:
    relay = await serve(rooms={"when_offline": "close"})
    tiktok.creator("anna", live=False)
    phone = await relay.phone_of("anna")
    error = await phone.expect_error("user_offline")
    assert phone.close_code == 1011
    assert 1 <= error["retry_after"] <= 20
