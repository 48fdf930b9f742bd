"""Model bundles: what a manifest may say, and how a damaged bundle is found before it serves."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.bundles import list_bundles, open_bundle, verify_bundle, verify_file
from schemas.bundles import BundleManifest, Calibration, WindowSpec
from schemas.errors import BundleError
from tests.support.toy import make_toy_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of one's own, to be damaged."""
    return make_toy_bundle(tmp_path / "models")


def edit(folder: Path, **fields: Any) -> None:
    """Write other values into the manifest."""
    file = folder / "bundle.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **fields}), "utf-8")


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest as plain JSON."""
    return dict(json.loads((folder / "bundle.json").read_text("utf-8")))


@pytest.mark.parametrize(
    ("raw", "calibrated"),
    [
        ((0.0, 1.0), (0.0, 1.0)),
        ((0.0, 0.5, 1.0), (0.0, 0.0, 0.0)),  # flat, not falling
        ((0.2, 0.3), (0.9, 1.0)),
    ],
)
def test_a_calibration_may_rise_or_stay(raw: tuple[float, ...], calibrated: tuple[float, ...]) -> None:
    assert Calibration(raw=raw, calibrated=calibrated).raw == raw


@pytest.mark.parametrize(
    ("raw", "calibrated"),
    [
        ((0.0, 1.0), (1.0, 0.0)),
        ((0.0, 0.5, 1.0), (0.0, 0.6, 0.5)),
        ((0.0, 0.5, 0.5, 1.0), (0.0, 0.1, 0.2, 1.0)),  # two answers to one score
        ((1.0, 0.0), (0.0, 1.0)),
        ((0.0, 1.0), (0.0, 0.5, 1.0)),
        ((0.5,), (0.5,)),
        ((), ()),
        ((0.0, 1.1), (0.0, 1.0)),
        ((0.0, 1.0), (-0.1, 1.0)),
        ((0.0, float("nan")), (0.0, 1.0)),
        ((0.0, 1.0), (0.0, float("nan"))),
    ],
)
def test_a_calibration_that_is_not_monotone_is_refused(raw: tuple[float, ...], calibrated: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        Calibration(raw=raw, calibrated=calibrated)


@pytest.mark.parametrize(("tokens_max", "overlap"), [(8, 0), (8, 3), (9, 3), (10, 4), (512, 255), (8192, 0)])
def test_windows_may_overlap_by_half(tokens_max: int, overlap: int) -> None:
    spec = WindowSpec(tokens_max=tokens_max, overlap=overlap)
    content = spec.tokens_max - 2
    assert content - spec.overlap >= content / 2, "each window brings at least half of itself"


@pytest.mark.parametrize(("tokens_max", "overlap"), [(7, 0), (8193, 0), (8, 4), (9, 4), (512, 256), (512, -1), (512, 512)])
def test_windows_that_would_hardly_advance_are_refused(tokens_max: int, overlap: int) -> None:
    with pytest.raises(ValidationError):
        WindowSpec(tokens_max=tokens_max, overlap=overlap)


CANARIES = [{"text": "hello", "verdict": "allow"}, {"text": "you idiot", "verdict": "block"}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("name", "Upper"),
        ("name", "-dash"),
        ("name", "a/b"),
        ("release", "1.0"),
        ("release", "1.0.0-rc1"),
        ("task", "poetry"),
        ("languages", []),
        ("head", "linear"),
        ("labels", []),
        ("models", []),
        ("canaries", CANARIES[:1]),
        ("canaries", CANARIES[:1] * 2),  # none that is harmful
        ("canaries", CANARIES[1:] * 2),  # none that is harmless
        ("canaries", [{"text": "hello", "label": "toxicity"}] * 2),  # one label only
        ("canaries", [{"text": "hello", "label": "toxicity"}, {"text": "what a goal", "label": "sport"}]),  # which it has not
        ("canaries", [{"text": "hello"}, *CANARIES]),
        ("canaries", [{"text": "hello", "label": "toxicity", "verdict": "allow"}, *CANARIES]),
        ("created_at", 1_764_000_000),
        ("colour", "red"),
    ],
)
def test_a_manifest_that_breaks_the_contract_is_refused(folder: Path, field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        BundleManifest.model_validate({**manifest(folder), field: value})


def test_canaries_may_be_texts_of_two_labels(folder: Path) -> None:
    canaries = [{"text": "hello", "label": "toxicity"}, {"text": "what", "label": "spam"}]
    read = BundleManifest.model_validate({**manifest(folder), "canaries": canaries})
    assert json.loads(read.model_dump_json())["canaries"] == canaries


def test_a_name_stands_for_one_label_and_a_precision_for_one_graph(folder: Path) -> None:
    given = manifest(folder)
    for field in ("labels", "models"):
        with pytest.raises(ValidationError, match=r"of its own|one graph"):
            BundleManifest.model_validate({**given, field: [*given[field], given[field][0]]})


@pytest.mark.parametrize("sha256", ["", "a" * 63, "A" * 64, "g" * 64, None])
def test_a_checksum_is_64_small_hexadecimal_digits(folder: Path, sha256: str | None) -> None:
    given = manifest(folder)
    with pytest.raises(ValidationError, match="sha256"):
        BundleManifest.model_validate({**given, "tokenizer": {**given["tokenizer"], "sha256": sha256}})


def test_a_whole_bundle_is_found_and_verified(folder: Path) -> None:
    bundle = open_bundle(folder)
    verify_bundle(bundle)
    assert bundle.tokenizer_file == folder / "tokenizer.json"
    assert list(list_bundles(folder.parent)) == [bundle]


def test_folders_without_a_manifest_are_no_bundles(folder: Path) -> None:
    (folder.parent / "empty").mkdir()
    (folder.parent / "README.md").write_text("models", "utf-8")
    assert [bundle.manifest.name for bundle in list_bundles(folder.parent)] == ["toy"]
    assert list(list_bundles(folder.parent / "nowhere")) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "model.onnx"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "replace by a folder"])
def test_a_damaged_file_is_named(folder: Path, name: str, damage: str) -> None:
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if damage == "flip":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    if damage == "cut":
        file.write_bytes(content[:-1])
    if damage == "replace by a folder":
        file.mkdir()
    with pytest.raises(BundleError, match=name):
        verify_bundle(open_bundle(folder))


def test_a_checksum_is_compared_with_the_promise_given(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert verify_file(bundle, "model.onnx", bundle.manifest.models[0].sha256) == folder / "model.onnx"
    with pytest.raises(BundleError, match="is damaged"):
        verify_file(bundle, "model.onnx", "0" * 64)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "\ufeff{}"])
def test_a_manifest_that_cannot_be_read_names_its_folder(folder: Path, content: str) -> None:
    (folder / "bundle.json").write_text(content, "utf-8")
    with pytest.raises(BundleError, match=r"model bundle .*toy"):
        open_bundle(folder)


def test_a_missing_bundle_names_its_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        open_bundle(tmp_path / "nowhere")


def test_a_bundle_is_called_as_its_folder(folder: Path) -> None:
    edit(folder, name="other")
    with pytest.raises(BundleError, match="its manifest calls it 'other'"):
        open_bundle(folder)


def test_an_error_names_the_field(folder: Path) -> None:
    edit(folder, windows={"tokens_max": 8, "overlap": 8})
    with pytest.raises(BundleError, match="windows"):
        open_bundle(folder)
