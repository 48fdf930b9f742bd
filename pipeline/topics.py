"""The topics of the system: what must exist, with which options, and how far each group has read."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    AuthorizationError,
    CoordinatorNotAvailableError,
    InvalidConfigurationError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownError,
)

from pipeline import kafka as options
from pipeline.backoff import Backoff
from pipeline.bundles import open_bundle
from pipeline.refusal import failure
from pipeline.routing import load_routes
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError

_HOUR_MS = 3_600_000
_REPLICAS_SAFE = 3
REPLY_PARTITIONS = 4
"""Of a gateway's reply topic: one process reads them all, and writers share them out."""
REPLY_HOURS = 24
"""How long replies are kept; a gateway that was away for longer finds its outcomes among all others."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    replication: int
    configs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is behind on a topic."""

    group: str
    topic: str
    committed: int
    end: int

    @property
    def behind(self) -> int:
        """Records that the group has not committed yet; the embedded broker names ends too low, so never less than none."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as it is; `partitions` is 0 where it does not exist."""

    name: str
    partitions: int
    replication: int
    records: int


def work_topics(settings: Settings) -> dict[str, str]:
    """The work topic of every routed model, by model; raises ConfigurationError or BundleError."""
    models = sorted(load_routes(settings.routes_file).models)
    bundles = [open_bundle(settings.models_dir / model) for model in models]
    return {
        bundle.manifest.name: settings.work_topic(bundle.manifest.name, bundle.manifest.tokenizer.sha256) for bundle in bundles
    }


def wanted_topics(settings: Settings, reply_topics: Sequence[str] = ()) -> list[Topic]:
    """Every topic that the settings ask for, and those of gateways; that of canaries too, on or off: a person may send some."""
    hours, dead_hours = settings.topic_retention_hours, settings.dead_letter_retention_hours
    # A deadline and a missing time are judged by the broker's clock, so the broker must set the time of a job's record.
    jobs = {"message.timestamp.type": "LogAppendTime"}
    return [
        _topic(settings, settings.jobs_topic, hours, configs=jobs),
        *(_topic(settings, name, hours) for name in work_topics(settings).values()),
        _topic(settings, settings.results_topic, hours),
        _topic(settings, settings.flagged_topic, hours),
        _topic(settings, settings.dead_letters_topic, dead_hours, record_factor=2),
        _topic(settings, settings.replays_topic, dead_hours),
        _reply_topic(settings, settings.canary_topic),
        *(_reply_topic(settings, name) for name in reply_topics),
    ]


def _topic(settings: Settings, name: str, hours: int, *, configs: dict[str, str] | None = None, record_factor: int = 1) -> Topic:
    replication = settings.topic_replication
    safe = {"min.insync.replicas": "2"} if replication >= _REPLICAS_SAFE else {}
    limits = {"retention.ms": str(hours * _HOUR_MS), "max.message.bytes": str(record_factor * settings.record_bytes_max)}
    return Topic(name, settings.topic_partitions, replication, limits | safe | (configs or {}))


def _reply_topic(settings: Settings, name: str) -> Topic:
    # A dead letter is replied with as well, so a record may be as large as there.
    return replace(_topic(settings, name, REPLY_HOURS, record_factor=2), partitions=REPLY_PARTITIONS)


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An admin client; raises TransientError where no broker answers or a request fails, ConfigurationError for a refusal."""
    try:
        client = KafkaAdminClient(**options.admin(settings))
    except KafkaError as error:
        raise failure("no connection to Kafka", error) from error
    try:
        yield client
    except KafkaError as error:
        raise failure("Kafka", error) from error
    finally:
        options.close(client)


def create_topics(settings: Settings, reply_topics: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Create what is missing; returns the names (created, already there). What is there is left as it is."""
    wanted = wanted_topics(settings, reply_topics)
    with admin(settings) as client:
        there = set(client.list_topics())
        missing = [topic for topic in wanted if topic.name not in there]
        for topic in missing:
            _create(client, topic)
        _wait_until_listed(client, {topic.name for topic in missing}, Backoff(settings.kafka_request_timeout_ms / 1000))
    return [topic.name for topic in missing], [topic.name for topic in wanted if topic.name in there]


