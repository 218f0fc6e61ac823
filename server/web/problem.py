"""Errors as RFC 9457 problems: what REST clients are told, in Russian and English.

Errors that phones share have their texts in relay/catalogue.toml; the few that only HTTP knows are
classes here, with their texts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar, Final, NamedTuple

import msgspec
from aiohttp import hdrs, web

from server.errors import ERROR_CLASSES, AppError, ComeBack
from server.relay.notices import Lang, Text, fill, rfc3339, texts
from server.usernames import harmless

MEDIA_TYPE: Final = "application/problem+json"
HELP_PAGE: Final = "/help/errors"
#: How much of an offending value, or of what is wrong with it, a problem quotes.
MAX_SUBJECT: Final = 160

#: The HTTP status of each error that phones share; the others are `internal`'s.
STATUS_OF_CODE: Final[Mapping[str, HTTPStatus]] = {
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "invalid_username": HTTPStatus.UNPROCESSABLE_ENTITY,
    "username_required": HTTPStatus.UNPROCESSABLE_ENTITY,
    "bad_message": HTTPStatus.BAD_REQUEST,
    "user_not_found": HTTPStatus.NOT_FOUND,
    "too_many_connections": HTTPStatus.TOO_MANY_REQUESTS,
    "rate_limited": HTTPStatus.SERVICE_UNAVAILABLE,
    "server_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
#: When to try again, where the error itself does not say.
DEFAULT_RETRY_S: Final = 30


class Explained(NamedTuple):
    """What is said about an error: `message` in a few words, `details` with what to do."""

    status: int
    code: str
    message: str
    details: str
    ref: str = ""
    headers: Mapping[str, str] = {}
    retry_at: float | None = None


class HttpError(Exception):
    """An error that only HTTP knows. `subject` is what its details may quote."""

    code: str = "bad_request"
    status: int = HTTPStatus.BAD_REQUEST
    message: ClassVar[Text] = Text(ru="Запрос не подходит", en="Bad request")
    details: ClassVar[Text] = Text(ru="{subject}", en="{subject}")

    def __init__(self, subject: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.code)
        self.subject = harmless(subject, MAX_SUBJECT)
        self.headers = headers or {}


class BadJson(HttpError):
    """The body is not JSON, or holds text that is no Unicode."""

    details = Text(
        ru="Тело запроса должно быть объектом JSON в UTF-8.",
        en="The body must be a JSON object in UTF-8.",
    )


class BadBody(HttpError):
    """The body did not arrive whole."""

    details = Text(ru="Тело запроса не дошло целиком.", en="The body did not arrive whole.")


class BodyTooSlow(BadBody):
    """The body took too long to arrive."""

    status = HTTPStatus.REQUEST_TIMEOUT


class BodyTooBig(HttpError):
    """The body is longer than any that we read; `subject` is how many bytes may be sent."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    details = Text(
        ru="Тело запроса длиннее {subject} байт.", en="The body is longer than {subject} bytes."
    )


class NotJson(HttpError):
    """The Content-Type is not JSON's."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    details = Text(
        ru="Нужен заголовок Content-Type: application/json.",
        en="The Content-Type header must be application/json.",
    )


class WrongMethod(HttpError):
    """The address takes other methods."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    details = Text(
        ru="Этот адрес принимает другие методы: {subject}.",
        en="This address takes other methods: {subject}.",
    )


class ForeignHost(HttpError):
    """The Host is none of ours: a browser may have been tricked by DNS."""

    status = HTTPStatus.MISDIRECTED_REQUEST
    details = Text(
        ru="Сервер не знает себя под этим именем; его можно добавить в server.allowed_hosts.",
        en="The server does not go by this name; it can be added to server.allowed_hosts.",
    )


class ForeignOrigin(HttpError):
    """A page of another site asks."""

    status = HTTPStatus.FORBIDDEN
    details = Text(
        ru="Запрос пришёл со страницы чужого сайта.",
        en="The request comes from a page of another site.",
    )


