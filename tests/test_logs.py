"""The process log: how lines look, and what is never in them."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import re
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from server import logs
from server.config import Config, ServerSettings, SignSettings
from server.logs import LIBRARY_LEVELS, clean, quiet_library_loggers, register_secret, setup

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\w+): (.*)")

logger = logging.getLogger("server.test")


@pytest.fixture(autouse=True)
def _untouched_logging() -> Iterator[None]:
    """Put the process's logging back as it was."""
    root, library = logging.getLogger(), logging.getLogger("TikTokLive")
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARY_LEVELS}
    filters = list(library.filters)
    yield
    root.handlers[:], library.filters[:] = handlers, filters
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_the_seeds_lines_appear_word_for_word(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config())
    logger.info("🔴 Подключение к TikTok Live: @%s", "name")
    logger.error("❌ Rate limit от TikTok API: %s", "Too many connections started")
    logger.warning("⚠️ TikTok username не указан для user_id=%s", 1)
    found = [LINE.fullmatch(line) for line in lines(capsys)]
    assert [match.groups() for match in found if match] == [
        ("INFO", "🔴 Подключение к TikTok Live: @name"),
        ("ERROR", "❌ Rate limit от TikTok API: Too many connections started"),
        ("WARNING", "⚠️ TikTok username не указан для user_id=1"),
    ]


def test_setting_up_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config())
    setup(Config())
    logger.info("once")
    assert len(lines(capsys)) == 1


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config(server=ServerSettings(log_level="warning")))
    logger.info("quiet")
    logger.warning("loud")
    assert [line.endswith("WARNING: loud") for line in lines(capsys)] == [True]


SECRET = "xK3v-9_bQ7mZr2TtWc81Lw"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"{{'Authorization': 'bearer {SECRET}'}}",
        f"Sec-WebSocket-Protocol: liverelay.v1, token.{SECRET}",
        f"GET /ws/{SECRET} HTTP/1.1",
        f"GET /ws/{SECRET}?live=auto HTTP/1.1",
        f"GET /ws?live=auto&token={SECRET}&x=1",
        f"http://127.0.0.1:8080/app/#pair={SECRET}",
        f"http://127.0.0.1:8080/console/login/{SECRET}",
        f"{{'X-Api-Key': '{SECRET}'}}",
        f"x-api-key: {SECRET}",
        f"https://sign.example/webcast/fetch?client=x&apiKey={SECRET}&room_id=1",
        f"Cookie: liverelay_session={SECRET}",
        f"Set-Cookie: s={SECRET}; HttpOnly",
        f"sessionid={SECRET}; tt-target-idc=eu",
        f'{{"user_id": 1, "token": "{SECRET}"}}',
        f"proxy http://user:{SECRET}@10.0.0.1:3128 refused",
    ],
)
def test_secrets_are_masked_by_where_they_stand(text: str) -> None:
    assert SECRET not in clean(text)
    assert "***" in clean(text)


def test_what_is_no_secret_stays() -> None:
    for text in (
        "GET /api/me 200 3 ms 127.0.0.1",
        "https://www.tiktok.com/@anna/live",
        "💡 Подсказка: EulerStream API: https://www.eulerstream.com/pricing",
        "user_id=1 code=rate_limited ref=7K2M",
    ):
        assert clean(text) == text


def test_configured_and_registered_secrets_are_masked_anywhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup(
        Config(
            server=ServerSettings(metrics_token="metrics-1234"),
            sign=SignSettings(api_key="euler-5678"),
        )
    )
    register_secret("own-key-9012")
    register_secret("a")  # too short: it would mask words
    logger.info("metrics-1234 and euler-5678 and own-key-9012 and a word")
    assert lines(capsys)[0].endswith("INFO: *** and *** and *** and a word")


def test_a_secret_inside_a_traceback_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config())
    try:
        raise ValueError(f"bad url /ws/{SECRET}\n2026-01-01 00:00:00 INFO: forged")
    except ValueError:
        # Another handler may have cached the text already, not clean.
        logger.exception("Failed")
    written = lines(capsys)
    assert SECRET not in "\n".join(written)
    assert [bool(LINE.fullmatch(line)) for line in written] == [True] + [False] * (len(written) - 1)
    assert "ValueError: bad url /ws/***" in "\n".join(written)


