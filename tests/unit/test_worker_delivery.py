"""Delivery: done means confirmed by the broker, in time; a reply to a topic that is not there is skipped and counted."""

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, NotEnoughReplicasError, TopicAuthorizationFailedError

from pipeline import metrics
from pipeline.outgoing import Outgoing
from pipeline.settings import Settings
from schemas.errors import TransientError
from tests.support.fake_kafka import FakeKafka
from workers import delivery as delivery_module
from workers.delivery import Deliverer

RESULT = Outgoing("llmos.results", b"one", b"{}")
REPLY = Outgoing("llmos.replies.shop", b"one", b"{}", optional=True)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka(**{"llmos.results": 2, "llmos.dead-letters": 1})
    kafka.install(monkeypatch)
    return kafka


@pytest.fixture
def deliverer(kafka: FakeKafka) -> Deliverer:
    return Deliverer(Settings(kafka_bootstrap="broker:9092"))


def test_what_is_delivered_lies_on_its_topic_with_its_key(kafka: FakeKafka, deliverer: Deliverer) -> None:
    deliverer.deliver([RESULT, Outgoing("llmos.dead-letters", None, b"letter")])
    assert [(record.key, record.value) for record in kafka.records("llmos.results")] == [(b"one", b"{}")]
    assert [(record.key, record.value) for record in kafka.records("llmos.dead-letters")] == [(None, b"letter")]


def test_a_record_goes_out_with_its_headers(kafka: FakeKafka, deliverer: Deliverer) -> None:
    headers = (("h", b"1"), ("h", b"2"))
    deliverer.deliver([Outgoing("llmos.dead-letters", None, b"letter", headers=headers), RESULT])
    assert [record.headers for record in kafka.records("llmos.dead-letters")] == [headers]
    assert [record.headers for record in kafka.records("llmos.results")] == [()]


def test_nothing_to_deliver_is_delivered(deliverer: Deliverer) -> None:
    deliverer.deliver([])


@pytest.mark.parametrize("error", [NotEnoughReplicasError(), KafkaTimeoutError("expired")])
def test_a_record_that_is_refused_for_now_is_transient(kafka: FakeKafka, deliverer: Deliverer, error: Exception) -> None:
    kafka.refused["llmos.results"] = error
    with pytest.raises(TransientError, match="not confirmed in 60 s"):
        deliverer.deliver([RESULT])


def test_a_record_that_nobody_confirms_is_transient(kafka: FakeKafka, deliverer: Deliverer) -> None:
    kafka.holding = True
    with pytest.raises(TransientError, match="not confirmed"):
        deliverer.deliver([RESULT])


def test_a_client_that_cannot_even_send_is_transient(kafka: FakeKafka, deliverer: Deliverer) -> None:
    def unreachable(name: str) -> None:
        if name == "send":
            raise KafkaTimeoutError("no metadata")

    kafka.step = unreachable
    with pytest.raises(TransientError, match="no metadata"):
        deliverer.deliver([RESULT])


def test_a_reply_goes_out_where_its_topic_exists(kafka: FakeKafka, deliverer: Deliverer) -> None:
    kafka.topics["llmos.replies.shop"] = [[]]
    deliverer.deliver([RESULT, REPLY])
    assert kafka.values("llmos.replies.shop") == [b"{}"]


def test_a_reply_to_a_topic_that_is_not_there_is_skipped_and_counted(kafka: FakeKafka, deliverer: Deliverer) -> None:
    before = metrics.REPLIES_SKIPPED._value.get()
    deliverer.deliver([RESULT, REPLY, REPLY])
    assert metrics.REPLIES_SKIPPED._value.get() == before + 2
    assert len(kafka.records("llmos.results")) == 1


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), MessageSizeTooLargeError(), KafkaTimeoutError("expired")])
def test_a_reply_topic_that_takes_no_reply_stops_nobody(kafka: FakeKafka, deliverer: Deliverer, error: Exception) -> None:
    kafka.topics["llmos.replies.shop"] = [[]]
    kafka.refused["llmos.replies.shop"] = error
    before = metrics.REPLIES_SKIPPED._value.get()
    deliverer.deliver([REPLY, RESULT])
    assert metrics.REPLIES_SKIPPED._value.get() == before + 1
    assert len(kafka.records("llmos.results")) == 1


def test_the_list_of_topics_is_asked_for_at_most_so_often(
    kafka: FakeKafka, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    now = [1000.0]
    monkeypatch.setattr(delivery_module.time, "monotonic", lambda: now[0])
    kafka.step = lambda name: asked.append(name) if name == "list_topics" else None
    for seconds in (0, 1, 10, delivery_module._TOPICS_KNOWN_S, 1):
        now[0] += seconds
        deliverer.deliver([REPLY])
    assert len(asked) == 2


def test_a_record_that_is_not_optional_goes_out_whatever_the_list_says(kafka: FakeKafka, deliverer: Deliverer) -> None:
    asked: list[str] = []
    kafka.step = lambda name: asked.append(name) if name == "list_topics" else None
    deliverer.deliver([RESULT])
    assert not asked


def test_no_broker_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(**_: object) -> object:
        raise KafkaTimeoutError("Unable to bootstrap")

    monkeypatch.setattr(delivery_module, "KafkaProducer", nobody)
    with pytest.raises(TransientError, match="Unable to bootstrap"):
        Deliverer(Settings(kafka_bootstrap="broker:9092"))


def test_the_producer_is_set_to_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(delivery_module, "KafkaProducer", lambda **options: given.update(options))
    monkeypatch.setattr(delivery_module, "KafkaAdminClient", lambda **_: None)
    Deliverer(Settings(kafka_bootstrap="broker:9092"))
    assert (given["acks"], given["enable_idempotence"], given["delivery_timeout_ms"]) == ("all", True, 60_000)


def test_closing_closes_both_clients(deliverer: Deliverer) -> None:
    deliverer.close()
    assert (deliverer._producer.closed, deliverer._admin.closed) == (True, True)


def test_a_client_that_cannot_close_hides_no_other_error(deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(**_: object) -> None:
        raise KafkaTimeoutError("still flushing")

    monkeypatch.setattr(deliverer._producer, "close", late)
    deliverer.close()
