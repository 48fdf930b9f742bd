"""How people dress a sentence: openings, endings, emoji, case and typing errors. None of it tells anything about the label."""

import random
import tomllib
from collections.abc import Callable
from functools import cache
from typing import Final

from training.contrast.sets import DATA, Language


@cache
def _dress(language: Language, part: str) -> tuple[str, ...]:
    parts: dict[str, dict[str, list[str]]] = tomllib.loads((DATA / "dress.toml").read_text(encoding="utf-8"))
    return tuple(parts[language][part])


def decorated(text: str, language: Language, chance: random.Random) -> str:
    """`text` as somebody would post it; half of the time as it is."""
    draw = chance.random()
    for share, dress in _SHARES:
        if draw < share:
            return dress(text, language, chance)
        draw -= share
    return text


def _opened(text: str, language: Language, chance: random.Random) -> str:
    return chance.choice(_dress(language, "openings")) + text


def _ended(text: str, language: Language, chance: random.Random) -> str:
    return text.rstrip(".。!！") + chance.choice(_dress(language, "endings"))


def _both(text: str, language: Language, chance: random.Random) -> str:
    return _opened(_ended(text, language, chance), language, chance)


def _lower(text: str, _language: Language, _chance: random.Random) -> str:
    return text.lower().rstrip(".。")


def _upper(text: str, _language: Language, _chance: random.Random) -> str:
    return text.upper()


def _sentence(text: str, language: Language, _chance: random.Random) -> str:
    stop = "" if text.endswith(tuple(".!?。！？…”\"'")) else "." if language == "en" else "。"
    return text[:1].upper() + text[1:] + stop


def _typing_error(text: str, _language: Language, chance: random.Random) -> str:
    """Two neighbours swapped or one letter lost, inside a word; Chinese stays as it is."""
    places = [at for at in range(1, len(text) - 2) if text[at - 1 : at + 3].isascii() and text[at - 1 : at + 3].isalpha()]
    if not places:
        return text
    at = chance.choice(places)
    return text[:at] + chance.choice((text[at + 1] + text[at], text[at])) + text[at + 2 :]


_SHARES: Final[tuple[tuple[float, Callable[[str, Language, random.Random], str]], ...]] = (
    (0.13, _opened),
    (0.14, _ended),
    (0.05, _both),
    (0.12, _lower),
    (0.02, _upper),
    (0.14, _sentence),
    (0.04, _typing_error),
)
