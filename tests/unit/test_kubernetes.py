"""The Kubernetes manifests: valid against the schemas of Kubernetes, at one with themselves, with our settings and our bundle.

As they are written they are checked anywhere; as kustomize renders them, where `kustomize` or `kubectl` is at hand.
"""

import copy
import re
from typing import Any

import kubernetes_validate
import pytest
from typer.testing import CliRunner

from pipeline.bundles import open_bundle
from pipeline.cli.main import app
from pipeline.settings import Settings
from tests.support.manifests import (
    MANIFESTS,
    ROOT,
    Resource,
    container_of,
    kustomizations,
    kustomize,
    named,
    of_kind,
    pod_of,
    read,
    rendered,
    variables_of,
    with_everything,
    workloads,
    written,
    written_settings,
)

VERSIONS = ("1.31", "1.37")
"""Of Kubernetes: the oldest that has all fields in use, and the newest whose schemas we have."""
EXAMPLE = MANIFESTS / "example"
COMPONENTS = MANIFESTS / "components"
PREFIX = "LLMOS_"


@pytest.fixture(scope="module")
def renderer() -> list[str]:
    """The command that renders a folder."""
    if (command := kustomize()) is None:
        pytest.skip("neither kustomize nor kubectl is here: the manifests are checked as they are written, not as rendered")
    return command


@pytest.fixture(scope="module")
def everything(renderer: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Resource]:
    """The example with all that it leaves out, rendered."""
    return rendered(renderer, with_everything(tmp_path_factory.mktemp("manifests")))


@pytest.fixture(scope="module", params=["written", "base", "example", "everything"])
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    """The manifests as they are written, and rendered: the base, the example, and the example with all it leaves out."""
    if request.param == "written":
        return written(EXAMPLE)
    if request.param == "everything":
        found: list[Resource] = request.getfixturevalue("everything")
        return found
    return rendered(request.getfixturevalue("renderer"), MANIFESTS / request.param)


@pytest.fixture(scope="module")
def settings_map(resources: list[Resource]) -> dict[str, str]:
    """The settings that all pods share."""
    maps = [found for found in of_kind(resources, "ConfigMap") if found["metadata"]["name"].startswith("llmos-settings-")]
    return maps[0]["data"] if maps else written_settings(MANIFESTS / "base")


def settings_from(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings()


# Against schemas


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid_for_kubernetes(resources: list[Resource], version: str) -> None:
    ours = [resource for resource in resources if not is_custom(resource)]
    assert len(ours) > 10
    for resource in ours:
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelt_field_is_found() -> None:
    broken = copy.deepcopy(named(written(EXAMPLE), "StatefulSet", "llmos-worker"))
    broken["spec"]["template"]["spec"]["terminationGracePeriod"] = 45
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


CUSTOM: dict[str, dict[str, set[str]]] = {
    "ScaledObject": {
        "spec": {"scaleTargetRef", "pollingInterval", "minReplicaCount", "maxReplicaCount", "advanced", "triggers"},
        "spec.scaleTargetRef": {"apiVersion", "kind", "name", "envSourceContainerName"},
        "spec.advanced": {"horizontalPodAutoscalerConfig"},
        "spec.triggers.0": {"type", "metadata", "authenticationRef"},
        "spec.triggers.0.metadata": {
            *("bootstrapServersFromEnv", "version", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy"),
            *("sasl", "tls"),
        },
    },
    "TriggerAuthentication": {"spec": {"secretTargetRef"}, "spec.secretTargetRef.0": {"parameter", "name", "key"}},
    "PodMonitor": {
        "spec": {"selector", "podMetricsEndpoints", "podTargetLabels"},
        "spec.podMetricsEndpoints.0": {"port", "path", "interval"},
    },
}
"""What is not Kubernetes' own has no schema here (tests/acceptance/kubernetes has): the fields in use, from its documentation."""


def is_custom(resource: Resource) -> bool:
    return resource["kind"] in CUSTOM


def test_custom_resources_have_known_fields_alone(resources: list[Resource]) -> None:
    for resource in filter(is_custom, resources):
        for path, known in CUSTOM[resource["kind"]].items():
            assert set(at(resource, path)) <= known, (resource["kind"], path)
        for trigger in resource["spec"].get("triggers", ()):
            assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes strings alone"


def at(resource: Resource, path: str) -> Any:
    found: Any = resource
    for step in path.split("."):
        found = found[int(step)] if step.isdigit() else found[step]
    return found


def test_the_behaviour_of_the_autoscaler_is_valid_for_kubernetes(resources: list[Resource]) -> None:
    for scaled in of_kind(resources, "ScaledObject"):
        autoscaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "made-by-keda"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "any"},
                "maxReplicas": scaled["spec"]["maxReplicaCount"],
                **scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"],
            },
        }
        kubernetes_validate.validate(autoscaler, VERSIONS[-1], strict=True)


