"""Model bundles on disk: find, read, verify. What runs them lies in `workers`."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schemas.bundles import MANIFEST_NAME, BundleManifest
from schemas.errors import BundleError


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle's folder and what its manifest says."""

    folder: Path
    manifest: BundleManifest

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer, as the `tokenizers` library reads it."""
        return self.folder / self.manifest.tokenizer.file


def open_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, its manifest checked but not yet its files; raises BundleError.

    A link, such as `models/current`, stands for the bundle that it leads to.
    """
    folder = folder.resolve() if folder.is_symlink() else folder
    try:
        manifest = BundleManifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"model bundle {folder}: {error}") from error
    if manifest.name != folder.name:
        raise BundleError(f"model bundle {folder}: its manifest calls it {manifest.name!r}")
    return Bundle(folder, manifest)


def verify_file(bundle: Bundle, name: str, sha256: str) -> Path:
    """The path of one file of the bundle whose checksum is right; raises BundleError."""
    if Path(name).name != name:
        raise BundleError(f"model bundle {bundle.folder}: {name!r} is not the name of a file in it")
    path = bundle.folder / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"model bundle {bundle.folder}: {error}") from error
    if found != sha256:
        raise BundleError(f"model bundle {bundle.folder}: {name} is damaged: checksum {found[:12]}…, promised {sha256[:12]}…")
    return path


def verify_bundle(bundle: Bundle) -> None:
    """Check every file that the manifest names; raises BundleError at the first that is missing or damaged."""
    verify_file(bundle, bundle.manifest.tokenizer.file, bundle.manifest.tokenizer.sha256)
    for model in bundle.manifest.models:
        verify_file(bundle, model.file, model.sha256)


def list_bundles(models_dir: Path) -> Iterator[Bundle]:
    """Every bundle of the models folder once, by name; raises BundleError at one whose manifest cannot be read."""
    for manifest in sorted(models_dir.glob(f"*/{MANIFEST_NAME}")):
        if not manifest.parent.is_symlink():
            yield open_bundle(manifest.parent)
