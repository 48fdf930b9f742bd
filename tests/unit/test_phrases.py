"""Word lists: a phrase is found in any disguise that the normaliser folds, as a word of its own, and only where it counts."""

import string
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.normalise import normalise
from pipeline.text.phrases import ListName, PhraseBook, PhraseError
from schemas.policies import HITS_MAX, WordHits


def book(block: Sequence[str] = (), review: Sequence[str] = (), allow: Sequence[str] = ()) -> PhraseBook:
    """A book of such phrases, numbered from 1."""
    lists: dict[ListName, Sequence[str]] = {"block": block, "review": review, "allow": allow}
    return PhraseBook({name: list(enumerate(phrases, 1)) for name, phrases in lists.items()})


def holds(phrase: str, text: str) -> bool:
    """Whether a text, folded as jobs are, holds the phrase."""
    hits = book([phrase]).find(normalise(text).text)
    assert hits in (None, WordHits(block=(1,)))
    return hits is not None


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("buy followers", "Buy followers now!"),
        ("Buy Followers", "BUY   \n FOLLOWERS"),
        ("  buy\tfollowers ", "buy followers"),
        ("buy followers", "buy followers"),
        ("straße", "STRASSE"),
        ("idiot", "you idiot's friend"),
        ("idiot", '"idiot"'),
        ("idiot", "_idiot_ (idiot)"),
        ("c++", "i hate c++20"),
        ("c++", "c++"),
        ("t.me/spam", "see https://t.me/spam?x=1"),
        ("#hashtag", "my#hashtag"),
        ("🖕", "you🖕🖕"),
        ("卖号", "专业卖号的"),
        ("加qq", "请加QQ 123"),
        ("qq群", "加QQ群吧"),
        ("バカ", "このバカ者"),
        ("바보", "바보야"),
        ("โง่", "คนโง่มาก"),
        ("गधा", "तू गधा है"),
        ("дурак", "ты ДУРАК!"),
        ("idiot", "漢idiot字"),  # between characters that make no words with it
        ("2 girls", "2 girls here"),
    ],
)
def test_a_phrase_is_found(phrase: str, text: str) -> None:
    assert holds(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("ass", "class assassin grass"),
        ("idiot", "idiots idiotic"),  # each form is a phrase of its own
        ("kill", "kill4fun"),
        ("buy followers", "buy-followers"),
        ("buy followers", "buyfollowers"),
        ("buy followers", "buy many followers"),
        ("c++", "c+"),
        ("t.me", "at.me"),
        ("卖号", "卖手机号"),
        ("加qq", "加qqq"),
        ("дурак", "дураком"),
        ("कम", "कमा"),  # the vowel sign belongs to the word
        ("e", "é e\u0301"),
    ],
)
def test_what_only_looks_like_a_phrase_is_not_found(phrase: str, text: str) -> None:
    assert not holds(phrase, text)


@pytest.mark.parametrize(
    "text",
    [
        "you ｉｄｉｏｔ",
        "you 1d10t",
        "you i d i o t",
        "you i-d-i-o-t!",
        "you id\u200biot",
        "you іdiоt",
        "you 𝓲𝓭𝓲𝓸𝓽",
        "you idiooooot",
        "you i\u0336d\u0336i\u0336o\u0336t\u0336",
        "you idi*t",
    ],
)
def test_a_disguise_that_is_folded_hides_nothing(text: str) -> None:
    assert holds("idiot", text)
    assert holds(text.removeprefix("you ").removesuffix("!"), "you idiot")  # a list may hold the disguise itself


SEPARATORS = st.sampled_from([" ", "\n", " \t ", "\u3000", "\u00a0"])
WORDS = st.text(string.ascii_letters, min_size=2, max_size=8)


@given(st.lists(WORDS, min_size=1, max_size=4), st.data())
def test_whatever_the_phrase_it_is_found_in_other_capitals_spaces_and_widths(words: list[str], data: st.DataObject) -> None:
    spaced = words[0] + "".join(data.draw(SEPARATORS) + word for word in words[1:])
    disguised = "".join(data.draw(st.sampled_from([letter, letter.swapcase()])) for letter in spaced)
    wide = "".join(chr(ord(letter) + 0xFEE0) if data.draw(st.booleans()) and letter.isalpha() else letter for letter in disguised)
    hidden = "".join(letter + data.draw(st.sampled_from(["", "\u200b", "\u2060"])) for letter in wide)
    assert holds(" ".join(words), f"so: {hidden}, yes")


@given(WORDS, st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=3))
def test_a_word_within_a_longer_word_is_not_found(word: str, more: str) -> None:
    assert book([word]).find(more + word) is None
    assert book([word]).find(word + more) is None


AROUND = st.text("操作体我你号 a.", max_size=6)


@given(st.text("操作体我你号", min_size=1, max_size=4), AROUND, AROUND)
def test_a_chinese_phrase_is_found_wherever_it_stands(phrase: str, before: str, after: str) -> None:
    assert book([phrase]).find(before + phrase + after) is not None


