"""A live at a glance: totals, viewers, filters, what a gift does, the summary at its end. Pairing
by camera; one language at a time.
"""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.conftest import Serve
from tests.e2e.conftest import PHONE, NewPage, paired_page
from tests.liverelay import LiveRelay
from tests.tiktok import Creator, SignAnswer, TikTok, frames, gifts

#: A camera that sees nothing, and a detector that reads what the test holds before it.
CAMERA = """
  window.BarcodeDetector = class {
    async detect() { return window.held ? [{ rawValue: window.held }] : []; }
  };
  const picture = document.createElement("canvas");
  navigator.mediaDevices.getUserMedia = async () => picture.captureStream();
"""
#: What the phone is asked to do, in order.
ASKED = """
  window.asked = [];
  navigator.vibrate = (pattern) => window.asked.push(`vibrate ${pattern}`);
  navigator.wakeLock.request = async (what) => {
    window.asked.push(`awake ${what}`);
    return Object.assign(new EventTarget(), { release: () => window.asked.push("asleep") });
  };
  const resume = AudioContext.prototype.resume;
  AudioContext.prototype.resume = function () {
    window.asked.push("sound");
    return resume.call(this);
  };
"""


async def a_live(creator: Creator) -> None:
    await creator.wait_connected()
    await creator.send(
        frames.viewers(321),
        frames.chat("anna", "раз"),
        frames.chat("anna", "два"),
        frames.like("anna", 5, 105),
        frames.follow("lena"),
        frames.follow("oleg"),
        *gifts.streak("max", gifts.ROSE, 3),
        gifts.gift("max", gifts.LION, group=9),
    )


async def expect_totals(page: Page) -> None:
    await expect(page.locator("#total-events")).to_have_text("8")
    await expect(page.locator("#total-gifts")).to_have_text("4 · 30\N{NO-BREAK SPACE}002 💎")
    await expect(page.locator("#total-likes")).to_have_text("105")
    await expect(page.locator("#total-follows")).to_have_text("+2")


