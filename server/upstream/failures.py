"""Whatever an attempt to reach a creator ended in -> one of our errors. Pure.

Decided by what was answered (statuses noted by http.py), by the exception's type and its causes,
never by its text: the library words one failure in many ways, and one text holds the whole signed
URL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

import httpx
from TikTokLive.client.errors import (
    AgeRestrictedError,
    InitialCursorMissingError,
    PremiumEndpointError,
    SignAPIError,
    SignatureRateLimitError,
    UserNotFoundError,
    UserOfflineError,
    WebcastBlockedError,
    WebsocketURLMissingError,
)

from server.errors import (
    AgeRestricted,
    AppError,
    Blocked,
    ConnectFailed,
    CreatorNotFound,
    CreatorOffline,
    PremiumRequired,
    SignKeyInvalid,
    SignUnavailable,
)
from server.upstream.http import Answer
from server.upstream.retry_after import (
    SignRateLimited,
    fallback_wait,
    read_label,
    read_wait,
)

#: Causes named in the log; a chain may be a circle.
MAX_CAUSES: Final = 5


class Stage(Enum):
    """How far the attempt had come."""

    LOOKUP = "look-up"
    SIGN = "sign"
    PUSH = "push"


def classify(
    error: BaseException | None, stage: Stage, answers: Sequence[Answer], *, now: float
) -> AppError:
    """The error that phones are told for an attempt that ended in `error` (None: just closed)."""
    detail = _detail(error, stage, answers)
    chain = list(_chain(error))
    signed = [answer for answer in answers if answer.host_kind == "sign"]
    if signed and (failure := _of_sign_status(signed[-1], detail, now)) is not None:
        return failure
    if any(isinstance(cause, SignatureRateLimitError) for cause in chain):
        return SignRateLimited(detail, fallback_wait(None), None, ())
    if any(isinstance(cause, PremiumEndpointError) for cause in chain):
        return PremiumRequired(detail)
    if any(isinstance(cause, UserOfflineError) for cause in chain[:1]):
        return CreatorOffline(detail)
    if any(isinstance(cause, AgeRestrictedError) for cause in chain):
        return AgeRestricted(detail) if _has_prompts(answers) else ConnectFailed(detail)
    if any(isinstance(cause, WebcastBlockedError) for cause in chain):
        return Blocked(detail)
    if stage is Stage.LOOKUP:
        return _of_look_up(error, answers, detail)
    no_stream = (SignAPIError, InitialCursorMissingError, WebsocketURLMissingError)
    if stage is Stage.SIGN or any(isinstance(cause, no_stream) for cause in chain):
        return SignUnavailable(detail)
    return ConnectFailed(detail)


def _of_sign_status(answer: Answer, detail: str, now: float) -> AppError | None:
    """What the sign server's status says; None when it answered 200."""
    match answer.status:
        case 200:
            return None
        case 429:
            label = read_label(answer.body)
            wait = read_wait(answer.headers, now) or fallback_wait(label)
            said = f"{detail}, wait {wait.seconds:.0f} s by {wait.source}"
            return SignRateLimited(said, wait, label, answer.headers)
        case 401:
            return SignKeyInvalid(detail)
        case 402 | 403:
            return PremiumRequired(detail)
        case _:
            return SignUnavailable(detail)


def _of_look_up(error: BaseException | None, answers: Sequence[Answer], detail: str) -> AppError:
    """TikTok's own pages: what both the page and the API, or the live check, have answered."""
    # Only the API's word counts: the page says "not found" to robots as well.
    if isinstance(error, UserNotFoundError) or isinstance(
        getattr(error, "__cause__", None), UserNotFoundError
    ):
        asked_api = any(answer.path.endswith("/api-live/user/room/") for answer in answers)
        if asked_api and answers[-1].status == httpx.codes.OK and answers[-1].is_json:
            return CreatorNotFound(detail)
    if isinstance(error, httpx.HTTPError | TimeoutError) or not answers:
        return ConnectFailed(detail)
    last = answers[-1]
    if last.status == httpx.codes.FORBIDDEN:
        return Blocked(detail)
    if last.status == httpx.codes.OK and not last.is_json:
        return Blocked(detail)
    return ConnectFailed(detail)


def _has_prompts(answers: Sequence[Answer]) -> bool:
    """Room info of an age-restricted live asks for something; a broken answer does not."""
    for answer in answers:
        try:
            decoded = json.loads(answer.body) if answer.body else None
        except (ValueError, RecursionError):
            continue
        data = decoded.get("data") if isinstance(decoded, dict) else None
        if isinstance(data, dict) and "prompts" in data:
            return True
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _detail(error: BaseException | None, stage: Stage, answers: Sequence[Answer]) -> str:
    """For the process log: types and statuses, no texts, which may hold URLs and keys."""
    names = dict.fromkeys(type(cause).__name__ for cause in _chain(error))
    causes = " from ".join(names) or "closed"
    statuses = ", ".join(f"{answer.host_kind} {answer.status}" for answer in answers)
    return f"{stage.value}: {causes}" + (f" ({statuses})" if statuses else "")
