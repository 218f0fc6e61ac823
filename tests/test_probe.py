"""What the sign server says is left: read by hand, for its own kit fails when a part is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.upstream.probe import LimitsLeft, read_limits

NOW = 1_790_000_000.0


def read(**windows: Any) -> list[LimitsLeft]:
    return list(read_limits(json.dumps(windows).encode(), NOW))


@pytest.mark.parametrize(
    ("reset_at", "left"),
    [
        ("2026-09-21T14:14:20+00:00", 60),
        ("2026-09-21T14:14:20", 60),
        ("2026-09-21T16:14:20+02:00", 60),
        (1_790_000_060, 60),
        (1_790_000_060_000, 60),
        ("soon", None),
        ("", None),
        (60, None),
        (None, None),
        ([], None),
    ],
)
def test_the_reset_is_read_in_every_form(reset_at: Any, left: float | None) -> None:
    assert read(hour={"max": 30, "remaining": 4, "reset_at": reset_at}) == [
        LimitsLeft("hour", 4, 30, left)
    ]


def test_what_is_no_window_is_left_out() -> None:
    assert read(
        minute={"max": 5, "remaining": 5},
        hour={"max": "30", "remaining": 1},
        day={"max": 0, "remaining": 0},
        load_shedding={"enabled": False},
    ) == [LimitsLeft("minute", 5, 5)]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"day": 1}']
)
def test_what_is_no_answer_says_nothing(body: bytes) -> None:
    assert read_limits(body, NOW) == ()


@given(st.binary(max_size=200))
def test_no_body_makes_it_fail(body: bytes) -> None:
    read_limits(body, NOW)
