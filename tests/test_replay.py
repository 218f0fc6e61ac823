"""Replay is whole or honest: wherever the phone, TikTok or the server break off, what arrived and
the gaps are together what was published, in order, once.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import tempfile
from pathlib import Path

import aiohttp
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.cable import Cable
from tests.conftest import Serve
from tests.liverelay import LiveRelay, config_for
from tests.process import Server, environment, run
from tests.reader import Reader, explain_holes
from tests.tiktok import Person, TikTok, frames, gifts
from tests.tiktok.message import Message

#: More than this is more than a ring of few slots keeps.
BURST = 400


class Stage:
    """One server, one creator, one phone that may be cut off, and numbers that are said."""

    def __init__(self, tiktok: TikTok, folder: Path, rooms: dict[str, float]) -> None:
        self.tiktok = tiktok
        self.config = config_for(folder, tiktok, rooms=rooms)
        self.creator = tiktok.creator("anna", live=True)
        self.relay = LiveRelay(self.config)
        self.cable: Cable
        self.reader: Reader
        self.said: list[Message] = []
        self.breaks = 0

    async def begin(self) -> None:
        await self.relay.start()
        self.cable = await Cable(self.relay.port).__aenter__()
        _, token = await self.relay.user("anna")
        self.reader = Reader(self.tiktok_session, token)
        await self.come()
        await self.reader.until_live()

    @property
    def tiktok_session(self) -> aiohttp.ClientSession:
        self._http = getattr(self, "_http", None) or aiohttp.ClientSession()
        return self._http

    async def say(self, count: int) -> None:
        """The creator's viewers write, whoever listens."""
        first = len(self.said)
        messages = [frames.chat("fan", str(number)) for number in range(first, first + count)]
        self.said += messages
        self.creator.history = messages[-5:]
        self.creator.first_frame = messages[-5:]
        for start in range(0, count, 20):
            await self.creator.send(*messages[start : start + 20])

    async def come(self) -> None:
        if not self.reader.connected:
            await self.reader.come(self.cable.url)

    async def cut(self) -> None:
        """The phone's link breaks; what is on its way is lost."""
        self.cable.cut()
        await self.reader.go()

    async def reset(self) -> None:
        """TikTok's link breaks."""
        if self.relay.rooms.state("anna") == "live" and self.signs():
            self.creator.reset()

    async def restart(self) -> None:
        """The server stops cleanly and starts again on the same database."""
        if not self.signs():
            return
        await self.relay.stop()
        await self.cable.__aexit__(None, None, None)
        await self.reader.go()
        self.relay = LiveRelay(self.config)
        await self.relay.start()
        self.cable = await Cable(self.relay.port).__aenter__()

    def signs(self) -> bool:
        """Whether one more signature is to be had: a room gets three in ten minutes."""
        self.breaks += 1
        return self.breaks <= 2

    async def end(self) -> None:
        """Come back for good, read everything, and see that nothing is missing in silence."""
        await self.come()
        async with asyncio.timeout(20):
            while True:
                await self.creator.wait_connected(timeout_s=15)
                await self.say(1)
                try:
                    async with asyncio.timeout(0.5):
                        await self.reader.until(len(self.said) - 1)
                        break
                except TimeoutError:
                    continue
        rows = [row async for row in self.relay.log.export()]
        rows += self.relay.event_log.recent(rows[-1].id if rows else 0)
        published = {int(json.loads(r.frame)["message"]): r.id for r in rows if r.type == "chat"}
        explain_holes(self.reader, range(len(self.said)), published)

    async def close(self) -> None:
        await self.cable.__aexit__(None, None, None)
        await self.reader.go()
        await self.relay.stop()
        await self.tiktok_session.close()


STEPS = st.one_of(
    st.tuples(st.just("say"), st.integers(1, 40)),
    st.tuples(st.just("say"), st.just(BURST)),
    st.tuples(st.sampled_from(["cut", "come", "come", "reset", "restart", "turn"])),
)


# Not shrunk: each example is a server's life, and takes seconds.
@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(steps=st.lists(STEPS, min_size=3, max_size=14), backlog=st.sampled_from([1, 1000]))
def test_wherever_it_breaks_off_nothing_is_lost_in_silence_or_told_twice(
    steps: list[tuple[str, int] | tuple[str]], backlog: int
) -> None:
    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with TikTok(ping_interval=1.0) as tiktok:
                rooms = {"backlog": backlog, "backlog_s": 0.0 if backlog == 1 else 120.0}
                stage = Stage(tiktok, Path(folder), rooms)
                await stage.begin()
                try:
                    for name, *count in steps:
                        if name == "turn":
                            await asyncio.sleep(0)
                        else:
                            await getattr(stage, name)(*count)
                    await stage.end()
                finally:
                    await stage.close()

    asyncio.run(play())


