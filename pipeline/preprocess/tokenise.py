"""Text to token windows, with the tokenizer of a model bundle."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tokenizers

from pipeline.bundles import Bundle, verify_file
from schemas.bundles import WindowSpec
from schemas.errors import BundleError

Ids = npt.NDArray[np.unsignedinteger[Any]]

_SMALL_VOCABULARY: Final = 1 << 16
_FRAME: Final = 2
"""Special tokens around each window: begin and end."""


class Tokenizer:
    """A bundle's tokenizer. Its file is verified when loading; raises BundleError."""

    def __init__(self, bundle: Bundle) -> None:
        spec = bundle.manifest.tokenizer
        path = verify_file(bundle, spec.file, spec.sha256)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise BundleError(f"model bundle {bundle.folder}: {spec.file} is no tokenizer: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._id_type = np.dtype("<u2" if spec.vocabulary_size <= _SMALL_VOCABULARY else "<u4")

    def encode_batch(self, texts: list[str]) -> list[Ids]:
        """Token ids of each text, without special tokens; one call uses all cores."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, self._id_type) for encoding in encodings]


def cut_windows(ids: Ids, spec: WindowSpec, begin_id: int, end_id: int) -> list[Ids]:
    """Windows of at most `spec.tokens_max` ids, framed, that cover all of `ids` [n]; neighbours share `spec.overlap` ids."""
    content = spec.tokens_max - _FRAME
    stride = content - spec.overlap
    last = max(len(ids) - spec.overlap, 1)
    return [_framed(ids[start : start + content], begin_id, end_id) for start in range(0, last, stride)]


def _framed(ids: Ids, begin_id: int, end_id: int) -> Ids:
    window = np.empty(len(ids) + _FRAME, ids.dtype)
    window[0], window[-1] = begin_id, end_id
    window[1:-1] = ids
    return window
