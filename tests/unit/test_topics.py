"""Topics: all that the settings ask for, made once, with the right options; and how far each group has read."""

from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.errors import CoordinatorNotAvailableError, InvalidConfigurationError, KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from pipeline import topics as topics_module
from pipeline.settings import Settings
from pipeline.topics import REPLY_PARTITIONS, create_topics, describe_topics, wanted_topics, work_topics
from schemas.errors import BundleError, ConfigurationError, TransientError
from tests.support.fake_kafka import FakeKafka
from tests.support.toy import NAME


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka()
    kafka.install(monkeypatch)
    return kafka


@pytest.fixture
def settings(toy_settings: Settings) -> Settings:
    return toy_settings.model_copy(update={"kafka_bootstrap": "broker:9092", "topic_partitions": 4})


def work(settings: Settings) -> str:
    (topic,) = work_topics(settings).values()
    return topic


def test_every_topic_of_the_system_is_created(kafka: FakeKafka, settings: Settings) -> None:
    created, there = create_topics(settings)
    names = {"llmos.jobs", work(settings), "llmos.results", "llmos.flagged", "llmos.dead-letters", "llmos.replays"}
    names.add("llmos.replies.canary")
    assert set(created) == names == set(kafka.topics)
    assert there == []
    assert {len(partitions) for partitions in kafka.topics.values()} == {4}


def test_the_work_topic_names_model_and_tokenizer(settings: Settings) -> None:
    (model, topic), *others = work_topics(settings).items()
    assert (model, others) == (NAME, [])
    assert topic.startswith(f"llmos.work.{NAME}.")


def test_what_is_there_stays_as_it_is(kafka: FakeKafka, settings: Settings) -> None:
    kafka.topics["llmos.results"] = [[], []]
    created, there = create_topics(settings)
    assert there == ["llmos.results"]
    assert "llmos.results" not in created
    assert len(kafka.topics["llmos.results"]) == 2
    assert create_topics(settings)[0] == []


def test_each_topic_has_its_options(kafka: FakeKafka, settings: Settings) -> None:
    changed = {"topic_retention_hours": 2, "dead_letter_retention_hours": 5, "record_bytes_max": 10_000_000}
    create_topics(settings.model_copy(update=changed))
    configs = {name: asked["configs"] for name, asked in kafka.asked.items()}
    assert configs["llmos.results"] == {"retention.ms": "7200000", "max.message.bytes": "10000000"}
    assert configs["llmos.dead-letters"] == {"retention.ms": "18000000", "max.message.bytes": "20000000"}
    assert configs["llmos.jobs"]["message.timestamp.type"] == "LogAppendTime"
    assert configs["llmos.replays"]["retention.ms"] == "18000000"


def test_a_gateways_reply_topic_is_small_and_short_lived(kafka: FakeKafka, settings: Settings) -> None:
    created, _ = create_topics(settings, ["llmos.replies.one", "llmos.replies.two"])
    assert created[-2:] == ["llmos.replies.one", "llmos.replies.two"]
    asked = kafka.asked["llmos.replies.one"]
    assert asked["num_partitions"] == REPLY_PARTITIONS
    limits = {"retention.ms": "86400000", "max.message.bytes": kafka.asked["llmos.dead-letters"]["configs"]["max.message.bytes"]}
    assert asked["configs"] == limits
    assert create_topics(settings)[0] == []


def test_reply_topics_that_there_are_are_described_and_none_is_missed(kafka: FakeKafka, settings: Settings) -> None:
    create_topics(settings, ["llmos.replies.one"])
    described, _ = describe_topics(settings)
    assert [topic.name for topic in described if "replies" in topic.name] == [
        "llmos.replies.canary",
        "llmos.replies.one",
    ]
    assert all(topic.partitions for topic in described)


@pytest.mark.parametrize(("replication", "expected"), [(1, None), (2, None), (3, "2")])
def test_with_three_copies_two_must_have_a_record(settings: Settings, replication: int, expected: str | None) -> None:
    wanted = wanted_topics(settings.model_copy(update={"topic_replication": replication}))
    assert {topic.configs.get("min.insync.replicas") for topic in wanted} == {expected}
    assert {topic.replication for topic in wanted} == {replication}


