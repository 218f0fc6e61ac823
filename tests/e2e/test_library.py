"""The client library, imported from the server by somebody else's page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.conftest import Serve
from tests.e2e.conftest import NewPage
from tests.tiktok import TikTok, frames

CLIENT = """
  async ([url, token]) => {
    const { LiveRelay } = await import(`${url}/static/liverelay.js`);
    const relay = new LiveRelay({
      url: `${url.replace(/^http/, "ws")}/ws`,
      token,
      options: () => ({ lang: "en", types: "chat" }),
    });
    window.frames_seen = [];
    window.links = [];
    relay.addEventListener("frame", ({ detail }) => window.frames_seen.push(detail));
    relay.addEventListener("link", ({ detail }) => window.links.push(detail.state));
    relay.start();
    window.relay = relay;
  }
"""


@pytest.fixture
async def foreign_page() -> AsyncIterator[str]:
    """An empty page of another origin."""

    async def empty(_request: web.Request) -> web.Response:
        icon = "<link rel=icon href=data:,>"
        return web.Response(text=f"<!doctype html>{icon}<title>x</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_page_of_another_origin_imports_it_and_gets_the_live(
    foreign_page: str, serve: Serve, tiktok: TikTok, open_page: NewPage
) -> None:
    relay = await serve(server={"allowed_origins": [foreign_page]})
    creator = tiktok.creator("masha", live=True)
    _, token = await relay.user("masha")
    page = await open_page()
    await page.goto(foreign_page)
    await page.evaluate(CLIENT, [relay.url, token])
    await creator.wait_connected()
    await creator.send(frames.like("anna", 1, 1), frames.chat("anna", "hi"))
    await page.wait_for_function("frames_seen.some((frame) => frame.message === 'hi')")
    types = await page.evaluate("[...new Set(frames_seen.map((frame) => frame.type))].sort()")
    assert types == ["chat", "status"]
    assert await page.evaluate("links") == ["connecting", "open"]
    position = await page.evaluate("relay.position")
    assert position["lastId"] == await page.evaluate("frames_seen.at(-1).id")
    # Another client that goes on from there is told nothing twice.
    await page.evaluate("relay.stop()")
    await creator.send(frames.chat("anna", "later"))
    await page.evaluate(
        """([url, token, position]) => {
            const Client = relay.constructor;
            window.next = new Client({ url: `${url.replace(/^http/, "ws")}/ws`, token, position });
            window.told = [];
            next.addEventListener("frame", ({ detail }) => window.told.push(detail));
            next.start();
        }""",
        [relay.url, token, position],
    )
    await page.wait_for_function("told.some((frame) => frame.message === 'later')")
    assert await page.evaluate("told.filter((frame) => frame.message === 'hi')") == []
