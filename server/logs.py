"""The process log on standard error: how a line looks, and what must never be in one.

Modules log through logging.getLogger(__name__); what is fixed here is the root's one handler.
Every line passes `clean`, so that a secret which slips into a message, an exception or a library's
line is masked.
"""

from __future__ import annotations

import asyncio
import copy
import errno
import io
import logging
import re
import sys
import time
from collections.abc import Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from server.config import Config

MASK: Final = "***"
#: A pattern that matches nowhere.
NOTHING: Final = r"(?!)"
#: A shorter value would mask ordinary words.
MIN_SECRET: Final = 6
#: Users' secrets remembered; the oldest is forgotten first.
MAX_SECRETS: Final = 1000
#: Of each kind of line that a stranger can cause.
LINES_PER_MINUTE: Final = 5
MINUTE_S: Final = 60.0

TEXT_FORMAT: Final = "%(asctime)s %(levelname)s: %(message)s"
TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
#: A traceback's lines are indented, so that none of them can pass for a line of ours.
TRACEBACK_INDENT: Final = "    "

#: Libraries that log URLs, headers or SQL below this level.
LIBRARY_LEVELS: Final = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "websockets": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "urllib3": logging.WARNING,
    "asyncio": logging.WARNING,
    # Its lines hold raw paths; ours come from web/middlewares.py.
    "aiohttp.access": logging.CRITICAL + 1,
}

#: Where tokens, codes and keys stand, whatever they are: the first group stays.
_PLACES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(\bbearer(?:\s|%20|\+)+)[^\s'\",;]+",
        r"(\bbasic\s+)[a-z0-9+/=]{6,}",
        r"(\btoken\.)[\w~+/=%-]{8,}",
        r"([?&;](?:token|code|key|api_?key|sign_api_key|sessionid|session_id|password)=)[^&\s'\"#]+",
        r"(/ws/)[^\s?'\"#&]+",
        r"(#pair=)[^\s'\"&]+",
        r"(/console/login/)[^\s?'\"#]+",
        r"(\bx-api-key\W{1,6})[^\s'\",})]+",
        r"(\b(?:set-)?cookie['\"]?\s*[:=]\s*)[^\r\n]+",
        r"(\bsessionid(?:_ss)?=)[^;\s'\"&]+",
        r"(['\"](?:token|code_hash|sign_api_key|api_key|password)['\"]\s*:\s*['\"])[^'\"]+",
        r"(://)[^/@\s]+(?=@)",
    )
)

#: C0, DEL, C1, bidi controls, line separators, byte order mark, surrogates: what moves a cursor,
#: turns text round, begins a line, or does not encode.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


class _Secrets:
    """Values that are masked wherever they stand; the configured ones are never forgotten."""

    def __init__(self) -> None:
        self._configured: set[str] = set()
        self._users: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def configure(self, values: Iterable[str]) -> None:
        self._configured = {value for value in values if len(value) >= MIN_SECRET}
        self._pattern = None

    def add(self, value: str) -> None:
        if len(value) < MIN_SECRET or value in self._users:
            return
        self._users[value] = None
        if len(self._users) > MAX_SECRETS:
            del self._users[next(iter(self._users))]
        self._pattern = None

    def _compiled(self) -> re.Pattern[str]:
        """One pattern for all, made when a line needs it: with many secrets that takes a while."""
        if self._pattern is None:
            longest_first = sorted({*self._configured, *self._users}, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)) or NOTHING)
        return self._pattern

    def mask(self, text: str) -> str:
        return self._compiled().sub(MASK, text)


_secrets: Final = _Secrets()
logger = logging.getLogger(__name__)


def register_secret(value: str) -> None:
    """Mask `value` in every line from now on. Values too short to tell from words are ignored."""
    _secrets.add(value)


