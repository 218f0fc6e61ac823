"""The public pages for everybody: screen readers, large text, big thumbs, light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.conftest import Serve
from tests.e2e.conftest import PHONE, NewPage, paired_page
from tests.liverelay import LiveRelay
from tests.tiktok import SignAnswer, TikTok, frames, gifts

#: The next live is found while somebody waits for it.
SOON = {"offline_poll_s": 0.5}
#: Sizes as Material and WCAG 2.5.5 ask for them.
TARGET_PX = 44
#: Twice as large as usual.
LARGE_PX = 32

#: Everything to press in the view that is shown; links in running text may be as small as the text.
SMALL_TARGETS = f"""() =>
  [...document.querySelectorAll("button, a, input, summary, label:has(input)")]
    .filter((node) => node.checkVisibility() && !node.closest(".hidden-label, .skip, dd, [inert]"))
    .filter((node) => !(node.matches("input") && node.closest("label")))
    .map((node) => [node.id || node.textContent.trim(), node.getBoundingClientRect()])
    .filter(([, box]) => box.height < {TARGET_PX} - 0.5 || box.width < {TARGET_PX} - 0.5)
    .map(([name, box]) => `${{name}}: ${{box.width}}×${{box.height}}`)
"""


#: What sticks out of the screen at its right.
WIDER = """() =>
  document.documentElement.scrollWidth <= innerWidth
    ? []
    : [...document.querySelectorAll("body *")]
        .filter((node) => node.getBoundingClientRect().right > innerWidth)
        .map((node) => node.outerHTML.slice(0, 200))
"""


async def check(page: Page) -> None:
    """What can be seen now has no fault that axe finds, and nothing too small to press."""
    results: Any = await Axe().run(page)
    found = [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in results.response["violations"]
    ]
    assert found == []
    assert await page.evaluate(SMALL_TARGETS) == []


async def walk(page: Page, relay: LiveRelay, tiktok: TikTok, look: Any) -> None:
    """Through every view of the app, `look` at each."""
    creator = tiktok.creator("masha", live=True)
    user, _ = await relay.user()
    await page.goto(f"{relay.url}/app/")
    await expect(page.locator("#pairing")).to_be_visible()
    await look(page)
    code = await relay.users.add_pairing_code(user.user_id)
    await page.fill("#pairing-code", f"{relay.url}/app/#pair={code}")
    await page.click("#pairing-form button")
    await expect(page.locator("#first")).to_be_visible()
    await look(page)
    await page.fill("#first-username", "masha")
    await page.keyboard.press("Enter")
    await creator.wait_connected()
    await creator.send(
        frames.viewers(1284),
        frames.chat("anna", "Привет!"),
        frames.follow("lena"),
        gifts.gift("max", gifts.LION, group=1),
    )
    await expect(page.locator('#log li[data-type="gift"]')).to_have_count(1)
    await expect(page.locator("#total-gifts")).to_have_text("1 · 29\N{NO-BREAK SPACE}999 💎")
    await look(page)
    await creator.end()
    await expect(page.locator("#summary")).to_be_visible()
    await expect(page.locator("#waiting")).to_be_visible(timeout=15_000)
    await look(page)
    await page.click("#open-settings")
    await expect(page.locator("#phone-of")).not_to_be_empty()
    await look(page)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    creator.go_live()
    await page.reload()
    await page.click("#close-settings")
    await expect(page.locator("#trouble")).to_be_visible(timeout=15_000)
    await expect(page.locator("#snackbar .snackbar")).to_be_visible()
    await look(page)
    await page.locator('#log li[data-type="error"] .row-more').first.dispatch_event("click")
    await expect(page.locator("#sheet")).to_be_visible()
    await look(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_of_the_app_is_accessible(
    scheme: str, serve: Serve, tiktok: TikTok, open_page: NewPage
) -> None:
    relay = await serve(rooms=SOON)
    page = await open_page(PHONE, color_scheme=scheme, reduced_motion="reduce")
    await walk(page, relay, tiktok, check)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/help/errors", "/status", "/app/offline"])
async def test_every_public_page_is_accessible(
    path: str, scheme: str, relay: LiveRelay, open_page: NewPage
) -> None:
    page = await open_page(PHONE, color_scheme=scheme)
    await page.goto(relay.url + path)
    await check(page)


async def test_text_twice_as_large_fits_the_phone(
    serve: Serve, tiktok: TikTok, open_page: NewPage
) -> None:
    relay = await serve(rooms=SOON)
    page = await open_page(PHONE)
    session = await page.context.new_cdp_session(page)
    await session.send("Page.enable")
    sizes = {"standard": LARGE_PX, "fixed": LARGE_PX}
    await session.send("Page.setFontSizes", {"fontSizes": sizes})

    async def look(page: Page) -> None:
        size = await page.evaluate("getComputedStyle(document.body).fontSize")
        assert size == f"{LARGE_PX}px"
        assert await page.evaluate(WIDER) == []

    await walk(page, relay, tiktok, look)
    for path in ("/help/errors", "/status"):
        await page.goto(relay.url + path)
        await look(page)


async def test_errors_are_read_out_and_the_log_is_not(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await expect(page.get_by_role("alert").and_(page.locator("#snackbar"))).to_have_count(1)
    live = "[aria-live]:not([aria-live=off]), [role=log], [role=status], [role=alert]"
    assert await page.evaluate(f"document.querySelector('#log').closest('{live}')") is None
    assert await page.locator("#status").get_attribute("role") == "status"


async def test_who_asked_for_less_motion_gets_none(relay: LiveRelay, open_page: NewPage) -> None:
    page = await open_page(PHONE, reduced_motion="reduce")
    await page.goto(f"{relay.url}/app/")
    await expect(page.locator("#pairing")).to_be_visible()
    durations = await page.evaluate(
        """() => [...document.querySelectorAll("*")].map((node) => getComputedStyle(node))
            .flatMap((style) => [style.animationDuration, style.transitionDuration])
            .map(parseFloat).filter((seconds) => seconds > 0.001)"""
    )
    assert durations == []
