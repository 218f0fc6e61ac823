"""TikTok's messages in our words: right against the library's own classes, unbroken by anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from TikTokLiveProto.v3.webcast.im import ControlAction, MemberMessageAction
from TikTokLiveProto.v3.webcast.model import message as model
from TikTokLiveProto.v3.webcast.model.message import WebcastChatMessage, WebcastMemberMessage

from server.events import (
    BattleStep,
    Chat,
    Control,
    EmoteShow,
    Envelope,
    Follow,
    GiftStep,
    Like,
    Question,
    Share,
    Subscribe,
    Viewer,
    ViewerJoin,
)
from server.upstream.decode import (
    MAX_NUMBER,
    NAME_CHARS,
    RELAYED_METHODS,
    TEXT_CHARS,
    BadPayload,
    decode,
)
from tests import oracle
from tests.tiktok import frames, gifts
from tests.tiktok.message import Message, message
from tests.tiktok.people import Person
from tests.tiktok.traffic import Traffic

FAN = Person(
    "fan.one",
    "Фанат",
    id=7001,
    moderator=True,
    subscriber=True,
    follow_status=1,
    fans_level=12,
    grade=33,
)
WHO = {
    "user": "Фанат",
    "username": "fan.one",
    "user_id": "7001",
    "avatar": FAN.picture,
    "moderator": True,
    "subscriber": True,
    "follower": True,
    "gifter_level": 33,
    "member_level": 12,
}
LEFT, RIGHT = Person("left", id=1), Person("right", id=2)
PICTURE = "https://p16.tiktokcdn.com/e.png"


def decoded(sent: Message) -> Any:
    """What a message becomes."""
    received = decode(sent.method.encode(), sent.payload)
    assert received is not None
    assert received.msg_id == sent.msg_id
    return received.event


@pytest.mark.parametrize(
    ("sent", "event"),
    [
        (frames.chat(FAN, "привет"), Chat(**WHO, message="привет")),
        (frames.like(FAN, 15, 4200), Like(**WHO, count=15, total=4200)),
        (frames.join(FAN), ViewerJoin(**WHO)),
        (frames.join(FAN, key="x_follow_x"), ViewerJoin(**WHO)),
        (frames.grand_join(FAN), ViewerJoin(**WHO)),
        (frames.viewers(3, 70), Viewer(current=3, total=70)),
        (frames.viewers(0, 0), Viewer(current=0, total=0)),
        (frames.follow(FAN), Follow(**WHO)),
        (frames.share(FAN), Share(**WHO)),
        (frames.subscribe(FAN), Subscribe(**WHO)),
        (frames.question(FAN, "как?"), Question(**WHO, message="как?")),
        (frames.emote(FAN, PICTURE), EmoteShow(**WHO, picture=PICTURE)),
        (
            frames.envelope(FAN, 500),
            Envelope(user="Фанат", user_id="7001", avatar=FAN.picture, diamonds=500),
        ),
        (frames.control(ControlAction.STREAM_PAUSED), Control(change="paused")),
        (frames.control(ControlAction.STREAM_UNPAUSED), Control(change="resumed")),
        (frames.control(ControlAction.STREAM_ENDED), Control(change="ended")),
        (frames.control(ControlAction.STREAM_SUSPENDED), Control(change="ended")),
    ],
    ids=lambda value: value.method if isinstance(value, Message) else "",
)
def test_each_kind_of_message_becomes_its_event(sent: Message, event: object) -> None:
    assert decoded(sent) == event


def test_a_gift_keeps_what_counting_a_combo_needs() -> None:
    step = decoded(frames.gift(FAN, gifts.ROSE, 3, group=55, to="guest.one"))
    assert step == GiftStep(
        who=step.who,
        gift_id=str(gifts.ROSE.id),
        gift_name="Rose",
        unit_diamonds=gifts.ROSE.diamonds,
        picture=gifts.ROSE.picture,
        to="guest.one",
        group="55",
        count=3,
        streakable=True,
        ends=False,
    )
    assert msgspec.structs.asdict(step.who) == WHO
    assert decoded(frames.gift(FAN, gifts.ROSE, 3, group=55, end=True)).ends
    assert not decoded(frames.gift(FAN, gifts.LION)).streakable


def test_a_battle_is_told_by_ids_until_names_are_known() -> None:
    start = decoded(frames.battle_start(9, [LEFT, RIGHT]))
    assert isinstance(start, BattleStep)
    assert (start.phase, start.names) == ("start", {"1": "left", "2": "right"})
    score = decoded(frames.battle_score(9, {LEFT: 30, RIGHT: 12}))
    assert (score.phase, score.scores) == ("score", {"1": 30, "2": 12})


def test_what_is_not_relayed_is_none_and_not_even_read() -> None:
    assert decode(b"WebcastLinkLayerMessage", b"\xff\xff\xff") is None
    assert decode(b"", b"") is None


def test_a_broken_message_costs_only_itself() -> None:
    with pytest.raises(BadPayload):
        decode(b"WebcastChatMessage", b"\xff\xff\xff\xff")


@pytest.mark.parametrize("method", [m for m in dir(model) if m.startswith("Webcast")])
def test_an_empty_message_of_any_kind_breaks_nothing(method: str) -> None:
    received = decode(method.encode(), b"")
    assert received is None or received.msg_id == 0


def test_broken_utf8_costs_a_character_not_the_message() -> None:
    event = decoded(frames.chat(FAN, b"ok \xff\xfe \xed\xa0\x80 ok\x00"))
    assert event.message.startswith("ok ")
    assert event.message.endswith(" ok")
    assert "\x00" not in event.message
    event.message.encode()


def test_what_strangers_write_is_cut_to_its_bound() -> None:
    event = decoded(frames.chat(Person("u" * 5000, "н" * 5000), "ы" * 50_000))
    assert event.message == "ы" * TEXT_CHARS
    assert event.user == "н" * NAME_CHARS
    assert event.username == "u" * NAME_CHARS


def test_numbers_fit_what_javascript_holds() -> None:
    event = decoded(frames.like(FAN, -5, 2**62))
    assert (event.count, event.total) == (0, MAX_NUMBER)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "http://p16.tiktokcdn.com/e.png",
        "https://evil.example/e.png",
        "https://tiktokcdn.com.evil.example/e.png",
        "https://evil.example/p16.tiktokcdn.com/e.png",
        "https://p16.tiktokcdn.com@evil.example/e.png",
        "https://p16.tiktokcdn.com:8443/e.png",
        "https://p16.eviltiktokcdn.com/e.png",
        "https://P16.TIKTOKCDN.COM/e.png",
        "https://p16.tiktokcdn.com",
        'https://p16.tiktokcdn.com/"onerror=alert(1)',
        "https://p16.tiktokcdn.com/<svg>",
        "https://p16.tiktokcdn.com/a b",
        "https://p16.tiktokcdn.com/\n",
        "https://p16.tiktokcdn.com/\u202e",
        "https://p16.tiktokcdn.com/" + "a" * 2048,
        "//p16.tiktokcdn.com/e.png",
        "data:image/svg+xml,<svg/>",
    ],
)
def test_only_pictures_on_tiktok_s_own_hosts_are_passed_on(address: str) -> None:
    assert decoded(frames.chat(Person("a", avatar=address), "x")).avatar == ""
    assert decoded(frames.emote("a", address)).picture == ""


@pytest.mark.parametrize(
    "address",
    [
        "https://p16-sign-va.tiktokcdn.com/tos-maliva-avt-0068/a~c5_168x168.webp?x-expires=1&x-s=o%3D",
        "https://p16-common-sign.tiktokcdn-us.com/tos/7~tplv-tiktokx-cropcenter:100:100.jpeg?dr=9640",
        "https://p19-webcast.tiktokcdn-eu.com/e.png",
        "https://p3-webcast-sign.ibyteimg.com/e.png",
    ],
)
def test_pictures_of_every_region_are_passed_on(address: str) -> None:
    assert decoded(frames.chat(Person("a", avatar=address), "x")).avatar == address


def test_who_has_no_nickname_is_shown_by_username() -> None:
    user = {"id": 5, "display_id": "quiet"}
    event = decoded(message(WebcastChatMessage, user=user, content="x"))
    assert (event.user, event.username) == ("quiet", "quiet")


def test_a_message_without_a_user_is_still_an_event() -> None:
    event = decoded(message(WebcastChatMessage, content="x"))
    assert (event.user, event.user_id, event.message) == ("", "", "x")


def test_a_subscription_may_come_as_a_member_message() -> None:
    sent = message(WebcastMemberMessage, user=FAN.encoded, action=MemberMessageAction.SUBSCRIBED)
    assert decoded(sent) == Subscribe(**WHO)


SAMPLES = list({sent.method: sent for sent in Traffic(seed=3).take(3000)}.values()) + [
    frames.control(ControlAction.STREAM_ENDED),
    frames.battle_start(9, [LEFT, RIGHT]),
    frames.battle_score(9, {LEFT: 30, RIGHT: 12}),
]


def test_real_traffic_says_what_the_library_reads_in_it_field_by_field() -> None:
    for sent in [*Traffic(seed=7).take(1500), *SAMPLES]:
        received = decode(sent.method.encode(), sent.payload)
        theirs = oracle.library_class(sent.method).parse(sent.payload)
        assert received is not None, sent.method
        assert received.event == oracle.expected(sent.method, theirs)
        assert received.msg_id == theirs.common.msg_id


def test_the_oracle_reads_every_method_that_is_relayed() -> None:
    assert oracle.METHODS == RELAYED_METHODS == {sent.method for sent in SAMPLES}


#: What a field may hold instead; numbers that fit every kind of field, and each enum.
OTHER_NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 30, 2**31 - 1])
OTHER_TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=90
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@pytest.mark.fuzz
@given(st.sampled_from(range(len(SAMPLES))), st.data())
def test_whatever_the_fields_hold_both_read_the_same(sample: int, data: st.DataObject) -> None:
    method = SAMPLES[sample].method
    theirs = oracle.library_class(method).parse(SAMPLES[sample].payload)
    for _ in range(data.draw(st.integers(1, 6))):
        message, name = data.draw(st.sampled_from(list(oracle.leaves(theirs))))
        value = getattr(message, name)
        if isinstance(value, bool):
            setattr(message, name, not value)
        elif isinstance(value, int):
            setattr(message, name, type(value)(data.draw(OTHER_NUMBERS)))
        elif isinstance(value, str):
            setattr(message, name, data.draw(OTHER_TEXTS))
        elif isinstance(value, list):
            setattr(message, name, value[: data.draw(st.integers(0, len(value)))] * 2)
        elif isinstance(value, dict | bytes):
            setattr(message, name, type(value)())
        elif name != "common":
            setattr(message, name, None)
    payload = bytes(theirs)
    again = oracle.library_class(method).parse(payload)
    received = decode(method.encode(), payload)
    event = received.event if received is not None else None
    assert event == oracle.expected(method, again)


@settings(max_examples=400)
@pytest.mark.fuzz
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    st.integers(0, 4000),
)
def test_damaged_messages_are_events_or_bad_payloads_and_nothing_else(
    sent: Message, damage: list[tuple[int, int]], cut: int
) -> None:
    payload = bytearray(sent.payload[: max(0, len(sent.payload) - cut % 64)])
    for place, value in damage:
        if payload:
            payload[place % len(payload)] = value
    try:
        received = decode(sent.method.encode(), bytes(payload))
    except BadPayload:
        return
    if received is not None:
        # What leaves here must be sendable, whatever it says.
        msgspec.json.encode(received.event)


@pytest.mark.fuzz
@given(st.sampled_from([sent.method for sent in SAMPLES]), st.binary(max_size=300))
@example("WebcastChatMessage", b"\x0a\x00")
def test_arbitrary_bytes_are_events_or_bad_payloads_and_nothing_else(
    method: str, payload: bytes
) -> None:
    try:
        received = decode(method.encode(), payload)
    except BadPayload:
        return
    if received is not None:
        msgspec.json.encode(received.event)


def test_a_message_nested_ten_thousand_deep_breaks_nothing() -> None:
    group = 15  # a start-group tag: the parser must descend for each
    with pytest.raises(BadPayload):
        decode(b"WebcastChatMessage", bytes([group << 3 | 3]) * 10_000)
