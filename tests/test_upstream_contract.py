"""The inside of TikTokLive that we lean on is as it was when we leaned on it.

An update of the library that fails here needs server/upstream/client.py read again first.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from pathlib import Path

import pytest
from TikTokLive.client.client import TikTokLiveClient
from TikTokLive.client.web.web_client import TikTokWebClient
from TikTokLive.client.web.web_settings import WebDefaults
from TikTokLive.client.ws.ws_client import WebcastWSClient
from TikTokLive.client.ws.ws_connect import WebcastConnect, WebcastProxyConnect
from TikTokLive.client.ws.ws_utils import extract_websocket_options
from websockets.datastructures import Headers
from websockets.legacy.client import WebSocketClientProtocol

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("package", ["TikTokLive", "TikTokLiveProto", "httpx", "websockets"])
def test_the_installed_version_is_the_pinned_one(package: str) -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
    )
    pinned = {name.lower(): version.split()[0] for name, version in pins.items()}
    assert importlib.metadata.version(package) == pinned[package.lower()]


def test_start_takes_a_known_room_and_can_leave_out_the_live_check() -> None:
    signature = inspect.signature(TikTokLiveClient.start)
    assert {"room_id", "fetch_live_check"} <= signature.parameters.keys()
    assert inspect.iscoroutinefunction(TikTokLiveClient.start)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (TikTokLiveClient, "_parse_webcast_response"),
        (WebcastWSClient, "send_ack"),
        (WebcastWSClient, "send"),
        (WebcastConnect, "__aiter__"),
        (WebcastProxyConnect, "__aiter__"),
        (TikTokWebClient, "set_session"),
        (TikTokWebClient, "close"),
        (WebSocketClientProtocol, "data_received"),
    ],
)
def test_a_method_that_we_replace_or_call_exists(owner: type, name: str) -> None:
    assert callable(getattr(owner, name))


async def test_the_client_carries_what_we_reach_for() -> None:
    client = TikTokLiveClient("@anna")
    try:
        ws = client._ws
        assert isinstance(ws, WebcastWSClient)
        for name in (
            "_ws_proxy",
            "_connect_generator_class",
            "_ping_loop",
            "_connection_generator",
        ):
            assert hasattr(ws, name), name
        assert ws.DEFAULT_PING_INTERVAL > 0
        assert client.web.signer.sdk_client is not None
        assert client.web.signer.client is not None
        for name in ("fetch_room_id_from_html", "fetch_room_id_from_api", "fetch_is_live"):
            assert callable(getattr(client.web, name)), name
        assert callable(client.web.fetch_is_live.fetch_is_live_room_ids)
    finally:
        await client.web.close()
        await client.web.signer.client.aclose()


def test_the_library_keeps_its_addresses_in_one_global() -> None:
    assert WebDefaults.tiktok_app_url.startswith("http")
    assert WebDefaults.tiktok_webcast_url.startswith("http")


def test_the_handshakes_options_are_a_dict_with_the_ping_interval() -> None:
    headers = Headers({"Handshake-Options": "ping-interval=10;rtt=5"})
    assert extract_websocket_options(headers)["ping-interval"] == "10"
