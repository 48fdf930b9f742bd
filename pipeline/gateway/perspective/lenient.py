"""Reads request bodies as Google does: JSON, and what people write in its place.

Beyond JSON: keys without quotes (Google's own curl sample has them), single quotes, trailing commas. Anything else is refused in
Google's words, with the spot. Strict JSON is read by the standard library; only what that refuses is read slowly, here.
"""

import json
import math
import re
from codecs import BOM_UTF8
from typing import Final, NoReturn

from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.errors import CommentError, bad_request

_INTRODUCTION: Final = "Invalid JSON payload received. "
_SPOT_CHARACTERS: Final = 20
"""How much of the body is shown on either side of a fault."""
_SPACE: Final = re.compile(r"[ \t\n\v\f\r]*")
_KEY: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_NUMBER: Final = re.compile(r"[-0-9][-+0-9.eEx]*")
_PLAIN: Final = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_HEX: Final = re.compile(r"[0-9A-Fa-f]{4}")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_KEYWORDS: Final = {"true": True, "false": False, "null": None}
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(body: bytes) -> object:
    """The value in `body`, which an empty body has too; raises CommentError (400) with the spot where it is none."""
    body = body.removeprefix(BOM_UTF8)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        spot = _spot(body.decode("utf-8", "replace"), len(body[: error.start].decode()))
        raise _payload_error(f"Encountered non UTF-8 code points.{spot}") from error
    text = text if text.strip() else choices.EMPTY_BODY
    try:
        value = json.loads(text, parse_constant=_no_constant)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair is no character: told with its spot, below
    except (ValueError, RecursionError) as error:
        if len(body) > choices.LENIENT_BYTES_MAX:
            at = error.pos if isinstance(error, json.JSONDecodeError) else 0
            raise _payload_error(f"Unexpected token.{_spot(text, at)}") from error
    else:
        return value
    return _Reader(text).document()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _payload_error(fault: str) -> CommentError:
    message = _INTRODUCTION + fault
    return bad_request(message, [{"description": message}])


def _spot(text: str, at: int) -> str:
    begin = max(at - _SPOT_CHARACTERS, 0)
    return f"\n{text[begin : at + _SPOT_CHARACTERS]}\n{' ' * (at - begin)}^"


class _Reader:
    """One pass over a text. `_at` is where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> object:
        """The one value that the text holds."""
        value = self._value("", 1, "Expected a value.")
        if self._next():
            raise self._error("Parsing terminated before end of input.")
        return value

    def _next(self) -> str:
        """The next character that is no space, not taken; empty at the end."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr] # matches nothing, too
        return self._text[self._at : self._at + 1]

    def _error(self, fault: str) -> CommentError:
        if self._at >= len(self._text) and fault.startswith("Expected"):
            fault = f"Unexpected end of string. {fault}"
        return _payload_error(fault + _spot(self._text, self._at))

    def _value(self, key: str, depth: int, expected: str) -> object:
        start = self._next()
        if start and start in "{[":
            if depth > choices.NESTING_MAX:
                shown = key[: choices.ECHO_CHARACTERS_MAX]
                raise _payload_error(f"Message too deep. Max recursion depth reached for key '{shown}'")
            return self._object(depth) if start == "{" else self._array(key, depth)
        if start and start in "\"'":
            return self._string()
        if start and start in "-0123456789":
            return self._number()
        for word, meaning in _KEYWORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return meaning
        if start and (start in "}]:," or _KEY.match(start)):
            raise self._error("Unexpected token.")
        raise self._error(expected)

    def _object(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        self._at += 1
        while self._next() != "}":
            key = self._key()
            if self._next() != ":":
                raise self._error("Expected : between key:value pair.")
            self._at += 1
            found[key] = self._value(key, depth + 1, "Expected a value.")
            self._separator("}", "Expected , or } after key:value pair.")
        self._at += 1
        return found

    def _array(self, key: str, depth: int) -> list[object]:
        found: list[object] = []
        self._at += 1
        while self._next() != "]":
            found.append(self._value(key, depth + 1, "Expected a value or ] within an array."))
            self._separator("]", "Expected , or ] after array value.")
        self._at += 1
        return found

    def _separator(self, end: str, fault: str) -> None:
        following = self._next()
        if following == ",":
            self._at += 1
        elif following != end:
            raise self._error(fault)

    def _key(self) -> str:
        if self._next() in ("'", '"'):
            return self._string()
        key = _KEY.match(self._text, self._at)
        if key is None or key[0] in _KEYWORDS:
            raise self._error("Expected an object key or }.")
        self._at = key.end()
        return key[0]

    def _string(self) -> str:
        quote, parts = self._text[self._at], []
        self._at += 1
        while True:
            plain = _PLAIN[quote].match(self._text, self._at)
            assert plain is not None, "matches nothing, too"
            parts.append(plain[0])
            self._at = plain.end()
            if self._text.startswith(quote, self._at):
                self._at += 1
                return "".join(parts)
            if self._at + 1 >= len(self._text):
                self._at = len(self._text)
                raise self._error("Closing quote expected in string.")
            parts.append(self._escaped())

    def _escaped(self) -> str:
        letter = self._text[self._at + 1]
        if letter == "u":
            return self._character()
        self._at += 2
        return _ESCAPES.get(letter, letter)

    def _character(self) -> str:
        code = self._code_unit(self._at)
        if 0xDC00 <= code < 0xE000:  # noqa: PLR2004 (the second halves of pairs)
            raise self._error("Invalid unicode code point.")
        if not 0xD800 <= code < 0xDC00:  # noqa: PLR2004 (the first halves)
            self._at += 6
            return chr(code)
        if not self._text.startswith("\\u", self._at + 6):
            raise self._error("Missing low surrogate.")
        low = self._code_unit(self._at + 6)
        if not 0xDC00 <= low < 0xE000:  # noqa: PLR2004
            raise self._error("Invalid low surrogate.")
        self._at += 12
        return chr(0x10000 + ((code & 0x3FF) << 10 | low & 0x3FF))

    def _code_unit(self, at: int) -> int:
        digits = _HEX.match(self._text, at + 2)
        if digits is None:
            raise self._error("Illegal hex string." if len(self._text) < at + 6 else "Invalid escape sequence.")
        return int(digits[0], 16)

    def _number(self) -> float:
        written = _NUMBER.match(self._text, self._at)
        assert written is not None, "the first character was seen"
        digits = written[0].removeprefix("-")
        if len(digits) > 1 and digits.startswith("0") and not set(digits) & set(".eE"):
            raise self._error("Octal/hex numbers are not valid JSON values.")
        try:
            number: float = int(written[0]) if digits.isdecimal() and len(digits) < 20 else float(written[0])  # noqa: PLR2004
        except ValueError:
            raise self._error("Unable to parse number.") from None
        if not math.isfinite(number):
            raise self._error("Number exceeds the range of double.")
        self._at = written.end()
        return number