class BadParameter(HttpError):
    """A field or parameter is missing, or has a value that cannot be; `subject` says which."""

    code = "bad_parameter"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    message = Text(ru="Неверное значение", en="Bad value")
    details = Text(
        ru="Проверьте то, что отправлено: {subject}.", en="Check what was sent: {subject}."
    )


class NotFound(HttpError):
    """Nothing is here."""

    code = "not_found"
    status = HTTPStatus.NOT_FOUND
    message = Text(ru="Не найдено", en="Not found")
    details = Text(ru="Такого адреса нет.", en="There is no such address.")


class CodeNotFound(NotFound):
    """A one-time code that was never given out."""

    details = Text(
        ru="Такого кода нет. Проверьте его по буквам или попросите новый.",
        en="There is no such code. Check it letter by letter, or ask for a new one.",
    )


class CodeSpent(HttpError):
    """A one-time code that was used, or is too old."""

    code = "code_used"
    status = HTTPStatus.GONE
    message = Text(ru="Код уже использован", en="The code was used")
    details = Text(
        ru="Код действует один раз и 10 минут. Попросите новый.",
        en="A code works once and for 10 minutes. Ask for a new one.",
    )


class TooManyRequests(HttpError):
    """Too many bad attempts from one address."""

    code = "too_many_requests"
    status = HTTPStatus.TOO_MANY_REQUESTS
    message = Text(ru="Слишком много попыток", en="Too many attempts")
    details = Text(ru="Попробуйте снова через {subject} с.", en="Try again in {subject} s.")

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(str(retry_after_s), headers={hdrs.RETRY_AFTER: str(retry_after_s)})


class Other(HttpError):
    """An answer of aiohttp's own that has no class above: its status decides."""

    def __init__(self, status: int, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(HTTPStatus(status).phrase, headers=headers)
        self.status = status
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.code = "internal"


def explain(error: AppError | HttpError, lang: Lang, *, ref: str = "") -> Explained:
    """What `error` is to an HTTP client in `lang`. Nothing private passes."""
    if isinstance(error, AppError):
        return _explain_shared(error, lang, ref)
    return Explained(
        status=error.status,
        code=error.code,
        message=error.message[lang],
        details=fill(error.details[lang], {"subject": error.subject}),
        ref=ref,
        headers=error.headers,
    )


def _explain_shared(error: AppError, lang: Lang, ref: str) -> Explained:
    message, details = texts(error, lang, ref=ref)
    status = STATUS_OF_CODE.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    headers: dict[str, str] = {}
    retry_at = None
    if status is HTTPStatus.UNAUTHORIZED:
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if error.come_back is ComeBack.AT_RETRY_AT:
        now = time.time()
        retry_at = now + DEFAULT_RETRY_S if error.retry_at is None else error.retry_at
        headers[hdrs.RETRY_AFTER] = str(max(1, -int(-(retry_at - now) // 1)))
    return Explained(status, error.code, message, details, ref, headers, retry_at)


class _Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    code: str
    ref: str = ""
    retry_at: str = ""


def problem(
    code: str,
    status: int,
    detail: str,
    *,
    title: str = "",
    ref: str = "",
    retry_at: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A problem response; `code` is the member that programs read."""
    body = _Problem(
        type=f"{HELP_PAGE}#{code}" if code in ERROR_CLASSES else "about:blank",
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        ref=ref,
        retry_at="" if retry_at is None else rfc3339(retry_at),
    )
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type=MEDIA_TYPE,
        headers=headers,
    )


def problem_for(error: AppError | HttpError, lang: Lang = "ru", *, ref: str = "") -> web.Response:
    """The problem response of an error, in `lang`."""
    told = explain(error, lang, ref=ref)
    return problem(
        told.code,
        told.status,
        told.details,
        title=told.message,
        ref=told.ref,
        retry_at=told.retry_at,
        headers=told.headers,
    )
