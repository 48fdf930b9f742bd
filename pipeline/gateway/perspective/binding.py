"""JSON to a message of the table, as protobuf reads JSON: either way of writing names, null as unset, numbers in strings.

PHP's `[]` for an empty object passes too. What does not fit is told field by field, in Google's words.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.errors import CommentError, bad_request
from pipeline.gateway.perspective.messages import ENUMS, MESSAGES, PACKAGE, SCALARS, Field, field_named, proto_name

_TYPE: Final = "type.googleapis.com/"
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,3})?")
_INT32: Final = range(-(1 << 31), 1 << 31)
_FLOAT32_MAX: Final = 3.4028235e38
_BOOLEANS: Final = {"true": True, "false": False}
_NO_LIST: Final = "Proto field is not repeating, cannot start list."

_NOT_THAT: Final = object()
"""What a scalar becomes that is of another type."""


def bind(value: object, message: str) -> dict[str, Any]:
    """`value` as the message called `message`: by lowerCamelCase names, what is unset left out, enums as their names.

    An enum's number without a name stays a number. Raises CommentError (400) that names what does not fit.
    """
    binder, bound = _Binder(), {}
    if isinstance(value, dict):
        bound = binder.message(value, message, "")
    elif value is not None and value != []:
        binder.wrong_name("", "", "Root element must be a message.")
    if binder.violations:
        raise binder.error()
    return bound


class _Binder:
    """Collects what does not fit, and raises once that is enough."""

    def __init__(self) -> None:
        self.violations: list[dict[str, str]] = []

    def error(self) -> CommentError:
        """What was collected, as one error."""
        return bad_request("\n".join(violation["description"] for violation in self.violations), self.violations)

    def message(self, value: Mapping[str, object], type_: str, path: str) -> dict[str, Any]:
        bound: dict[str, Any] = {}
        for name, item in value.items():
            field = field_named(type_, name)
            if field is None:
                self.wrong_name(name, path, "Cannot find field.")
            elif item is not None:
                bound[field.name] = self._field(item, field, name, path)
        return bound

    def wrong_name(self, name: str, path: str, fault: str) -> None:
        place = f" at '{path}'" if path else ""
        shown = name[: choices.ECHO_CHARACTERS_MAX]
        self._violation(path, f'Invalid JSON payload received. Unknown name "{shown}"{place}: {fault}')

    def _violation(self, path: str, description: str) -> None:
        self.violations.append({**({"field": path} if path else {}), "description": description})
        if len(self.violations) >= choices.VIOLATIONS_MAX:
            raise self.error()

    def _wrong_value(self, path: str, type_: str, value: object) -> None:
        shown = f'"{value}"' if isinstance(value, str) else _plain(value)
        self._violation(path, f"Invalid value at '{path}' ({type_}), {shown[: choices.ECHO_CHARACTERS_MAX]}")

    def _field(self, item: object, field: Field, name: str, parent: str) -> object:
        path = f"{parent}.{proto_name(field.name)}".removeprefix(".")
        if field.shape == "map":
            return self._map(item, field, path)
        if field.shape == "list":
            items = item if isinstance(item, list) else [item]
            return [self._one(one, field, f"{path}[{at}]") for at, one in enumerate(items) if one is not None]
        if isinstance(item, list) and (item or field.kind not in MESSAGES):
            self.wrong_name(name, parent, _NO_LIST)
            return None
        return self._one(item, field, path)

    def _map(self, item: object, field: Field, path: str) -> dict[str, object]:
        if item == []:
            return {}
        if not isinstance(item, dict):
            if isinstance(item, list):
                fault = f"Cannot bind a list to map for field '{field.name}'."
                self._violation(path, f"Invalid value at '{path}' (Map), {fault}")
            else:
                self._wrong_value(path, f"{_TYPE}{PACKAGE}.{field.kind}", item)
            return {}
        return {key: self._one(one, field, f"{path}[{at}].value") for at, (key, one) in enumerate(item.items())}

    def _one(self, item: object, field: Field, path: str) -> object:
        if field.kind in MESSAGES and (item is None or item == []):
            return {}
        if isinstance(item, list):
            self.wrong_name("", path, _NO_LIST)
            return None
        if field.kind in MESSAGES:
            if isinstance(item, dict):
                return self.message(item, field.kind, path)
            self._wrong_value(path, f"{_TYPE}{PACKAGE}.{field.kind}", item)
            return None
        type_ = f"TYPE_{field.kind.upper()}" if field.kind in SCALARS else _TYPE + ENUMS[field.kind].full_name
        if isinstance(item, dict):
            self._violation(path, f"Invalid value at '{path}' ({type_}), Starting an object on a scalar field")
            return None
        scalar = _scalar(item, field.kind)
        if scalar is _NOT_THAT:
            self._wrong_value(path, type_, item)
        return scalar


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(item: object, kind: str) -> object:
    if kind == "string":
        return item if isinstance(item, str) else _NOT_THAT
    if kind == "bool":
        return _BOOLEANS.get(item, _NOT_THAT) if isinstance(item, str) else item if isinstance(item, bool) else _NOT_THAT
    if kind == "float":
        return _float(item)
    if kind == "int32":
        return _integer(item)
    return _enum(item, kind)


def _float(item: object) -> object:
    if isinstance(item, str) and _DECIMAL.fullmatch(item):
        item = float(item)
    if isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) <= _FLOAT32_MAX:
        return _NOT_THAT
    return float(item)


def _integer(item: object) -> object:
    if isinstance(item, str) and _INTEGER.fullmatch(item):
        item = int(item)
    if isinstance(item, float) and math.isfinite(item) and item.is_integer():
        item = int(item)
    return item if isinstance(item, int) and not isinstance(item, bool) and item in _INT32 else _NOT_THAT


def _enum(item: object, kind: str) -> object:
    names = ENUMS[kind].names
    if isinstance(item, str) and item in names:
        return item
    number = _integer(item)
    if isinstance(number, int):
        return names[number] if 0 <= number < len(names) else number
    return _NOT_THAT
