"""The stand-in, driven by the real TikTokLive library: it must behave as UPSTREAM.md says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx
import pytest
from TikTokLive import TikTokLiveClient
from TikTokLive.client.errors import (
    AgeRestrictedError,
    InitialCursorMissingError,
    SignAPIError,
    SignatureRateLimitError,
    UserNotFoundError,
    UserOfflineError,
    WebcastBlockedError,
    WebsocketURLMissingError,
)
from TikTokLive.client.web.routes.fetch_is_live import MissingRoomIdInResponse
from TikTokLive.client.web.routes.fetch_room_id_live_html import FailedParseRoomIdError
from TikTokLive.client.web.web_settings import WebDefaults
from TikTokLive.events import (
    BarrageEvent,
    CommentEvent,
    ConnectEvent,
    DisconnectEvent,
    EmoteChatEvent,
    EnvelopeEvent,
    FollowEvent,
    GiftEvent,
    JoinEvent,
    LikeEvent,
    LinkMicArmiesEvent,
    LinkMicBattleEvent,
    LiveEndEvent,
    LivePauseEvent,
    LiveUnpauseEvent,
    QuestionNewEvent,
    RoomUserSeqEvent,
    ShareEvent,
    SocialEvent,
    SubNotifyEvent,
)
from websockets.exceptions import ConnectionClosedError, InvalidURI

from tests.tiktok import Message, Person, SignAnswer, TikTok, frames, gifts

PATIENCE_S = 5
ANNA = Person(
    "anna", "Анна", moderator=True, subscriber=True, follow_status=1, fans_level=12, grade=25
)
HEARD = (
    BarrageEvent, CommentEvent, ConnectEvent, DisconnectEvent, EmoteChatEvent, EnvelopeEvent,
    FollowEvent, GiftEvent, JoinEvent, LikeEvent, LinkMicArmiesEvent, LinkMicBattleEvent,
    LiveEndEvent, LivePauseEvent, LiveUnpauseEvent, QuestionNewEvent, RoomUserSeqEvent,
    ShareEvent, SocialEvent, SubNotifyEvent,
)  # fmt: skip


class Viewer:
    """One attempt of the real library: a new client, its task, the events it emits."""

    def __init__(self, tiktok: TikTok, name: str, key: str | None) -> None:
        signer = {"sign_api_base": tiktok.sign_url, "sign_api_key": key}
        self.client = TikTokLiveClient(name, web_kwargs={"signer_kwargs": signer})
        self.client.ignore_broken_payload = True
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.tasks: list[asyncio.Task[Any]] = []
        for kind in HEARD:
            self.client.add_listener(kind, self.events.put_nowait)

    async def start(self, **options: Any) -> asyncio.Task[Any]:
        """Run start() in a task of its own; return the task of the stream."""
        starting = asyncio.create_task(self.client.start(**options))
        self.tasks.append(starting)
        async with asyncio.timeout(PATIENCE_S):
            stream: asyncio.Task[Any] = await starting
        self.tasks.append(stream)
        return stream

    async def expect(self, kind: type[Any]) -> Any:
        """Return the next event of this kind."""
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(event := await self.events.get(), kind):
                continue
        return event

    async def end(self) -> BaseException | None:
        """Wait for the stream's task to end, and return its exception."""
        await asyncio.wait({self.tasks[-1]}, timeout=PATIENCE_S)
        return self.tasks[-1].exception()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=PATIENCE_S)
        await self.client.web.close()
        await self.client.web.signer.client.aclose()


View = Callable[..., Viewer]


@pytest.fixture
async def tiktok() -> AsyncIterator[TikTok]:
    async with TikTok(drip_s=0.05) as stand_in:
        yield stand_in