def test_text_from_outside_cannot_forge_or_turn_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config())
    logger.info("name %s", "a\r\nINFO: forged \x1b[31m \u202e \u2028 \ud800 ⚠️")
    assert lines(capsys)[0].endswith(
        "name a\\x0d\\x0aINFO: forged \\x1b[31m \\u202e \\u2028 \\ud800 ⚠️"
    )


def test_json_lines_hold_the_same_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config(server=ServerSettings(log_format="json")))
    try:
        raise ValueError(f"/ws/{SECRET}")
    except ValueError:
        logger.exception("❌ Сбой %s", f"?token={SECRET}")
    (line,) = lines(capsys)
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["event"]) == (
        "error",
        "server.test",
        "❌ Сбой ?token=***",
    )
    assert "ValueError: /ws/***" in entry["exception"]
    assert SECRET not in line


def test_a_line_that_cannot_be_made_does_not_tell_its_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup(Config())
    root = logging.getLogger()
    for other in [other for other in root.handlers if type(other).__module__ != "server.logs"]:
        root.removeHandler(other)  # pytest's own raises
    logger.info("%d", SECRET)
    written = capsys.readouterr().err
    assert "could not be written: TypeError" in written
    assert SECRET not in written


def test_tiktoklive_never_writes_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config())
    library = logging.getLogger("TikTokLive")
    library.addHandler(logging.StreamHandler(sys.stderr))
    library.propagate = False
    library.setLevel(logging.ERROR)
    quiet_library_loggers()
    quiet_library_loggers()
    library.error("Failed to parse", exc_info=ValueError("payload"))
    assert lines(capsys) == []


def test_tiktoklive_is_a_debug_line_without_traceback_where_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup(Config(server=ServerSettings(log_level="debug")))
    logging.getLogger("TikTokLive").error("Failed to parse", exc_info=ValueError("payload"))
    (line,) = lines(capsys)
    assert line.endswith("DEBUG: Failed to parse")


@pytest.mark.parametrize("name", ["httpx", "websockets.client", "aiosqlite", "aiohttp.access"])
def test_libraries_that_log_addresses_are_silent(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setup(Config(server=ServerSettings(log_level="debug")))
    logging.getLogger(name).info("GET /ws/%s", SECRET)
    assert lines(capsys) == []


def test_what_strangers_can_cause_is_written_sparingly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup(Config())
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sparingly = logs.Sparingly(logger)
    for number in range(1000):
        sparingly.info("Refused %s", number)
    sparingly.warning("Of another kind")
    assert [line.split(": ", 1)[1] for line in lines(capsys)] == [
        *(f"Refused {number}" for number in range(5)),
        "Of another kind",
    ]
    now = 60.0
    sparingly.info("Refused %s", "again")
    (line,) = lines(capsys)
    assert line.endswith("Refused again (and 995 more before it)")


def test_where_everything_is_asked_for_nothing_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup(Config(server=ServerSettings(log_level="debug")))
    sparingly = logs.Sparingly(logger)
    for number in range(20):
        sparingly.info("Refused %s", number)
    assert len(lines(capsys)) == 20


def test_descriptors_that_run_out_are_one_line_and_bugs_keep_their_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup(Config())
    loop = asyncio.new_event_loop()
    error = OSError(errno.EMFILE, "Too many open files")
    logs.tell_loop_error(loop, {"message": "accept failed", "exception": error})
    (line,) = lines(capsys)
    assert line.endswith("WARNING: No descriptors are left: accept failed")
    logs.tell_loop_error(loop, {"message": "callback", "exception": ValueError("odd")})
    written = lines(capsys)
    loop.close()
    assert written[0].endswith("ERROR: Event loop: callback")
    assert written[-1].endswith("ValueError: odd")


def test_debug_config_is_no_leak(capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(sign=SignSettings(api_key="euler-5678"))
    setup(config)
    logger.warning("Settings: %s", msgspec.json.encode(config).decode())
    assert "euler-5678" not in capsys.readouterr().err


def test_configured_secrets_are_never_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    setup(Config(sign=SignSettings(api_key="the-servers-own-key")))
    for number in range(2000):
        register_secret(f"users-key-{number}")
    logger.info("the-servers-own-key users-key-1999 users-key-1")
    assert lines(capsys)[-1].endswith("INFO: *** *** users-key-1")
