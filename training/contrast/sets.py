"""The data files: word lists, and sets of sentences or templates that differ by a little and carry different labels.

A file of sets reads so; a blank line ends a set, `{slot}` takes a word of a list, `[this|that]` one of its parts:

    == negation
    hate  {G} are vermin
    ok    {G} are not vermin

A file of words has one entry a line with its forms in the order of the heading, or many entries a line where there is one form.
A star before an entry holds it out: no sentence with it is trained on.
"""

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from training.contrast.codes import CODES, HARMLESS

DATA: Final = Path(__file__).parent / "data"
Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
HELD_OUT_SHARE: Final = 0.12
"""Share of the sets of a phenomenon that are held out whole."""
SLOT: Final = re.compile(r"\{(\w+)\}")
_ARTICLE: Final = re.compile(r"^(?:an?|the|some) ", re.IGNORECASE)
_NOT_SETS: Final = ("words", "calm")


class Entry(NamedTuple):
    """A word of a list: its forms by slot, and whether it is held out."""

    forms: dict[str, str]
    held_out: bool


class Line(NamedTuple):
    """A sentence or template with the code of its labels."""

    code: str
    template: str


class ContrastSet(NamedTuple):
    """Lines that belong together; `name` is the same as long as the first line is. If `held_out`, none of it is trained on."""

    name: str
    phenomenon: str
    language: Language
    lines: tuple[Line, ...]
    by_hand: bool
    held_out: bool = False

    @property
    def two_sided(self) -> bool:
        """Whether it has both a flagged and a harmless line; swearing alone flags nothing."""
        return len({line.code in HARMLESS for line in self.lines}) > 1

    @property
    def varies(self) -> bool:
        """Whether any line has a slot or a choice."""
        return any("{" in line.template or "[" in line.template for line in self.lines)

    @property
    def slots(self) -> frozenset[str]:
        """The slots of all its lines."""
        return frozenset(slot for line in self.lines for slot in SLOT.findall(line.template))


@cache
def words(language: Language) -> tuple[tuple[Entry, ...], ...]:
    """The word lists of a language."""
    lists: list[list[Entry]] = []
    slots: list[str] = []
    for line in _lines(DATA / language / "words.txt"):
        if line.startswith("=="):
            slots = line[2:].split()
            lists.append([])
        elif line:
            lists[-1] += _entries(slots, line)
    return tuple(tuple(entries) for entries in lists)


def _entries(slots: list[str], line: str) -> Iterator[Entry]:
    parts = [part.strip() for part in line.split("|") if part.strip()]
    if len(slots) == 1:
        yield from (Entry({slots[0]: part.lstrip("*")}, part.startswith("*")) for part in parts)
    else:
        forms = [part.lstrip("*") for part in parts]
        yield Entry(dict(zip(slots, forms, strict=True)), parts[0].startswith("*"))


@cache
def sets(language: Language) -> tuple[ContrastSet, ...]:
    """All sets of a language, in the order of the files; those of files named `hand-…` were written one by one."""
    files = sorted((DATA / language).glob("*.txt"))
    found = [one for file in files if file.stem not in _NOT_SETS for one in _sets_of(file, language)]
    kinds: dict[tuple[str, bool, bool], list[ContrastSet]] = defaultdict(list)
    for one in found:
        kinds[one.phenomenon, one.by_hand, one.two_sided].append(one)
    held_out = {one.name for kind in kinds.values() for one in sorted(kind)[: _held_out_count(kind)]}
    return tuple(one._replace(held_out=one.name in held_out) for one in found)


def _held_out_count(kind: list[ContrastSet]) -> int:
    """Those with the lowest hashes are held out; of sets with two sides at least one, so that each phenomenon is validated."""
    share = HELD_OUT_SHARE * len(kind)
    return math.ceil(share) if kind[0].two_sided else round(share)


def _sets_of(file: Path, language: Language) -> Iterator[ContrastSet]:
    phenomenon, lines = "", list[Line]()
    for text in [*_lines(file), ""]:
        if text.startswith("=="):
            phenomenon = text[2:].strip()
        elif text:
            code, template = text.split(maxsplit=1)
            assert all(part in CODES for part in code.split("+")), f"{file.name}: no such code: {text}"
            lines.append(Line(code, template))
        elif lines:
            name = hashlib.sha256(lines[0].template.encode()).hexdigest()[:8]
            yield ContrastSet(name, phenomenon, language, tuple(lines), file.stem.startswith("hand-"))
            lines = []


@cache
def calm(language: Language) -> tuple[tuple[str, ...], ...]:
    """Harmless paragraphs, sentence by sentence: the company of an attack in a long text."""
    paragraphs: list[list[str]] = [[]]
    for line in _lines(DATA / language / "calm.txt"):
        if line:
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    return tuple(tuple(paragraph) for paragraph in paragraphs if paragraph)


def _lines(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.strip()


@cache
def _held_out_forms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    every = (entry for language in LANGUAGES for entries in words(language) for entry in entries if entry.held_out)
    forms = {_ARTICLE.sub("", form).lower() for entry in every for form in entry.forms.values()}
    return tuple((form, re.compile(f"{_edge(form[0])}{re.escape(form)}{_edge(form[-1])}")) for form in sorted(forms))


def _edge(character: str) -> str:
    """Letters of English end where a word ends; Chinese and emoji have no such edge."""
    return r"\b" if character.isascii() and character.isalnum() else ""


def holds_held_out_word(text: str) -> bool:
    """Whether a word that is held out stands in `text`, whatever list or sentence brought it there."""
    lower = text.lower()
    return any(form in lower and pattern.search(lower) for form, pattern in _held_out_forms())


def entry_lists(language: Language, slots: Iterable[str]) -> tuple[tuple[Entry, ...], ...]:
    """The lists that fill `slots`, each once."""
    wanted = frozenset(slots)
    return tuple(entries for entries in words(language) if wanted & entries[0].forms.keys())
