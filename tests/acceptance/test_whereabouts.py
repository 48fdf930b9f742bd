"""A run that misses jobs tells where they were last."""

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from pipeline.settings import Settings
from tests.acceptance.whereabouts import whereabouts
from tests.support.fake_kafka import FakeKafka
from tests.support.work import ToyWorker


def test_every_record_that_names_a_job_is_told_with_what_its_readers_have_committed(
    toy_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings.model_copy(update={"kafka_bootstrap": "broker:9092"})
    worker = ToyWorker(settings)
    kafka = FakeKafka(**{settings.jobs_topic: 2, worker.topic: 1, settings.results_topic: 1, settings.dead_letters_topic: 1})
    kafka.install(monkeypatch)
    kafka.append(settings.jobs_topic, b'[{"job_id":"other"}]', partition=1)
    kafka.append(settings.jobs_topic, b'[{"job_id":"lost"},{"job_id":"worked"}]', partition=1)
    kafka.append(worker.topic, worker.pack("worked"), partition=0)
    kafka.append(settings.dead_letters_topic, b"{}", key=b"buried")
    kafka.committed[settings.preprocess_group][TopicPartition(settings.jobs_topic, 1)] = OffsetAndMetadata(2, "", -1)

    found = whereabouts(settings, ["lost", "worked", "buried", "never sent"])

    job = f"{settings.jobs_topic}, partition 1, offset 1, at 1000 ms; {settings.preprocess_group} has committed 2"
    work = f"{worker.topic}, partition 0, offset 0, at 1000 ms; {worker.group} has committed 0"
    assert found["lost"] == [job]
    assert sorted(found["worked"]) == sorted([job, work])
    assert found["buried"] == [f"{settings.dead_letters_topic}, partition 0, offset 0, at 1000 ms"]
    assert found["never sent"] == []
    assert whereabouts(settings, []) == {}
