"""What may be typed as a TikTok username, and what comes of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidUsername
from server.usernames import MAX_SUBJECT, USERNAME, normalise


@pytest.mark.parametrize(
    "text",
    [
        "anna.live",
        "@anna.live",
        "  Anna.LIVE\n",
        "https://www.tiktok.com/@anna.live",
        "http://tiktok.com/@Anna.Live/",
        "HTTPS://WWW.TikTok.com/@anna.live/live",
        "tiktok.com/@anna.live/live?x=y",
        "https://m.tiktok.com/@anna.live?lang=ru&q=эфир#top",
        "www.tiktok.com/%40anna.live",
    ],
)
def test_every_way_to_write_a_creator_is_one_name(text: str) -> None:
    assert normalise(text) == "anna.live"


@pytest.mark.parametrize("text", ["", "   ", "\t\n", "\u00a0\u3000"])
def test_nothing_but_spaces_is_no_name(text: str) -> None:
    assert normalise(text) == ""


@pytest.mark.parametrize("name", ["ab", "a" * 24, "12", "_._a", ".a", "a..b", "tiktok.com"])
def test_two_to_twenty_four_allowed_characters_are_a_name(name: str) -> None:
    assert normalise(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a" * 25,
        "anna.",
        "@",
        "@@anna",
        "@ anna",
        "anna live",
        "anna\nlive",
        "anna-live",
        "../../x",
        "a/../../..",
        "a?b=1",
        "a%2e",
        "anna\x00",
        "\x00",
        "a" * 10_000,
        "https://www.tiktok.com/@" + "a" * 10_000,
        "\ud800\udfff",
        "anna\ud83d",
        "\u202eanna",
        "anna\u200f",
        "an\u200bna",
        "\ufeffanna",
        "анна",
        "安娜",
        "ann\u0301",
        "anna😀",
        "١٢٣",
    ],
)
def test_anything_else_is_refused_with_a_harmless_quote(text: str) -> None:
    with pytest.raises(InvalidUsername) as caught:
        normalise(text)
    assert caught.value.variant == ""
    assert_harmless(caught.value.subject)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/@anna",
        "https://tiktok.com.example.com/@anna",
        "https://example.com/tiktok.com/@anna",
        "https://tiktok.com@example.com/@anna",
        "https://www.tiktok.com/anna",
        "https://www.tiktok.com/@anna/../x",
        "https://www.tiktok.com/",
        "https://www.tikto\u212a.com/@anna",  # with a Kelvin sign
        "ftp://www.tiktok.com/@anna",
        "javascript:alert(1)//tiktok.com/@anna",
    ],
)
def test_only_profile_and_live_addresses_of_tiktok_are_taken(url: str) -> None:
    with pytest.raises(InvalidUsername):
        normalise(url)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("\u0430nna", "«\u0430»"),
        ("@\u0430nn\u0435", "«\u0430», «\u0435»"),
        ("https://www.tiktok.com/@nin\u0430/live", "«\u0430»"),
        ("\u0410NN\u0410", "«\u0410»"),
        ("\u212aate", "«\u212a»"),  # Kelvin sign: str.lower() makes a plain k of it
        ("\uff4bate", "«\uff4b»"),
        ("n\u0131na", "«\u0131»"),
        ("\u03bfleg", "«\u03bf»"),
    ],
)
def test_letters_that_only_look_latin_are_named(text: str, letters: str) -> None:
    with pytest.raises(InvalidUsername) as caught:
        normalise(text)
    assert (caught.value.variant, caught.value.subject) == ("lookalike", letters)


def test_a_long_list_of_lookalikes_is_cut() -> None:
    with pytest.raises(InvalidUsername) as caught:
        normalise("аекорсухіјѕ")
    assert caught.value.subject == "«а», «е», «к», «о», «р», «с», «у», «х», …"


@pytest.mark.fuzz
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="aAzZ09_.@/ \u212a\u0430", max_size=26),
        st.from_regex(r"(https://www\.tiktok\.com/)?@[a-zA-Z0-9_.]{1,25}(/live)?", fullmatch=True),
    )
)
def test_what_comes_out_is_a_name_and_stays_the_same(text: str) -> None:
    try:
        name = normalise(text)
    except InvalidUsername as error:
        assert_harmless(error.subject)
        return
    assert name == "" or USERNAME.fullmatch(name)
    assert normalise(name) == name == normalise(f" @{name}" if name else "")


def assert_harmless(subject: str) -> None:
    """Short, encodable, without anything that acts on its surroundings."""
    assert len(subject) <= max(MAX_SUBJECT, 60)
    subject.encode()
    assert not [c for c in subject if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