async def test_totals_and_viewers_are_there_at_a_glance_also_after_a_reload(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await a_live(creator)
    await expect(page.locator("#viewers-now")).to_have_text("321")
    await expect_totals(page)
    await page.reload()
    await expect(page.locator('#log li[data-type="gift"]')).to_have_count(2)
    await expect_totals(page)
    await page.evaluate("localStorage.removeItem('liverelay.totals')")
    other = await page.context.new_page()
    await page.close()
    await other.goto(f"{relay.url}/app/")
    await expect_totals(other)


async def test_a_live_that_ends_is_summed_up_and_the_next_one_begins_anew(
    serve: Serve, tiktok: TikTok, open_page: NewPage
) -> None:
    relay = await serve(rooms={"offline_poll_s": 0.5})
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await a_live(creator)
    await expect_totals(page)
    await creator.end()
    summary = page.locator("#summary")
    await expect(summary).to_contain_text("Эфир завершён")
    for text in ("Зрителей на пике321", "Сообщения2", "Новые подписчики2", "30\xa0002 💎"):
        await expect(summary).to_contain_text(text)
    await expect(page.locator("#waiting-text")).to_contain_text("@masha")
    await page.reload()
    await expect(summary).to_be_visible()
    await page.click("#summary-close")
    await page.reload()
    await expect(page.locator("#waiting")).to_be_visible()
    await expect(summary).to_be_hidden()
    creator.go_live()
    await creator.wait_connected()
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @masha")
    await creator.send(frames.chat("anna", "снова"))
    await expect(page.locator("#total-events")).to_have_text("1")


async def test_filters_show_gifts_or_chats_alone(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await a_live(creator)
    await expect(page.locator('#log li[data-type="gift"]')).to_have_count(2)
    for wanted, count in (("gift", 2), ("chat", 2), ("error", 0)):
        await page.click(f'[data-filter="{wanted}"]')
        shown = page.locator("#log li:visible")
        await expect(shown).to_have_count(count)
        for row in await shown.all():
            assert await row.get_attribute("data-type") == wanted
    await expect(page.locator("#log-empty")).to_be_visible()


async def test_a_gift_is_heard_and_felt_and_the_screen_stays_on_when_the_settings_say_so(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    user, _ = await relay.user("masha")
    page = await open_page(PHONE)
    await page.add_init_script(ASKED)
    await page.goto(f"{relay.url}/app/#pair={await relay.users.add_pairing_code(user.user_id)}")
    await creator.wait_connected()
    await creator.send(gifts.gift("max", gifts.LION, group=1))
    await expect(page.locator('#log li[data-type="gift"]')).to_have_count(1)
    assert await page.evaluate("asked") == []
    await page.click("#open-settings")
    for name in ("sound", "vibration", "awake"):
        await page.check(f"#{name}")
    await page.wait_for_function("() => asked.includes('awake screen')")
    await page.reload()
    for name in ("sound", "vibration", "awake"):
        await expect(page.locator(f"#{name}")).to_be_checked()
    await page.wait_for_function("() => asked.includes('awake screen')")
    await expect(page.locator("#phone-of")).not_to_be_empty()
    await creator.send(gifts.gift("max", gifts.LION, group=2))
    await page.wait_for_function(
        "() => asked.includes('sound') && asked.includes('vibrate 60,40,60')"
    )
    await page.uncheck("#awake")
    await page.wait_for_function("() => asked.includes('asleep')")


async def test_the_camera_pairs_by_the_code_that_it_sees(
    relay: LiveRelay, open_page: NewPage
) -> None:
    user, _ = await relay.user()
    page = await open_page(PHONE)
    await page.add_init_script(CAMERA)
    await page.goto(f"{relay.url}/app/")
    await page.click("#scan")
    await expect(page.locator("#scanner")).to_be_visible()
    await page.evaluate("window.held = 'https://example.org/not-ours'")
    await page.click("#scanner-close")
    await expect(page.locator("#scanner")).to_be_hidden()
    await page.click("#scan")
    link = f"{relay.url}/app/#pair={await relay.users.add_pairing_code(user.user_id)}"
    await page.evaluate("link => { window.held = link }", link)
    await expect(page.locator("#first")).to_be_visible()
    await expect(page.locator("#scanner")).to_be_hidden()


async def test_everything_changes_its_language_at_once(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    user, _ = await relay.user()
    page = await open_page(PHONE)
    await page.goto(f"{relay.url}/app/")
    await page.locator("#pairing").get_by_role("button", name="English").click()
    await expect_english(page)
    await page.fill("#pairing-code", await relay.users.add_pairing_code(user.user_id))
    await page.keyboard.press("Enter")
    await page.locator("#first").get_by_role("button", name="Русский").click()
    await expect(page.locator("#first h1")).to_have_text("Чей эфир показывать?")
    await page.click("#first-later")
    await expect(page.locator("#trouble-title")).to_contain_text("Необходимо указать")
    await page.click("#trouble-act")
    await page.fill("#username", "masha")
    await page.keyboard.press("Enter")
    await expect(page.locator("#snackbar")).to_contain_text("Достигнут лимит")
    await page.locator("#languages").get_by_text("English").click()
    await expect_english(page)
    await page.click("#close-settings")
    await expect(page.locator('#log li[data-type="error"]')).to_have_count(2)
    await expect_english(page)
    await page.locator('#log li[data-type="error"] .row-more').first.click()
    await expect(page.locator("#sheet")).to_be_visible()
    await expect_english(page)


async def expect_english(page: Page) -> None:
    """No Cyrillic anywhere but the name of the other language."""
    assert await page.get_attribute("html", "lang") == "en"
    assert re.search(r"[А-Яа-яЁё]", await page.title()) is None
    await page.wait_for_function(
        r"""() => {
            const kinds = ["aria-label", "title", "placeholder"];
            const names = [...document.body.querySelectorAll("*")]
              .filter((node) => node.checkVisibility())
              .flatMap((node) => kinds.map((kind) => node.getAttribute(kind)));
            const said = [document.body.innerText, ...names].join(" ").replaceAll("Русский", "");
            return !/[А-Яа-яЁё]/.test(said);
        }""",
        timeout=5_000,
    )
