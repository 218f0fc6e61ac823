"""The phone app as its user meets it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from playwright.async_api import Page, expect

from server.relay.notices import LANGS
from server.relay.rows import row_text, row_texts
from tests.cable import Cable
from tests.e2e.conftest import NewPage, paired_page
from tests.liverelay import LiveRelay
from tests.tiktok import Creator, SignAnswer, TikTok, frames, gifts
from tests.tiktok.people import Person

ANNA = Person("anna_fan", "Аня")


async def test_a_link_pairs_the_phone_and_the_live_arrives(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    assert "#" not in page.url
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @masha")
    await creator.wait_connected()
    await creator.send(frames.chat(ANNA, "Привет! {user}"))
    row = page.locator('#log li[data-type="chat"]')
    await expect(row.locator(".tag")).to_have_text("[chat]")
    await expect(row.locator(".row-text")).to_have_text("Аня: Привет! {user}")


async def test_a_reload_loses_nothing_and_repeats_nothing(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await creator.wait_connected()
    for number in range(5):
        await creator.send(frames.chat(ANNA, f"сообщение {number}"))
    await expect(page.locator('#log li[data-type="chat"]')).to_have_count(5)
    await page.reload()
    await creator.send(frames.chat(ANNA, "после"))
    rows = page.locator('#log li[data-type="chat"] .row-text')
    await expect(rows).to_have_text(
        ["Аня: после", *(f"Аня: сообщение {number}" for number in range(4, -1, -1))]
    )


async def test_the_snackbar_stays_eight_seconds_and_longer_while_it_is_held(
    relay: LiveRelay, open_page: NewPage
) -> None:
    user, _ = await relay.user()
    page = await open_page()
    await page.clock.install()
    await page.goto(f"{relay.url}/app/#pair={await relay.users.add_pairing_code(user.user_id)}")
    await page.click("#first-later")
    snackbar = page.locator("#snackbar .snackbar")
    await expect(snackbar).to_contain_text("⚠️ Необходимо указать TikTok username")
    await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 0.5"))
    await snackbar.hover()
    await page.clock.run_for(60_000)
    await expect(snackbar).to_be_visible()
    await page.mouse.move(10, 10)
    await page.clock.run_for(6_000)
    await expect(snackbar).to_be_visible()
    await page.clock.run_for(2_000)
    await expect(snackbar).to_have_count(0)


async def test_a_missing_username_leads_to_the_settings_and_back_to_the_live(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page)
    await expect(page.locator("#trouble-title")).to_have_text(
        "⚠️ Необходимо указать TikTok username"
    )
    await page.click("#trouble-act")
    await page.fill("#username", "mаsha")  # its second letter is Cyrillic
    await page.click("#username-form button")
    await expect(page.locator("#username-problem")).to_contain_text("«а»")
    await page.fill("#username", "https://www.tiktok.com/@Masha/live")
    await page.click("#username-form button")
    await expect(page.locator("#username-saved")).to_have_text("Сохранено: @masha")
    await page.click("#close-settings")
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @masha")
    await expect(page.locator("#trouble")).to_be_hidden()


async def test_an_own_key_lifts_the_limit_at_once(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    tiktok.sign.scripts_by_key[""] = SignAnswer.rate_limited({"Retry-After": "2400"})
    page = await paired_page(relay, open_page, "masha")
    await expect(page.locator("#trouble")).to_be_visible()
    await page.click("#open-settings")
    await page.fill("#sign-key", "euler_own_key_1234Wm9x")
    await page.click("#sign-key-form button.primary")
    await expect(page.locator("#sign-key-saved")).to_have_text("Сохранён ключ …Wm9x")
    await expect(page.locator("#sign-key")).to_have_value("")
    await page.click("#close-settings")
    await expect(page.locator("#status-text")).to_have_text("✅ Подключено к эфиру @masha")
    assert [request.key for request in tiktok.sign.requests] == ["", "euler_own_key_1234Wm9x"]


async def test_a_dropped_connection_is_replayed_without_a_hole(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    async with Cable(relay.port) as cable:
        await _cut_and_look(relay, creator, cable, open_page)
    assert len(tiktok.sign.requests) == 1


async def _cut_and_look(
    relay: LiveRelay, creator: Creator, cable: Cable, open_page: NewPage
) -> None:
    page = await paired_page(relay, open_page, "masha", base=cable.url)
    await creator.wait_connected()
    await creator.send(frames.chat(ANNA, "до"))
    await expect(page.locator('#log li[data-type="chat"]')).to_have_count(1)
    cable.cut()
    await creator.send(frames.chat(ANNA, "во время"))
    await creator.send(frames.chat(ANNA, "после"))
    await expect(page.locator('#log li[data-type="chat"] .row-text')).to_have_text(
        ["Аня: после", "Аня: во время", "Аня: до"], timeout=40_000
    )


async def test_a_wrong_code_is_said_and_a_used_one_too(
    relay: LiveRelay, open_page: NewPage
) -> None:
    user, _ = await relay.user()
    code = await relay.users.add_pairing_code(user.user_id)
    await relay.users.redeem_pairing_code(code)
    page = await open_page()
    await page.goto(f"{relay.url}/app/")
    problem = page.locator("#pairing-problem")
    for typed in ("WRONG", code):
        await page.fill("#pairing-code", typed)
        await page.click("#pairing-form button")
        await expect(problem).not_to_be_empty()
        await expect(page.locator("#pairing")).to_be_visible()


async def test_the_snackbar_goes_when_it_is_closed(relay: LiveRelay, open_page: NewPage) -> None:
    page = await paired_page(relay, open_page, "masha")  # whom TikTok does not know
    snackbar = page.locator("#snackbar .snackbar")
    await expect(snackbar).to_contain_text("⚠️ Пользователь TikTok не найден")
    await snackbar.get_by_role("button", name="Закрыть").click()
    await expect(snackbar).to_have_count(0)


async def test_forgetting_the_phone_ends_its_token(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha")
    page = await paired_page(relay, open_page, "masha")
    token = await page.evaluate("localStorage.getItem('liverelay.token')")
    await page.click("#open-settings")
    await page.click("#forget")
    await expect(page.locator("#forget")).to_have_text("Точно забыть?")
    await page.click("#forget")
    await expect(page.locator("#pairing")).to_be_visible()
    assert await relay.users.find_token(token) is None
    assert await page.evaluate("localStorage.getItem('liverelay.token')") is None


async def test_the_language_changes_at_once_and_for_what_comes(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await page.click("#open-settings")
    await page.locator("#languages").get_by_text("English").click()
    await expect(page.locator("#settings-title")).to_have_text("Settings")
    await page.go_back()
    await expect(page.locator("#status-text")).to_have_text("✅ Connected to @masha's live")


async def test_hostile_text_stays_text(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await creator.wait_connected()
    hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    await creator.send(frames.chat(Person("eve", "<b>Eve</b>"), hostile))
    await expect(page.locator('#log li[data-type="chat"] .row-text')).to_have_text(
        f"<b>Eve</b>: {hostile}"
    )
    assert await page.evaluate("window.hacked") is None


async def test_the_app_and_the_server_write_the_same_rows(
    relay: LiveRelay, open_page: NewPage
) -> None:
    samples = [
        {"type": "chat", "user": "Аня {count}", "message": "a {user} b "},
        {"type": "gift", "user": "b", "gift_name": "Rose", "count": 3, "diamonds": 3},
        {"type": "like", "user": "b", "count": 0},
        {"type": "viewer", "current": 5, "total": 7},
        {"type": "battle", "phase": "score", "sides": [{"username": "a", "score": 2}]},
        {"type": "follow", "user": "b"},
        {"type": "error", "message": "m", "details": "d"},
        {"type": "gap", "reason": "upstream"},
        {"type": "unheard_of"},
    ]
    page = await open_page()
    await page.goto(f"{relay.url}/app/")
    written = await page.evaluate(
        """async ([samples, texts]) => {
            const link = document.querySelector('link[rel="modulepreload"][href$="/app/rows.js"]');
            const { rowText } = await import(link.href);
            return texts.map((each) => samples.map((sample) => rowText(sample, each)));
        }""",
        [samples, [row_texts(lang) for lang in LANGS]],
    )
    assert written == [
        [row_text(str(sample["type"]), sample, lang) for sample in samples] for lang in LANGS
    ]


async def test_the_app_looks_as_in_the_readme(
    relay: LiveRelay,
    tiktok: TikTok,
    open_page: NewPage,
    screenshot: Callable[[Page, str], Awaitable[None]],
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await creator.wait_connected()
    await creator.send(
        frames.viewers(1284),
        frames.join(Person("oleg", "Олег")),
        frames.chat(ANNA, "Привет из Казани!"),
        frames.like(Person("oleg", "Олег"), 15, 8412),
        frames.follow(Person("lena", "Лена 🌸")),
        *gifts.streak(Person("kate", "Катя"), gifts.ROSE, 5),
        frames.chat(Person("max", "Max"), "Какой сегодня план?"),
        gifts.gift(ANNA, gifts.GALAXY, group=1),
        frames.chat(Person("timur", "Тимур"), "Вот это да 🔥"),
    )
    await expect(page.locator('#log li[data-type="chat"]')).to_have_count(3)
    await expect(page.locator("#total-gifts")).to_have_text("6 · 1\N{NO-BREAK SPACE}005 💎")
    await screenshot(page, "app")
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    creator.reset()
    await expect(page.locator("#snackbar .snackbar")).to_be_visible(timeout=20_000)
    await screenshot(page, "app-limit")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
