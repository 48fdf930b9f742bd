"""Long texts: a calm paragraph with one attack in it, and the same paragraph with the harmless counterpart of the attack."""

import random
from collections.abc import Iterator, Sequence
from typing import Final

from training.contrast.fill import Sentence
from training.contrast.sets import Language, calm

CHARACTERS_MAX: Final[dict[Language, int]] = {"en": 420, "zh": 120}
"""What one window surely holds (128 tokens): training sees only the first window of a harmful text."""
_JOINT: Final[dict[Language, str]] = {"en": " ", "zh": ""}
_STOPS: Final = tuple(".!?。！？…”\"'")


def long_texts(pairs: Sequence[Sequence[Sentence]], language: Language, count: int, chance: random.Random) -> Iterator[Sentence]:
    """`count` sets of long texts around sentences of `pairs`, the same company around each sentence of a set."""
    paragraphs = calm(language)
    for number, pair in enumerate(chance.sample(pairs, min(count, len(pairs)))):
        room = CHARACTERS_MAX[language] - max(len(one.plain) for one in pair)
        company = _company(chance.choice(paragraphs), chance.choice(paragraphs), room, chance)
        at = chance.randint(0, len(company))
        for one in pair:
            text = _JOINT[language].join([*company[:at], _stopped(one.plain, language), *company[at:]])
            yield one._replace(text=text, plain=text, phenomenon="long", pair=f"long-{number}-{one.pair}")


def _company(first: Sequence[str], second: Sequence[str], room: int, chance: random.Random) -> list[str]:
    begin = chance.randrange(max(1, len(first) - 2))
    chosen: list[str] = []
    for sentence in [*first[begin:], *second]:
        if sum(map(len, chosen)) + len(sentence) > room:
            break
        chosen.append(sentence)
    return chosen


def _stopped(text: str, language: Language) -> str:
    return text if text.endswith(_STOPS) else text + ("." if language == "en" else "。")