# At one with themselves


def test_every_file_has_its_place_and_every_place_its_file() -> None:
    named_files = set()
    for folder, kustomization in kustomizations().items():
        names = [*kustomization.get("resources", ()), *kustomization.get("components", ())]
        names += [patch["path"] for patch in kustomization.get("patches", ()) if "path" in patch]
        for generator in kustomization.get("configMapGenerator", ()):
            names += [*generator.get("envs", ()), *generator.get("files", ())]
        for name in names:
            path = (folder / name).resolve()
            assert path.exists(), f"{folder}: {name}"
            named_files.add(path)
    there = {file for file in MANIFESTS.rglob("*") if file.is_file() and file.name != "kustomization.yaml"}
    assert {file for file in named_files if file.is_file()} == there


def test_every_patch_meets_a_resource_and_its_container() -> None:
    there = {(resource["kind"], resource["metadata"]["name"]) for resource in written(EXAMPLE)}
    for folder, kustomization in kustomizations().items():
        for patch in kustomization.get("patches", ()):
            if target := patch.get("target"):
                pattern = re.compile(target.get("name", ".*"))
                assert any(kind == target["kind"] and pattern.fullmatch(name) for kind, name in there), (folder, target)
            for document in read(folder / patch["path"]) if "path" in patch else ():
                assert [container["name"] for container in pod_of(document)["containers"]] == ["llmos"]


