"""What can go wrong, as classes with codes.

Every class names its stable wire `code`, the WebSocket close code and whether the phone is told
when to come back. Nothing here knows a language: texts live in relay/catalogue.toml, one entry
per code. `detail` is private: it goes to the process log and never to a phone.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Final

CLOSE_GOING_AWAY: Final = 1001
CLOSE_POLICY: Final = 1008
CLOSE_UPSTREAM: Final = 1011
CLOSE_TRY_AGAIN: Final = 1013


class ComeBack(Enum):
    """When a phone that got the error may connect again."""

    NEVER = "no"
    AFTER_SETTING = "after_setting"
    AT_RETRY_AT = "at_retry_at"
    AT_ONCE = "at_once"
    WITH_BACKOFF = "with_backoff"


class AppError(Exception):
    """A failure with a code that a phone, a console and a REST client all understand.

    `retry_at` is wall-clock epoch seconds, `detail` is for the process log only, `subject` is the
    offending value that public texts may quote (a username), already cut to a harmless length.
    """

    code: ClassVar[str] = "internal"
    close_code: ClassVar[int] = CLOSE_UPSTREAM
    come_back: ClassVar[ComeBack] = ComeBack.WITH_BACKOFF
    #: What the error is worth in the process log: True when someone may need to act.
    ours: ClassVar[bool] = False
    #: The EulerStream key is at fault: another key may be tried.
    of_key: ClassVar[bool] = False
    #: Seconds after which to come back, where the code's time does not depend on anything else.
    come_back_s: ClassVar[float | None] = None
    #: A limit of one room of TikTok's, which blocks no other creator.
    of_room: bool = False

    def __init__(
        self,
        detail: str = "",
        *,
        retry_at: float | None = None,
        subject: str = "",
        variant: str = "",
    ) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.retry_at = retry_at
        self.subject = subject
        #: Names another `details` text of the same code, such as invalid_username's lookalike.
        self.variant = variant


class UsernameRequired(AppError):
    """The user has no TikTok username yet, or only spaces."""

    code = "username_required"
    close_code = CLOSE_POLICY
    come_back = ComeBack.AFTER_SETTING


class RateLimited(AppError):
    """The sign server answered 429, or the guard knows that it would."""

    code = "rate_limited"
    close_code = CLOSE_POLICY
    come_back = ComeBack.AT_RETRY_AT


class Unauthorized(AppError):
    """No token, an unknown one, or one that was revoked."""

    code = "unauthorized"
    close_code = CLOSE_POLICY
    come_back = ComeBack.NEVER


class InvalidUsername(AppError):
    """Text that cannot be a TikTok username; `subject` holds it, `variant` says what is wrong."""

    code = "invalid_username"
    close_code = CLOSE_POLICY
    come_back = ComeBack.AFTER_SETTING


class CreatorNotFound(AppError):
    """TikTok knows no such user, or one who has never been live."""

    code = "user_not_found"
    close_code = CLOSE_POLICY
    come_back = ComeBack.AFTER_SETTING


class AgeRestricted(AppError):
    """The stream needs a logged-in TikTok session."""

    code = "age_restricted"
    close_code = CLOSE_POLICY
    come_back = ComeBack.NEVER


class PremiumRequired(AppError):
    """The sign server answered 402 or 403: the key's plan does not cover this."""

    code = "premium_required"
    of_key = True
    close_code = CLOSE_POLICY
    come_back = ComeBack.NEVER


class SignKeyInvalid(AppError):
    """The sign server answered 401: the EulerStream key is not valid."""

    code = "sign_key_invalid"
    of_key = True
    close_code = CLOSE_POLICY
    come_back = ComeBack.NEVER


class CreatorOffline(AppError):
    """The creator is not live. A mode, not a failure, unless rooms.when_offline is "close"."""

    code = "user_offline"
    come_back = ComeBack.AT_RETRY_AT


class SignUnavailable(AppError):
    """The sign server is down, silent, or answers nothing usable."""

    code = "sign_unavailable"
    come_back = ComeBack.AT_RETRY_AT


class Blocked(AppError):
    """TikTok took us for a robot: captcha, WAF, refused handshake."""

    code = "blocked"
    come_back = ComeBack.AT_RETRY_AT


class ConnectFailed(AppError):
    """Any other failure to connect to TikTok."""

    code = "connect_failed"
    come_back = ComeBack.AT_RETRY_AT


class TooManyConnections(AppError):
    """More sockets than one user or one address may hold."""

    code = "too_many_connections"
    close_code = CLOSE_POLICY
    come_back = ComeBack.AT_RETRY_AT
    come_back_s = 30.0


class ServerFull(AppError):
    """limits.max_connections or rooms.max_rooms is reached."""

    code = "server_full"
    come_back = ComeBack.AT_RETRY_AT
    come_back_s = 30.0


class StoreUnavailable(AppError):
    """The database is locked, full or failing when it is needed."""

    code = "store_unavailable"
    come_back = ComeBack.AT_RETRY_AT
    come_back_s = 30.0
    ours = True


class SlowConsumer(AppError):
    """The phone does not keep up with its room."""

    code = "slow_consumer"
    close_code = CLOSE_TRY_AGAIN
    come_back = ComeBack.AT_ONCE


class BadMessage(AppError):
    """The phone sent something that is no command; the socket stays open."""

    code = "bad_message"
    close_code = CLOSE_POLICY
    come_back = ComeBack.AT_ONCE


class Internal(AppError):
    """A bug of ours."""

    code = "internal"
    ours = True


ERROR_CLASSES: Final[dict[str, type[AppError]]] = {
    cls.code: cls
    for cls in (
        UsernameRequired,
        RateLimited,
        Unauthorized,
        InvalidUsername,
        CreatorNotFound,
        AgeRestricted,
        PremiumRequired,
        SignKeyInvalid,
        CreatorOffline,
        SignUnavailable,
        Blocked,
        ConnectFailed,
        TooManyConnections,
        ServerFull,
        StoreUnavailable,
        SlowConsumer,
        BadMessage,
        Internal,
    )
}


class StartupError(Exception):
    """Why the server does not start, in one line for the operator; exit status 2."""
