"""The console all day long: every page in a browser, by keyboard, without scripts, under fire."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.e2e.conftest import DESK, PHONE, NewPage
from tests.e2e.test_console import entered
from tests.liverelay import LiveRelay
from tests.test_follow import told
from tests.tiktok import SignAnswer, TikTok, frames
from tests.tiktok.people import Person
from tests.tiktok.traffic import Traffic

ANNA: Final = Person("anna_fan", "Аня")
#: What hostile viewers write, in the hope that a page runs it.
PAYLOADS: Final = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<svg onload=window.hacked=1>",
    "<svg><script>window.hacked=1</script></svg>",
    "</td></tr></table><script>window.hacked=1</script>",
    "</textarea><script>window.hacked=1</script>",
    "</title><script>window.hacked=1</script>",
    "</script><script>window.hacked=1</script>",
    "<!--<script>window.hacked=1</script>-->",
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "<a href='javascript:window.hacked=1'>x</a>",
    "javascript:window.hacked=1",
    '" onmouseover="window.hacked=1',
    "' autofocus onfocus='window.hacked=1",
    "{{ 7 * 7 }}{% raw %}",
    "${window.hacked=1}",
    "{window.hacked=1}",
    "<body onload=window.hacked=1>",
    "<style>@import 'x'</style>",
    "<math><mtext><img src=x onerror=window.hacked=1></mtext></math>",
    "<details open ontoggle=window.hacked=1>",
    "<template><script>window.hacked=1</script></template>",
    "&lt;script&gt;window.hacked=1&lt;/script&gt;",
    "\u202e<gnp.exe\u202c",
    "\ufeff<b>bold</b>\u200b",
)
PAGES: Final = (
    "/console/",
    "/console/?type=error&last=1h",
    "/console/errors",
    "/console/rooms",
    "/console/rooms/masha",
    "/console/limits",
    "/console/users",
    "/console/users/1",
    "/console/audit",
    "/console/log/1",
)


async def busy_place(relay: LiveRelay, tiktok: TikTok) -> Any:
    """A live with a phone in it, and errors of every kind of scope."""
    creator = tiktok.creator("masha", live=True)
    _, token = await relay.user("masha", "Маша")
    phone = await relay.phone(token, device="Pixel 8", platform="android")
    await phone.expect_live()
    await creator.send(frames.chat(ANNA, "Привет!"), frames.viewers(12))
    await phone.expect("viewer")
    limited = tiktok.creator("ivan", live=True)
    limited.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    await (await relay.phone_of("ivan")).expect_error("rate_limited")
    await (await relay.phone_of("")).expect_error("username_required")
    await relay.event_log.flush()
    await relay.phones.recorder.flush()
    return creator


async def test_every_page_is_accessible_fits_a_phone_and_complains_of_nothing(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    await busy_place(relay, tiktok)
    page = await entered(relay, open_page)
    for scheme, size in (("light", DESK), ("dark", PHONE)):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        for path in PAGES:
            await page.goto(relay.url + path)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], f"{path} is {width} wide"
            found = (await Axe().run(page)).response["violations"]
            serious = [v["id"] for v in found if v["impact"] in {"serious", "critical"}]
            assert serious == [], f"{path} in {scheme}: {serious}"


async def test_everything_is_in_reach_without_javascript(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    await busy_place(relay, tiktok)
    page = await open_page(DESK, java_script_enabled=False)
    await page.goto(f"{relay.url}/console/login/{await relay.sessions.add_login_code()}")
    await page.click("main button")
    await page.click(".filter-box summary")
    await page.fill("#search", "ПРИВ")
    await page.click(".filter .primary")
    await expect(page.locator("#rows tr")).to_have_count(1)
    async with page.expect_download() as download:
        await page.get_by_text("NDJSON").click()
    saved = await (await download.value).path()
    assert [json.loads(line)["text"] for line in saved.read_text().splitlines()] == ["Аня: Привет!"]
    for section in ("errors", "rooms", "limits", "users", "audit"):
        await page.click(f'.tabs a[href^="/console/{section}"]')
        await expect(page.locator("h1")).to_be_visible()
    await page.goto(f"{relay.url}/console/users")
    await page.get_by_role("link", name="Маша").click()
    await expect(page.locator(".timeline .device")).to_contain_text("Pixel 8")
    await page.get_by_role("button", name="Подключить телефон").click()
    await expect(page.locator(".qr svg")).to_be_visible()


async def test_a_limit_is_seen_as_it_happens_and_counted_down(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    console = await entered(relay, open_page)
    creator = tiktok.creator("ivan", live=True)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    user, token = await relay.user("ivan", "Иван")
    error = await (await relay.phone(token)).expect_error("rate_limited")
    row = console.locator('#rows tr[data-type="error"]')
    await expect(row.locator(".tag")).to_have_text("[error]")
    await row.locator(".user a").click()
    await expect(console).to_have_url(re.compile(rf"/console/users/{user.user_id}\?ref="))
    drawn = console.locator(".as-shown")
    await expect(drawn).to_have_css("background-color", "rgb(211, 47, 47)")
    await expect(drawn).to_contain_text(error["message"])
    countdown = console.locator(".countdown").first
    await expect(countdown).to_have_text(re.compile(r"^(39:5\d|40:00)$"))
    before = await countdown.inner_text()
    await expect(countdown).not_to_have_text(before)
    await console.goto(f"{relay.url}/console/limits")
    await expect(console.locator(".blocked .countdown")).to_have_text(re.compile(r"^39:\d\d$"))


async def test_the_followed_phone_and_its_page_have_the_same_frames_as_they_come(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    user, token = await relay.user("masha", "Маша")
    phone = await relay.phone(token, device="Pixel 8")
    await phone.expect_live()
    console = await entered(relay, open_page)
    await console.goto(f"{relay.url}/console/users/{user.user_id}")
    await expect(console.locator("#live")).to_have_attribute("data-state", "on")
    for message in Traffic(9).take(40):
        await creator.send(message)
    creator.script.sign = SignAnswer.rate_limited({"Retry-After": "2400"})
    creator.reset()
    await phone.expect_error("rate_limited")
    rows = console.locator("#rows tr")
    await expect(rows).to_have_count(len(told(phone)))
    shown = await rows.evaluate_all(
        "rows => rows.map((row) => row.querySelector('.tag').textContent + ' '"
        " + row.querySelector('.text').textContent)"
    )
    assert shown[::-1] == told(phone)
    await console.reload()
    await expect(console.locator(".as-shown strong")).to_have_text(phone.frames[-1]["message"])
    await expect(console.locator(".timeline code")).to_have_text(f"1008 {phone.close_reason}")


async def test_hostile_text_in_every_field_is_shown_and_never_run(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    console = await entered(relay, open_page)
    creator = tiktok.creator("masha", live=True)
    user, token = await relay.user("masha", PAYLOADS[0])
    said = {"device": PAYLOADS[1], "platform": PAYLOADS[2], "os": PAYLOADS[12]}
    phone = await relay.phone(token, types=PAYLOADS[4] + ",chat", **said)
    await phone.expect_live()
    for number, payload in enumerate(PAYLOADS):
        await creator.send(frames.chat(Person(f"v{number}", payload), payload))
        got = await phone.expect("chat")
        text = console.locator("#rows tr").first.locator(".text bdi")
        await expect(text).to_have_text(f"{got['user']}: {got['message']}", use_inner_text=False)
    shown = [
        await row.locator(".unseen").evaluate_all("all => all.map(one => one.dataset.code)")
        for row in await console.locator("#rows tr").all()
    ]
    assert shown[:3] == [["U+FEFF", "U+200B"] * 2, ["U+202E", "U+202C"] * 2, []]
    await console.reload()
    assert shown == [
        await row.locator(".unseen").evaluate_all("all => all.map(one => one.dataset.code)")
        for row in await console.locator("#rows tr").all()
    ]
    await relay.event_log.flush()
    ids = [entry.id for entry in relay.event_log.recent(0) if entry.type == "chat"]
    hostile = {"q": PAYLOADS[4], "creator": PAYLOADS[12], "user": PAYLOADS[1], "from": PAYLOADS[0]}
    query = "&".join(f"{key}={value.replace(' ', '%20')}" for key, value in hostile.items())
    for path in (
        "/console/",
        f"/console/?{query}",
        f"/console/log/{ids[0]}",
        f"/console/log/{ids[8]}",
        "/console/rooms/masha",
        "/console/users",
        f"/console/users/{user.user_id}",
        f"/console/users/{user.user_id}?said=<script>&typed={PAYLOADS[3]}",
        "/console/audit",
    ):
        await console.goto(relay.url + path)
        assert await console.evaluate("window.hacked") is None, path
    await console.goto(f"{relay.url}/console/users/{user.user_id}")
    await expect(console.locator("h1 bdi")).to_have_text(PAYLOADS[0])
    await expect(console.locator(".timeline .device")).to_contain_text(PAYLOADS[1])


async def test_two_staff_with_ten_tabs_all_see_the_same(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    phone = await relay.phone_of("masha")
    await phone.expect_live()
    tabs: list[Page] = []
    for _ in range(2):
        tabs.append(await entered(relay, open_page))
        for _ in range(4):
            tabs.append(await tabs[-1].context.new_page())
            await tabs[-1].goto(f"{relay.url}/console/")
            await expect(tabs[-1].locator("#live")).to_have_attribute("data-state", "on")
    for number in range(20):
        await creator.send(frames.chat(ANNA, f"сообщение {number}"))
    for tab in tabs:
        rows = tab.locator('#rows tr[data-type="chat"] .text')
        await expect(rows).to_have_count(20)
        assert await rows.all_inner_texts() == [f"Аня: сообщение {n}" for n in range(19, -1, -1)]


async def test_a_burst_is_folded_and_its_errors_are_not(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    console = await entered(relay, open_page)
    creator = tiktok.creator("masha", live=True)
    phone = await relay.phone_of("masha")
    await phone.expect_live()

    async def flood() -> None:
        for start in range(0, 2000, 50):
            await creator.send(*(frames.chat(ANNA, f"flood {start + n}") for n in range(50)))
            await asyncio.sleep(0)

    async def fail() -> None:
        for _ in range(5):
            await (await relay.phone_of("")).expect_error("username_required")

    await asyncio.gather(flood(), fail())
    await phone.expect("chat", message="flood 1999")
    await expect(console.locator('#rows tr[data-type="error"]')).to_have_count(5)
    folded = console.locator("#rows .folded")
    await expect(folded.first).to_be_visible()
    shown = await console.locator('#rows tr[data-type="chat"]').count()
    told = " ".join(await folded.all_inner_texts())
    counts = [int(count) for count in re.findall(r"(\d+) × \[chat\]", told)]
    assert shown + sum(counts) == 2000
    assert shown < 500
    await console.reload()
    await expect(console.locator("#rows tr").first).to_be_visible()
    await console.goto(f"{relay.url}/console/?q=flood%201999")
    await expect(console.locator("#rows tr")).to_have_count(1)


async def test_a_reader_is_not_disturbed_and_told_what_is_new(
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
    await rows.nth(30).scroll_into_view_if_needed()
    await creator.send(*(frames.chat(ANNA, f"ещё {number}") for number in range(3)))
    await (await relay.phone_of("")).expect_error("username_required")
    held = console.locator("#held")
    await expect(held).to_have_text(re.compile(r"Показать новые: 4"))
    await expect(rows).to_have_count(40)
    await held.click()
    await expect(rows).to_have_count(43)
    await expect(held).to_be_hidden()
    # And by hand: Space holds, Space lets go.
    await console.keyboard.press("Space")
    await expect(console.locator("#live")).to_have_attribute("data-state", "held")
    await creator.send(frames.chat(ANNA, "пока стоим"))
    await expect(held).to_be_visible()
    await console.keyboard.press("Space")
    await expect(rows).to_have_count(44)


async def test_the_keyboard_is_enough(relay: LiveRelay, tiktok: TikTok, open_page: NewPage) -> None:
    await busy_place(relay, tiktok)
    console = await entered(relay, open_page)
    await console.keyboard.press("?")
    await expect(console.locator("#keys")).to_be_visible()
    await console.keyboard.press("Escape")
    await expect(console.locator("#keys")).to_be_hidden()
    await console.keyboard.press("/")
    await expect(console.locator("#search")).to_be_focused()
    await console.keyboard.type("привет")
    await console.keyboard.press("Enter")
    await expect(console.locator("#rows tr")).to_have_count(1)
    await console.keyboard.press("j")
    await expect(console.locator("#rows tr.marked")).to_have_count(1)
    await console.keyboard.press("Enter")
    await expect(console).to_have_url(re.compile(r"/console/log/\d+$"))
    await expect(console.locator("#frame")).to_contain_text('"message": "Привет!"')


@pytest.mark.parametrize("locale", ["ru-RU", "en-US"])
async def test_every_page_speaks_one_language(
    locale: str, relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    await busy_place(relay, tiktok)
    page = await open_page(DESK, locale)
    await page.goto(f"{relay.url}/console/login/{await relay.sessions.add_login_code()}")
    await page.click("main button")
    for path in ("/console/errors", "/console/rooms", "/console/limits", "/console/users"):
        await page.goto(relay.url + path)
        said = await page.locator("h1, th, dt, .button, .tabs a, .muted").all_inner_texts()
        own = [text for text in said if re.search("[А-Яа-я]", text)]
        if locale == "en-US":
            assert [text for text in own if text not in {"Маша", "Русский"}] == [], path
        else:
            assert len(own) > 5, path