@pytest.mark.parametrize("seed", [1, 2])
async def test_however_often_the_server_is_killed_nothing_is_lost_in_silence_or_told_twice(
    seed: int, tiktok: TikTok, tmp_path: Path
) -> None:
    dice = random.Random(seed)
    creator = tiktok.creator("anna", live=True)
    done = await run(tmp_path, "user", "add", "--name", "x", "--tiktok", "anna", "--json")
    env = environment(tmp_path, tiktok)
    said = 0
    ids: set[int] = set()
    async with aiohttp.ClientSession() as http:
        reader = Reader(http, json.loads(done.out)["token"])
        for life in range(4):
            async with Server(tmp_path, env) as server:
                before = len(reader.got)
                await reader.come(server.url)
                await reader.until_live()
                for _ in range(dice.randrange(1, 40)):
                    await creator.send(frames.chat("fan", str(said)))
                    said += 1
                    if dice.random() < 0.3:
                        await asyncio.sleep(0)
                if life == 3 or dice.random() < 0.5:
                    await reader.until(said - 1)
                if life == 3:
                    assert await server.stop() == 0
                else:
                    server.process.send_signal(signal.SIGKILL)
                    await server.process.wait()
                await reader.go()
                reader.state = ""
                fresh = [got.id for got in reader.got[before:]]
                assert len(set(fresh)) == len(fresh)
                assert not ids & set(fresh), "no id comes twice"
                ids |= set(fresh)
    done = await run(tmp_path, "export", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    published = {int(r["frame"]["message"]): r["id"] for r in rows if r["type"] == "chat"}
    explain_holes(reader, range(said), published)
    assert all(reader.recovered)


async def test_what_tiktok_tells_once_more_after_a_restart_is_not_relayed_twice(
    tiktok: TikTok, serve: Serve
) -> None:
    fan = Person("fan", "Fan", id=7001)
    old = [
        frames.chat(fan, "hello"),
        *frames.streak(fan, gifts.ROSE, count=3),
        frames.gift(fan, gifts.GALAXY, count=1),
    ]
    creator = tiktok.creator("anna", live=True)
    relay = await serve()
    _, token = await relay.user("anna")
    phone = await relay.phone(token)
    await phone.expect_live()
    await creator.wait_connected()
    for message in old:
        await creator.send(message)
    await phone.expect("gift", gift_name=gifts.GALAXY.name)
    await relay.stop()

    relay = await serve()
    phone = await relay.phone(token)
    await phone.expect_live()
    await creator.wait_connected()
    for message in old:  # not marked as history
        await creator.send(message)
    await creator.send(frames.chat(fan, "news"))
    await phone.expect("chat", message="news")
    assert [frame["type"] for frame in phone.of("chat", "gift")] == ["chat"]


async def test_what_the_log_has_let_go_of_is_a_gap(tiktok: TikTok, serve: Serve) -> None:
    creator = tiktok.creator("anna", live=True)
    relay = await serve()
    _, token = await relay.user("anna")
    phone = await relay.phone(token)
    epoch = (await phone.expect("status"))["epoch"]
    await phone.expect_live()
    await creator.wait_connected()
    for number in range(40):
        await creator.send(frames.chat("fan", str(number)))
    await phone.expect("chat", message="39")
    ids = {frame["message"]: frame["id"] for frame in phone.of("chat")}
    await relay.stop()
    relay = await serve()
    await relay.log.prune(keep_days=14, max_rows=10, now_ms=0)
    phone = await relay.phone(token, since=ids["4"], epoch=epoch)
    gap = await phone.expect("gap", reason="window")
    assert gap["from_id"] == ids["4"] + 1
    await phone.expect_live()
    await creator.wait_connected()
    await creator.send(frames.chat("fan", "now"))
    await phone.expect("chat", message="now")
    came = [frame["message"] for frame in phone.of("chat")]
    lost = {text for text, number in ids.items() if ids["4"] < number <= gap["to_id"]}
    assert {*came, *lost} >= {str(number) for number in range(5, 40)}
    assert not set(came) & lost