def test_somebody_who_was_quicker_is_no_trouble(kafka: FakeKafka, settings: Settings) -> None:
    kafka.step = lambda name: kafka.topics.setdefault("llmos.flagged", [[]]) if name == "create_topics" else None
    create_topics(settings)
    assert "llmos.replays" in kafka.topics
    assert len(kafka.topics["llmos.flagged"]) == 1


def test_a_broker_that_refuses_an_option_is_quoted(kafka: FakeKafka, settings: Settings) -> None:
    kafka.refused["llmos.jobs"] = InvalidConfigurationError("max.message.bytes is too large")
    with pytest.raises(ConfigurationError, match=r"llmos\.jobs.*max\.message\.bytes is too large"):
        create_topics(settings)


def test_a_broker_that_does_not_answer_is_transient(kafka: FakeKafka, settings: Settings) -> None:
    def away(_: str) -> None:
        raise KafkaTimeoutError("away")

    kafka.step = away
    with pytest.raises(TransientError, match="away"):
        create_topics(settings)


def test_no_broker_is_transient(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    def nobody(**_: object) -> object:
        raise KafkaTimeoutError("Unable to bootstrap")

    monkeypatch.setattr(topics_module, "KafkaAdminClient", nobody)
    with pytest.raises(TransientError, match="Unable to bootstrap"):
        create_topics(settings)


def test_the_client_is_closed_whatever_happens(kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(topics_module, "KafkaAdminClient", lambda **options: made.append(kafka.admin(**options)) or made[-1])
    kafka.refused["llmos.jobs"] = InvalidConfigurationError("no")
    with pytest.raises(ConfigurationError):
        create_topics(settings)
    assert [client.closed for client in made] == [True]


def test_a_route_to_a_model_that_is_not_there_makes_no_topic(kafka: FakeKafka, settings: Settings, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text('[[routes]]\ntask = "moderation"\nmodel = "absent"\n')
    with pytest.raises(BundleError, match="absent"):
        create_topics(settings.model_copy(update={"routes_file": routes}))
    assert not kafka.topics


def test_the_description_tells_what_is_missing_and_who_is_behind(kafka: FakeKafka, settings: Settings) -> None:
    create_topics(settings)
    del kafka.topics["llmos.flagged"]
    for number in range(5):
        kafka.append("llmos.jobs", b"{}", partition=number % 2)
    kafka.append(work(settings), b"", partition=3)
    kafka.committed[settings.preprocess_group][TopicPartition("llmos.jobs", 0)] = OffsetAndMetadata(2, "", -1)
    described, lags = describe_topics(settings)
    assert {topic.name: (topic.partitions, topic.records) for topic in described}["llmos.jobs"] == (4, 5)
    assert [topic.name for topic in described if topic.partitions == 0] == ["llmos.flagged"]
    assert {(lag.group, lag.committed, lag.end, lag.behind) for lag in lags} == {
        (settings.preprocess_group, 2, 5, 3),
        (settings.worker_group(NAME), 0, 1, 1),
    }


def test_what_waits_in_the_work_topic_of_an_earlier_tokenizer_is_seen(kafka: FakeKafka, settings: Settings) -> None:
    create_topics(settings)
    earlier = f"llmos.work.{NAME}.0123abcd"
    kafka.topics[earlier] = [[], []]
    kafka.topics[f"llmos.work.{NAME}.large.0123abcd"] = [[]]  # of another model
    kafka.append(earlier, b"", partition=1)
    described, lags = describe_topics(settings)
    assert [(topic.name, topic.records) for topic in described if "0123abcd" in topic.name] == [(earlier, 1)]
    assert [(lag.group, lag.behind) for lag in lags if lag.topic == earlier] == [(settings.worker_group(NAME), 1)]


def test_a_broker_that_never_had_a_group_is_asked_again(
    kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [CoordinatorNotAvailableError(), CoordinatorNotAvailableError()]

    def not_yet(name: str) -> None:
        if name == "list_group_offsets" and refusals:
            raise refusals.pop()

    create_topics(settings)
    monkeypatch.setattr(topics_module.time, "sleep", lambda _: None)
    kafka.step = not_yet
    _, lags = describe_topics(settings)
    assert [lag.behind for lag in lags] == [0, 0]
    assert not refusals
