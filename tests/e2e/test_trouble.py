"""What goes wrong, as the phone's user meets it: the snackbar, the card, and what can be done."""

from __future__ import annotations

import json
import re
import time

import pytest
from playwright.async_api import Page, WebSocket, expect

from server.relay.notices import catalogue
from tests.e2e.conftest import NewPage, paired_page
from tests.liverelay import LiveRelay
from tests.tiktok import SignAnswer, TikTok

SNACKBAR = "#snackbar .snackbar"
#: Between an event in the page and its being told here.
SLACK_S = 0.3


async def limited_page(relay: LiveRelay, tiktok: TikTok, open_page: NewPage, wait_s: int) -> Page:
    """A page whose clock stands still at the moment when the limit was told."""
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = [SignAnswer.rate_limited({"Retry-After": str(wait_s)}), None]
    user, _ = await relay.user("masha")
    page = await open_page()
    await page.clock.install()
    await page.goto(f"{relay.url}/app/#pair={await relay.users.add_pairing_code(user.user_id)}")
    await expect(page.locator(SNACKBAR)).to_be_visible()
    await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 0.2"))
    return page


async def test_a_limit_is_red_for_eight_seconds_and_stays_as_a_row_and_a_card(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    page = await limited_page(relay, tiktok, open_page, 2400)
    texts = catalogue().errors["rate_limited"]
    snackbar = page.locator(SNACKBAR)
    await expect(snackbar).to_contain_text(texts.message.ru)
    await expect(snackbar).to_contain_text(texts.details.ru)
    await expect(snackbar).to_contain_text("через 40\N{NO-BREAK SPACE}мин")
    await expect(snackbar).to_have_css("background-color", "rgb(211, 47, 47)")
    await page.clock.run_for(7_300)
    await expect(snackbar).to_be_visible()
    await page.clock.run_for(1_000)
    await expect(snackbar).to_have_count(0)
    row = page.locator('#log li[data-type="error"]')
    await expect(row).to_contain_text("[error]")
    await expect(row).to_contain_text("можно снова в")
    await expect(page.locator("#trouble")).to_contain_text(texts.message.ru)
    await expect(page.locator("#trouble-countdown")).to_have_text(re.compile(r"39:5\d"))


async def test_nothing_connects_before_the_time_and_by_itself_after_it(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = [SignAnswer.rate_limited({"Retry-After": "2"}), None]
    user, _ = await relay.user("masha")
    page = await open_page()
    opened: list[float] = []
    told: list[tuple[float, int]] = []

    def received(payload: str | bytes) -> None:
        frame = json.loads(payload)
        if frame["type"] == "error":
            told.append((time.monotonic(), frame["retry_after"]))

    def connected(socket: WebSocket) -> None:
        opened.append(time.monotonic())
        socket.on("framereceived", received)

    page.on("websocket", connected)
    await page.goto(f"{relay.url}/app/#pair={await relay.users.add_pairing_code(user.user_id)}")
    await expect(page.locator("#trouble-countdown")).not_to_be_empty()
    # What wakes a phone is no reason to come early.
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    status = page.locator("#status-text")
    await expect(status).to_have_text("✅ Подключено к эфиру @masha", timeout=15_000)
    await expect(page.locator("#trouble")).to_be_hidden()
    await expect(page.locator(SNACKBAR)).to_have_count(0)
    assert len(opened) == 2
    [(told_at, retry_after)] = told
    assert opened[1] - told_at >= retry_after - SLACK_S
    assert [request.status for request in tiktok.sign.requests] == [429, 200]


async def test_another_username_is_tried_at_once_while_the_countdown_runs(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    limited = tiktok.creator("masha", live=True)
    limited.script.sign = SignAnswer.rate_limited(
        {"Retry-After": "2400"}, label="rate_limit_room_id_minute"
    )
    tiktok.creator("dasha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await expect(page.locator("#trouble-countdown")).to_contain_text("39:")
    await page.click("#open-settings")
    await page.fill("#username", "dasha")
    await page.click("#username-form button")
    await page.click("#close-settings")
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @dasha")
    await expect(page.locator("#trouble")).to_be_hidden()
    await expect(page.locator(SNACKBAR)).to_have_count(0)


async def test_clearing_the_username_is_one_error(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await expect(page.locator("#status-text")).to_contain_text("✅")
    await page.click("#open-settings")
    await expect(page.locator("#username")).to_have_value("masha")
    await page.fill("#username", "")
    await page.click("#username-form button")
    await expect(page.locator("#username-saved")).to_have_text("Имя убрано")
    await expect(page.locator(SNACKBAR)).to_contain_text("Необходимо указать TikTok username")
    await page.click("#close-settings")
    await expect(page.locator("#trouble")).to_be_visible()
    await expect(page.locator('#log li[data-type="error"]')).to_have_count(1)


async def test_a_missing_username_is_one_tap_from_its_field(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page)
    await expect(page.locator(SNACKBAR)).to_contain_text("⚠️ Необходимо указать TikTok username")
    await page.click("#trouble-act")
    await expect(page.locator("#username")).to_be_focused()
    await page.keyboard.type("masha")
    await page.keyboard.press("Enter")
    await page.click("#close-settings")
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @masha")


async def test_after_pairing_the_username_is_asked_for_before_anything_can_fail(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    user, _ = await relay.user()
    page = await open_page()
    await page.goto(f"{relay.url}/app/#pair={await relay.users.add_pairing_code(user.user_id)}")
    await expect(page.locator("#first-username")).to_be_focused()
    await expect(page).to_have_title("Чей эфир показывать? · LiveRelay")
    await page.keyboard.press("Enter")
    await expect(page.locator("#first-problem")).to_have_text("Введите имя аккаунта TikTok.")
    await page.fill("#first-username", "mаsha")  # its second letter is Cyrillic
    await page.keyboard.press("Enter")
    await expect(page.locator("#first-problem")).to_contain_text("«а»")
    await page.fill("#first-username", "@Masha")
    await page.keyboard.press("Enter")
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @masha")
    await expect(page).to_have_title("@masha · LiveRelay")
    await expect(page.locator('#log li[data-type="error"]')).to_have_count(0)


@pytest.mark.parametrize(("status", "code"), [(401, "sign_key_invalid"), (402, "premium_required")])
async def test_a_key_at_fault_leads_to_the_keys_field(
    status: int, code: str, relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = status
    page = await paired_page(relay, open_page, "masha")
    await expect(page.locator("#trouble-title")).to_have_text(catalogue().errors[code].message.ru)
    await page.click("#trouble-act")
    await expect(page.locator("#sign-key")).to_be_focused()


@pytest.mark.parametrize("how", ["button", "swipe", "escape from focus"])
async def test_a_snackbar_can_be_thrown_away(
    how: str, relay: LiveRelay, open_page: NewPage
) -> None:
    page = await paired_page(relay, open_page)
    snackbar = page.locator(SNACKBAR)
    await expect(snackbar).to_be_visible()
    if how == "swipe":
        box = await snackbar.bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + 40, box["y"] + 20)
        await page.mouse.down()
        await page.mouse.move(box["x"] + 160, box["y"] + 22, steps=4)
        await page.mouse.up()
    else:
        button = snackbar.get_by_role("button", name="Закрыть")
        if how == "button":
            await button.click()
        else:
            await button.press("Enter")
            await expect(page.locator("#content")).to_be_focused()
    await expect(snackbar).to_have_count(0)
    await expect(page.locator("#trouble")).to_be_visible()


async def test_the_details_can_be_read_out_to_support(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    page = await paired_page(relay, open_page, "masha")
    await page.locator(SNACKBAR).get_by_role("button", name="Подробнее").click()
    sheet = page.locator("#sheet")
    texts = catalogue().errors["rate_limited"]
    ref = await page.locator('#log li[data-type="error"] .ref').text_content()
    for text in (texts.message.ru, texts.details.ru, texts.cause.ru, texts.fix.ru, ref):
        await expect(sheet).to_contain_text(str(text))
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.click("#sheet-copy")
    await expect(page.locator("#sheet-copy")).to_have_text("Скопировано")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert str(ref) in copied
    assert texts.message.ru in copied


async def test_an_error_that_is_told_again_is_one_row_at_its_new_time(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    page = await paired_page(relay, open_page, "masha")
    row = page.locator('#log li[data-type="error"]')
    first = await row.evaluate("row => row.frame.ts")
    await page.reload()
    await expect(page.locator("#trouble")).to_be_visible()
    await expect(row).to_have_count(1)
    await page.wait_for_function(
        f"() => document.querySelector('#log li[data-type=error]')?.frame.ts > {first}"
    )
    assert await page.locator("#log li").first.get_attribute("data-type") == "error"
