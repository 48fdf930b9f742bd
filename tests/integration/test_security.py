"""Connections with TLS and passwords, least rights for each process, and what is refused.

On an Apache Kafka with its authorizer on, which also creates every topic that a client names carelessly. The rights are read
from docs/security.md, so what stands there is what works: user bob gets those of one process at a time. Whoever comes by the
plain listener may do everything.
"""

import asyncio
import re
import shlex
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.conn import create_conn
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import TopicAuthorizationFailedError
from typer.testing import CliRunner

from pipeline import kafka as options
from pipeline.admission import admit
from pipeline.cli.main import app
from pipeline.embedded import free_port
from pipeline.exits import TIMEOUT
from pipeline.kafka import connection
from pipeline.preprocess.options import faust_options
from pipeline.publish import JobPublisher
from pipeline.topics import describe_topics
from schemas.errors import ConfigurationError
from schemas.jobs import TextJob
from tests.support.brokers import apache_kafka
from tests.support.processes import Installation, installation
from tests.support.toy import NAME
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

GUIDE: Final = Path(__file__).resolve().parents[2] / "docs" / "security.md"
REFUSED: Final = 3
"""The exit code for what cannot work before somebody changes a setting or a right."""
WRONG: Final = "not-the-password-of-bob"
JOBS: Final = b'{"text": "hello friend"}\n{"text": "you idiot"}\n{"text": "hello", "tenant": "nobody"}\n'


@dataclass(frozen=True, slots=True)
class Right:
    """One line of the guide: what a user may do with which topics or groups."""

    operation: str
    kind: str
    name: str
    prefixed: bool

    def __str__(self) -> str:
        return f"{self.operation} {self.kind} {self.name}{'*' if self.prefixed else ''}"

    def acl(self) -> ACL:
        pattern = ACLResourcePatternType.PREFIXED if self.prefixed else ACLResourcePatternType.LITERAL
        resource = ResourcePattern(ResourceType[self.kind.upper()], self.name, pattern)
        return ACL("User:bob", "*", ACLOperation[self.operation.upper()], ACLPermissionType.ALLOW, resource)


def _guide() -> dict[str, list[Right]]:
    rights: dict[str, list[Right]] = {}
    for who, line in re.findall(r"^allow (\w+) +(--.+)$", GUIDE.read_text("utf-8"), re.MULTILINE):
        words = shlex.split(line.replace("moderation-en-zh", NAME))
        options = dict(zip(words[::2], words[1::2], strict=True))
        kind = "topic" if "--topic" in options else "group"
        prefixed = options.get("--resource-pattern-type") == "prefixed"
        rights.setdefault(who, []).append(Right(options["--operation"], kind, options[f"--{kind}"], prefixed))
    return rights


RIGHTS: Final = _guide()


class Bob:
    """What bob may do, set by way of the plain listener."""

    def __init__(self, bootstrap: str) -> None:
        self._client = KafkaAdminClient(bootstrap_servers=bootstrap)

    def may(self, *rights: Right) -> None:
        """Exactly this, from now on."""
        everything = ACLFilter(
            "User:bob",
            "*",
            ACLOperation.ANY,
            ACLPermissionType.ANY,
            ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
        )
        wanted, there = {right.acl() for right in rights}, set(self._client.describe_acls(everything)[0])
        self._client.delete_acls(list(there - wanted))
        self._client.create_acls(list(wanted - there))
        wait_until(lambda: set(self._client.describe_acls(everything)[0]) == wanted, "the broker to know the rights")

    def close(self) -> None:
        self._client.close()


@dataclass(frozen=True, slots=True)
class Secured:
    """Where the broker listens: plain for administration, with TLS, and with TLS and passwords."""

    plain: str
    tls: str
    sasl: str
    ca_file: Path


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    plain, tls, sasl, control = (f"127.0.0.1:{free_port()}" for _ in range(4))
    properties = {
        "listeners": f"PLAINTEXT://{plain},TLS://{tls},SECURE://{sasl},CONTROLLER://{control}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SECURE:SASL_SSL",
        "controller.quorum.voters": f"1@{control}",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:alice",
        "auto.create.topics.enable": "true",
    }
    options = [word for name, value in properties.items() for word in ("--property", f"{name}={value}")]
    state = tmp_path_factory.mktemp("secured") / "state"
    with apache_kafka(state, "--port", plain.rpartition(":")[2], "--sasl", *options) as broker:
        yield Secured(plain, tls, sasl, broker.ca_file)


