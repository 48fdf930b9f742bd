"""Word lists: which phrases of a policy a folded text holds, and which of them count.

A phrase is folded as texts are, capitals and runs of white space are all the same, and the rest must be as it is written.
Where a script puts space between words, a phrase that begins or ends with a letter or digit begins or ends a word there:
`ass` is not in `class`. Chinese, Japanese, Korean and Thai have no such edges: 操 is in 操作, and the allow list may forgive it.

Phrases are found by their first word, or their first character where that is of no word: a set knows whether a text has any, so
how many phrases there are costs a text nothing.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, groupby
from typing import Final, Literal, NamedTuple

from pipeline.text.normalise import normalise
from schemas.policies import HITS_MAX, WordHits

ListName = Literal["block", "review", "allow"]
LISTS: Final[tuple[ListName, ...]] = ("block", "review", "allow")
Entry = tuple[ListName, int]
"""A list, and the phrase's number in it."""

_UNSPACED: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u31ff\u3400-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff]"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Kana, Bopomofo, Han; and Hangul, whose words carry their particles without a space."""


def _of_words() -> Iterator[str]:
    """Ranges of the letters and digits that make words, marks included: they belong to the letter before, as vowels in Hindi.

    What lies beyond the basic plane is left out: a class of it would be ten times as slow.
    """
    kinds = [character.isalnum() or unicodedata.category(character)[0] == "M" for character in map(chr, range(1 << 16))]
    for is_word, codes in groupby(range(1 << 16), lambda code: kinds[code] and not _UNSPACED.match(chr(code))):
        if is_word:
            first, *rest = codes
            yield f"\\u{first:04x}-\\u{(rest or [first])[-1]:04x}"


class _Patterns(NamedTuple):
    token: re.Pattern[str]
    letter: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """Made when the first list is read: most programs have none."""
    letter = f"[{''.join(_of_words())}]"
    return _Patterns(re.compile(rf"{letter}+|\S"), re.compile(letter))


class _Found(NamedTuple):
    begin: int
    end: int
    entry: Entry


class _Phrase(NamedTuple):
    entries: list[Entry]
    ends_in_word: bool


class PhraseError(ValueError):
    """A phrase that cannot be meant; names its place, not its words."""


class PhraseBook:
    """The phrases of one policy, by list and number; raises PhraseError for one without content, or in allow and another list.

    `lists` are the phrases as they were written.
    """

    def __init__(self, lists: Mapping[ListName, Sequence[tuple[int, str]]]) -> None:
        self.lists = lists
        self._token, self._letter = _patterns()
        self._phrases: dict[str, _Phrase] = {}
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for entry, phrase in _canonical(lists):
            known = self._phrases.setdefault(phrase, _Phrase([], self._letter.match(phrase[-1]) is not None))
            known.entries.append(entry)
            _check(entry, known.entries)
            first = self._token.match(phrase)
            assert first is not None, "what has content has a first token"
            lengths[first.group()].add(len(phrase))
        self._lengths = {first: tuple(sorted(found)) for first, found in lengths.items()}
        self._firsts = frozenset(lengths)

    @property
    def repeated(self) -> list[list[Entry]]:
        """Entries that stand for the same phrase."""
        return [phrase.entries for phrase in self._phrases.values() if len(phrase.entries) > 1]

    def find(self, folded: str) -> WordHits | None:
        """What `folded`, a text as the normaliser leaves it, holds of the lists; None where that is nothing."""
        text = _plain(folded)
        if self._firsts.isdisjoint(self._token.findall(text)):
            return None
        found = list(self._find(text))
        return _hits(text, found) if found else None

    def _find(self, text: str) -> Iterator[_Found]:
        for token in self._token.finditer(text):
            begin = token.start()
            for length in self._lengths.get(token.group(), ()):
                end = begin + length
                phrase = self._phrases.get(text[begin:end])
                if phrase and not (phrase.ends_in_word and self._letter.match(text, end)):
                    yield from (_Found(begin, end, entry) for entry in phrase.entries)


def _canonical(lists: Mapping[ListName, Sequence[tuple[int, str]]]) -> Iterator[tuple[Entry, str]]:
    for name in LISTS:
        for number, phrase in lists.get(name, ()):
            plain = _plain(normalise(phrase).text)
            if not plain:
                raise PhraseError(f"words.{name}, phrase {number}: nothing is left of it once it is folded")
            yield (name, number), plain


def _plain(folded: str) -> str:
    return " ".join(folded.casefold().split())


def _check(entry: Entry, entries: Sequence[Entry]) -> None:
    name, number = entries[0]
    if entry[0] == "allow" != name:
        raise PhraseError(f"words.allow, phrase {entry[1]}: it is also phrase {number} of words.{name}")


def _hits(text: str, found: Sequence[_Found]) -> WordHits | None:
    allowed = [(one.begin, one.end) for one in found if one.entry[0] == "allow"]
    within = _within(allowed)
    counted = [one for one in found if one.entry[0] == "allow" or not within(one)]
    numbers = {name: sorted({one.entry[1] for one in counted if one.entry[0] == name})[:HITS_MAX] for name in LISTS}
    return WordHits(**{name: tuple(found) for name, found in numbers.items() if found}, nothing_else=_nothing_else(text, allowed))


def _within(spans: Sequence[tuple[int, int]]) -> "_Within":
    """Whether one of `spans`, in order of their begins, holds the whole of a match."""
    return _Within([begin for begin, _ in spans], list(accumulate((end for _, end in spans), max)))


class _Within(NamedTuple):
    begins: Sequence[int]
    farthest: Sequence[int]
    """The farthest end among the spans so far."""

    def __call__(self, one: _Found) -> bool:
        before = bisect_right(self.begins, one.begin)
        return before > 0 and self.farthest[before - 1] >= one.end


def _nothing_else(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether beside `spans`, in order, there are only white space and punctuation."""
    at = 0
    for begin, end in spans:
        if not _says_nothing(text[at:begin]):
            return False
        at = max(at, end)
    return bool(spans) and _says_nothing(text[at:])


def _says_nothing(rest: str) -> bool:
    return all(character == " " or unicodedata.category(character).startswith("P") for character in rest)
