"""Edits of a text: what becomes of its characters, and that each remembers where it came from."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.offsets import Edit, Traced


@st.composite
def edited_texts(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    """A text and edits of it, in order and apart, some of them empty on one side."""
    text = draw(st.text("abc", max_size=20))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    spans = zip(cuts[::2], cuts[1::2], strict=False)
    return text, [Edit(begin, end, draw(st.text("XYZ", max_size=4))) for begin, end in spans]


def replaced(text: str, edits: list[Edit]) -> str:
    """The same the plain way: from the back, so that places in front stay."""
    for edit in reversed(edits):
        text = text[: edit.begin] + edit.replacement + text[edit.end :]
    return text


def test_a_text_without_edits_is_the_same_object() -> None:
    traced = Traced("hello")
    assert traced.edited([]) is traced
    assert traced.origins is None


def test_a_replacement_of_equal_length_keeps_each_origin() -> None:
    assert Traced("sh1t!", [0, 2, 4, 6, 8]).edited([Edit(0, 4, "shit")]) == Traced("shit!", [0, 2, 4, 6, 8])


def test_a_shorter_or_longer_replacement_comes_from_where_the_edit_began() -> None:
    shorter = Traced("a f u c k b").edited([Edit(2, 9, "fuck")])
    assert (shorter.text, shorter.origins) == ("a fuck b", [0, 1, 2, 2, 2, 2, 9, 10])
    longer = Traced("5 ㎏").edited([Edit(2, 3, "kg")])
    assert (longer.text, longer.origins) == ("5 kg", [0, 1, 2, 2])


def test_origins_outlive_further_edits() -> None:
    once = Traced("\u200bf u c k").edited([Edit(0, 1, "")])
    twice = once.edited([Edit(0, 7, "fuck")])
    assert (twice.text, twice.origins) == ("fuck", [1, 1, 1, 1])


@given(edited_texts())
def test_edits_replace_and_trace(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    traced = Traced(text).edited(edits)
    assert traced.text == replaced(text, edits)
    if traced.origins is not None:
        assert len(traced.origins) == len(traced.text)
        assert list(traced.origins) == sorted(traced.origins)
        untouched = [(letter, place) for letter, place in zip(traced.text, traced.origins, strict=True) if letter in "abc"]
        assert all(text[place] == letter for letter, place in untouched)
