"""The link breaks, the server is restarted, the room is busy: nothing is lost or told twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.cable import Cable
from tests.conftest import Serve
from tests.e2e.conftest import NewPage, paired_page
from tests.liverelay import LiveRelay, config_for
from tests.tiktok import Creator, TikTok, frames
from tests.tiktok.people import Person
from tests.tiktok.traffic import PER_FRAME, Traffic

ANNA = Person("anna_fan", "Аня")
#: Ten minutes of a busy room: fifty events a second.
BUSY = 30_000
#: Less than the ring of a room keeps, and more than one of few slots does.
BURST = 500
#: 500 rows, and what the browser keeps of them, are the same after 10 000 events and after 30 000.
MAX_GROWTH_BYTES = 1_500_000

CHATS = '#log li[data-type="chat"] .row-text'


async def say(creator: Creator, *numbers: int) -> None:
    for number in numbers:
        await creator.send(frames.chat(ANNA, str(number)))


async def expect_chats(page: Page, numbers: range) -> None:
    """Each exactly once, newest first."""
    newest_first = [f"Аня: {number}" for number in reversed(numbers)]
    await expect(page.locator(CHATS)).to_have_text(newest_first, timeout=40_000)


async def test_offline_and_back_with_every_chat_exactly_once(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    async with Cable(relay.port) as cable:
        page = await paired_page(relay, open_page, "masha", base=cable.url)
        await creator.wait_connected()
        await say(creator, 0, 1, 2)
        await expect_chats(page, range(3))
        await page.context.set_offline(True)
        cable.cut()
        await expect(page.locator("#status-text")).to_have_text("Телефон не в сети")
        await say(creator, 3, 4, 5)
        await page.context.set_offline(False)
        await expect_chats(page, range(6))
        await say(creator, 6)
        await expect_chats(page, range(7))
        await expect(page.locator('#log li[data-type="gap"]')).to_have_count(0)
        await page.context.close()
    assert len(tiktok.sign.requests) == 1


async def test_a_phone_that_slept_resumes_at_once_with_every_chat_exactly_once(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    async with Cable(relay.port) as cable:
        page = await paired_page(relay, open_page, "masha", base=cable.url)
        await creator.wait_connected()
        await say(creator, 0, 1)
        await expect_chats(page, range(2))
        session = await page.context.new_cdp_session(page)
        await session.send("Page.setWebLifecycleState", {"state": "frozen"})
        cable.cut()
        await say(creator, 2, 3)
        await session.send("Page.setWebLifecycleState", {"state": "active"})
        await expect_chats(page, range(4))
        await expect(page.locator('#log li[data-type="gap"]')).to_have_count(0)
        await page.context.close()


async def test_what_cannot_be_replayed_is_a_row_of_its_own(
    serve: Serve, tiktok: TikTok, open_page: NewPage
) -> None:
    relay = await serve(rooms={"backlog": 5, "backlog_s": 0})
    creator = tiktok.creator("masha", live=True)
    async with Cable(relay.port) as cable:
        page = await paired_page(relay, open_page, "masha", base=cable.url)
        await creator.wait_connected()
        await say(creator, 0)
        await expect_chats(page, range(1))
        await page.context.set_offline(True)
        cable.cut()
        for first in range(1, BURST, PER_FRAME):
            chats = [frames.chat(ANNA, str(first + place)) for place in range(PER_FRAME)]
            await creator.send(*chats)
        await page.context.set_offline(False)
        await expect(page.locator(CHATS).first).to_have_text(f"Аня: {BURST}", timeout=40_000)
        gap = page.locator('#log li[data-type="gap"]')
        await expect(gap).to_have_count(1)
        await expect(gap).to_contain_text("[gap]")
        await expect(gap).to_contain_text("пропущено")
        await page.context.close()


async def test_a_server_that_is_restarted_is_found_again(
    tmp_path: Path, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    config = config_for(tmp_path, tiktok)
    async with LiveRelay(config) as before, Cable(before.port) as cable:
        page = await paired_page(before, open_page, "masha", base=cable.url)
        await creator.wait_connected()
        await say(creator, 0, 1)
        await expect_chats(page, range(2))
        await before.stop()
        await expect(page.locator("#status-text")).to_contain_text("Нет связи с сервером")
        async with LiveRelay(config) as after:
            cable.plug(after.port)
            status = page.locator("#status-text")
            await expect(status).to_have_text("✅ Подключено к эфиру @masha", timeout=40_000)
            await say(creator, 2)
            await expect_chats(page, range(3))
            await expect(page.locator("#trouble")).to_be_hidden()
            await page.context.close()


async def test_a_busy_room_for_ten_minutes_leaves_memory_flat_and_the_page_at_hand(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await creator.wait_connected()
    traffic, heaps = Traffic(), []
    for done in range(BURST, BUSY + 1, BURST):
        for _ in range(BURST // PER_FRAME - 1):
            await creator.send(*traffic.take(PER_FRAME))
        await creator.send(frames.chat(ANNA, str(done)))
        await expect(page.locator(CHATS).first).to_have_text(f"Аня: {done}", timeout=20_000)
        if done % 10_000 == 0:
            await use(page)
            heaps.append(await heap_bytes(page))
    assert await page.locator("#log li").count() == 500
    assert heaps[-1] - heaps[0] < MAX_GROWTH_BYTES, heaps
    assert len(tiktok.sign.requests) == 1


async def use(page: Page) -> None:
    """What somebody does while all that comes in."""
    await page.click('[data-filter="gift"]')
    await expect(page.locator('#log li[data-type="gift"]').first).to_be_visible()
    await page.click('[data-filter="all"]')
    await page.click("#open-settings")
    await page.click("#close-settings")
    await page.mouse.wheel(0, 3000)
    await page.evaluate("window.scrollTo(0, 0)")


async def heap_bytes(page: Page) -> int:
    """What JavaScript holds after a collection."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.enable")
    await session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return int(usage["usedSize"])


async def test_new_events_are_counted_while_somebody_reads(
    relay: LiveRelay, tiktok: TikTok, open_page: NewPage
) -> None:
    creator = tiktok.creator("masha", live=True)
    page = await paired_page(relay, open_page, "masha")
    await creator.wait_connected()
    await say(creator, *range(40))
    await expect(page.locator(CHATS)).to_have_count(40)
    row = page.locator(CHATS, has_text="Аня: 20").first
    await row.scroll_into_view_if_needed()
    await page.wait_for_function("() => window.scrollY > 300")
    await page.wait_for_function(  # and the scrolling has come to rest
        """() => new Promise((settled) => {
          const then = window.scrollY;
          setTimeout(() => settled(window.scrollY === then), 200);
        })"""
    )
    place = await row.evaluate("row => Math.round(row.getBoundingClientRect().top)")
    await say(creator, *range(40, 47))
    await expect(page.locator("#newer")).to_have_text("↑ Новых событий: 7")
    # The browser scrolls when it paints next.
    await page.wait_for_function(
        "([row, place]) => Math.round(row.getBoundingClientRect().top) === place",
        arg=[await row.element_handle(), place],
    )
    await page.click("#newer")
    await expect(page.locator("#newer")).to_be_hidden()
    await expect(page.locator(CHATS).first).to_be_in_viewport()
