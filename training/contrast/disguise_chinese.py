"""Chinese spelling tricks: characters split, spaced, or replaced by like sounds, pinyin, initials, signs or emoji."""

import random
import re
from typing import Final

from training.contrast.tables import replacing

_HAN: Final = "\u4e00-\u9fff"
_SIGNS: Final = (" ", "*", ".", "/", "·", "_", "-", "、", "~", "|")
_MIX_SHARE: Final = 0.6
"""How many of the characters that could be replaced are."""


def signs(text: str, chance: random.Random) -> str:
    """One sign between the characters of a stretch."""
    stretches = list(re.finditer(f"[{_HAN}]{{2,}}", text))
    if not stretches:
        return text
    stretch = chance.choice(stretches)
    length = chance.randint(2, min(6, len(stretch.group())))
    begin = chance.randrange(stretch.start(), stretch.end() - length + 1)
    return text[:begin] + chance.choice(_SIGNS).join(text[begin : begin + length]) + text[begin + length :]


def spaced(text: str, _chance: random.Random) -> str:
    """A space behind every character."""
    return re.sub(f"([{_HAN}])(?=[{_HAN}])", r"\1 ", text)


def repeated(text: str, chance: random.Random) -> str:
    """One character three to six times."""
    places = [found.start() for found in re.finditer(f"[{_HAN}]", text)]
    if not places:
        return text
    at = chance.choice(places)
    return text[:at] + text[at] * chance.randint(2, 5) + text[at:]


def wide_gaps(text: str, chance: random.Random) -> str:
    """Commas and emoji strewn in as if by a stutter."""
    mark = chance.choice(("…", "，", "🙂", "✨", "。"))
    return re.sub(f"([{_HAN}]{{2,3}})(?=[{_HAN}])", lambda found: found[1] + mark, text, count=3)


_TRICKS: Final = (
    signs, signs, spaced, repeated, wide_gaps,
    replacing("zh", "sound", _MIX_SHARE), replacing("zh", "sound"), replacing("zh", "pinyin", _MIX_SHARE),
    replacing("zh", "pinyin"), replacing("zh", "initials"), replacing("zh", "split"), replacing("zh", "emoji"),
    replacing("zh", "traditional"),
)  # fmt: skip


def disguised(text: str, chance: random.Random) -> str:
    """`text` by the first trick, in random order, that changes it."""
    for trick in chance.sample(_TRICKS, len(_TRICKS)):
        shown = trick(text, chance)
        if shown != text:
            return shown
    return text
