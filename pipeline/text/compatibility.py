"""Unicode NFKC, cluster by cluster so that offsets survive, and letters that only look like Latin ones.

Forms: Unicode Standard Annex 15. Look-alikes: a subset of Unicode Technical Standard 39, confusables.txt: those that
are met in practice within Latin words.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from pipeline.text.lexicon import is_word
from pipeline.text.offsets import Edit
from schemas.codes import Signal

_STYLED: Final = re.compile(
    "[\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\u24b6-\u24e9\u249c-\u24b5\U0001f110-\U0001f149\u1d2c-\u1d6a\u02b0-\u02b8"
    "\u2090-\u209c\u2071\u207f\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u212c-\u2131\u2133-\u2138\U0001f170-\U0001f189]"
)
"""Latin letters in costume. Full-width punctuation, ellipses, units and fractions are ordinary typography: no signal."""
_NEGATIVE_SQUARED_A, _NEGATIVE_SQUARED_Z = 0x1F170, 0x1F189
_NEGATIVE_SQUARED: Final = {
    chr(code): chr(ord("A") + code - _NEGATIVE_SQUARED_A) for code in range(_NEGATIVE_SQUARED_A, _NEGATIVE_SQUARED_Z + 1)
}
_MARK: Final = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u0670\u1160-\u11ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0"
    "\u3099\u309a\uff9e\uff9f]"
)
"""What joins the character before it: combining and voicing marks, and the later letters of Hangul syllables."""
_INERT: Final = (
    "\x00-\x7f\u00c0-\u00ff\u0400-\u0482\u2010\u2013-\u2016\u2018-\u201e\u3001-\u3029\u3041-\u3096\u30a1-\u30fa"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\U0001f300-\U0001faff"
)
"""Most of what people write: NFKC leaves it alone unless a mark follows."""
_CLUSTER: Final = re.compile(f"[{_INERT}]{_MARK}+|[^{_INERT}]{_MARK}*")
_FULL_WIDTH: Final = str.maketrans(
    {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if not chr(code).isalpha()} | {0x3000: " "}
)


def full_width(text: str) -> str:
    """`text` with full-width punctuation and digits as ASCII: one character for one, so offsets stay."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def compatibility(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Every cluster whose NFKC form differs from it."""
    if text.isascii() or (unicodedata.is_normalized("NFKC", text) and not _STYLED.search(text)):
        return
    changed = False
    for found in _CLUSTER.finditer(text):
        cluster = found.group()
        folded = _NEGATIVE_SQUARED.get(cluster) or unicodedata.normalize("NFKC", cluster)
        if folded != cluster:
            changed = True
            yield Edit(*found.span(), folded), Signal.COMPATIBILITY if _STYLED.match(cluster) else None
    if not changed and (whole := unicodedata.normalize("NFKC", text)) != text:
        yield Edit(0, len(text), whole), None  # what composes across our clusters is rare: offsets are given up


_LOOK_ALIKES: Final = {
    **dict(zip("аеорсухіјѕԁԛԝһԍьктмвнАВЕКМНОРСТУХІЈЅԌԚԜгпӏ", "aeopcyxijsdqwhgbktmbhABEKMHOPCTYXIJSGQWrnl", strict=True)),
    **dict(zip("αεικνορτυχωηγμΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aeikvoptuxwnyuABEZHIKMNOPTYX", strict=True)),
    **dict(zip("ıɑɡɩʟʀʏᴀᴄᴅᴇᴋᴍᴏᴘᴛᴜᴠᴡᴢօոսցհɪɴꜰꜱʙʜ", "iagilryacdekmoptuvwzonughinfsbh", strict=True)),
}
_WORD: Final = re.compile("[A-Za-z\u0370-\u058f" + "".join(_LOOK_ALIKES) + "]+")
_ORDINARY_LATIN: Final = frozenset("ıɑɡɩʟʀʏɪɴʙʜ")
"""Letters of Turkish and of phonetic script."""
_GREEK: Final = re.compile("[\u0370-\u03ff]")
_UNIT_CHARACTERS_MAX: Final = 2


def look_alikes(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Words of Latin letters among which others look Latin too; words wholly of another script are left alone."""
    if text.isascii():
        return
    for found in _WORD.finditer(text):
        word = found.group()
        if word.isascii() or not any(letter.isascii() for letter in word):
            continue
        plain = "".join(_LOOK_ALIKES.get(letter, letter) for letter in word)
        if plain.isascii() and _is_disguise(word, plain):
            yield Edit(*found.span(), plain), Signal.HOMOGLYPH


def _is_disguise(word: str, plain: str) -> bool:
    """Whether `word` is more than a unit, a symbol, or of a language that spells so: micromole, TNF-alpha, Turkish names."""
    if len(word) > _UNIT_CHARACTERS_MAX and is_word(plain):
        return True
    greek = _GREEK.findall(word)
    if any(not letter.isascii() and letter not in _ORDINARY_LATIN and letter not in greek for letter in word):
        return True
    return len(greek) > 1 and word[-1] != greek[-1]
