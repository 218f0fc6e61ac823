"""The console as support staff meet it, beside a phone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from playwright.async_api import Page, expect

from tests.e2e.conftest import DESK, PHONE, NewPage, paired_page
from tests.liverelay import LiveRelay
from tests.tiktok import SignAnswer, TikTok, frames
from tests.tiktok.people import Person

ANNA = Person("anna_fan", "Аня")


async def entered(relay: LiveRelay, open_page: NewPage, size: object = DESK) -> Page:
    """A console page that came in by the start's link."""
    page = await open_page(size)
    await page.goto(f"{relay.url}/console/login/{await relay.sessions.add_login_code()}")
    await page.click("main button")
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")
    return page


async def test_support_sees_the_error_that_the_user_saw_with_the_same_ref(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    console = await entered(relay, open_page)
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    phone = await paired_page(relay, open_page, "masha")
    on_phone = phone.locator('#log li[data-type="error"]')
    ref = await on_phone.locator(".ref").inner_text()
    row = console.locator('#rows tr[data-type="error"]')
    await expect(row.locator(".tag")).to_have_text("[error]")
    await expect(row.locator("td.creator")).to_have_text("@masha")
    await expect(row.locator("td.code .ref")).to_have_text(ref)
    text = await row.locator("td.text").inner_text()
    assert await on_phone.locator(".row-text").inner_text() == f"{text} {ref}"
    await console.reload()
    await expect(row.locator("td.code .ref")).to_have_text(ref)


async def test_new_rows_appear_by_themselves_and_old_ones_stay_where_they_are_read(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    console = await entered(relay, open_page)
    creator = tiktok.creator("masha", live=True)
    phone = await relay.phone_of("masha")
    await phone.expect_live()
    for number in range(40):
        await creator.send(frames.chat(ANNA, f"сообщение {number}"))
    rows = console.locator('#rows tr[data-type="chat"]')
    await expect(rows).to_have_count(40)
    await expect(rows.first.locator("td.text")).to_have_text("Аня: сообщение 39")
    read = rows.nth(30)
    await read.evaluate("row => row.scrollIntoView()")
    before = await read.evaluate("row => row.getBoundingClientRect().top")
    await creator.send(*(frames.chat(ANNA, f"ещё {number}") for number in range(5)))
    await expect(console.locator("#held")).to_be_visible()
    after = await read.evaluate("row => row.getBoundingClientRect().top")
    assert abs(after - before) <= 1


async def test_a_log_out_ends_the_live_page(relay: LiveRelay, open_page: NewPage) -> None:
    page = await entered(relay, open_page)
    other = await page.context.new_page()
    await other.goto(f"{relay.url}/console/")
    await expect(other.locator("#live")).to_have_attribute("data-state", "on")
    await page.click(".bar-end button")
    await expect(page.locator("main")).to_contain_text("set-password")
    await expect(other.locator("#live")).to_have_attribute("data-state", "signed_out")


async def test_the_console_works_without_javascript(relay: LiveRelay, open_page: NewPage) -> None:
    phone = await relay.phone_of("")
    ref = (await phone.expect_error("username_required"))["ref"]
    page = await open_page(DESK, java_script_enabled=False)
    await page.goto(f"{relay.url}/console/login/{await relay.sessions.add_login_code()}")
    await page.click("main button")
    await page.click(".filter-box summary")
    await page.locator("label.chip", has_text="error").click()
    await page.fill('input[name="ref"]', ref.lower())
    await page.click(".filter .primary")
    await expect(page.locator("#rows tr")).to_have_count(1)
    await expect(page.locator("#rows .ref")).to_have_text(ref)


async def test_the_console_looks_as_in_the_readme(
    relay: LiveRelay,
    tiktok: TikTok,
    open_page: NewPage,
    screenshot: Callable[[Page, str], Awaitable[None]],
) -> None:
    console = await entered(relay, open_page)
    creator = tiktok.creator("masha", live=True)
    phone = await relay.phone_of("masha")
    await phone.expect_live()
    await creator.send(
        frames.join(Person("oleg", "Олег")),
        frames.chat(ANNA, "Привет из Казани!"),
        frames.viewers(1284),
        frames.follow(Person("lena", "Лена 🌸")),
        frames.chat(Person("max", "Max"), "Какой сегодня план?"),
    )
    await expect(console.locator('#rows tr[data-type="chat"]')).to_have_count(2)
    await relay.phone_of("")
    limited = tiktok.creator("ivan", live=True)
    limited.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    await (await relay.phone_of("ivan")).expect_error("rate_limited")
    await expect(console.locator('#rows tr[data-type="error"]')).to_have_count(2)
    await screenshot(console, "console")
    await console.set_viewport_size(PHONE)
    assert await console.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