@pytest.fixture
async def view(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[View]:
    monkeypatch.delenv("SIGN_API_URL", raising=False)
    monkeypatch.delenv("SIGN_API_KEY", raising=False)
    viewers: list[Viewer] = []

    def make(tiktok: TikTok, name: str = "alice", *, key: str | None = None) -> Viewer:
        monkeypatch.setattr(WebDefaults, "tiktok_app_url", tiktok.app_url)
        monkeypatch.setattr(WebDefaults, "tiktok_webcast_url", tiktok.webcast_url)
        viewers.append(Viewer(tiktok, name, key))
        return viewers[-1]

    yield make
    for viewer in viewers:
        await viewer.close()


async def test_a_live_connects_with_two_lookups_and_one_signature(
    tiktok: TikTok, view: View
) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    event = await viewer.expect(ConnectEvent)
    assert (event.unique_id, event.room_id) == ("alice", alice.room_id)
    await alice.wait_connected()
    assert (alice.lookups.html, alice.lookups.check_alive, alice.lookups.total) == (1, 1, 2)
    assert [(r.key, r.room_id, r.status) for r in tiktok.sign.requests] == [
        ("", str(alice.room_id), 200)
    ]
    assert alice.connections == 1


async def test_the_client_enters_acknowledges_and_beats(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await alice.send(frames.chat("bob", "one"))
    await alice.send(frames.chat("bob", "two"), gzip=False)
    await alice.until(lambda: len(alice.acks) == 2 and len(alice.heartbeats) >= 1)
    assert [ack.internal_ext for ack in alice.acks] == list(alice.sent_exts)
    assert list(alice.entered) == [alice.room_id]
    assert alice.heartbeats[0].room_id == alice.room_id
    assert viewer.client._ws._connection_generator.ws_options == {"ping-interval": "10"}


async def test_history_comes_with_the_signature_and_keeps_its_ids(
    tiktok: TikTok, view: View
) -> None:
    alice = tiktok.creator("alice", live=True)
    said = frames.chat("bob", "before you came")
    alice.history = [said]
    viewer = view(tiktok)
    await viewer.start()
    event = await viewer.expect(CommentEvent)
    assert (event.content, event.common.msg_id) == ("before you came", said.msg_id)


def _who(event: Any) -> tuple[Any, ...]:
    user = event.user
    levels = {badge.scene_type.name: badge.privilege_log_extra.level for badge in user.badge_list}
    following = user.follow_info.follow_status
    return (user.display_id, user.nickname, user.avatar_thumb.url_list[0], following, levels)


ANNA_SEEN = (
    "anna",
    "Анна",
    ANNA.picture,
    1,
    {"ADMIN": "0", "SUBSCRIBER": "1", "USER_GRADE": "25", "FANS": "12"},
)

# the message sent, the event the library makes of it, what is read from it, and what that must be
EVENTS: dict[str, tuple[Message, type[Any], Callable[[Any], Any], Any]] = {
    "chat": (
        frames.chat(ANNA, "привет ", emotes=[("https://x/heart.png", 7)]),
        CommentEvent,
        lambda e: (
            *_who(e),
            e.content,
            [(m.index, m.emote.image.url_list[0]) for m in e.emotes],
            e.user_identity.is_moderator_of_anchor,
            e.user_identity.is_subscriber_of_anchor,
        ),
        (*ANNA_SEEN, "привет ", [(7, "https://x/heart.png")], True, True),
    ),
    "gift of a streak": (
        frames.gift(ANNA, gifts.ROSE, 5, end=True, group=77, to="guest"),
        GiftEvent,
        lambda e: (
            *_who(e),
            (e.gift_id, e.gift.name, e.gift.type, e.gift.diamond_count),
            (e.repeat_count, e.repeat_end, e.group_id, e.to_user.display_id),
        ),
        (*ANNA_SEEN, (5655, "Rose", 1, 1), (5, 1, 77, "guest")),
    ),
    "gift of type 2": (
        frames.gift("bob", gifts.GALAXY),
        GiftEvent,
        lambda e: (e.gift.type, e.gift.diamond_count, e.repeat_count, e.streaking, e.to_user),
        (2, 1000, 1, False, None),
    ),
    "like": (
        frames.like(ANNA, 15, 1234),
        LikeEvent,
        lambda e: (*_who(e), e.count, e.total),
        (*ANNA_SEEN, 15, 1234),
    ),
    "join": (
        frames.join(ANNA, 42),
        JoinEvent,
        lambda e: (*_who(e), e.member_count, e.action.name, e.common.display_text.key),
        (*ANNA_SEEN, 42, "JOINED", "live_room_enter_toast"),
    ),
    "join that looks like a follow": (
        frames.join("bob", key="live_room_enter_from_follow_tab"),
        FollowEvent,
        lambda e: e.common.display_text.key,
        "live_room_enter_from_follow_tab",
    ),
    "join of a high level": (
        frames.grand_join(ANNA, 31),
        BarrageEvent,
        lambda e: (*_who(e), e.msg_type.name, e.user_grade_param.current_grade),
        (*ANNA_SEEN, "GRADE_USER_ENTRANCE_NOTIFICATION", 31),
    ),
    "viewers": (
        frames.viewers(17, 900, top=[(ANNA, 5)]),
        RoomUserSeqEvent,
        lambda e: (e.total, e.total_user, e.ranks[0].user.display_id, e.ranks[0].score),
        (17, 900, "anna", 5),
    ),
    "follow": (
        frames.follow(ANNA, 1001),
        FollowEvent,
        lambda e: (*_who(e), e.action, e.follow_count),
        (*ANNA_SEEN, 1, 1001),
    ),
    "share": (frames.share(ANNA), ShareEvent, lambda e: (*_who(e), e.action), (*ANNA_SEEN, 3)),
    "subscribe": (
        frames.subscribe(ANNA, 7),
        SubNotifyEvent,
        lambda e: (*_who(e), e.sub_month),
        (*ANNA_SEEN, 7),
    ),
    "question": (
        frames.question(ANNA, "why?"),
        QuestionNewEvent,
        lambda e: (*_who(e.data), e.data.content),
        (*ANNA_SEEN, "why?"),
    ),
    "emote": (
        frames.emote(ANNA, "https://x/dance.png"),
        EmoteChatEvent,
        lambda e: (*_who(e), e.emote_list[0].image.url_list[0]),
        (*ANNA_SEEN, "https://x/dance.png"),
    ),
    "envelope": (
        frames.envelope(ANNA, 500),
        EnvelopeEvent,
        lambda e: (
            e.envelope_info.send_user_name,
            e.envelope_info.send_user_id,
            e.envelope_info.diamond_count,
        ),
        ("Анна", str(ANNA.user_id), 500),
    ),
    "battle starts": (
        frames.battle_start(9, [ANNA, "rival"]),
        LinkMicBattleEvent,
        lambda e: (e.action.name, [side.value.user.display_id for side in e.anchors_info]),
        ("OPEN", ["anna", "rival"]),
    ),
    "battle score": (
        frames.battle_score(9, {ANNA: 70, "rival": 3}),
        LinkMicArmiesEvent,
        lambda e: (e.battle_id, e.armies[ANNA.user_id].hostscore, len(e.armies)),
        (9, 70, 2),
    ),
    "battle ends": (
        frames.battle_end(9, {ANNA: 70, "rival": 3}),
        LinkMicBattleEvent,
        lambda e: (e.action.name, e.battle_result[ANNA.user_id].score),
        ("FINISH", 70),
    ),
}


@pytest.mark.parametrize("name", EVENTS)
async def test_the_stock_decoder_reads_every_kind_of_message(
    tiktok: TikTok, view: View, name: str
) -> None:
    message, kind, read, expected = EVENTS[name]
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await alice.send(message)
    event = await viewer.expect(kind)
    assert read(event) == expected
    assert event.common.msg_id == message.msg_id


async def test_a_streak_counts_up_and_ends_once(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await alice.send(*frames.streak("bob", gifts.ROSE, 3))
    steps = [await viewer.expect(GiftEvent) for _ in range(4)]
    assert [(step.repeat_count, step.streaking) for step in steps] == [
        (1, True), (2, True), (3, True), (3, False),
    ]  # fmt: skip
    assert len({step.group_id for step in steps}) == 1


async def test_pause_and_end_are_told_and_the_library_leaves(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await alice.pause()
    await viewer.expect(LivePauseEvent)
    await alice.unpause()
    await viewer.expect(LiveUnpauseEvent)
    await alice.end()
    await viewer.expect(LiveEndEvent)
    assert await viewer.end() is None
    await alice.wait_gone()
    with pytest.raises(UserOfflineError):
        await view(tiktok).start()


# -- before the socket ---------------------------------------------------------------------------


async def test_offline_costs_one_lookup_and_no_signature(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=False)
    with pytest.raises(UserOfflineError):
        await view(tiktok).start()
    assert alice.lookups.total == 1
    assert tiktok.sign.spent() == 0


async def test_an_unknown_user_is_not_found_after_two_requests(tiktok: TikTok, view: View) -> None:
    with pytest.raises(UserNotFoundError):
        await view(tiktok, "nobody").start()
    assert [path.split("?")[0] for path in tiktok.requests] == [
        "/@nobody/live",
        "/api-live/user/room/",
    ]


async def test_one_who_was_never_live_is_told_by_the_cause(tiktok: TikTok, view: View) -> None:
    tiktok.creator("alice").never_live = True
    with pytest.raises(FailedParseRoomIdError) as raised:
        await view(tiktok).start()
    assert isinstance(raised.value.__cause__, UserNotFoundError)


async def test_a_captcha_on_the_page_alone_does_no_harm(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    alice.script.html = "captcha"
    await view(tiktok).start()
    await alice.wait_connected()
    assert alice.lookups.api == 1


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        ("captcha", json.JSONDecodeError),
        ("empty", json.JSONDecodeError),
        ("500", json.JSONDecodeError),
        ("403", FailedParseRoomIdError),
        ("redirect", json.JSONDecodeError),
        ("reset", httpx.ReadError),
    ],
)
async def test_trouble_on_page_and_api(
    tiktok: TikTok, view: View, trouble: str, error: type[Exception]
) -> None:
    alice = tiktok.creator("alice", live=True)
    alice.script.html = alice.script.api = trouble
    with pytest.raises(error):
        await view(tiktok).start()


@pytest.mark.parametrize("trouble", ["hang", "drip"])
async def test_a_page_that_never_ends_hangs_the_start(
    tiktok: TikTok, view: View, trouble: str
) -> None:
    alice = tiktok.creator("alice", live=True)
    alice.script.html = trouble
    starting = asyncio.create_task(view(tiktok).client.start())
    await alice.until(lambda: alice.lookups.html == 1)
    done, _ = await asyncio.wait({starting}, timeout=0.3)
    assert not done
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("false", UserOfflineError),
        ("empty_list", MissingRoomIdInResponse),
        ("500", MissingRoomIdInResponse),
        ("reset", MissingRoomIdInResponse),
    ],
)
async def test_check_alive(tiktok: TikTok, view: View, answer: str, error: type[Exception]) -> None:
    tiktok.creator("alice", live=True).script.check_alive = answer
    with pytest.raises(error):
        await view(tiktok).start()
    assert tiktok.sign.spent() == 0


@pytest.mark.parametrize("answer", ["age_restricted", "no_data"])
async def test_age_restriction_is_seen_in_the_room_info_only(
    tiktok: TikTok, view: View, answer: str
) -> None:
    alice = tiktok.creator("alice", live=True)
    alice.script.room_info = answer
    with pytest.raises(AgeRestrictedError):
        await view(tiktok).start(fetch_room_info=True)
    await view(tiktok).start()
    await alice.wait_connected()


async def test_room_info_and_gift_list_are_answered(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start(fetch_room_info=True, fetch_gift_info=True)
    assert viewer.client.room_info["id_str"] == str(alice.room_id)
    assert viewer.client.gift_info["gifts"][0]["name"] == "Rose"


async def test_an_ended_room_still_connects_and_stays_silent(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    ended = alice.room_id
    alice.go_live()
    viewer = view(tiktok)
    await viewer.start(room_id=ended, fetch_live_check=False)
    await viewer.expect(ConnectEvent)
    await alice.wait_connected()
    assert alice.room_sockets == []


async def test_tiktok_refused(tiktok: TikTok, view: View) -> None:
    tiktok.creator("alice", live=True)
    tiktok.refuse()
    with pytest.raises(httpx.ConnectError):
        await view(tiktok).start()
    tiktok.accept()
    await view(tiktok).start()


# -- the sign server -----------------------------------------------------------------------------


async def test_the_limit_refuses_the_sixth_in_a_minute_and_frees_up(view: View) -> None:
    now = 1_790_000_000.0
    async with TikTok(sign_limits={"minute": 5, "hour": 30}, clock=lambda: now) as tiktok:
        tiktok.creator("alice", live=True)
        for _ in range(5):
            await view(tiktok).start()
        with pytest.raises(SignatureRateLimitError, match="rate_limit_account_minute") as raised:
            await view(tiktok).start()
        # the library takes the number of calls left for the time to wait
        assert raised.value.retry_after == 0
        assert raised.value.response is not None
        assert raised.value.response.headers["Retry-After"] == "60"
        assert raised.value.response.headers["X-RateLimit-Reset"] == str(int(now) + 60)
        await view(tiktok, key="paid").start()
        assert (tiktok.sign.spent(), tiktok.sign.spent(""), tiktok.sign.spent("paid")) == (6, 5, 1)
        now += 60
        await view(tiktok).start()
        assert tiktok.sign.requests[-1].status == 200


async def test_a_429_without_remaining_is_a_type_error(view: View) -> None:
    async with TikTok(sign_limits={"hour": 0}) as tiktok:
        tiktok.creator("alice", live=True)
        tiktok.sign.limit_headers = {"Retry-After"}
        with pytest.raises(TypeError):
            await view(tiktok).start()
        assert (len(tiktok.sign.requests), tiktok.sign.spent()) == (1, 0)


async def test_rate_limits_can_be_read_without_spending() -> None:
    limits = {"minute": 5, "hour": 30, "day": 100}
    async with TikTok(sign_limits=limits) as tiktok, aiohttp.ClientSession() as http:
        async with http.get(f"{tiktok.sign_url}/webcast/rate_limits") as response:
            body = await response.json()
        assert {name: body[name]["remaining"] for name in limits} == limits
        assert "load_shedding" in body
        assert (tiktok.sign.spent(), tiktok.sign.limits_looked_at) == (0, 1)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 500, 502])
async def test_a_sign_error_keeps_its_status(tiktok: TikTok, view: View, status: int) -> None:
    tiktok.creator("alice", live=True)
    tiktok.sign.script = status
    with pytest.raises(SignAPIError) as raised:
        await view(tiktok).start()
    assert raised.value.reason is SignAPIError.ErrorReason.SIGN_NOT_200
    assert raised.value.response is not None
    assert raised.value.response.status_code == status
    assert tiktok.sign.spent() == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("empty", "EMPTY_PAYLOAD"), ("no_cookies", "EMPTY_COOKIES"), ("refused", "CONNECT_ERROR")],
)
async def test_a_sign_server_without_an_answer(
    tiktok: TikTok, view: View, kind: str, reason: str
) -> None:
    tiktok.creator("alice", live=True)
    tiktok.sign.script = kind
    with pytest.raises(SignAPIError) as raised:
        await view(tiktok).start()
    assert raised.value.reason.name == reason
    tiktok.sign.script = None
    await view(tiktok).start()