@given(st.lists(st.text("ab c操作.", min_size=1, max_size=5), max_size=6), st.text("ab c操作.", max_size=30))
def test_the_index_finds_what_a_plain_search_finds(phrases: list[str], text: str) -> None:
    phrases = [phrase for phrase in phrases if phrase.strip()]
    found = book(phrases).find(text)
    plain = " ".join(text.split())
    expected = tuple(number for number, phrase in enumerate(phrases, 1) if _searched(" ".join(phrase.split()), plain))
    assert (found.block if found else ()) == expected


def _searched(phrase: str, text: str) -> bool:
    begins = [begin for begin in range(len(text)) if text.startswith(phrase, begin)]
    ends = [(begin, begin + len(phrase)) for begin in begins]
    return any(_free(text[begin - 1 : begin], phrase[0]) and _free(phrase[-1], text[end : end + 1]) for begin, end in ends)


def _free(left: str, right: str) -> bool:
    return not (left in set("abc") and right in set("abc"))


def test_every_phrase_has_its_number_and_a_text_without_any_has_nothing() -> None:
    found = book(["one", "two"], ["two three", "four"], ["five"])
    assert found.find("one two three, four, five") == WordHits(block=(1, 2), review=(1, 2), allow=(1,))
    assert found.find("six") is None
    assert book().find("one") is None
    assert found.find("") is None


def test_phrases_of_the_other_lists_do_not_count_within_an_allowed_one() -> None:
    found = book(["操"], ["kill"], ["操作", "kill the process"])
    assert found.find("请操作") == WordHits(allow=(1,))
    assert found.find("请操作，操") == WordHits(block=(1,), allow=(1,))
    assert found.find("kill the process, please") == WordHits(allow=(2,))
    assert found.find("kill the process, then kill him") == WordHits(review=(1,), allow=(2,))


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("kill yourself", WordHits(block=(1,), allow=(1,))),  # longer than what is allowed
        ("no kill yourself", WordHits(block=(1,), allow=(1, 2))),  # begins in one allowed phrase and ends beyond it
        ("kill", WordHits(allow=(1,), nothing_else=True)),
    ],
)
def test_an_allowed_phrase_forgives_only_what_lies_within_it(text: str, hits: WordHits) -> None:
    assert book(["kill yourself"], [], ["kill", "no kill"]).find(text) == hits


@pytest.mark.parametrize(
    ("alone", "text"),
    [
        *((True, text) for text in ("Scunthorpe", "  Scunthorpe?! ", "Scunthorpe, scunthorpe 操作。")),
        *((False, text) for text in ("Scunthorpe is bad", "Scunthorpe 🖕", "Scunthorpe 1", "Scunthorpe + Scunthorpe")),
    ],
)
def test_a_text_of_nothing_but_allowed_phrases_is_known(*, alone: bool, text: str) -> None:
    found = book([], [], ["Scunthorpe", "操作"]).find(text)
    assert found is not None
    assert found.nothing_else is alone


def test_overlapping_allowed_phrases_may_cover_a_text_together() -> None:
    found = book([], ["b c"], ["a b", "c d", "b", "a b c d e f"]).find("a b c d")
    assert found == WordHits(review=(1,), allow=(1, 2, 3), nothing_else=True)


def test_an_allowed_phrase_within_another_takes_nothing_away() -> None:
    found = book(["c"], [], ["a b c", "b"]).find("a b c")
    assert found == WordHits(allow=(1, 2), nothing_else=True)


def test_a_result_names_so_many_phrases_of_a_list_at_most() -> None:
    words = [f"w{number}" for number in range(50)]
    found = book(words).find(" ".join(reversed(words)))
    assert found is not None
    assert found.block == tuple(range(1, HITS_MAX + 1))


@pytest.mark.parametrize("phrase", ["\u200b", "  ", "\u202e"])
def test_a_phrase_of_which_nothing_is_left_is_refused_by_number(phrase: str) -> None:
    with pytest.raises(PhraseError, match=r"words\.review, phrase 2: nothing is left"):
        book([], ["good", phrase])


@pytest.mark.parametrize("other", ["block", "review"])
def test_a_phrase_that_is_allowed_and_not_is_refused_without_its_words(other: str) -> None:
    with pytest.raises(PhraseError, match=rf"words\.allow, phrase 1: it is also phrase 1 of words\.{other}") as caught:
        book(**{other: ["Kill him"]}, allow=["kill  ｈｉｍ"])
    assert "him" not in str(caught.value)


def test_a_phrase_in_two_lists_or_twice_in_one_counts_in_both_and_is_told() -> None:
    twice = book(["kill", "KILL"], ["kill"])
    assert twice.find("kill") == WordHits(block=(1, 2), review=(1,))
    assert twice.repeated == [[("block", 1), ("block", 2), ("review", 1)]]


@pytest.mark.parametrize("unit", ["kill ", "操作", "a ", "kill the process "])
def test_the_work_grows_with_the_length_of_the_text_only(unit: str) -> None:
    phrases = book(["kill", "操", *(f"a {word}" for word in string.ascii_lowercase)], ["process"], ["kill the", "操作"])

    def calls(length: int) -> int:
        text, counted = unit * (length // len(unit)), 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal counted
            counted += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            phrases.find(text)
        finally:
            sys.setprofile(None)
        return counted

    assert calls(20_000) < 11 * calls(2_000)
