"""Which languages a comment is in, and what to do where that cannot be known.

The original refuses short English that it takes for something odd. Here a short text in Latin letters, and one without letters,
is taken for English (`choices.ASSUMED_LANGUAGE`).
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from pipeline.gateway.perspective import choices
from pipeline.text.language import UNDETECTED, primary_subtag

_HAN: Final = re.compile("[\u3400-\u9fff]")
_LOOKED_AT_CHARACTERS: Final = 1_000
"""How much of a text is looked at, as the detector does."""
_LATIN_END: Final = "\u0250"


def base_language(tag: str) -> str:
    """What a tag comes down to: zh of zh-TW, en of en_US."""
    return primary_subtag(tag.replace("_", "-").strip())


def detected_languages(text: str, detect: Callable[[str], str], speaks: Callable[[str], bool]) -> tuple[str, ...]:
    """The languages of `text`, the likeliest first; empty where it has none and none can be assumed.

    `detect` names the language of a text or `und`; `speaks` tells whether a model knows a language.
    """
    sample = _without_marks(text[:_LOOKED_AT_CHARACTERS])
    first = detect(sample)
    if not speaks(first) and speaks(choices.ASSUMED_LANGUAGE) and (first == UNDETECTED or _is_short_latin(sample)):
        first = choices.ASSUMED_LANGUAGE
    if first == UNDETECTED:
        return ()
    second = _of_other_script(sample, first, detect)
    return (first, second) if second not in (first, UNDETECTED) else (first,)


def _without_marks(text: str) -> str:
    """`text` with spaces for emoji, typographic quotes and the like: they make short English look foreign."""
    return "".join(c if c.isascii() or unicodedata.category(c)[0] in "LM" else " " for c in text)


def _is_short_latin(text: str) -> bool:
    """Whether `text` is short and in Latin letters, but for some Chinese ones: more of those would have decided."""
    letters = [c for c in text if c.isalpha()]
    return len(letters) < choices.ASSUMED_BELOW_LETTERS and all(c < _LATIN_END or _HAN.match(c) for c in letters)


def _of_other_script(text: str, first: str, detect: Callable[[str], str]) -> str:
    """The language of what is not in the first one's script, where that is a fair share: only Chinese has one of its own here."""
    han = len(_HAN.findall(text))
    others = sum(c.isalpha() for c in text) - han
    share = (others if first == "zh" else han) / max(han + others, 1)
    if share < choices.SECOND_SCRIPT_SHARE:
        return first
    return detect(_HAN.sub(" ", text)) if first == "zh" else "zh"