@pytest.fixture(scope="module")
def bob(kafka: Secured) -> Iterator[Bob]:
    made = Bob(kafka.plain)
    yield made
    made.close()


def sasl(kafka: Secured, user: str, mechanism: str = "PLAIN") -> dict[str, str]:
    """Settings that connect as `user`, all but the password."""
    return {
        "LLMOS_KAFKA_BOOTSTRAP": kafka.sasl,
        "LLMOS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "LLMOS_KAFKA_SSL_CA_FILE": str(kafka.ca_file),
        "LLMOS_KAFKA_SASL_MECHANISM": mechanism,
        "LLMOS_KAFKA_SASL_USERNAME": user,
    }


@pytest.fixture(scope="module")
def common(toy_environment: dict[str, str]) -> dict[str, str]:
    """Settings of every process here; at debug level libraries say most."""
    return {
        **toy_environment,
        "LLMOS_WORKER_PROVIDER": "cpu",
        "LLMOS_WORKER_THREADS": "1",
        "LLMOS_TOPIC_PARTITIONS": "1",
        "LLMOS_KAFKA_SESSION_TIMEOUT_MS": "6000",
        "LLMOS_KAFKA_REQUEST_TIMEOUT_MS": "6000",
        "LLMOS_KAFKA_DELIVERY_TIMEOUT_MS": "10000",
        "LLMOS_LOG_LEVEL": "debug",
    }


