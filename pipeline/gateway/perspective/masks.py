"""Partial responses: what `fields` asks for, such as `languages,attributeScores(TOXICITY/summaryScore,INSULT(summaryScore))`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.errors import CommentError, bad_request
from pipeline.gateway.perspective.messages import MESSAGES, Field, field_named

Mask = Mapping[str, "Mask | None"]
"""What to keep, by name; None keeps all below; `*` is any name."""

_Tree = dict[str, "_Tree | None"]

_WORD: Final = re.compile(r"\s*([^\s,()/.]+|[,()/.])")
_ANY: Final = "*"


def parse_mask(fields: str, message: str) -> Mask:
    """The mask that `fields` stands for; raises CommentError (400) for one that no response of this `message` could fit."""
    parser = _Parser(fields)
    tree: _Tree = {}
    parser.selection(tree, Field("", message, ""), 0)
    parser.end()
    return tree


def apply_mask(value: Any, mask: Mask | None) -> Any:  # noqa: ANN401 (JSON)
    """What `mask` keeps of a JSON value; objects and lists of which nothing is kept are left out."""
    if mask is None:
        return value
    if isinstance(value, list):
        return [kept for item in value if (kept := apply_mask(item, mask)) not in ({}, [], None)]
    if not isinstance(value, dict):
        return None
    return {name: kept for name, item in value.items() if (kept := _kept(name, item, mask)) is not None}


def _kept(name: str, item: object, mask: Mask) -> object:
    wanted = [mask[key] for key in (name, _ANY) if key in mask]
    if not wanted:
        return None
    if None in wanted:
        return item
    both: _Tree = {}
    for tree in wanted:
        _merge(both, tree or {})
    kept = apply_mask(item, both)
    return None if kept in ({}, []) else kept


def _merge(into: _Tree, mask: Mask) -> None:
    for name, below in mask.items():
        if below is None:
            into[name] = None
        elif (there := into.setdefault(name, {})) is not None:
            _merge(there, below)


class _Parser:
    """Reads `fields` once, looking every name up as it goes. A path is `a/b` or `a.b`; `a(b,c)` is `a/b,a/c`."""

    def __init__(self, fields: str) -> None:
        self._fields = fields
        self._words = self._split()
        self._word = next(self._words, "")

    def _split(self) -> Iterator[str]:
        at, end = 0, len(self._fields.rstrip())
        while at < end:
            match = _WORD.match(self._fields, at)
            assert match is not None, "every character is in a word"
            yield match[1]
            at = match.end()

    def _advance(self) -> None:
        self._word = next(self._words, "")

    def _error(self, path: str) -> CommentError:
        shown = path[: choices.ECHO_CHARACTERS_MAX]
        text = f"Error expanding 'fields' parameter. Cannot find matching fields for path '{shown}'."
        return bad_request(choices.INVALID_ARGUMENT, [{"field": self._fields, "description": text}])

    def end(self) -> None:
        """Raises where something is left."""
        if self._word:
            raise self._error(self._fields)

    def selection(self, tree: _Tree, field: Field, depth: int) -> None:
        """Read `a,b/c,d(e)` into `tree`."""
        if depth > choices.MASK_NESTING_MAX:
            raise self._error(self._fields)
        while True:
            self._path(tree, field, depth)
            if self._word != ",":
                return
            self._advance()

    def _path(self, tree: _Tree, field: Field, depth: int) -> None:
        names: list[str] = []
        while True:
            name = self._word
            if name in ("", *"(),/."):
                raise self._error(self._fields)
            names.append(name)
            found = _below(field, name)
            if found is None or len(names) > choices.MASK_NESTING_MAX:
                raise self._error(".".join(names))
            field, key = found
            self._advance()
            if self._word not in ("/", "."):
                break
            tree = _branch(tree, key)
            self._advance()
        if self._word != "(":
            tree[key] = None
            return
        self._advance()
        self.selection(_branch(tree, key), field, depth + 1)
        if self._word != ")":
            raise self._error(self._fields)
        self._advance()


def _branch(tree: _Tree, key: str) -> _Tree:
    """Where what is below `key` goes; nowhere that counts, where all of it is kept anyway."""
    below = tree.setdefault(key, {})
    return {} if below is None else below


def _below(field: Field, name: str) -> tuple[Field, str] | None:
    """What `name` means below `field`, and how responses write it; None where it means nothing.

    Below `*` of a message nothing is looked up: it may be any of its fields.
    """
    if field.shape == "map":
        return Field(name, field.kind, ""), name
    if not field.kind:
        return field, name
    if field.kind not in MESSAGES:
        return None
    if name == _ANY:
        return Field("", "", ""), name
    found = field_named(field.kind, name)
    return None if found is None else (found, found.name)
