"""/status: is it me or TikTok? Said to everybody, asked of TikTok once a minute."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from server.web.keys import DATABASE
from server.web.render import strings
from server.web.status import STALE_S
from tests.conftest import Serve
from tests.house import Shifted
from tests.liverelay import LiveRelay, config_for
from tests.phone import PATIENCE_S
from tests.tiktok import SignAnswer, TikTok
from tests.tiktok.listener import dead_port


async def page(relay: LiveRelay) -> str:
    """The page, for whoever asks."""
    async with relay.http.get(f"{relay.url}/status?lang=en") as answer:
        assert answer.status == 200
        return await answer.text()


def verdict(text: str) -> str:
    found = re.search(r'data-verdict="(\w+)"', text)
    assert found is not None
    return found[1]


async def test_all_is_well_and_the_last_success_is_told(relay: LiveRelay, tiktok: TikTok) -> None:
    tiktok.creator("masha", live=True)
    phone = await relay.phone_of("masha")
    await phone.expect_live()
    async with asyncio.timeout(PATIENCE_S):
        while not await relay.app[DATABASE].limits.last_ok_ms():
            pass  # it is written beside the live
    text = await page(relay)
    assert verdict(text) == "fine"
    assert strings()["status"]["never_ok"].en not in text
    assert "masha" not in text


async def test_visitors_cost_one_look_a_minute_and_no_signature(
    serve: Serve, tiktok: TikTok
) -> None:
    time = Shifted()
    relay = await serve(clock=time.clock())
    await asyncio.gather(*(page(relay) for _ in range(20)))
    await page(relay)
    assert tiktok.sign.limits_looked_at == 1
    time.move(STALE_S + 1)
    await asyncio.gather(*(page(relay) for _ in range(20)))
    assert tiktok.sign.limits_looked_at == 2
    assert not tiktok.sign.requests


async def test_a_limit_is_told_with_its_end_and_without_names(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    phone = await relay.phone_of("masha")
    await phone.expect_error("rate_limited")
    text = await page(relay)
    assert verdict(text) == "limited"
    assert strings()["status"]["limited_until"].en in text
    assert strings()["status"]["never_ok"].en in text
    assert "masha" not in text


@pytest.mark.parametrize("kind", ["500", "reset"])
async def test_a_sign_server_that_fails_is_named(
    kind: str, relay: LiveRelay, tiktok: TikTok
) -> None:
    tiktok.sign.limits_script = kind
    assert verdict(await page(relay)) == "sign"


async def test_a_tiktok_that_is_not_there_is_named(tmp_path: Path, tiktok: TikTok) -> None:
    config = config_for(tmp_path, tiktok)
    with dead_port() as held:
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        nowhere = msgspec.structs.replace(config.tiktok, app_url=url)
        async with LiveRelay(msgspec.structs.replace(config, tiktok=nowhere)) as relay:
            assert verdict(await page(relay)) == "tiktok"