@pytest.fixture(scope="module")
def place(kafka: Secured, common: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Everything runs as bob, whose password lies in a file, as containers get it."""
    folder = tmp_path_factory.mktemp("bob")
    (folder / "password").write_text("bob-secret\n")
    environment = {**common, **sasl(kafka, "bob"), "LLMOS_KAFKA_SASL_PASSWORD_FILE": str(folder / "password")}
    with installation(environment, folder) as made:
        yield made


@pytest.fixture(scope="module")
def overseer(kafka: Secured, common: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The same system by the plain listener, where everything is allowed."""
    with installation({**common, "LLMOS_KAFKA_BOOTSTRAP": kafka.plain}, tmp_path_factory.mktemp("overseer")) as made:
        yield made


def work_off(place: Installation, overseer: Installation, kind: Any) -> tuple[int, str]:
    """Run a stage until its group has committed all there is; returns the exit code of its drain, and all that it said."""
    port = str(free_port())
    stage = place.stage(kind, LLMOS_METRICS_PORT=port)
    stage.start()
    group = 0 if kind == "preprocess" else 1
    wait_until(lambda: _caught_up(overseer, group), lambda: f"the {kind} has worked all off\n{stage.log}")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    assert "llmos_jobs_" in metrics
    return stage.terminate(), stage.log + metrics


def _caught_up(overseer: Installation, group: int) -> bool:
    lag = describe_topics(overseer.settings)[1][group]
    return lag.committed == lag.end > 0


@pytest.fixture(scope="module")
def flow(place: Installation, bob: Bob, overseer: Installation) -> dict[str, tuple[int, str]]:
    """A job of each fate on its way from topics to replay; before each process starts, bob gets its rights and no others."""
    steps = {
        "admin": lambda: in_process(place, "topics", "create", "--gateway", "gateway"),
        "publisher": lambda: in_process(place, "publish", "-"),
        "preprocess": lambda: work_off(place, overseer, "preprocess"),
        "worker": lambda: work_off(place, overseer, "worker"),
        "gateway": lambda: serve_once(place),
        "reader": lambda: in_process(place, "results", "--format", "jsonl"),
        "replay": lambda: in_process(place, "dead-letters", "replay", "--all", "--set", 'tenant="default"'),
    }
    done = {}
    for who, step in steps.items():
        bob.may(*RIGHTS[who])
        done[who] = step()
    return done


def serve_once(place: Installation) -> tuple[int, str]:
    """A gateway that gets ready, so it can read and publish; its exit code, and all that it said."""
    gateway = place.stage("gateway", LLMOS_HTTP_PORT="0")
    gateway.start()
    return gateway.terminate(), gateway.log


def in_process(place: Installation, *arguments: str, **changes: str) -> tuple[int, str]:
    """The command line, without the start of a process."""
    done = CliRunner().invoke(app, arguments, input=JOBS, env={**place.environment, **changes})
    return done.exit_code, done.output


def test_the_guide_lists_the_same_rights_as_table_and_as_commands() -> None:
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (topic|group) `([^`*]+)(\*?)` \|", GUIDE.read_text("utf-8"), re.MULTILINE)
    listed = {
        (who, Right(right, kind, name.replace("moderation-en-zh", NAME), bool(star))) for who, right, kind, name, star in rows
    }
    assert listed == {(who, right) for who, rights in RIGHTS.items() for right in rights}


def test_each_process_does_its_work_with_its_own_rights_alone(flow: dict[str, tuple[int, str]]) -> None:
    assert {who: code for who, (code, _) in flow.items()} == dict.fromkeys(RIGHTS.keys() - {"canary"}, 0)
    assert sorted(re.findall(r'"verdict":"(\w+)"', flow["reader"][1])) == ["allow", "block"]
    assert "1 replayed" in flow["replay"][1]


def test_an_idempotent_producer_needs_no_right_but_to_write(place: Installation, flow: dict[str, tuple[int, str]]) -> None:
    assert place.settings.kafka_idempotence
    assert not [right for rights in RIGHTS.values() for right in rights if right.operation == "IdempotentWrite"]


def test_no_password_is_in_logs_metrics_or_output_at_debug_level(flow: dict[str, tuple[int, str]]) -> None:
    assert all("bob-secret" not in said for _, said in flow.values())


STAGES: Final = ("preprocess", "worker", "gateway")
REPLIES: Final = "llmos.replies."
NEEDED: Final = {who: [right for right in RIGHTS[who] if right.name != REPLIES] for who in STAGES}
"""Without a right to write replies they are skipped, and no more."""


@pytest.mark.parametrize("who", NEEDED)
def test_a_stage_without_rights_names_each_of_them_and_stops(place: Installation, bob: Bob, who: Any) -> None:
    bob.may()
    stage = place.stage(who, f"{who}-without-rights", LLMOS_INSTANCE_ID=who, LLMOS_HTTP_PORT="0")
    stage.launch()
    assert stage.wait() == REFUSED, stage.log
    named = set(re.findall(r"(Read|Write) on (topic|group) ([a-z.-]+)", stage.log.replace(f".{NAME}.", ".")))
    assert named == {(right.operation, right.kind, right.name.replace(f".{NAME}.", ".")) for right in NEEDED[who]}


@pytest.mark.parametrize(("who", "lost"), [(who, right) for who, rights in NEEDED.items() for right in rights], ids=str)
def test_one_missing_right_is_enough_to_be_named(place: Installation, bob: Bob, who: str, lost: Right) -> None:
    bob.may(*(right for right in RIGHTS[who] if right != lost))
    reads = [right.name for right in NEEDED[who] if (right.operation, right.kind) == ("Read", "topic")]
    writes = [right.name for right in NEEDED[who] if right.operation == "Write"]
    group = next((right.name for right in NEEDED[who] if right.kind == "group"), None)
    with pytest.raises(ConfigurationError, match=rf"bob lacks rights: {lost.operation} on {lost.kind} {re.escape(lost.name)};"):
        admit(place.settings, reads=reads, writes=writes, group=group)


@pytest.mark.parametrize(
    ("who", "lost", "command"),
    [
        ("publisher", "Write topic llmos.jobs", "publish -"),
        ("reader", "Read topic llmos.results", "results"),
        ("reader", "Read topic llmos.flagged", "results --flagged"),
        ("reader", "Read topic llmos.dead-letters", "dead-letters list"),
        ("admin", "Create topic llmos.*", "topics create"),
        ("admin", "Describe group llmos-*", "topics describe"),
        ("replay", "Read topic llmos.dead-letters", "dead-letters replay --all"),
        ("replay", "Read topic llmos.replays", "dead-letters replay --all"),
        ("replay", "Write topic llmos.replays", "dead-letters replay --all --again"),
        ("replay", "Write topic llmos.jobs", "dead-letters replay --all --again"),
    ],
)
def test_a_command_without_one_of_its_rights_says_so_and_stops(
    place: Installation, bob: Bob, flow: object, who: str, lost: str, command: str
) -> None:
    kept = [right for right in RIGHTS[who] if str(right) != lost]
    assert len(kept) == len(RIGHTS[who]) - 1
    bob.may(*kept)
    prefix = "llmos.more" if command == "topics create" else "llmos"
    code, said = in_process(place, *command.split(), LLMOS_TOPIC_PREFIX=prefix)
    assert code == REFUSED, said
    assert re.search(r"AuthorizationFailed|may not read it|no right to create", said), said


CANARIES: Final = {"LLMOS_CANARY_EVERY_S": "1", "LLMOS_CANARY_WITHIN_S": "10"}


@pytest.mark.parametrize("who", NEEDED)
def test_where_canaries_are_on_their_rights_are_needed_too(place: Installation, bob: Bob, flow: object, who: Any) -> None:
    bob.may(*RIGHTS[who])
    stage = place.stage(who, f"{who}-without-canaries", LLMOS_INSTANCE_ID=who, LLMOS_HTTP_PORT="0", **CANARIES)
    stage.launch()
    assert stage.wait() == REFUSED, stage.log
    missing = [right for right in RIGHTS["canary"] if right not in RIGHTS[who]]
    assert all(f"{right.operation} on {right.kind} {right.name}" in stage.log for right in missing), stage.log


def test_with_their_rights_canaries_get_their_answers(place: Installation, bob: Bob, flow: object) -> None:
    bob.may(*RIGHTS["preprocess"], *RIGHTS["worker"], *RIGHTS["canary"])
    port = str(free_port())
    stages = place.stage("preprocess", "preprocess-of-canaries", LLMOS_METRICS_PORT=port, **CANARIES), place.stage("worker")
    for stage in stages:
        stage.start()
    wait_until(lambda: in_process(place, "health", "--port", port)[0] == 0, lambda: stages[0].log)
    bob.may(*RIGHTS["canary"])
    for stage in stages:
        stage.stop()
    assert in_process(place, "canary", "--within", "1")[0] == TIMEOUT, "nobody works, but it could ask"


@pytest.mark.parametrize("who", NEEDED)
def test_a_right_that_is_taken_away_ends_the_stage(place: Installation, bob: Bob, flow: object, who: Any) -> None:
    bob.may(*RIGHTS[who])
    stage = place.stage(who, f"{who}-robbed", LLMOS_INSTANCE_ID=who, LLMOS_HTTP_PORT="0")
    stage.start()
    wait_until(lambda: "assigned 1 partition" in stage.log or "listening at" in stage.log, lambda: stage.log)
    bob.may(*(right for right in RIGHTS[who] if (right.operation, right.kind) != ("Read", "topic")))
    assert stage.wait() == REFUSED, stage.log
    assert "TopicAuthorizationFailedError" in stage.log


def test_a_right_that_is_lost_between_two_fetches_is_noticed_too(place: Installation, bob: Bob, flow: object) -> None:
    work = next(right for right in RIGHTS["worker"] if (right.operation, right.kind) == ("Read", "topic"))
    bob.may(*RIGHTS["worker"])
    with closing(KafkaConsumer(**options.consumer(place.settings))) as consumer:
        topic = TopicPartition(next(topic for topic in consumer.topics() if topic.startswith(work.name)), 0)
        consumer.assign([topic])
        consumer.seek(topic, 0)
        bob.may(*(right for right in RIGHTS["worker"] if right != work))
        with pytest.raises(TopicAuthorizationFailedError):  # the look-up of its leader; from here on nothing is fetched
            consumer._net.run(consumer._manager.wait_for, consumer._cluster.request_update(), None)
        assert consumer.poll(timeout_ms=500) == {}
        with pytest.raises(TopicAuthorizationFailedError):
            options.poll(consumer, timeout_ms=500)


@pytest.mark.parametrize("connection_", ["SCRAM-SHA-256", "SCRAM-SHA-512", "TLS"])
def test_every_client_connects(kafka: Secured, common: dict[str, str], tmp_path: Path, flow: object, connection_: str) -> None:
    secured = sasl(kafka, "alice", connection_) | {"LLMOS_KAFKA_SASL_PASSWORD": "alice-secret"}
    if connection_ == "TLS":
        secured = {
            "LLMOS_KAFKA_BOOTSTRAP": kafka.tls,
            "LLMOS_KAFKA_SECURITY_PROTOCOL": "SSL",
            "LLMOS_KAFKA_SSL_CA_FILE": str(kafka.ca_file),
        }
    with installation({**common, **secured}, tmp_path) as place:
        place.stage("preprocess").start()
        with JobPublisher(place.settings) as publisher:
            publisher.publish(TextJob(text="hello friend"))
        wait_until(lambda: _caught_up(place, 0), "preprocess to work all off")


def test_a_certificate_for_another_name_is_refused(place: Installation) -> None:
    port = place.settings.kafka_bootstrap.rpartition(":")[2]
    alias = f"127.1:{port}"  # the same address, under a name that the certificate does not hold
    done = place.llmos("topics", "describe", LLMOS_KAFKA_BOOTSTRAP=alias)
    assert (done.returncode, "not valid for '127.1'" in done.stderr) == (REFUSED, True), done.stderr


def test_preprocess_refuses_such_a_certificate_too(place: Installation) -> None:
    options = connection(place.settings)
    port = int(options.pop("bootstrap_servers")[0].rpartition(":")[2])
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for '127\.1'"):
        asyncio.run(create_conn("127.1", port, **options))
    context = faust_options(place.settings, "")["broker_credentials"].ssl_context
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    ("mechanism", "command"),
    [
        ("SCRAM-SHA-512", "topics describe"),
        ("SCRAM-SHA-256", "results"),
        ("PLAIN", "publish -"),
        ("PLAIN", "preprocess"),
        ("PLAIN", "worker"),
        ("PLAIN", "gateway --http-port 0"),
    ],
)
def test_a_wrong_password_is_named_at_once_and_never_shown(place: Installation, mechanism: str, command: str) -> None:
    wrong = {"LLMOS_KAFKA_SASL_PASSWORD_FILE": "", "LLMOS_KAFKA_SASL_PASSWORD": WRONG, "LLMOS_KAFKA_SASL_MECHANISM": mechanism}
    patient = {"LLMOS_KAFKA_REQUEST_TIMEOUT_MS": "300000", "LLMOS_KAFKA_DELIVERY_TIMEOUT_MS": "400000"}
    done = place.llmos(*command.split(), stdin=JOBS, **wrong, **patient)
    assert done.returncode == REFUSED, done.stderr
    assert "SaslAuthenticationFailed" in done.stderr
    assert WRONG not in done.stdout + done.stderr


HURRY: Final = {"LLMOS_KAFKA_REQUEST_TIMEOUT_MS": "1000", "LLMOS_KAFKA_DELIVERY_TIMEOUT_MS": "2000"}
NOBODY: Final = {"LLMOS_TOPIC_PREFIX": "nobody", **HURRY}


@pytest.mark.parametrize("who", NEEDED)
def test_a_stage_waits_for_its_topics_creates_none_and_stops(overseer: Installation, who: Any) -> None:
    stage = overseer.stage(who, f"{who}-without-topics", LLMOS_HTTP_PORT="0", **NOBODY)
    stage.launch()
    assert stage.wait() == REFUSED, stage.log
    assert "create them with `llmos topics create" in stage.log
    assert not {topic for topic in overseer.topics() if topic.startswith("nobody")}


@pytest.mark.parametrize("command", ["publish -", "results", "dead-letters list"])
def test_no_command_creates_a_topic_that_it_misses(overseer: Installation, command: str) -> None:
    code, _ = in_process(overseer, *command.split(), **NOBODY)
    assert code != 0
    assert not {topic for topic in overseer.topics() if topic.startswith("nobody")}
