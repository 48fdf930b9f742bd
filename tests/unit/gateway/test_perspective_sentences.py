"""Sentences, and places in a text counted as the original counts them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.perspective.sentences import sentences, utf16_length, utf16_spans


def cut(text: str, count_max: int = 100) -> list[str]:
    """The sentences as texts."""
    return [text[begin:end] for begin, end in sentences(text, count_max)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello world. You suck!", ["Hello world.", "You suck!"]),
        ("hello world. you suck", ["hello world.", "you suck"]),
        ("One sentence", ["One sentence"]),
        ("  a.  b.  ", ["a.", "b."]),
        ("Why?! Because... of you. Hm… and then", ["Why?!", "Because... of you.", "Hm… and then"]),
        ("Wait... You too.", ["Wait...", "You too."]),
        ('"Really?" he asked. "Yes."', ['"Really?" he asked.', '"Yes."']),
        ("(It rained.) Then not.", ["(It rained.)", "Then not."]),
        ("Mr. Smith met Dr. J. Doe at 3.5 p.m. today.", ["Mr. Smith met Dr. J. Doe at 3.5 p.m. today."]),
        ("He lives in the U.S. now. So do I. You?", ["He lives in the U.S. now.", "So do I.", "You?"]),
        ("Apples, e.g. red ones, etc. Pears too.", ["Apples, e.g. red ones, etc.", "Pears too."]),
        ("No. 5 is alive. No. You are not.", ["No. 5 is alive.", "No.", "You are not."]),
        ("see example.com/a.b?c=d!e now", ["see example.com/a.b?c=d!e now"]),
        ("first line\nsecond line\r\n\r\nthird", ["first line", "second line", "third"]),
        ("你好。你是傻逼！滚？好", ["你好。", "你是傻逼！", "滚？", "好"]),
        ("他说：“走吧！”然后走了。", ["他说：“走吧！”", "然后走了。"]),
        ("你好!你是谁?我是3.5版", ["你好!", "你是谁?", "我是3.5版"]),
        ("我……不知道。", ["我……不知道。"]),
        ("😀 fine. 😀😀", ["😀 fine.", "😀😀"]),
        ("...", ["..."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_a_text_is_cut_into_its_sentences(text: str, parts: list[str]) -> None:
    assert cut(text) == parts


def test_neighbours_share_a_span_where_sentences_are_too_many() -> None:
    assert cut("a. b. c. d. e.", count_max=2) == ["a. b. c.", "d. e."]
    assert len(cut("x! " * 10_000, count_max=50)) == 50


@pytest.mark.parametrize(
    "text", ["." * 20_480, ".'" * 10_240, "!\n" * 10_240, ". " * 10_240, "a.b" * 6_000, "'" * 20_480, " " * 20_479 + "a"]
)
@pytest.mark.timeout(5)
def test_no_text_takes_long(text: str) -> None:
    assert len(sentences(text, 50)) <= 50


TEXTS = st.text(st.sampled_from("ab. !?\n。！😀“”\"') e.g\u200b"), max_size=60) | st.text(max_size=60)


@given(TEXTS, st.integers(1, 5))
def test_spans_are_in_order_and_leave_out_blanks_alone(text: str, count_max: int) -> None:
    spans = sentences(text, count_max)

    assert len(spans) <= count_max
    assert all(begin < end for begin, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert all(text[begin:end] == text[begin:end].strip() for begin, end in spans)
    assert "".join("".join(text[begin:end].split()) for begin, end in spans) == "".join(text.split())


@given(TEXTS)
def test_spans_in_utf16_cut_the_same_text_out_of_utf16(text: str) -> None:
    spans = sentences(text, 50)
    coded = text.encode("utf-16-le")

    for (begin, end), (first, last) in zip(spans, utf16_spans(text, spans), strict=True):
        assert coded[2 * first : 2 * last].decode("utf-16-le") == text[begin:end]


@pytest.mark.parametrize(("text", "units"), [("", 0), ("a", 1), ("é", 1), ("好", 1), ("😀", 2), ("👩\u200d👧", 5)])
def test_what_lies_outside_the_bmp_counts_two(text: str, units: int) -> None:
    assert utf16_length(text) == units
