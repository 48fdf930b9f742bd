"""Texts to token windows: every token is in some window, and a damaged tokenizer is refused at start."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bundles import Bundle, open_bundle
from pipeline.preprocess.tokenise import Tokenizer, cut_windows
from pipeline.settings import Settings
from schemas.bundles import WindowSpec
from schemas.errors import BundleError
from tests.support.toy import NAME
from workers.fold import tokens_covered

BEGIN, END = 60_000, 60_001


@st.composite
def window_specs(draw: st.DrawFn) -> WindowSpec:
    """Any that the schema allows, small ones mostly."""
    tokens_max = draw(st.integers(8, 40))
    return WindowSpec(tokens_max=tokens_max, overlap=draw(st.integers(0, (tokens_max - 2) // 2)))


@given(st.integers(1, 300), window_specs())
def test_windows_hold_every_token_once_and_the_overlap_twice(count: int, spec: WindowSpec) -> None:
    ids = np.arange(count, dtype=np.uint16)
    windows = cut_windows(ids, spec, BEGIN, END)
    contents = [window[1:-1].tolist() for window in windows]
    rebuilt = contents[0]
    for content in contents[1:]:
        assert rebuilt[-spec.overlap :] == content[: spec.overlap] or spec.overlap == 0
        assert len(content) > spec.overlap, "each window brings something new"
        rebuilt = rebuilt + content[spec.overlap :]
    assert rebuilt == ids.tolist()


@given(st.integers(1, 300), window_specs())
def test_windows_are_framed_bounded_and_full_but_for_the_last(count: int, spec: WindowSpec) -> None:
    windows = cut_windows(np.arange(count, dtype=np.uint16), spec, BEGIN, END)
    assert all((window[0], window[-1], window.dtype) == (BEGIN, END, np.uint16) for window in windows)
    assert all(len(window) == spec.tokens_max for window in windows[:-1])
    assert 2 < len(windows[-1]) <= spec.tokens_max
    assert (len(windows) == 1) == (count <= spec.tokens_max - 2), "as few as do"


@given(st.integers(1, 300), window_specs())
def test_the_worker_counts_as_many_tokens_as_there_were(count: int, spec: WindowSpec) -> None:
    windows = cut_windows(np.arange(count, dtype=np.uint16), spec, BEGIN, END)
    assert tokens_covered([len(window) for window in windows], spec) == count


@pytest.fixture
def bundle(toy_settings: Settings) -> Bundle:
    """The toy model's."""
    return open_bundle(toy_settings.models_dir / NAME)


def test_ids_come_without_special_tokens_in_the_order_of_the_texts(bundle: Bundle) -> None:
    ids = Tokenizer(bundle).encode_batch(["hello friend", "", "你好 hello", "strange"])
    vocabulary = json.loads(bundle.tokenizer_file.read_bytes())["model"]["vocab"]
    words = {number: word for word, number in vocabulary.items()}
    assert [[words[number] for number in one.tolist()] for one in ids] == [
        ["hello", "friend"],
        [],
        ["你", "好", "hello"],
        ["<unk>"],
    ]


def test_a_text_has_the_same_ids_in_any_company(bundle: Bundle) -> None:
    tokenizer = Tokenizer(bundle)
    alone = tokenizer.encode_batch(["hello friend"])[0].tolist()
    assert tokenizer.encode_batch(["x", "filler " * 9000, "hello friend"])[2].tolist() == alone


def rewritten(bundle: Bundle, folder: Path, content: bytes, vocabulary_size: int = 17) -> Bundle:
    """A copy of the bundle whose manifest promises another tokenizer, of that content."""
    shutil.copytree(bundle.folder, folder / NAME)
    (folder / NAME / "tokenizer.json").write_bytes(content)
    spec = {"sha256": hashlib.sha256(content).hexdigest(), "vocabulary_size": vocabulary_size}
    manifest = json.loads((bundle.folder / "bundle.json").read_bytes())
    manifest["tokenizer"] |= spec
    (folder / NAME / "bundle.json").write_text(json.dumps(manifest), "utf-8")
    return open_bundle(folder / NAME)


def test_a_tokenizer_file_that_truncates_or_pads_does_neither_here(bundle: Bundle, tmp_path: Path) -> None:
    content = json.loads(bundle.tokenizer_file.read_bytes())
    content["truncation"] = {"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
    padding = {"strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None}
    content["padding"] = padding | {"pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"}
    ids = Tokenizer(rewritten(bundle, tmp_path, json.dumps(content).encode())).encode_batch(["hello", "hello " * 100])
    assert [len(one) for one in ids] == [1, 100]


@pytest.mark.parametrize(("vocabulary_size", "width"), [(17, 2), (1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_are_as_wide_as_the_vocabulary_needs(bundle: Bundle, tmp_path: Path, vocabulary_size: int, width: int) -> None:
    copy = rewritten(bundle, tmp_path, bundle.tokenizer_file.read_bytes(), vocabulary_size)
    assert Tokenizer(copy).encode_batch(["hello"])[0].itemsize == width


def test_a_damaged_tokenizer_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    copy = rewritten(bundle, tmp_path, bundle.tokenizer_file.read_bytes())
    copy.tokenizer_file.write_bytes(copy.tokenizer_file.read_bytes() + b" ")
    with pytest.raises(BundleError, match="damaged"):
        Tokenizer(copy)


def test_a_file_that_is_no_tokenizer_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no tokenizer"):
        Tokenizer(rewritten(bundle, tmp_path, b"{}"))