def test_selectors_meet_the_pods_that_they_are_for(resources: list[Resource]) -> None:
    labels = {
        workload["metadata"]["name"]: workload["spec"]["template"]["metadata"]["labels"] for workload in workloads(resources)
    }
    for workload in of_kind(resources, "StatefulSet"):
        name = workload["metadata"]["name"]
        assert met(workload["spec"]["selector"]["matchLabels"], labels) == [name]
        service = named(resources, "Service", workload["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None"
        assert met(service["spec"]["selector"], labels) == [name]
        budget = named(resources, "PodDisruptionBudget", name)
        assert met(budget["spec"]["selector"]["matchLabels"], labels) == [name]
        for spread in pod_of(workload)["topologySpreadConstraints"]:
            assert met(spread["labelSelector"]["matchLabels"], labels) == [name]
    everybody = named(resources, "NetworkPolicy", "llmos")["spec"]["podSelector"]["matchLabels"]
    assert met(everybody, labels) == sorted(labels)
    assert met(named(resources, "Service", "llmos-gateway")["spec"]["selector"], labels) == ["llmos-gateway"]
    assert met(named(resources, "NetworkPolicy", "llmos-gateway")["spec"]["podSelector"]["matchLabels"], labels) == [
        "llmos-gateway"
    ]


def met(selector: dict[str, str], labels: dict[str, dict[str, str]]) -> list[str]:
    return sorted(name for name, found in labels.items() if selector.items() <= found.items())


def test_named_ports_are_those_of_the_pods(resources: list[Resource]) -> None:
    ports = {port["name"]: port["containerPort"] for work in workloads(resources) for port in container_of(work).get("ports", ())}
    assert ports == {"health": 9100, "http": 8080}
    for service in of_kind(resources, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
    for policy in of_kind(resources, "NetworkPolicy"):
        asked = [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]]
        assert set(asked) <= set(ports)
    for monitor in of_kind(resources, "PodMonitor"):
        assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["health"]


def test_what_pods_refer_to_is_there_or_in_the_documentation(resources: list[Resource]) -> None:
    maps = {found["metadata"]["name"] for found in of_kind(resources, "ConfigMap")}
    told = (ROOT / "docs" / "deploy-kubernetes.md").read_text("utf-8")
    for workload in workloads(resources):
        volumes = {volume["name"]: volume for volume in pod_of(workload)["volumes"]}
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
        assert {mount["name"] for mount in container_of(workload)["volumeMounts"]} == set(volumes) | claims
        assert pod_of(workload)["serviceAccountName"] in {
            found["metadata"]["name"] for found in of_kind(resources, "ServiceAccount")
        }
        secrets = {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume}
        assert all(secret in told for secret in secrets)
        if maps:  # rendered
            asked = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
            assert asked | {source["configMapRef"]["name"] for source in container_of(workload)["envFrom"]} <= maps


def test_no_secret_lies_here_and_none_is_a_variable(resources: list[Resource]) -> None:
    assert not of_kind(resources, "Secret")
    for workload in workloads(resources):
        sources = [variable.get("valueFrom", {}) for variable in container_of(workload).get("env", ())]
        assert {source["secretKeyRef"]["key"] for source in sources if "secretKeyRef" in source} <= {"username"}


# At one with what we run


def test_every_variable_is_a_setting_with_a_value_that_it_takes(
    resources: list[Resource], settings_map: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for workload in workloads(resources):
        names = {variable["name"] for variable in container_of(workload).get("env", ())} | set(settings_map)
        ours = {name.removeprefix(PREFIX).lower() for name in names if name.startswith(PREFIX)}
        assert ours <= set(Settings.model_fields)
        with monkeypatch.context() as patched:
            settings_from(variables_of(workload, settings_map), patched)


def test_every_variable_that_a_file_names_is_a_setting() -> None:
    files = [file for file in MANIFESTS.rglob("*") if file.suffix in {".yaml", ".env"}]
    found = {name for file in files for name in re.findall(rf"{PREFIX}[A-Z0-9_]+", file.read_text("utf-8"))}
    assert len(found) > 15
    assert {name.removeprefix(PREFIX).lower() for name in found} <= set(Settings.model_fields)


def test_every_command_is_one_of_ours(resources: list[Resource]) -> None:
    for workload in workloads(resources):
        done = CliRunner().invoke(app, [*container_of(workload)["args"], "--help"])
        assert done.exit_code == 0, done.output


def test_pods_have_no_right_that_they_do_not_need(resources: list[Resource]) -> None:
    for workload in workloads(resources):
        pod, container = pod_of(workload), container_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "the variables of a Service could be taken for settings"
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10_001,
            "runAsGroup": 10_001,
            "fsGroup": 10_001,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)
        assert all(mount.get("readOnly") or mount["name"] in {"tmp", "state"} for mount in container["volumeMounts"])


def test_probes_ask_the_health_server(resources: list[Resource], settings_map: dict[str, str]) -> None:
    assert settings_map["LLMOS_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 (within the pod; the network policy keeps strangers out)
    assert settings_map["LLMOS_METRICS_PORT"] == "9100"
    for workload in of_kind(resources, "StatefulSet"):
        container = container_of(workload)
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert all(probe["port"] == "health" for probe in probes.values())
        assert {name: probe["path"] for name, probe in probes.items()} == {
            "startup": "/livez",
            "liveness": "/livez",
            "readiness": "/readyz",
        }
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= Settings().kafka_delivery_timeout_ms / 1000


def test_a_pod_that_restarts_makes_no_other_unready(settings_map: dict[str, str]) -> None:
    session_s = int(settings_map["LLMOS_KAFKA_SESSION_TIMEOUT_MS"]) / 1000
    assert int(settings_map["LLMOS_CANARY_WITHIN_S"]) > session_s, "its partitions, and the canaries in them, wait for it"


def test_a_pod_is_given_the_time_to_drain(resources: list[Resource], settings_map: dict[str, str]) -> None:
    for workload in of_kind(resources, "StatefulSet"):
        before = container_of(workload).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace_s = int(settings_map["LLMOS_SHUTDOWN_GRACE_S"])
        assert pod_of(workload)["terminationGracePeriodSeconds"] >= before + grace_s + 10


def test_the_name_of_a_pod_is_the_name_of_its_process(resources: list[Resource]) -> None:
    for workload in of_kind(resources, "StatefulSet"):
        (variable,) = [found for found in container_of(workload)["env"] if found["name"] == "LLMOS_INSTANCE_ID"]
        assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        assert workload["spec"]["podManagementPolicy"] == "Parallel", "one that never gets ready must not hold up the others"


def test_a_worker_has_a_thread_for_each_core_that_it_asks_for(resources: list[Resource]) -> None:
    for workload in of_kind(resources, "StatefulSet"):
        if container_of(workload)["args"] == ["worker"]:
            (variable,) = [found for found in container_of(workload)["env"] if found["name"] == "LLMOS_WORKER_THREADS"]
            assert variable["valueFrom"]["resourceFieldRef"] == {"containerName": "llmos", "resource": "requests.cpu"}
            assert container_of(workload)["resources"]["requests"]["cpu"].isdigit()


def test_every_gateway_there_may_be_has_its_reply_topic(resources: list[Resource]) -> None:
    (job,) = of_kind(resources, "Job")
    made = {argument.removeprefix("--gateway=") for argument in container_of(job)["args"] if argument.startswith("--gateway=")}
    replicas = named(resources, "StatefulSet", "llmos-gateway")["spec"]["replicas"]
    assert {f"llmos-gateway-{number}" for number in range(replicas)} < made


def test_topics_can_be_made_anew_at_every_apply(resources: list[Resource]) -> None:
    (job,) = of_kind(resources, "Job")
    assert job["spec"]["ttlSecondsAfterFinished"] <= 300, "a Job that is still there cannot be applied with other settings"


def test_the_gateway_keeps_what_it_keeps(resources: list[Resource], settings_map: dict[str, str]) -> None:
    gateway = named(resources, "StatefulSet", "llmos-gateway")
    (mount,) = [found for found in container_of(gateway)["volumeMounts"] if found["name"] == "state"]
    assert mount["mountPath"] == settings_map["LLMOS_STATE_DIR"]
    assert [claim["metadata"]["name"] for claim in gateway["spec"]["volumeClaimTemplates"]] == ["state"]


# Scaling


def scaled_by(resources: list[Resource], stage: str) -> Resource:
    return dict(named(resources, "ScaledObject", f"llmos-{stage}")["spec"])


@pytest.fixture(scope="module")
def scaling() -> list[Resource]:
    return written(EXAMPLE)


def test_scaling_watches_the_topics_and_groups_that_the_settings_name(
    scaling: list[Resource], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_from(written_settings(MANIFESTS / "base"), monkeypatch)
    manifest = open_bundle(ROOT / "models" / settings.worker_model).manifest
    (trigger,) = scaled_by(scaling, "preprocess")["triggers"]
    assert trigger["metadata"]["consumerGroup"] == settings.preprocess_group
    assert trigger["metadata"]["topic"] == settings.jobs_topic
    (trigger,) = scaled_by(scaling, "worker")["triggers"]
    assert trigger["metadata"]["consumerGroup"] == settings.worker_group(manifest.name)
    assert trigger["metadata"]["topic"] == settings.work_topic(manifest.name, manifest.tokenizer.sha256)


@pytest.mark.parametrize("stage", ["preprocess", "worker"])
def test_scaling_stays_within_what_partitions_and_rebalances_allow(scaling: list[Resource], stage: str) -> None:
    shared = written_settings(MANIFESTS / "base")
    spec = scaled_by(scaling, stage)
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] <= int(shared["LLMOS_TOPIC_PARTITIONS"])
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    session_s = int(shared["LLMOS_KAFKA_SESSION_TIMEOUT_MS"]) / 1000
    assert behaviour["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 180}]
    assert 2 * session_s < 180, "the partitions of one that went are idle for a session"
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] > 2 * session_s
    metadata = spec["triggers"][0]["metadata"]
    assert shared[metadata["bootstrapServersFromEnv"]]
    assert metadata["offsetResetPolicy"] == "earliest"


def test_what_is_scaled_has_no_number_of_its_own(everything: list[Resource]) -> None:
    scaled = of_kind(everything, "ScaledObject")
    assert len(scaled) == 2
    for target in (found["spec"]["scaleTargetRef"] for found in scaled):
        workload = named(everything, target["kind"], target["name"])
        assert "replicas" not in workload["spec"], "an apply would set back what KEDA chose"
        assert container_of(workload)["name"] == target["envSourceContainerName"]


# The example


def test_the_example_begins_with_the_rules_that_we_ship() -> None:
    defaults = ROOT / "pipeline" / "defaults"
    assert (EXAMPLE / "rules" / "default.toml").read_bytes() == (defaults / "policies" / "default.toml").read_bytes()
    assert (EXAMPLE / "rules" / "routes.toml").read_bytes() == (defaults / "routes.toml").read_bytes()


def test_the_secure_settings_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    secure = COMPONENTS / "kafka-secure"
    settings = settings_from(written_settings(secure), monkeypatch)
    assert settings.kafka_security_protocol == "SASL_SSL"
    for role in ("preprocess", "worker", "gateway", "topics"):
        (patch,) = read(secure / f"{role}.yaml")
        mounts = [mount["mountPath"] for mount in container_of(patch)["volumeMounts"]]
        for file in (settings.kafka_sasl_password_file, settings.kafka_ssl_ca_file):
            assert file
            assert str(file.parent) in mounts


def test_the_second_model_has_workers_of_its_own(everything: list[Resource]) -> None:
    first, second = (named(everything, "StatefulSet", name) for name in ("llmos-worker", "llmos-worker-next"))
    models = [variables_of(workload, {}).get("LLMOS_WORKER_MODEL") for workload in (first, second)]
    assert models == [None, "moderation-en-zh-next"]


def test_a_gpu_is_asked_for_and_used(everything: list[Resource]) -> None:
    container = container_of(named(everything, "StatefulSet", "llmos-worker"))
    assert container["image"] == "registry.example/llmos:gpu"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert variables_of(named(everything, "StatefulSet", "llmos-worker"), {})["LLMOS_WORKER_PROVIDER"] == "cuda"


def test_every_image_is_the_one_that_the_example_names(everything: list[Resource]) -> None:
    images = {container_of(workload)["image"] for workload in workloads(everything)}
    assert images == {"registry.example/llmos:cpu", "registry.example/llmos:gpu"}