def _wait_until_listed(client: KafkaAdminClient, created: set[str], backoff: Backoff) -> None:
    """A broker may take a moment to hear from the controller of what was just created."""
    while late := created - set(client.list_topics()):
        time.sleep(backoff.after(TransientError(f"created, but not to be seen yet: {', '.join(sorted(late))}")))


def _create(client: KafkaAdminClient, topic: Topic) -> None:
    asked = {"num_partitions": topic.partitions, "replication_factor": topic.replication, "configs": topic.configs}
    try:
        client.create_topics({topic.name: asked})
    except TopicAlreadyExistsError:
        return  # another process was quicker
    except AuthorizationError as error:  # its text is the whole request and the whole answer
        raise ConfigurationError(f"no right to create {topic.name}; docs/security.md lists what each process needs") from error
    except (InvalidConfigurationError, UnknownError) as error:
        raise ConfigurationError(f"the broker refuses to create {topic.name} with {topic.configs}: {error}") from error


def describe_topics(settings: Settings) -> tuple[list[Described], list[Lag]]:
    """Every topic of the system, reply topics and work topics of earlier tokenizers that there are, and every group's lag."""
    work = work_topics(settings)
    with admin(settings) as client:
        there = set(client.list_topics())
        replies = sorted(name for name in there - {settings.canary_topic} if name.startswith(settings.reply_prefix))
        earlier = {name: model for model in work for name in sorted(there) if _is_earlier(name, model, work, settings)}
        served = {topic: model for model, topic in work.items()} | earlier
        groups = [(settings.preprocess_group, settings.jobs_topic)]
        groups += [(settings.worker_group(model), topic) for topic, model in served.items()]
        names = [topic.name for topic in wanted_topics(settings, replies)] + list(earlier)
        found = {topic["name"]: topic for topic in client.describe_topics([name for name in names if name in there])}
        ends = {name: _ends(client, name, len(topic["partitions"])) for name, topic in found.items()}
        described = [_described(name, found, ends) for name in names]
        backoff = Backoff(settings.kafka_request_timeout_ms / 1000)
        lags = [_lag(client, group, topic, ends[topic], backoff) for group, topic in groups if topic in ends]
        return described, lags


def _is_earlier(name: str, model: str, work: dict[str, str], settings: Settings) -> bool:
    """Whether `name` is a work topic of `model` with another tokenizer than now: what waits there, no worker of today takes."""
    stem = settings.work_topic(model, "")
    return name.startswith(stem) and "." not in name.removeprefix(stem) and name not in work.values()


def _described(
    name: str, found: dict[str, dict[str, list[dict[str, list[int]]]]], ends: dict[str, dict[TopicPartition, int]]
) -> Described:
    if name not in found:
        return Described(name, 0, 0, 0)
    partitions = found[name]["partitions"]
    return Described(name, len(partitions), len(partitions[0]["replica_nodes"]), sum(ends[name].values()))


def _ends(client: KafkaAdminClient, topic: str, partitions: int) -> dict[TopicPartition, int]:
    asked = {TopicPartition(topic, partition): OffsetSpec.LATEST for partition in range(partitions)}
    return {partition: found.offset for partition, found in client.list_partition_offsets(asked).items()}


def _lag(client: KafkaAdminClient, group: str, topic: str, ends: dict[TopicPartition, int], backoff: Backoff) -> Lag:
    while True:
        try:
            offsets = client.list_group_offsets({group: list(ends)}).get(group, {})
        except CoordinatorNotAvailableError as error:  # a broker without groups so far must first make room for them
            time.sleep(backoff.after(failure("Kafka", error)))
        else:
            committed = sum(max(0, found.offset) for found in offsets.values())
            return Lag(group, topic, committed, sum(ends.values()))