def clean(text: str) -> str:
    """`text` without secrets, on one line, in characters that only show themselves."""
    text = _secrets.mask(text)
    for place in _PLACES:
        text = place.sub(rf"\g<1>{MASK}", text)
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def setup(config: Config) -> None:
    """Send everything to standard error through one handler. May be called again."""
    server = config.server
    proxies = (config.tiktok.web_proxy, config.tiktok.ws_proxy)
    _secrets.configure(
        (
            server.metrics_token,
            config.sign.api_key,
            config.tiktok.session_id,
            *(urlsplit(proxy).password or "" for proxy in proxies),
        )
    )
    stream = sys.stderr
    if isinstance(stream, io.TextIOWrapper):  # whatever the locale: our lines hold emoji
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler = _StandardError(stream)
    handler.setFormatter(_json_formatter() if server.log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _StandardError)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(server.log_level.upper())
    logging.captureWarnings(True)
    for name, level in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    quiet_library_loggers()


def quiet_library_loggers() -> None:
    """Keep TikTokLive off standard error; call it after every client that is made.

    Its logger has a handler of its own, does not propagate, and each client sets it back to ERROR.
    A message it cannot parse costs it a traceback; upstream/ counts those, so they are debug here.
    """
    library = logging.getLogger("TikTokLive")
    for handler in list(library.handlers):
        library.removeHandler(handler)
    library.propagate = True
    _filter_once(library, _DebugOnly)


def _filter_once(logger: logging.Logger, kind: type[logging.Filter]) -> None:
    if not any(isinstance(present, kind) for present in logger.filters):
        logger.addFilter(kind())


class _DebugOnly(logging.Filter):
    """Lets records pass as debug lines without a traceback, and only where debug is asked for."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        record.exc_info = record.exc_text = record.stack_info = None
        return logging.getLogger().isEnabledFor(logging.DEBUG)


class Sparingly:
    """Writes lines that strangers can cause, LINES_PER_MINUTE of each kind; the next one after
    that says how many were left out.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        #: By what a line is made from: when its minute began, and its lines since then.
        self._kinds: dict[str, tuple[float, int]] = {}

    def info(self, line: str, *values: object) -> None:
        """Write a line at level INFO, or count it."""
        self._write(logging.INFO, line, values)

    def warning(self, line: str, *values: object) -> None:
        """Write a line at level WARNING, or count it."""
        self._write(logging.WARNING, line, values)

    def _write(self, level: int, line: str, values: tuple[object, ...]) -> None:
        now = time.monotonic()
        begun, count = self._kinds.get(line, (-MINUTE_S, 0))
        left_out = 0
        if now >= begun + MINUTE_S:
            begun, left_out, count = now, max(0, count - LINES_PER_MINUTE), 0
        self._kinds[line] = (begun, count + 1)
        if count >= LINES_PER_MINUTE and not self._logger.isEnabledFor(logging.DEBUG):
            return
        if left_out:
            line, values = f"{line} (and %s more before it)", (*values, left_out)
        self._logger.log(level, line, *values)


def tell_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no task of ours could catch, as the event loop tells it. Without descriptors it is one
    line, for the loop tries again by itself; anything else is a bug, with its traceback.
    """
    error = context.get("exception")
    message = context.get("message", "unknown")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        _sparingly.warning("No descriptors are left: %s", message)
    else:
        logger.error("Event loop: %s", message, exc_info=error)


_sparingly: Final = Sparingly(logger)


class _StandardError(logging.StreamHandler[Any]):
    """The root's handler. A line that cannot be written is told without its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        error = sys.exc_info()[0]
        try:
            self.stream.write(
                f"ERROR: a line of {record.name}:{record.lineno} could not be written: "
                f"{error.__name__ if error else 'unknown'}\n"
            )
        except (OSError, ValueError):
            pass  # standard error itself is gone


class _TextFormatter(logging.Formatter):
    """`2026-11-24 12:00:00 INFO: message`, then an indented traceback."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT, TIME_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """A traceback that another handler has formatted already is not reused: it is not clean."""
        record = copy.copy(record)
        record.exc_text = None
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        return clean(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's name
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  logging's name
        return _indented(stack_info)


def _indented(text: str) -> str:
    return "\n".join(TRACEBACK_INDENT + clean(line) for line in text.split("\n"))


def _json_formatter() -> logging.Formatter:
    """One object a line: timestamp, level, logger, event, exception."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _clean_event,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def _clean_event(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        text = value if isinstance(value, str) else str(value)
        event[key] = "\n".join(clean(line) for line in text.split("\n"))
    return event
