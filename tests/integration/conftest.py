"""An installation a module: topics of its own on the broker of the run, processes that its tests share."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from pipeline.topics import create_topics
from tests.support.ledger import Ledger, open_ledger
from tests.support.processes import Installation, Stage, installation

SESSION_TIMEOUT_MS = "6000"
"""The shortest that Apache Kafka allows: a killed process without a stable name is missed after so long."""
EMBEDDED_SESSION_TIMEOUT_MS = "3000"
"""On the embedded broker, where joining a group takes half of it and more."""
PARTITIONS = "3"


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest,
    broker_environment: dict[str, str],
    toy_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """Topics for this module alone, and the toy model; nothing runs yet."""
    embedded = "LLMOS_STATE_DIR" in broker_environment
    module = request.module.__name__.rpartition(".")[2]
    ours = {
        "LLMOS_TOPIC_PREFIX": f"{module}-{uuid4().hex[:8]}",
        "LLMOS_TOPIC_PARTITIONS": PARTITIONS,
        "LLMOS_KAFKA_SESSION_TIMEOUT_MS": EMBEDDED_SESSION_TIMEOUT_MS if embedded else SESSION_TIMEOUT_MS,
        "LLMOS_WORKER_PROVIDER": "cpu",
        "LLMOS_WORKER_THREADS": "1",
    }
    with installation({**broker_environment, **toy_environment, **ours}, tmp_path_factory.mktemp(module)) as made:
        create_topics(made.settings)
        yield made


@pytest.fixture(scope="module")
def stages(place: Installation) -> tuple[Stage, Stage]:
    """One preprocess app and one worker, ready."""
    return place.start_both()


@pytest.fixture
def ledger(place: Installation) -> Iterator[Ledger]:
    """What comes of this test's jobs."""
    with open_ledger(place.settings) as opened:
        yield opened
