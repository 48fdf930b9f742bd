"""Words spelled out with separators, and letters repeated beyond spelling."""

import re
from collections.abc import Iterator
from typing import Final

from pipeline.text.lexicon import CHINESE, WORD_CHARACTERS_MAX, is_spelled, is_telling, is_word
from pipeline.text.offsets import Edit
from pipeline.text.protected import protection
from schemas.codes import Signal

_SEPARATOR: Final = r"[ \t._*~/\\|,+=·•-]"
_SPELLED: Final = re.compile(rf"(?<![^\W_])[A-Za-z](?P<gap>{_SEPARATOR}{{1,2}})[A-Za-z](?:(?P=gap)[A-Za-z]){{1,60}}(?![^\W_])")
_HAN_GAP: Final = r"(?:[ \t]{1,3}|\.|[_*~/\\|+=·•-]{1,3})"
"""No commas, full stops, pauses or line ends: a phrase may end in 傻 and the next begin with 逼."""
_CHINESE: Final = re.compile("|".join(f"(?:{_HAN_GAP})?".join(word) for word in CHINESE))
_HAN: Final = "[\u3400-\u9fff]"
_HAN_SPELLED: Final = re.compile(rf"(?<!{_HAN}){_HAN}(?:(?:[ _*~/|·•.-]){_HAN}(?!{_HAN})){{4,200}}")
_REPEATED: Final = re.compile(r"([A-Za-z])\1{3,}|([^\W\d_A-Za-z])\2{7,}")
_LETTERS, _LETTERS_AT_END = re.compile("[A-Za-z]+"), re.compile("[A-Za-z]+$")
_ALONE_MIN: Final = 8
"""Of a letter that stands for itself: shorter are placeholders, as in yyyy-MM-dd."""
KEPT: Final = 3
"""How many of a repeated letter are kept where the writing system does not spell words with letters."""


def spelled_out(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """F u c k, s-t-u-p-i-d: letters that make words of the lexicon once their separators are gone, one of them a telling word."""
    runs = [(found.span(), found.group()[:: 1 + len(found["gap"])]) for found in _SPELLED.finditer(text)]
    if any(is_telling(letters) for _, letters in runs):
        yield from ((Edit(*span, letters), Signal.SPACED_LETTERS) for span, letters in runs if is_spelled(letters))


def han_spelled_out(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Five Chinese characters or more that stand apart one by one, whatever they say."""
    if text.isascii():
        return
    for found in _HAN_SPELLED.finditer(text):
        yield Edit(*found.span(), found.group()[::2]), Signal.SPACED_LETTERS


def chinese_words(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """傻*逼: words of the lexicon with something between their characters."""
    if text.isascii():
        return
    for found in _CHINESE.finditer(text):
        word = "".join(character for character in found.group() if "\u3400" <= character <= "\u9fff")
        if word != found.group():
            yield Edit(*found.span(), word), Signal.SPACED_LETTERS


def repetition(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Fuuuuck becomes a word of the lexicon where that leaves one, else two letters stay; 哈哈哈哈哈哈哈哈 keeps three."""
    repeated = list(_REPEATED.finditer(text))
    if not repeated:
        return
    is_protected = protection(text)
    for found in repeated:
        begin, end = found.span()
        letter = found.group()[0]
        if not letter.isascii():
            yield Edit(begin, end, letter * KEPT), Signal.REPETITION
            continue
        before, after = _letters_before(text, begin), _letters_after(text, end)
        placeholder = not before and not after and end - begin < _ALONE_MIN
        if not placeholder and not is_protected(begin, end):
            yield Edit(begin, end, letter if is_word(before + letter + after) else letter * 2), Signal.REPETITION


def _letters_before(text: str, end: int) -> str:
    found = _LETTERS_AT_END.search(text, max(0, end - WORD_CHARACTERS_MAX), end)
    return found.group() if found else ""


def _letters_after(text: str, begin: int) -> str:
    found = _LETTERS.match(text, begin, begin + WORD_CHARACTERS_MAX)
    return found.group() if found else ""
