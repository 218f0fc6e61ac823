"""Which names and which pages are ours."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from server.config import Config, ServerSettings
from server.web.hosts import foreign_origin, is_our_host


def request_of(headers: dict[str, str] | list[tuple[str, str]]) -> web.Request:
    """A request as aiohttp hands it over."""
    return make_mocked_request("GET", "/ws", headers=CIMultiDict(headers))


OURS = Config(
    server=ServerSettings(
        public_url="https://live.example.com/relay",
        allowed_hosts=("Studio.lan",),
        allowed_origins=("https://app.example.org",),
    )
)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("localhost.", True),
        ("127.0.0.1:8080", True),
        ("192.168.1.20", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("live.example.com", True),
        ("Live.Example.Com:443", True),
        ("studio.lan:8080", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("live.example.com.evil.example", False),
        ("evil.example@localhost", False),
        ("localhost/evil", False),
        ("localhost evil", False),
        ("localhost; script-src *", False),
        ("[::1", False),
        ("::1", False),
        ("localhost:99999", False),
        ("2130706433", False),
    ],
)
def test_which_hosts_are_ours(host: str, ours: bool) -> None:
    assert is_our_host(host, OURS) is ours


@pytest.mark.parametrize(
    ("origin", "host", "foreign"),
    [
        (None, "localhost:8080", False),
        ("http://localhost:8080", "localhost:8080", False),
        ("https://live.example.com", "live.example.com", False),
        ("https://live.example.com", "live.example.com:443", False),
        ("https://live.example.com", "127.0.0.1:8080", False),
        ("https://app.example.org", "127.0.0.1:8080", False),
        ("http://[::1]:8080", "[::1]:8080", False),
        ("http://localhost:3000", "localhost:8080", True),
        ("http://app.example.org", "127.0.0.1:8080", True),
        ("https://evil.example", "localhost:8080", True),
        ("https://live.example.com.evil.example", "live.example.com", True),
        ("null", "localhost:8080", True),
        ("", "localhost:8080", True),
        ("http://[", "localhost:8080", True),
    ],
)
def test_which_origins_are_foreign(origin: str | None, host: str, foreign: bool) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    assert foreign_origin(request_of(headers), OURS) is foreign


def test_two_origins_are_foreign() -> None:
    headers = [("Host", "localhost"), ("Origin", "http://localhost"), ("Origin", "http://x")]
    assert foreign_origin(request_of(headers), OURS)
