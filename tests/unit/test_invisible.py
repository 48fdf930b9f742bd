"""Invisible characters, controls and stacks of marks: gone, with a signal only where somebody hid something."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.invisible import MARKS_OF_ANY_SCRIPT_MAX, controls, hidden, marks
from pipeline.text.offsets import Traced
from schemas.codes import Signal
from tests.support.folds import apply


@pytest.mark.parametrize(
    ("text", "shown", "signals"),
    [
        ("fu\u200bck", "fuck", {Signal.ZERO_WIDTH}),
        ("fu\u200d\u200c\u2060\ufeffck", "fuck", {Signal.ZERO_WIDTH}),
        ("fu\u00adck", "fuck", {Signal.ZERO_WIDTH}),
        ("fu\U000e0041ck", "fuck", {Signal.ZERO_WIDTH}),  # a tag character
        ("傻\u200b逼", "傻逼", {Signal.ZERO_WIDTH}),
        ("\u200bhello\u200b", "hello", set()),
        ("hello \u200bfriend", "hello friend", set()),
        ("❤\ufe0f", "❤", set()),
        ("👨\u200d👩\u200d👧", "👨👩👧", set()),  # a family is drawn as one, read as three
        ("1\ufe0f\u20e3", "1\u20e3", set()),
        ("می\u200cخواهم", "میخواهم", set()),  # Persian needs the joiner to be written, not to be read
        ("क्\u200dष", "क्ष", set()),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f", "\U0001f3f4", set()),  # the flag of England
        ("", "", set()),
        ("plain", "plain", set()),
    ],
)
def test_what_cannot_be_seen_is_removed(text: str, shown: str, signals: set[Signal]) -> None:
    assert apply(hidden, text) == (shown, signals)


@pytest.mark.parametrize(
    ("text", "shown", "signals"),
    [
        ("a\x00b", "ab", {Signal.CONTROL}),
        ("\x1b[31mred", "[31mred", {Signal.CONTROL}),
        ("a\x7f\x80\x9fb", "ab", {Signal.CONTROL}),
        ("\u202ekcuf\u202c", "kcuf", {Signal.CONTROL}),
        ("\u2066a\u2069", "a", {Signal.CONTROL}),
        ("a\tb\nc\r\nd\x85e", "a\tb\nc\r\nd\x85e", set()),
    ],
)
def test_controls_are_removed_but_tabs_and_line_ends_stay(text: str, shown: str, signals: set[Signal]) -> None:
    assert apply(controls, text) == (shown, signals)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("f\u0336u\u0336c\u0336k\u0336", "fuck"),
        ("h\u0301\u0302\u0303ello", "hello"),
        ("Z" + "\u0310\u0321\u0489" * 20, "Z"),
        ("ก" + "\u0e49" * 30 + "า", "กา"),  # the vowel after the stack is a letter, and stays
        ("a" + "\u0301" * 10_000 + "b", "ab"),
        ("\u0301" * 10_000, ""),
    ],
)
def test_stacks_of_marks_and_strikes_are_removed(text: str, shown: str) -> None:
    assert apply(marks, text) == (shown, {Signal.COMBINING})


@pytest.mark.parametrize(
    "text",
    [
        "e\u0323\u0302",  # Vietnamese, taken apart
        "בְּרֵאשִׁ֖ית בָּרָ֣א אֱלֹהִ֑ים",  # three marks on a letter: dot, vowel, accent
        "ٱللَّٰهِ ٱلرَّحْمَٰنِ",
        "สวัสดีครับ น้ำ ผู้",
        "हिन्दी में लिखा",
        "བསྒྲུབས",
        "ｶﾞｷﾞｸﾞ",
        "crème brûlée, Ångström, Dvořák",
        "1\u20e3 2\u20e3",
    ],
)
def test_marks_that_a_language_writes_with_stay(text: str) -> None:
    assert apply(marks, text) == (text, set())


MARKS = st.sampled_from("\u0301\u0323\u0336\u0e34\u0e49\u302a\u302e\u0f73\u0591\u064b\u093c\uff9e\U0001d165\U0001d16f")


@given(st.lists(st.text(MARKS, max_size=30) | st.text(max_size=3)))
def test_no_long_row_of_marks_is_left(parts: list[str]) -> None:
    # Putting marks in order takes NFKC a time that grows with the square of their number: 1 MiB of them would take minutes.
    left, _ = apply(marks, "".join(parts))
    decomposed = [bool(unicodedata.combining(unicodedata.normalize("NFKD", character)[0])) for character in left]
    longest = max(map(len, "".join("x" if joins else " " for joins in decomposed).split()), default=0)
    assert longest <= MARKS_OF_ANY_SCRIPT_MAX


def test_every_character_that_nfkc_moves_counts_as_a_mark() -> None:
    moved = [
        character
        for character in map(chr, range(0x110000))
        if unicodedata.combining(character) or unicodedata.combining(unicodedata.normalize("NFKD", character)[0])
    ]
    assert len(moved) > 800
    row = MARKS_OF_ANY_SCRIPT_MAX + 1
    assert [hex(ord(character)) for character in moved if apply(marks, character * row)[0]] == []


def test_removing_keeps_offsets() -> None:
    traced = Traced("a\u200bb").edited(edit for edit, _ in hidden("a\u200bb"))
    assert traced.origins == [0, 2]
