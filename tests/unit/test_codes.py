"""The closed vocabularies: every word is explained, and says what it is called."""

import re

import pytest

from schemas.codes import CODE_MEANINGS, Code, Signal, Task, Verdict


def test_every_code_has_one_meaning_of_its_own() -> None:
    assert set(CODE_MEANINGS) == set(Code)
    assert len(set(CODE_MEANINGS.values())) == len(Code)


@pytest.mark.parametrize("code", Code)
def test_a_meaning_is_a_sentence_to_go_on_with(code: Code) -> None:
    assert re.fullmatch(r"[a-z].{10,120}[^.]", CODE_MEANINGS[code])


@pytest.mark.parametrize("word", [*Code, *Signal, *Task, *Verdict])
def test_a_word_is_its_name_in_small_letters(word: Code | Signal | Task | Verdict) -> None:
    assert word.value == word.name.lower()
    assert re.fullmatch(r"[a-z][a-z0-9_]*", word)
    assert f"{word}" == word.value
