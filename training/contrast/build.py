"""All contrast rows, from a fixed seed: the same files give the same rows, and each text comes once."""

import random
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from training.contrast import disguise, disguise_chinese
from training.contrast.codes import labels_of
from training.contrast.decorate import decorated
from training.contrast.fill import Sentence, sentences
from training.contrast.longer import long_texts
from training.contrast.sets import LANGUAGES, ContrastSet, Language, Line, entry_lists, holds_held_out_word, sets
from training.rows import Row

_SEED: Final = 7
FILLINGS_MAX: Final = 14
"""Fillings of a template in training: none may dominate."""
HARMLESS_FILLINGS_MAX: Final = 20
"""The same of a harmless one without counterpart: it makes up for hate whose counterpart names no group."""
HELD_FILLINGS_MAX: Final = 10
"""Fillings of a held-out template."""
HELD_WORD_FILLINGS_MAX: Final = 2
"""Fillings of a train template with held-out words."""
DRESSES: Final = 7
"""Further versions of a sentence written by hand: such sentences are worth more than templates."""
DRESS_TRIES_MAX: Final = 30
EVERY_WORD: Final = frozenset({"identity-plain"})
"""Phenomena in which every word of the longest list comes into every template."""
BORROWED_FILLINGS_MAX: Final = 3
"""Fillings of a template with emoji or with words of the other language."""
DISGUISED_MAX: Final = 2600
"""Sets of disguised sentences a language."""
LONG_MAX: Final = 1000
"""Sets of long texts a language."""
NEVER_DISGUISED: Final = frozenset({"spelling", "emoji", "code-switching"})
"""Phenomena that are disguises already."""


def contrast(_: Path) -> Iterator[Row]:
    """What is trained on, shuffled."""
    return iter(_rows()[0])


def heldout(_: Path) -> Iterator[Row]:
    """Templates, sentences and words that `contrast` never shows: they tell whether the model knows more than our words."""
    return iter(_rows()[1])


@cache
def _rows() -> tuple[list[Row], list[Row]]:
    train, held = list[Row](), list[Row]()
    seen: set[str] = set()
    for language in LANGUAGES:
        for one, is_held in _all_sentences(language):
            key = sameness(one.text)
            if key in seen:
                continue
            seen.add(key)
            split = "validation" if is_held else "train"
            row = Row(one.text, one.labels, split, one.phenomenon, f"{language}-{one.pair}")  # type: ignore[arg-type]
            (held if is_held else train).append(row)
    for rows in (train, held):
        random.Random(_SEED).shuffle(rows)
    return train, held


class _Kept(dict[int, int | None]):
    """A character for itself, and nothing for punctuation, spaces, marks and controls."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PZMC" else code
        return self[code]


_KEPT: Final = _Kept()


def sameness(text: str) -> str:
    """What two texts share that differ in case, spaces and punctuation alone: prepare takes them for one."""
    return text.casefold().translate(_KEPT)


def _all_sentences(language: Language) -> Iterator[tuple[Sentence, bool]]:
    """Every sentence with whether it is held out; disguised and long ones are made of those before them."""
    by_pair: dict[tuple[str, bool], list[Sentence]] = defaultdict(list)
    for one in sets(language):
        for sentence in _sentences_of(one):
            is_held = one.held_out or holds_held_out_word(sentence.plain)
            by_pair[sentence.pair, is_held].append(sentence)
            yield sentence, is_held
    for is_held, share in ((False, 1.0), (True, 0.15)):
        pairs = [pair for (_, held), pair in by_pair.items() if held == is_held]
        yield from ((one, is_held) for one in _made(pairs, language, share))


def _sentences_of(one: ContrastSet) -> Iterator[Sentence]:
    if one.by_hand or not one.varies:
        yield from _versions(one)
    elif one.held_out:
        yield from sentences(one, HELD_FILLINGS_MAX, "all")
    else:
        yield from sentences(one, _fillings_max(one), "train")
        yield from sentences(one, HELD_WORD_FILLINGS_MAX, "held")
    if "G" in one.slots and one.slots <= {"G", "beast", "beasts", "vice", "place"}:
        yield from sentences(_with_emoji(one), BORROWED_FILLINGS_MAX, "all" if one.held_out else "train")
    if one.slots == {"G"}:
        mixed = one._replace(name=f"{one.name}-mixed", phenomenon="code-switching")
        other: Language = "zh" if one.language == "en" else "en"
        yield from sentences(mixed, BORROWED_FILLINGS_MAX, "all" if one.held_out else "train", lexicon=other)


def _fillings_max(one: ContrastSet) -> int:
    if one.phenomenon in EVERY_WORD:
        return max(len(entries) for entries in entry_lists(one.language, one.slots))
    return FILLINGS_MAX if one.two_sided else HARMLESS_FILLINGS_MAX


def _with_emoji(one: ContrastSet) -> ContrastSet:
    """The same set with emoji for the names of groups and animals."""
    shown = {"{G}": "{E}", "{beast}": "{V}", "{beasts}": "{V}"}
    lines = []
    for code, template in one.lines:
        for word, emoji in shown.items():
            template = template.replace(word, emoji)  # noqa: PLW2901
        lines.append(Line(code, template))
    return one._replace(name=f"{one.name}-emoji", phenomenon="emoji", lines=tuple(lines))


def _versions(one: ContrastSet) -> Iterator[Sentence]:
    """Sentences that take no words: each as it is, and in some dresses that prepare does not take for the same text."""
    for line in one.lines:
        labels = labels_of(line.code, line.template)
        versions = {sameness(line.template): line.template}
        chance = random.Random(f"{one.name} by hand")
        for _ in range(DRESS_TRIES_MAX):
            if len(versions) <= DRESSES:
                dressed = decorated(line.template, one.language, chance)
                versions.setdefault(sameness(dressed), dressed)
        for version in versions.values():
            yield Sentence(version, line.template, labels, one.phenomenon, one.name, one.language)


def _made(pairs: Iterable[list[Sentence]], language: Language, share: float) -> Iterator[Sentence]:
    """Disguised and long sentences of sets that have both a flagged and a harmless side."""
    chance = random.Random(f"{_SEED} {language} {share}")
    two_sided = [unique for pair in pairs if len(unique := _unique(pair)) > 1 and _both_sides(unique)]
    plain = [pair for pair in two_sided if pair[0].phenomenon not in NEVER_DISGUISED]
    trick = disguise.disguised if language == "en" else disguise_chinese.disguised
    for number, pair in enumerate(chance.sample(plain, min(len(plain), int(share * DISGUISED_MAX)))):
        for one in pair:
            shown = trick(one.plain, random.Random(f"{number} disguise"))
            yield one._replace(text=shown, phenomenon="spelling", pair=f"disguised-{number}-{one.pair}")
    yield from long_texts(two_sided, language, int(share * LONG_MAX), chance)


def _unique(pair: Iterable[Sentence]) -> list[Sentence]:
    """The versions of a sentence count as one."""
    return list({one.plain: one for one in pair}.values())


def _both_sides(pair: Iterable[Sentence]) -> bool:
    return len({any(value for name, value in one.labels.items() if name != "profanity") for one in pair}) > 1
