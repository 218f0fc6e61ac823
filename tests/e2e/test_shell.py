"""The app as it is installed: what it loads, what its service worker keeps, what it does without a
network, and a newer version.
"""

from __future__ import annotations

import gzip
import re
import struct

import aiohttp
import pytest
from aiohttp import hdrs
from playwright.async_api import Page, expect

from server.web.assets import ASSETS
from server.web.shell import shell
from tests.cable import Cable
from tests.e2e.conftest import PHONE, NewPage, paired_page
from tests.liverelay import LiveRelay
from tests.tiktok import TikTok

#: Everything that a phone fetches before it shows the app, compressed as it is sent.
BUDGET_BYTES = 60_000
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

#: What a page without HTTPS does not have.
PLAIN = """
  for (const name of ["serviceWorker", "wakeLock", "clipboard", "mediaDevices"]) {
    delete Navigator.prototype[name];
  }
"""


async def sent_bytes(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url, headers={hdrs.ACCEPT_ENCODING: "gzip"}) as answer:
        assert answer.status == 200, url
        return len(await answer.read())


async def test_the_app_is_less_than_sixty_kilobytes(relay: LiveRelay) -> None:
    loaded = ["/app/", "/app/manifest.webmanifest", *shell(relay.app[ASSETS])]
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        sizes = {path: await sent_bytes(session, relay.url + path) for path in loaded}
        gzipped = {hdrs.ACCEPT_ENCODING: "gzip"}
        async with session.get(f"{relay.url}/app/", headers=gzipped) as answer:
            page = gzip.decompress(await answer.read()).decode()
    assert sum(sizes.values()) < BUDGET_BYTES, sizes
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    assert {path for path in named if not path.endswith(".png")} <= set(sizes)


@pytest.mark.parametrize("lang", ["ru", "en"])
async def test_the_manifest_makes_it_installable(lang: str, relay: LiveRelay) -> None:
    async with relay.http.get(f"{relay.url}/app/manifest.webmanifest?lang={lang}") as answer:
        assert answer.content_type == "application/manifest+json"
        manifest = await answer.json(content_type=None)
    assert (manifest["start_url"], manifest["scope"], manifest["lang"]) == ("/app/", "/app/", lang)
    assert manifest["display"] == "standalone"
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        async with relay.http.get(relay.url + icon["src"]) as answer:
            body = await answer.read()
        assert body.startswith(PNG_MAGIC)
        width, height = struct.unpack(">II", body[16:24])
        assert icon["sizes"] == f"{width}x{height}"


async def test_what_is_painted_first_is_of_use_before_any_module_has_come(
    relay: LiveRelay, open_page: NewPage
) -> None:
    page = await open_page(PHONE)
    nothing = {"body": "", "content_type": "text/javascript"}
    await page.route("**/app/main.js", lambda route: route.fulfill(**nothing))
    await page.goto(f"{relay.url}/app/")
    await expect(page.locator("#pairing h1")).to_have_text("Подключите телефон")
    await expect(page.locator("#relay")).to_be_hidden()
    await page.evaluate("localStorage.setItem('liverelay.token', 'T')")
    await page.reload()
    await expect(page.locator("#status-text")).to_have_text("Подключение к серверу…")
    await expect(page.locator("#pairing")).to_be_hidden()


async def until_installed(page: Page) -> None:
    """The worker has kept the shell and answers for the page."""
    await page.evaluate("navigator.serviceWorker.ready")
    await page.wait_for_function("() => navigator.serviceWorker.controller?.state === 'activated'")


async def test_the_worker_keeps_the_shell_and_nothing_else(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await until_installed(page)
    await page.reload()
    await expect(page.locator("#status-text")).to_contain_text("✅")
    kept = await page.evaluate(
        """async () => {
            const list = async (name) => (await caches.open(name)).keys();
            const kept = (await caches.keys()).map(list);
            return (await Promise.all(kept)).flat().map((request) => new URL(request.url).pathname);
        }"""
    )
    assert sorted(kept) == sorted(["/app/", "/app/offline", *shell(relay.app[ASSETS])])


async def test_without_a_network_the_app_still_opens_and_says_so(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await until_installed(page)
    await page.context.set_offline(True)
    await page.reload()
    await expect(page.locator("#status-text")).to_have_text("Телефон не в сети")
    await page.goto(f"{relay.url}/app/somewhere")
    await expect(page.locator("h1")).to_have_text("Нет связи с сервером")
    await page.context.set_offline(False)
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @masha")


async def test_a_newer_version_is_offered_and_taken(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    async with Cable(relay.port) as cable:
        page = await paired_page(relay, open_page, "masha", base=cable.url)
        await until_installed(page)
        await expect(page.locator("#update")).to_be_hidden()
        # As after an update of the server: other addresses for its assets.
        relay.app[ASSETS].version = "0123456789ab"
        await page.clock.install()
        await page.clock.fast_forward(61_000)
        cable.cut()
        await expect(page.locator("#update")).to_be_visible(timeout=40_000)
        await page.click("#update-now")
        await page.wait_for_function(
            "() => document.querySelector('script[src]')?.src.includes('0123456789ab')"
        )
        await expect(page.locator("#status-text")).to_contain_text("✅")
        await expect(page.locator("#update")).to_be_hidden()
        await page.context.close()


async def test_a_plain_page_without_https_does_everything_else(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    user, _ = await relay.user("masha")
    page = await open_page(PHONE)
    await page.add_init_script(PLAIN)
    await page.goto(f"{relay.url}/app/#pair={await relay.users.add_pairing_code(user.user_id)}")
    await expect(page.locator("#status-text")).to_contain_text("✅")
    await page.click("#open-settings")
    await expect(page.locator("#awake")).to_be_disabled()
    await expect(page.locator("#awake-hint")).to_be_visible()
    await page.fill("#username", "")
    await page.click("#username-form button")
    await page.locator("#snackbar").get_by_role("button", name="Подробнее").click()
    await expect(page.locator("#sheet")).to_be_visible()
    await expect(page.locator("#sheet-copy")).to_be_hidden()
