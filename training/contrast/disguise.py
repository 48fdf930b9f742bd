"""English spelling tricks, as people play them on filters; the normaliser folds some of them, the model must read the rest.

Harmless sentences are disguised the same way: a strange spelling alone must not look like abuse.
"""

import random
import re
from collections.abc import Callable
from typing import Final

from training.contrast.tables import replacing
from training.profanity import ENGLISH

_WORD: Final = re.compile(r"[A-Za-z]{4,}")
_COMMON: Final = re.compile(
    "th(?:is|at|ey|em|eir|ere|an|en|ose|ese)|with|have|your|from|wh(?:at|en|ere)|were|will|[wcs]h?ould|because|about|very|just|like|some"
    "|into|over|more|does|don|been|being|only|ever?y?|said|says|here|know",
    re.IGNORECASE,
)
"""Words that nobody disguises."""
_LEET: Final = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "b": "8", "g": "9", "l": "1"}
_LOOK_ALIKES: Final = {
    "a": "а",
    "e": "е",
    "o": "о",
    "p": "р",
    "c": "с",
    "x": "х",
    "y": "у",
    "i": "і",
    "s": "ѕ",
    "h": "һ",
    "k": "κ",
    "n": "п",
    "u": "υ",
}
_HIDDEN: Final = ("\u200b", "\u200d", "\u00ad", "\u2060")
_VOWELS: Final = "aeiou"
_NEIGHBOURS: Final = {
    "a": "s",
    "e": "r",
    "i": "o",
    "o": "p",
    "t": "y",
    "s": "d",
    "n": "m",
    "r": "t",
    "l": "k",
    "d": "f",
    "u": "y",
}
Trick = Callable[[str, random.Random], str]


def leet(word: str, chance: random.Random) -> str:
    """H4te: digits and signs for letters, most but not always all."""
    return "".join(chance.choice(_LEET[c]) if c in _LEET and chance.random() < 0.7 else c for c in word.lower())  # noqa: PLR2004


def spaced(word: str, chance: random.Random) -> str:
    """H a t e, h.a.t.e, h-a-t-e."""
    return chance.choice((" ", ".", "-", "_", "*", " . ")).join(word)


def starred(word: str, chance: random.Random) -> str:
    """H*te, h**e: inner letters hidden."""
    at = chance.randrange(1, len(word) - 1)
    length = chance.randint(1, len(word) - 1 - at)
    return word[:at] + chance.choice("*#") * length + word[at + length :]


def look_alike(word: str, _chance: random.Random) -> str:
    """Cyrillic and Greek letters that look the same."""
    return "".join(_LOOK_ALIKES.get(c, c) for c in word)


def hidden(word: str, chance: random.Random) -> str:
    """Something invisible in the middle."""
    at = chance.randrange(1, len(word))
    return word[:at] + chance.choice(_HIDDEN) + word[at:]


def repeated(word: str, chance: random.Random) -> str:
    """Haaaate: one letter many times."""
    at = chance.randrange(1, len(word))
    return word[:at] + word[at] * chance.randint(2, 6) + word[at:]


def lost(word: str, chance: random.Random) -> str:
    """Hte: one inner letter lost, a vowel where there is one."""
    places = [at for at in range(1, len(word) - 1) if word[at].lower() in _VOWELS] or list(range(1, len(word) - 1))
    at = chance.choice(places)
    return word[:at] + word[at + 1 :]


def swapped(word: str, chance: random.Random) -> str:
    """Htae: two inner letters change places."""
    at = chance.randrange(1, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def mistyped(word: str, chance: random.Random) -> str:
    """A key beside the right one."""
    at = chance.randrange(1, len(word))
    return word[:at] + _NEIGHBOURS.get(word[at], word[at]) + word[at + 1 :]


def no_vowels(word: str, _chance: random.Random) -> str:
    """Ht: what is left without vowels behind the first letter."""
    return word[0] + "".join(c for c in word[1:] if c.lower() not in _VOWELS)


def accented(word: str, _chance: random.Random) -> str:
    """Háte: accents that English does not write."""
    return word.translate(str.maketrans("aeioucn", "áèîöüçñ"))


def mixed_case(word: str, _chance: random.Random) -> str:
    """HaTe."""
    return "".join(c.upper() if at % 2 else c.lower() for at, c in enumerate(word))


_emoji = replacing("en", "emoji")
_TRICKS: Final[tuple[Trick, ...]] = (
    leet, leet, spaced, starred, look_alike, hidden, repeated, repeated, lost, swapped, mistyped, no_vowels, accented, mixed_case,
)  # fmt: skip


def disguised(text: str, chance: random.Random) -> str:
    """`text` with up to three telling words in one trick each, or all of it joined or spaced."""
    draw = chance.random()
    if draw < 0.06:  # noqa: PLR2004
        return "#" + "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z']+", text))
    if draw < 0.12:  # noqa: PLR2004
        return re.sub(r"(?<=\w) (?=\w)", "", text)
    if draw < 0.16:  # noqa: PLR2004
        return " ".join(text.replace(" ", "  "))
    if draw < 0.3 and (shown := _emoji(text, chance)) != text:  # noqa: PLR2004
        return shown
    found = [word for word in _WORD.finditer(text) if not _COMMON.fullmatch(word.group())]
    telling = [word for word in found if ENGLISH.match(word.group())]
    chosen = set(telling) | set(chance.sample(found, min(len(found), chance.randint(1, 2))))
    trick = chance.choice(_TRICKS)
    for word in sorted(chosen, key=lambda one: -one.start()):
        text = text[: word.start()] + trick(word.group(), chance) + text[word.end() :]
    return text
