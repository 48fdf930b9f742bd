"""A running system tells Prometheus all that its dashboards and alerts ask for."""

import httpx
import pytest
from prometheus_client import Metric

from pipeline.embedded import free_port
from pipeline.publish import JobPublisher
from pipeline.topics import create_topics
from schemas.jobs import TextJob
from tests.support.dashboards import Selector, asked, selectors
from tests.support.exposition import declared, families
from tests.support.ledger import open_ledger, raw_producer
from tests.support.processes import Installation
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

JOBS = 300
TEXTS = ("hello friend", "you idiot", "this is shit")
CANARIES = {"LLMOS_CANARY_EVERY_S": "3600", "LLMOS_CANARY_WITHIN_S": "120", "LLMOS_CANARY_BAD_TEXT": TEXTS[1]}
"""One of each kind, and no more while the test runs."""
OF_PROMETHEUS = {"job", "instance"}
"""Labels that it adds itself."""
ONLY_ON_A_GPU = {"llmos_gpu_memory_used_bytes", "llmos_gpu_memory_bytes"}


class Scraped:
    """What the processes told, by metric and by series."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports

    def families(self, stage: str) -> list[Metric]:
        """Of one process."""
        reply = httpx.get(f"http://127.0.0.1:{self._ports[stage]}/metrics", timeout=20)
        return list(families(reply.raise_for_status().text))

    def value(self, process: str, name: str, /, **labels: str) -> float | None:
        """The sum of such series in one process; None where there is none."""
        samples = [one for family in self.families(process) for one in family.samples if one.name == name]
        fitting = [one.value for one in samples if labels.items() <= one.labels.items()]
        return sum(fitting) if fitting else None

    def everything(self) -> tuple[set[str], dict[str, list[dict[str, str]]]]:
        """Names of all families, and the labels of all series by name."""
        names, series = set[str](), dict[str, list[dict[str, str]]]()
        for stage in self._ports:
            for family in self.families(stage):
                names.add(family.name)
                for one in family.samples:
                    series.setdefault(one.name, []).append(dict(one.labels))
        return names, series


@pytest.fixture(scope="module")
def scraped(place: Installation) -> Scraped:
    """Preprocess, a worker and a gateway, each of which has had something to do of every kind."""
    create_topics(place.settings, [f"{place.settings.reply_prefix}gateway"])
    ports = {stage: free_port() for stage in ("preprocess", "worker", "gateway")}
    http_port = free_port()
    stages = [  # the gateway first: until it has its port, anybody may take it
        place.stage("gateway", LLMOS_METRICS_PORT=str(ports["gateway"]), LLMOS_HTTP_PORT=str(http_port)),
        place.stage("preprocess", LLMOS_METRICS_PORT=str(ports["preprocess"])),
        place.stage("worker", LLMOS_METRICS_PORT=str(ports["worker"]), **CANARIES),
    ]
    for stage in stages:
        stage.launch()
    for stage in stages:
        stage.wait_until_ready()
    _work(place)
    _ask(http_port)
    scraped = Scraped(ports)
    wait_until(lambda: scraped.value("worker", "llmos_canary_seconds_count") == 2, "both canaries' answers")
    return scraped


def _work(place: Installation) -> None:
    jobs = [TextJob(job_id=f"job-{number}", text=TEXTS[number % len(TEXTS)]) for number in range(JOBS)]
    stranger = TextJob(job_id="stranger", text="hello", tenant="nobody")
    with open_ledger(place.settings) as ledger, JobPublisher(place.settings) as publisher:
        publisher.publish_many([*jobs, stranger])
        publisher.flush()
        with raw_producer(place.settings) as producer:
            (work,) = [topic for topic in place.topics() if topic.startswith(f"{place.settings.topic_prefix}.work.")]
            producer.send(work, b"damaged").get(10)
        ledger.wait_for([job.job_id for job in [*jobs, stranger]])
        wait_until(lambda: ledger.settle() or any(letter.job_id is None for letter in ledger.dead), "the damaged record's end")
        replayed = place.llmos("dead-letters", "replay", "stranger", "--set", 'tenant="default"')
        assert replayed.returncode == 0, replayed.stderr
        wait_until(lambda: ledger.settle() or "stranger" in ledger.results, "the replay's result")


def _ask(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert client.post("/v1/moderations", json={"input": "you idiot"}).json()["results"][0]["flagged"]
        accepted = client.post("/v1/jobs", json={"jobs": [{"text": "hello"}]}).raise_for_status().json()["data"]
        wait_until(lambda: client.get(f"/v1/jobs/{accepted[0]['id']}").json()["status"] == "done", "the outcome")


def test_every_metric_that_a_dashboard_or_an_alert_names_is_there_with_its_labels(scraped: Scraped) -> None:
    wanted = {one for text in asked() for one in selectors(text) if one.name not in ONLY_ON_A_GPU}

    def missing() -> set[Selector]:
        _, series = scraped.everything()
        return {one for one in wanted if not any(fits(one, labels) for labels in series.get(one.name, []))}

    wait_until(lambda: not missing(), lambda: str(missing()))
    names, _ = scraped.everything()
    there = {metric.family for metric in declared() if {metric.family, *metric.names} & names}
    assert there == {metric.family for metric in declared()}, "those of GPUs too, though no GPU is here"


def fits(one: Selector, labels: dict[str, str]) -> bool:
    """Whether a series with these labels is one that is asked for; job and instance are Prometheus' own."""
    values = {label: value for label, value in one.values if label not in OF_PROMETHEUS}
    return one.labels - OF_PROMETHEUS <= labels.keys() and values.items() <= labels.items()


