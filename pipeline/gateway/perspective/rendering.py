"""Values as the JSON that Google writes."""

import json
from typing import Final

import numpy as np

JSON_TYPE: Final = "application/json; charset=UTF-8"
_OFF: Final = ("false", "0")


def to_json(value: object, *, pretty: bool = True) -> bytes:
    """`value` in UTF-8, indented by two where it is to be `pretty`; ends with a line break."""
    indent, separators = (2, None) if pretty else (None, (",", ":"))
    return (json.dumps(value, ensure_ascii=False, indent=indent, separators=separators) + "\n").encode("utf-8", "replace")


def is_pretty(wish: str | None) -> bool:
    """What the query parameter `prettyPrint` asks for: yes, unless it says no."""
    return (wish or "").lower() not in _OFF


def float32(value: float) -> float:
    """`value` with the digits that a 32-bit float has: 0.8627961."""
    return float(str(np.float32(value)))
