"""The Kubernetes manifests as they lie in the repository, and as kustomize renders them where it is at hand."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = "kustomization.yaml"

Resource = dict[str, Any]


def kustomizations(top: Path = MANIFESTS) -> dict[Path, dict[str, Any]]:
    """Every kustomization, by its folder."""
    return {file.parent: yaml.safe_load(file.read_text("utf-8")) for file in sorted(top.rglob(KUSTOMIZATION))}


def written(folder: Path) -> list[Resource]:
    """The resources of a folder and of all that it takes in, as they are written: nothing patched, nothing generated."""
    kustomization = yaml.safe_load((folder / KUSTOMIZATION).read_text("utf-8"))
    found: list[Resource] = []
    for name in [*kustomization.get("resources", ()), *kustomization.get("components", ())]:
        path = (folder / name).resolve()
        found += written(path) if path.is_dir() else read(path)
    return found


def read(file: Path) -> list[Resource]:
    """The documents of one file."""
    return [document for document in yaml.safe_load_all(file.read_text("utf-8")) if document]


def kustomize() -> list[str] | None:
    """The command that renders a folder, where this machine has one."""
    commands = (["kustomize", "build"], ["kubectl", "kustomize"])
    return next((command for command in commands if shutil.which(command[0])), None)


def rendered(command: Sequence[str], folder: Path) -> list[Resource]:
    """What would be applied; fails where kustomize does."""
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def with_everything(folder: Path) -> Path:
    """A copy of the manifests below `folder` whose example takes in what it leaves out; returns the example's folder."""
    copy = folder / "kubernetes"
    shutil.copytree(MANIFESTS, copy)
    file = copy / "example" / KUSTOMIZATION
    text, uncommented = re.subn(r"^  # - (?=\.\./)", "  - ", file.read_text("utf-8"), flags=re.MULTILINE)
    assert uncommented
    file.write_text(text, "utf-8")
    return file.parent


def of_kind(resources: Sequence[Resource], *kinds: str) -> list[Resource]:
    """Those of some kinds."""
    return [resource for resource in resources if resource["kind"] in kinds]


def named(resources: Sequence[Resource], kind: str, name: str) -> Resource:
    """The one of this kind and name."""
    (found,) = [resource for resource in of_kind(resources, kind) if resource["metadata"]["name"] == name]
    return found


def workloads(resources: Sequence[Resource]) -> list[Resource]:
    """What has pods."""
    return of_kind(resources, "StatefulSet", "Job")


def pod_of(workload: Resource) -> Resource:
    """The specification of its pods."""
    return dict(workload["spec"]["template"]["spec"])


def container_of(workload: Resource) -> Resource:
    """The one container of its pods."""
    (container,) = pod_of(workload)["containers"]
    return dict(container)


def variables_of(workload: Resource, settings: dict[str, str]) -> dict[str, str]:
    """The environment of its container, as far as it is known before a pod runs."""
    given = {variable["name"]: variable["value"] for variable in container_of(workload).get("env", ()) if "value" in variable}
    return settings | given


def written_settings(*folders: Path) -> dict[str, str]:
    """The ConfigMap of settings as the kustomizations of these folders generate it, later ones over earlier ones."""
    found: dict[str, str] = {}
    for folder in folders:
        for generator in kustomizations()[folder].get("configMapGenerator", ()):
            if generator["name"] == "llmos-settings":
                found |= dict(line.split("=", 1) for line in _lines(folder, generator))
    return found


def _lines(folder: Path, generator: dict[str, Any]) -> Iterator[str]:
    yield from generator.get("literals", ())
    for name in generator.get("envs", ()):
        yield from (line for line in (folder / name).read_text("utf-8").splitlines() if line and not line.startswith("#"))
