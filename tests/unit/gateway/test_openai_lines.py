"""The input file of a batch: how it is cut into lines, and what may be wrong with one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.openai.lines import Checker, Line, RawLine, parse_line, read_pieces
from pipeline.gateway.openai.replies import BatchFault
from tests.support.openai_api import line

LINE_MAX = 40
CODES = {
    *("invalid_json_line", "missing_required_parameter", "invalid_value", "invalid_method", "url_mismatch"),
    *("duplicate_custom_id", "model_mismatch", "too_many_tasks", "request_too_large"),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
fields = {
    "custom_id": json_values | st.text(min_size=1),
    "method": st.just("POST") | json_values,
    "url": st.just("/v1/moderations") | json_values,
    "body": json_values | st.fixed_dictionaries({"input": json_values}, optional={"model": json_values}),
}


def check(value: object, checker: Checker | None = None, number: int = 1) -> Line | BatchFault:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return (checker or Checker()).check(RawLine(number, raw))


@given(st.binary(max_size=50) | st.fixed_dictionaries({}, optional=fields).map(lambda value: json.dumps(value).encode()))
def test_whatever_a_line_holds_it_is_a_request_or_has_a_known_fault(raw: bytes) -> None:
    found = parse_line(RawLine(7, raw))
    if isinstance(found, BatchFault):
        assert (found.code in CODES, found.line) == (True, 7)
    else:
        value = json.loads(raw)
        assert (value["method"], value["url"], value["custom_id"], found.number) == (
            "POST",
            "/v1/moderations",
            found.custom_id,
            7,
        )
        assert isinstance(found.body, dict)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["omni-moderation-latest", "toy", None])), max_size=8))
def test_a_file_passes_exactly_where_ids_differ_and_the_model_is_the_same(asked: list[tuple[str, str | None]]) -> None:
    checker = Checker()
    found = [check({**line("x"), "custom_id": name, "body": {"input": "x", "model": model}}, checker) for name, model in asked]
    models = {model or "omni-moderation-latest" for _, model in asked}
    names = [name for name, _ in asked]
    assert all(isinstance(one, Line) for one in found) == (len(models) <= 1 and len(set(names)) == len(names))


@given(st.lists(st.binary(max_size=2 * LINE_MAX), max_size=12), st.sampled_from([b"", b"\n"]))
def test_a_file_is_cut_at_its_line_breaks_and_nowhere_else(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], end: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "lines"
    content = b"\n".join(rows) + end
    file.write_bytes(content)
    expected = [
        (number, row if len(row) <= LINE_MAX else None)
        for number, row in enumerate(content.split(b"\n"), 1)
        if row.strip() or len(row) > LINE_MAX
    ]
    pieces = list(read_pieces(file, LINE_MAX))
    assert [(raw.number, raw.value and raw.value.rstrip(b"\n")) for piece in pieces for raw in piece] == expected


def test_pieces_are_small(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"x" * 999 + b"\n" + (b"x" * 9_999 + b"\n") * 2_000 + b"y\n" * 2_000)
    pieces = list(read_pieces(file, 1 << 20))
    assert sum(map(len, pieces)) == 4_001
    assert max(map(len, pieces)) == 500
    assert max(sum(len(raw.value or b"") for raw in piece) for piece in pieces) < (1 << 20) + 10_000


@pytest.mark.parametrize(
    ("value", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"\xef\xbb\xbf" + json.dumps(line("x")).encode(), "invalid_json_line", None),  # a byte-order mark
        (b"[]", "invalid_json_line", None),
        (b'{"custom_id": "\\ud800"}', "invalid_json_line", None),
        (line("x", custom_id=None), "missing_required_parameter", "custom_id"),
        ({"custom_id": "a"}, "missing_required_parameter", "method"),
        ({"custom_id": "a", "method": "POST"}, "missing_required_parameter", "url"),
        ({"custom_id": "a", "method": "POST", "url": "/v1/moderations"}, "missing_required_parameter", "body"),
        (line("x", custom_id=7), "invalid_value", "custom_id"),
        (line("x", custom_id=""), "invalid_value", "custom_id"),
        (line("x", custom_id="a" * 513), "invalid_value", "custom_id"),
        (line("x", method="GET"), "invalid_method", "method"),
        (line("x", url="/v1/embeddings"), "url_mismatch", "url"),
        (line("x", body="x"), "invalid_value", "body"),
    ],
)
def test_a_fault_has_its_code_its_line_and_its_parameter(value: Any, code: str, param: str | None) -> None:
    found = check(value, number=3)
    assert isinstance(found, BatchFault)
    assert (found.code, found.line, found.param) == (code, 3, param)


def test_a_line_longer_than_a_request_is_a_fault() -> None:
    found = Checker().check(RawLine(2, None))
    assert isinstance(found, BatchFault)
    assert (found.code, found.line) == ("request_too_large", 2)


def test_more_lines_than_a_batch_may_have_are_a_fault_of_the_file() -> None:
    checker = Checker(lines_max=2)
    found = [check(line("x", number), checker, number) for number in range(1, 4)]
    assert isinstance(found[1], Line)
    assert isinstance(found[2], BatchFault)
    assert (found[2].code, found[2].line) == ("too_many_tasks", None)


def test_a_file_without_lines_is_a_fault() -> None:
    assert (fault := Checker().finish())
    assert fault.code == "empty_file"
