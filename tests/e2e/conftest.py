"""A real browser for the pages: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.liverelay import LiveRelay

CHROMIUM: Final = Path("/usr/bin/chromium")
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE: Final = {"width": 390, "height": 844}
DESK: Final = {"width": 1280, "height": 800}
IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"

NewPage = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs the browser."""
    here = Path(__file__).parent
    missing = not CHROMIUM.exists()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if missing and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip(reason="needs Debian's package chromium"))


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A fresh browser."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(ARGUMENTS)
        )
        yield running
        await running.close()


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[NewPage]:
    """A page whose every complaint fails the test: `await open_page(PHONE, locale="ru-RU")`."""
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    async def make(size: Any = PHONE, locale: str = "ru-RU", **options: Any) -> Page:
        context = await browser.new_context(viewport=size, locale=locale, **options)
        contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                complaints.append(f"{message.type}: {message.text}")
                if message.type in {"error", "warning"} and not _expected(message.text)
                else None
            ),
        )
        return page

    yield make
    for context in contexts:
        await context.close()
    assert complaints == []


def _expected(text: str) -> bool:
    """Chromium says itself that an answer was an error, or that there is no network; the tests look
    at what the page says.
    """
    offline = "net::ERR_INTERNET_DISCONNECTED" in text
    return offline or text.startswith(
        "Failed to load resource: the server responded with a status of"
    )


@pytest.fixture
def screenshot() -> Callable[[Page, str], Awaitable[None]]:
    """Keep a picture of the README, when asked to."""

    async def take(page: Page, name: str) -> None:
        if os.environ.get("LIVERELAY_SCREENSHOTS"):
            IMAGES.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")

    return take


async def paired_page(
    relay: LiveRelay, open_page: NewPage, username: str = "", *, base: str = ""
) -> Page:
    """A phone page of a new user, paired by link; one without a username lets the question be."""
    user, _ = await relay.user(username)
    page = await open_page(PHONE)
    code = await relay.users.add_pairing_code(user.user_id)
    await page.goto(f"{base or relay.url}/app/#pair={code}")
    if not username:
        await page.click("#first-later")
    await page.locator("#relay").wait_for()
    return page