def test_a_series_that_lacks_a_label_or_has_another_value_does_not_fit() -> None:
    one = Selector("llmos_score_bucket", frozenset({"model", "le", "job"}), (("le", "0.5"), ("job", "worker")))
    assert fits(one, {"model": "toy", "le": "0.5"})
    assert not fits(one, {"model": "toy", "le": "0.50"})
    assert not fits(one, {"le": "0.5"})


def test_the_figures_are_those_of_the_jobs(scraped: Scraped) -> None:
    jobs = JOBS + 3  # the replayed one, and two of the gateway's
    assert scraped.value("preprocess", "llmos_jobs_received_total", task="moderation", tenant="default") == jobs
    assert scraped.value("preprocess", "llmos_jobs_replayed_total") == 1
    assert scraped.value("preprocess", "llmos_jobs_dead_total", stage="preprocess", code="unknown_tenant") == 1
    assert scraped.value("preprocess", "llmos_stage_seconds_count", part="wait") == jobs + 2  # canaries
    assert scraped.value("worker", "llmos_jobs_done_total", model="toy", tenant="default") == jobs
    assert scraped.value("worker", "llmos_jobs_done_total", verdict="review") == JOBS / 3
    assert scraped.value("worker", "llmos_jobs_dead_total", stage="worker", code="work_corrupt") == 1
    assert scraped.value("worker", "llmos_stage_seconds_count", part="queue") == jobs + 2
    assert scraped.value("worker", "llmos_score_count", model="toy", label="insult") == jobs + 2
    assert scraped.value("worker", "llmos_score_bucket", model="toy", label="profanity", le="0.5") == jobs + 2 - JOBS / 3
    assert scraped.value("worker", "llmos_batch_rows_total", model="toy") >= jobs


@pytest.mark.parametrize("stage", ["preprocess", "worker"])
def test_nothing_is_in_hand_and_nothing_waits_once_all_is_done(scraped: Scraped, stage: str) -> None:
    names = ("llmos_records_in_flight", "llmos_oldest_waiting_seconds", "llmos_lag_records")

    def found() -> list[float | None]:
        return [scraped.value(stage, name, stage=stage) for name in names]

    wait_until(lambda: found() == [0, 0, 0], lambda: f"{found()}")
