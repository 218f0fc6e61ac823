"""The event log: the relay never waits for it, and a disk that refuses stops only the log."""

from __future__ import annotations

import aiohttp

from server.relay.eventlog import RECENT_ENTRIES
from tests.liverelay import LiveRelay
from tests.phone import Phone
from tests.tiktok import Creator, TikTok, frames


async def live(relay: LiveRelay, tiktok: TikTok) -> tuple[Creator, Phone]:
    creator = tiktok.creator("anna", live=True)
    phone = await relay.phone_of("anna")
    await phone.expect_live()
    await creator.wait_connected()
    return creator, phone


async def refuse_writes(relay: LiveRelay) -> None:
    """Make the log's database full."""
    connection = relay.log._writer._connection
    ((pages,),) = await connection.execute_fetchall("PRAGMA page_count")
    # fetchall: a statement left open would hold an old snapshot, and others write.
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages}")


async def accept_writes(relay: LiveRelay) -> None:
    """Give it room again."""
    await relay.log._writer._connection.execute_fetchall("PRAGMA max_page_count = 1000000")


async def test_a_full_disk_stops_the_log_says_so_and_never_the_relay(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator, phone = await live(relay, tiktok)
    await refuse_writes(relay)
    long = "ы" * 1900
    for number in range(40):
        await creator.send(frames.chat("fan", f"{number} {long}"))
        await phone.expect("chat", message=f"{number} {long}")
    assert len(await relay.event_log.tail("anna", limit=100)) == 40
    assert relay.event_log.writer_failing
    await creator.send(frames.chat("fan", "still relayed"))
    await phone.expect("chat", message="still relayed")
    assert not phone.of("error", "gap")
    async with relay.http.get(f"{relay.url}/metrics") as answer:
        assert "liverelay_event_log_failing 1.0" in await answer.text()
    session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with session:
        code = await relay.sessions.add_login_code()
        async with session.post(f"{relay.url}/console/login/{code}") as answer:
            page = await answer.text()
    assert "still relayed" in page  # from memory
    assert 'role="alert"' in page

    await accept_writes(relay)
    rows = await relay.event_log.tail("anna", limit=100)
    assert len(rows) == 41
    assert relay.event_log.dropped == 0
    assert not relay.event_log.writer_failing


async def test_a_full_disk_keeps_no_phone_from_a_room(relay: LiveRelay, tiktok: TikTok) -> None:
    creator, phone = await live(relay, tiktok)
    newcomer = await relay.phone_of("anna", live="manual")
    tiktok.creator("boris", live=True)
    _, token = await relay.user("boris")
    await refuse_writes(relay)
    long = "ы" * 1900
    for number in range(40):
        await creator.send(frames.chat("fan", f"{number} {long}"))
    await phone.expect("chat", message=f"39 {long}")
    await relay.event_log.tail("anna", limit=1)
    assert relay.event_log.writer_failing
    await newcomer.send(action="connect_tiktok")
    await newcomer.expect_live()
    other = await relay.phone(token)
    await other.expect_live()
    await tiktok.creator("boris").wait_connected()
    await tiktok.creator("boris").send(frames.chat("fan", "hello"))
    await other.expect("chat", message="hello")
    await accept_writes(relay)


async def test_what_the_log_holds_is_what_the_phone_got_in_order(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator, phone = await live(relay, tiktok)
    for number in range(300):
        await creator.send(frames.chat("fan", str(number)))
    await phone.expect("chat", message="299")
    rows = await relay.event_log.tail("anna", limit=1000)
    assert [row.id for row in rows] == [frame["id"] for frame in phone.of("chat")]
    assert all(row.creator == "anna" for row in rows)


async def test_memory_keeps_a_bounded_number_of_the_newest(
    relay: LiveRelay, tiktok: TikTok
) -> None:
    creator, phone = await live(relay, tiktok)
    count = RECENT_ENTRIES + 200
    for start in range(0, count, 100):
        await creator.send(*(frames.chat("fan", str(n)) for n in range(start, start + 100)))
    await phone.expect("chat", message=str(count - 1))
    recent = relay.event_log.recent(0)
    assert len(recent) == RECENT_ENTRIES
    assert recent[-1].text == f"fan: {count - 1}"
