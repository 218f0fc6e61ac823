"""Whatever the libraries raise becomes one of our errors: by type, status, cause, never by text."""

from __future__ import annotations

import inspect
import json
import ssl

import httpx
import pytest
from TikTokLive.client import errors as library
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidHandshake

from server.errors import AppError
from server.upstream.failures import SignRateLimited, Stage, classify
from server.upstream.http import Answer

NOW = 1_790_000_000.0
API = "/api-live/user/room/"
REASON = library.SignAPIError.ErrorReason
RESPONSE = httpx.Response(429, headers={"RateLimit-Remaining": "0", "RateLimit-Reset": "60"})


def classified(
    error: BaseException | None, stage: Stage = Stage.SIGN, *answers: Answer
) -> AppError:
    """The failure an attempt becomes."""
    return classify(error, stage, answers, now=NOW)


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


#: Every error class of the library, made as the library makes it, and what it must become.
LIBRARY_ERRORS = {
    library.TikTokLiveError("x"): "sign_unavailable",
    library.AlreadyConnectedError("x"): "sign_unavailable",
    library.UserOfflineError("x"): "user_offline",
    library.UserNotFoundError("anna", "x"): "sign_unavailable",
    library.AgeRestrictedError("x"): "connect_failed",
    library.InitialCursorMissingError("x"): "sign_unavailable",
    library.WebsocketURLMissingError("x"): "sign_unavailable",
    library.WebcastBlockedError("x"): "blocked",
    library.SignAPIError(REASON.CONNECT_ERROR, "x"): "sign_unavailable",
    library.SignatureRateLimitError("x", "wait %s", response=RESPONSE): "rate_limited",
    library.UnexpectedSignatureError("x"): "sign_unavailable",
    library.SignatureMissingTokensError("x"): "sign_unavailable",
    library.PremiumEndpointError("x", api_message="x"): "premium_required",
    library.AuthenticatedWebSocketConnectionError("x"): "sign_unavailable",
}


def test_every_error_of_the_library_is_in_the_table() -> None:
    known = {type(error) for error in LIBRARY_ERRORS}
    found = {
        item
        for _, item in inspect.getmembers(library, inspect.isclass)
        if issubclass(item, Exception)
    }
    assert found == known


@pytest.mark.parametrize(
    ("error", "code"), LIBRARY_ERRORS.items(), ids=lambda value: type(value).__name__
)
def test_each_error_of_the_library_has_its_code(error: Exception, code: str) -> None:
    assert classified(error).code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "sign_key_invalid"),
        (402, "premium_required"),
        (403, "premium_required"),
        (404, "sign_unavailable"),
        (429, "rate_limited"),
        (500, "sign_unavailable"),
        (502, "sign_unavailable"),
        (503, "sign_unavailable"),
    ],
)
@pytest.mark.parametrize(
    "error", [TypeError("int() argument"), library.UnexpectedSignatureError("x"), None]
)
def test_the_sign_servers_status_decides_whatever_the_library_raised(
    status: int, code: str, error: Exception | None
) -> None:
    assert classified(error, Stage.SIGN, Answer("sign", "/webcast/fetch/", status)).code == code


def test_a_limit_carries_its_wait_where_it_came_from_and_what_it_limits() -> None:
    headers = (("Retry-After", "90"), ("RateLimit-Remaining", "0"))
    body = json.dumps({"limit_label": "rate_limit_room_id_hour"}).encode()
    error = classified(TypeError(), Stage.SIGN, Answer("sign", "/", 429, headers, body))
    assert isinstance(error, SignRateLimited)
    assert error.wait.seconds == 90
    assert error.wait.source == "retry-after"
    assert error.of_room


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError(""),
        httpx.ReadError(""),
        httpx.ReadTimeout(""),
        httpx.RemoteProtocolError(""),
        ssl.SSLCertVerificationError(""),
        ConnectionResetError(),
        TimeoutError(),
        OSError(),
        InvalidHandshake(),
        ConnectionClosedOK(None, None),
        ConnectionClosedError(None, None),
        RuntimeError("anything"),
        json.JSONDecodeError("", "", 0),
        None,
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_network_does_depends_on_how_far_the_attempt_had_come(
    error: Exception | None,
) -> None:
    assert classified(error, Stage.LOOKUP).code == "connect_failed"
    assert classified(error, Stage.SIGN).code == "sign_unavailable"
    assert classified(error, Stage.PUSH).code == "connect_failed"


def test_not_found_is_believed_of_the_api_only() -> None:
    """TikTok's page says "not found" to robots as well."""
    error = library.UserNotFoundError("anna", "x")
    page = Answer("app", "/@anna/live", 200, is_json=False)
    assert classified(error, Stage.LOOKUP, page).code == "blocked"
    api = Answer("app", API, 200, is_json=True)
    assert classified(error, Stage.LOOKUP, page, api).code == "user_not_found"


def test_never_live_is_read_from_the_cause() -> None:
    error = caused(RuntimeError("x"), library.UserNotFoundError("anna", "x"))
    assert classified(error, Stage.LOOKUP, Answer("app", API, 200, is_json=True)).code == (
        "user_not_found"
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer("app", API, 403, is_json=True), "blocked"),
        (Answer("app", API, 200, is_json=False), "blocked"),
        (Answer("app", API, 500), "connect_failed"),
        (Answer("webcast", "/room/check_alive/", 200, is_json=True), "connect_failed"),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_block_or_a_failure(answer: Answer, code: str) -> None:
    assert classified(RuntimeError("x"), Stage.LOOKUP, answer).code == code


def test_age_restriction_is_believed_only_with_tiktoks_prompts() -> None:
    error = library.AgeRestrictedError("x")
    info = Answer("webcast", "/room/info/", 200, body=b'{"data": {"prompts": "18+"}}')
    assert classified(error, Stage.LOOKUP, info).code == "age_restricted"
    for body in (b"", b"{}", b"[", b'{"data": []}'):
        broken = Answer("webcast", "/room/info/", 200, body=body)
        assert classified(error, Stage.LOOKUP, broken).code == "connect_failed"


def test_texts_decide_nothing_and_stay_out_of_the_detail() -> None:
    secret = "https://sign/?apiKey=euler_secret 429 Too many connections started"
    error = classified(caused(RuntimeError(secret), ValueError(secret)), Stage.PUSH)
    assert error.code == "connect_failed"
    assert error.detail == "push: RuntimeError from ValueError"


def test_a_circle_of_causes_ends() -> None:
    first, second = RuntimeError(), ValueError()
    caused(first, second)
    caused(second, first)
    assert classified(first, Stage.PUSH).code == "connect_failed"
