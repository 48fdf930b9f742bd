"""Rows to records: short texts beside short ones, in work batches of bounded size. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic_core import to_json

from pipeline.preprocess.prepare import Prepared, ServedModel
from schemas.work import WorkDescription, pack

JOBS_MAX: Final = 512
"""Jobs in one work batch: what a worker loses and repeats at once stays small."""
DESCRIPTION_BYTES_MAX: Final = 1 << 20
"""About how many bytes of texts and metadata share one record; a larger job stands alone."""


def pack_rows(
    rows: Sequence[Prepared], models: Mapping[str, ServedModel], *, packed_ms: int, tokens_max: int
) -> Iterator[tuple[str, bytes]]:
    """(topic, record) for all rows: by model, by length, at most `tokens_max` tokens a record, or one longer text alone."""
    for model in sorted({row.model for row in rows}):
        served = models[model]
        chosen = sorted((row for row in rows if row.model == model), key=longest_window)
        for group in _groups(chosen, tokens_max):
            description = WorkDescription(packed_ms=packed_ms, items=tuple(row.item for row in group))
            tokenizer = served.bundle.manifest.tokenizer.sha256
            yield served.work_topic, pack(tokenizer, description, [row.windows for row in group])


def longest_window(row: Prepared) -> int:
    """Tokens of the row's longest window, which decides what its neighbours are padded to."""
    return max(len(window) for window in row.windows)


def _groups(rows: Sequence[Prepared], tokens_max: int) -> Iterator[list[Prepared]]:
    group: list[Prepared] = []
    tokens = size = 0
    for row in rows:
        row_tokens, row_bytes = sum(len(window) for window in row.windows), _description_bytes(row)
        full = tokens + row_tokens > tokens_max or size + row_bytes > DESCRIPTION_BYTES_MAX or len(group) >= JOBS_MAX
        if group and full:
            yield group
            group, tokens, size = [], 0, 0
        group.append(row)
        tokens += row_tokens
        size += row_bytes
    if group:
        yield group


def _description_bytes(row: Prepared) -> int:
    job = row.item.job
    return len(job.text.encode()) + (len(to_json(job.metadata)) if job.metadata else 0)