@pytest.mark.parametrize("kind", ["garbage", "json"])
async def test_a_sign_answer_that_is_no_protobuf(tiktok: TikTok, view: View, kind: str) -> None:
    tiktok.creator("alice", live=True).script.sign = kind
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011 - which one varies
        await view(tiktok).start()
    assert not isinstance(raised.value, SignAPIError)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("truncated", InitialCursorMissingError),
        ("no_cursor", InitialCursorMissingError),
        ("no_push_server", WebsocketURLMissingError),
        ("no_route_params", WebsocketURLMissingError),
        ("bad_push_server", InvalidURI),
    ],
)
async def test_a_sign_answer_that_lacks_something_fails_in_the_task(
    tiktok: TikTok, view: View, kind: str, error: type[Exception]
) -> None:
    tiktok.creator("alice", live=True)
    tiktok.sign.script = kind
    viewer = view(tiktok)
    await viewer.start()
    assert isinstance(await viewer.end(), error)


async def test_without_is_first_nothing_is_entered(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    alice.script.sign = "no_is_first"
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_connected()
    await alice.send(frames.chat("bob", "hello"))
    await viewer.expect(CommentEvent)
    assert (len(alice.entered), len(alice.heartbeats)) == (0, 0)


async def test_scripts_are_used_up_one_a_request(tiktok: TikTok, view: View) -> None:
    tiktok.creator("alice", live=True)
    tiktok.sign.script = [SignAnswer.rate_limited({"RateLimit-Remaining": "0"}), 502, None]
    for error in (SignatureRateLimitError, SignAPIError):
        with pytest.raises(error):
            await view(tiktok).start()
    await view(tiktok).start()
    assert [request.status for request in tiktok.sign.requests] == [429, 502, 200]


async def test_a_fallback_socket_connects_and_can_be_told_by_its_address(
    tiktok: TikTok, view: View
) -> None:
    alice = tiktok.creator("alice", live=True)
    tiktok.sign.script = "ws_fallback"
    viewer = view(tiktok)
    await viewer.start()
    await viewer.expect(ConnectEvent)
    await alice.wait_connected()


# -- the push socket -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400])
async def test_a_blocked_handshake(tiktok: TikTok, view: View, status: int) -> None:
    tiktok.creator("alice", live=True).script.handshake = status
    viewer = view(tiktok)
    await viewer.start()
    error = await viewer.end()
    assert isinstance(error, WebcastBlockedError)
    assert "DEVICE_BLOCKED" in str(error)


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_a_refused_handshake_keeps_its_status(
    tiktok: TikTok, view: View, status: int
) -> None:
    alice = tiktok.creator("alice", live=True)
    alice.script.handshake = status
    viewer = view(tiktok)
    await viewer.start()
    error: Any = await viewer.end()
    assert error.status_code == status
    assert alice.connections == 0


async def test_a_dead_push_port(tiktok: TikTok, view: View) -> None:
    tiktok.creator("alice", live=True).script.handshake = "refused"
    viewer = view(tiktok)
    await viewer.start()
    assert isinstance(await viewer.end(), ConnectionRefusedError)


async def test_a_handshake_that_is_reset(tiktok: TikTok, view: View) -> None:
    tiktok.creator("alice", live=True).script.handshake = "reset"
    viewer = view(tiktok)
    await viewer.start()
    assert type(await viewer.end()).__name__ in {"InvalidMessage", "ConnectionResetError"}


async def test_a_handshake_that_hangs_is_given_up_by_the_client(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    alice.script.handshake = "hang"
    viewer = view(tiktok)
    viewer.client._ws._ws_kwargs["open_timeout"] = 0.2
    await viewer.start()
    assert isinstance(await viewer.end(), TimeoutError)
    assert alice.connections == 0


async def test_an_unsigned_socket_is_refused(tiktok: TikTok) -> None:
    alice = tiktok.creator("alice", live=True)
    url = f"{tiktok.webcast_url}/im/push/?room_id={alice.room_id}&wrss=forged"
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await http.ws_connect(url)
    assert raised.value.status == 400


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_normal_close_ends_the_task_quietly(tiktok: TikTok, view: View, code: int) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await alice.close(code)
    assert await viewer.end() is None
    await viewer.expect(DisconnectEvent)


@pytest.mark.parametrize("code", [1011, 1012, 4003, 4555])
async def test_any_other_close_is_an_error_with_its_code(
    tiktok: TikTok, view: View, code: int
) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await alice.close(code)
    error = await viewer.end()
    assert isinstance(error, ConnectionClosedError)
    assert error.rcvd is not None
    assert error.rcvd.code == code


@pytest.mark.parametrize("how", ["reset", "drop"])
async def test_a_cut_connection(tiktok: TikTok, view: View, how: str) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    getattr(alice, how)()
    assert isinstance(await viewer.end(), ConnectionClosedError)
    await alice.wait_gone()


@pytest.mark.parametrize("how", ["send_garbage", "send_bad_gzip"])
async def test_a_broken_frame_ends_the_stream(tiktok: TikTok, view: View, how: str) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await getattr(alice, how)()
    assert await viewer.end() is not None


async def test_a_truncated_gzip_and_a_text_end_the_stream(tiktok: TikTok, view: View) -> None:
    alice = tiktok.creator("alice", live=True)
    viewer = view(tiktok)
    await viewer.start()
    await alice.wait_entered()
    await alice.send_truncated_gzip(frames.chat("bob", "half"))
    assert isinstance(await viewer.end(), EOFError)
    other = view(tiktok)
    await other.start()
    await alice.wait_entered(2)
    await alice.send_text('{"message":"server busy"}')
    assert await other.end() is not None


async def test_a_stalled_socket_is_silent_but_open(view: View) -> None:
    async with TikTok(ping_interval=0.05) as tiktok:
        alice = tiktok.creator("alice", live=True)
        viewer = view(tiktok)
        await viewer.start()
        await alice.until(lambda: len(alice.heartbeats) >= 3)
        alice.stall()
        beats = len(alice.heartbeats)
        await alice.send(frames.chat("bob", "nobody hears this"))
        with pytest.raises(AssertionError):
            await alice.until(lambda: len(alice.heartbeats) > beats + 1, timeout_s=0.4)
        assert viewer.client.connected
        # the library would need 30 s to close a peer that does not answer
        await tiktok.close()
        await viewer.end()


@pytest.mark.parametrize("trouble", ["hang", "drip"])
async def test_closing_ends_what_hangs_within_a_second(trouble: str) -> None:
    tiktok = TikTok()
    await tiktok.start()
    alice = tiktok.creator("alice", live=True)
    alice.script.html = trouble
    tiktok.sign.script = trouble
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession() as http:
        urls = (
            f"{tiktok.app_url}/@alice/live",
            f"{tiktok.sign_url}/webcast/fetch?room_id={alice.room_id}",
        )
        asking = [asyncio.create_task(_read(http, url)) for url in urls]
        await alice.until(lambda: alice.lookups.html == 1)
        await alice.until(lambda: len(tiktok.sign.requests) == 1)
        started = time.monotonic()
        await tiktok.close()
        assert time.monotonic() - started < 1
        await asyncio.wait(asking, timeout=1)
        assert all(isinstance(task.exception(), aiohttp.ClientError) for task in asking)
    assert asyncio.all_tasks() <= before


async def _read(http: aiohttp.ClientSession, url: str) -> bytes:
    async with http.get(url) as response:
        return await response.read()


async def test_closing_cuts_open_sockets_also_stalled_ones(view: View) -> None:
    tiktok = TikTok()
    await tiktok.start()
    alice = tiktok.creator("alice", live=True)
    first, second = view(tiktok), view(tiktok)
    await first.start()
    await alice.wait_entered()
    alice.stall()
    await second.start()
    await alice.wait_entered(2)
    started = time.monotonic()
    await tiktok.close()
    assert time.monotonic() - started < 1
    assert isinstance(await first.end(), ConnectionClosedError)
    assert isinstance(await second.end(), ConnectionClosedError)


async def test_hostile_names_are_seen_as_they_came(tiktok: TikTok) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{tiktok.app_url}/@x/live?y=1") as page:
        assert page.status == 200
    assert list(tiktok.requests) == ["/@x/live?y=1"]
