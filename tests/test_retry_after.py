"""The wait of a 429: read from whatever the answer has, in the documented order, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.upstream.retry_after import (
    MAX_WAIT_S,
    MIN_WAIT_S,
    LimitLabel,
    fallback_wait,
    read_label,
    read_wait,
)

#: Mon, 21 Sep 2026 14:13:20 GMT
NOW = 1_790_000_000.0
DATE = ("Date", "Mon, 21 Sep 2026 14:13:20 GMT")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90),
        (" 90 ", 90),
        ("60.5", 60.5),
        ("+5", 5),
        ("0", MIN_WAIT_S),
        ("-7", MIN_WAIT_S),
        ("999999", MAX_WAIT_S),
        ("1790000060", 60),
        ("1790000060000", 60),
        ("Mon, 21 Sep 2026 14:14:20 GMT", 60),
        ("Mon, 21 Sep 2026 14:13:00 GMT", MIN_WAIT_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S),
        ("2147483647999999999", None),
        ("soon", None),
        ("", None),
        ("٣٠", None),
        ("1e3", None),
        ("0x10", None),
        ("NaN", None),
        ("inf", None),
    ],
)
def test_retry_after_in_every_form(value: str, seconds: float | None) -> None:
    wait = read_wait([DATE, ("Retry-After", value)], NOW)
    if seconds is None:
        assert wait is None
    else:
        assert wait == (seconds, "retry-after")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Retry-After", "Mon, 21 Sep 2026 15:14:20 GMT"),
        ("RateLimit-Reset", "1790003660"),
        ("X-RateLimit-Reset", "1790003660000"),
    ],
)
def test_a_time_is_measured_against_the_answers_own_date(name: str, value: str) -> None:
    ahead = ("Date", "Mon, 21 Sep 2026 15:13:20 GMT")
    assert read_wait([ahead, (name, value)], NOW) == (60, name.lower())


@pytest.mark.parametrize(
    ("headers", "seconds", "source"),
    [
        ({"Retry-After": "5", "RateLimit-Reset": "6"}, 5, "retry-after"),
        ({"Retry-After": "later", "RateLimit-Reset": "6"}, 6, "ratelimit-reset"),
        ({"RateLimit-Reset": "1790000042"}, 42, "ratelimit-reset"),
        ({"RateLimit-Reset": "?", "X-RateLimit-Reset": "1790000030"}, 30, "x-ratelimit-reset"),
        ({"rAtElImIt-rEsEt": "9"}, 9, "ratelimit-reset"),
    ],
)
def test_the_headers_are_read_in_order_and_the_unreadable_skipped(
    headers: dict[str, str], seconds: float, source: str
) -> None:
    assert read_wait(headers.items(), NOW) == (seconds, source)


def test_calls_that_are_left_are_no_time() -> None:
    assert read_wait([("RateLimit-Remaining", "30")], NOW) is None


def test_of_two_headers_the_first_counts() -> None:
    assert read_wait([("Retry-After", "5"), ("Retry-After", "500")], NOW) == (5, "retry-after")


@pytest.mark.parametrize(
    ("label", "seconds"),
    [
        ("rate_limit_account_minute", 60),
        ("rate_limit_account_hour", 3600),
        ("rate_limit_room_id_day", 86_400),
    ],
)
def test_without_headers_the_labels_window_is_the_wait(label: str, seconds: float) -> None:
    read = read_label(f'{{"limit_label": "{label}"}}'.encode())
    assert fallback_wait(read) == (seconds, "label")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff", b'{"limit_label": 5}', b'{"limit_label": "x_minute"}'],
)
def test_without_anything_it_is_an_hour(body: bytes) -> None:
    assert read_label(body) is None
    assert fallback_wait(None) == (3600, "default")


def test_a_label_tells_whose_limit_it_is() -> None:
    body = b'{"limit_label": "rate_limit_room_id_minute"}'
    assert read_label(body) == LimitLabel("room_id", "minute")


NAMES = st.sampled_from(["Retry-After", "RateLimit-Reset", "X-RateLimit-Reset", "Date"])


@pytest.mark.fuzz
@given(st.lists(st.tuples(NAMES, st.text() | st.integers().map(str) | st.floats().map(str))))
def test_whatever_the_headers_say_the_wait_is_within_bounds(
    headers: list[tuple[str, str]],
) -> None:
    wait = read_wait(headers, NOW)
    assert wait is None or MIN_WAIT_S <= wait.seconds <= MAX_WAIT_S


@pytest.mark.fuzz
@given(st.binary())
def test_no_body_breaks_the_label(body: bytes) -> None:
    assert read_label(body) is None
