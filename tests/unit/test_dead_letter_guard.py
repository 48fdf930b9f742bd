"""The dead-letter guard: most jobs of a full window must fail before it stops a stage, and then it stops in time."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.dead_letter_guard import DeadLetterGuard, guarded
from pipeline.outgoing import Outgoing
from pipeline.preprocess.prepare import Rules
from pipeline.preprocess.rules import load_rules
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.errors import DeadLetterLimitError, TransientError
from tests.support.loops import World
from tests.support.records import dead_letters, job_record, toy_stage, work_items
from workers.attempts import load_marker


def settings_of(share_max: float = 0.5, window_jobs: int = 1_000) -> Settings:
    return Settings(dead_letter_share_max=share_max, dead_letter_window_jobs=window_jobs)


def stops_at(batches: Sequence[tuple[int, int]], settings: Settings | None = None) -> int | None:
    """The number of the batch, (done, dead), at which the guard stops; None where it lets all pass."""
    guard = DeadLetterGuard(settings or settings_of())
    for number, (done, dead) in enumerate(batches):
        try:
            guard.count(done, ["empty_text"] * dead)
        except DeadLetterLimitError:
            return number
    return None


@pytest.mark.parametrize(
    ("batches", "stop"),
    [
        pytest.param([(400, 600)], 0, id="600 of 1,000 at once"),
        pytest.param([(600, 400)], None, id="400 of 1,000"),
        pytest.param([(500, 500)], None, id="half is not more than half"),
        pytest.param([(499, 501)], 0, id="one more than half"),
        pytest.param([(0, 999)], None, id="the window is not full"),
        pytest.param([(0, 1)] * 999 + [(0, 1)], 999, id="full with the last one"),
        pytest.param([(0, 0)] * 5_000, None, id="nothing at all"),
        pytest.param([(40, 60)] * 20, 9, id="batch by batch"),
        pytest.param([(100, 0)] * 100 + [(0, 100)] * 10, 105, id="a sender that changes is noticed within the window"),
        pytest.param([(100, 0), (0, 100)] * 50, None, id="half, for ever"),
        pytest.param([(0, 900), (600, 0), (600, 0), (0, 500)], None, id="what was long ago is forgotten"),
        pytest.param([(10_000, 0), (0, 500)], None, id="of a large batch only what the window holds counts"),
        pytest.param([(10_000, 0), (0, 501)], 1, id="and no more"),
        pytest.param([(0, 10_000), (501, 0)], 0, id="a batch larger than the window"),
    ],
)
def test_it_stops_where_too_many_of_the_last_jobs_are_dead(batches: list[tuple[int, int]], stop: int | None) -> None:
    assert stops_at(batches) == stop


@pytest.mark.parametrize("share_max", [0, 1])
def test_a_share_of_nothing_or_of_all_means_never(share_max: float) -> None:
    assert stops_at([(0, 5_000)] * 3, settings_of(share_max)) is None


def test_share_and_window_are_settings() -> None:
    assert stops_at([(8, 2)], settings_of(0.1, 10)) == 0
    assert stops_at([(9, 1)], settings_of(0.1, 10)) is None


def test_the_error_names_the_numbers_the_codes_and_the_way_on() -> None:
    guard = DeadLetterGuard(settings_of())
    with pytest.raises(DeadLetterLimitError) as stopped:
        guard.count(400, [Code.UNKNOWN_TENANT] * 590 + [Code.EMPTY_TEXT] * 10)
    sentence = str(stopped.value)
    assert "600 of the last 1,000 jobs are dead letters (unknown_tenant 590, empty_text 10), more than 50%" in sentence
    assert "LLMOS_DEAD_LETTER_SHARE_MAX" in sentence


@pytest.fixture(scope="module")
def rules(toy_environment: dict[str, str]) -> Rules:
    models, routes = toy_environment["LLMOS_MODELS_DIR"], toy_environment["LLMOS_ROUTES_FILE"]
    return load_rules(Settings(models_dir=Path(models), routes_file=Path(routes)))


def bulk(good: int, bad: int) -> bytes:
    jobs = ['{"text":"hello"}'] * good + ['{"text":""}'] * bad
    return f"[{','.join(jobs)}]".encode()


def test_preprocess_gives_nothing_to_deliver_where_600_of_1000_jobs_are_bad(toy_settings: Settings, rules: Rules) -> None:
    stage = toy_stage(toy_settings, rules)
    records = [job_record(bulk(200, 300), offset=number) for number in range(2)]
    with pytest.raises(DeadLetterLimitError, match="600 of the last 1,000"):
        stage.run(records)


def test_preprocess_goes_on_where_400_of_1000_jobs_are_bad(toy_settings: Settings, rules: Rules) -> None:
    stage = toy_stage(toy_settings, rules)
    output = stage.run([job_record(bulk(300, 200), offset=number) for number in range(2)])
    assert (len(work_items(output)), len(dead_letters(output))) == (600, 400)


def test_a_record_that_is_buried_whole_counts_as_one_job(toy_settings: Settings, rules: Rules) -> None:
    stage = toy_stage(toy_settings, rules)
    too_long, cut_off = bulk(0, 501), bulk(0, 400)[:-1]
    output = stage.run([job_record(too_long), job_record(cut_off)] * 300)
    assert len(dead_letters(output)) == 600


def worker_of(world: World, settings: Settings) -> tuple[type[Exception] | None, int]:
    """How a worker ends that buries every job called bad, and how many dead letters it has delivered."""
    loop = world.loop()
    score = loop.score

    def with_letters(records: Sequence[object]) -> list[Outgoing]:
        return [
            Outgoing("dead", out.key, b'{"code":"inference_failed"}') if out.key and out.key.startswith(b"bad") else out
            for out in score(records)  # type: ignore[arg-type]
        ]

    loop.score = with_letters  # type: ignore[assignment]
    topics = {"dead_letters_topic": "dead", "results_topic": "results"}
    loop.deliver = guarded(loop.deliver, SimpleNamespace(**settings.model_dump(), **topics))  # type: ignore[arg-type]
    try:
        loop.run("work")
    except (DeadLetterLimitError, TransientError) as error:
        return type(error), len(world.kafka.records("dead"))
    return None, len(world.kafka.records("dead"))


def jobs(good: int, bad: int) -> list[list[str]]:
    """Records of ten jobs each, the bad ones at the end."""
    names = [f"good-{number}" for number in range(good)] + [f"bad-{number}" for number in range(bad)]
    return [names[start : start + 10] for start in range(0, len(names), 10)]


def test_a_worker_stops_before_it_delivers_too_many_dead_letters_and_blames_no_job() -> None:
    world = World([jobs(40, 160)])
    ended, dead = worker_of(world, settings_of(window_jobs=100))
    assert (ended, dead) == (DeadLetterLimitError, 50)
    committed = world.committed()
    assert committed is not None
    assert committed.offset < 20, "the batch that crossed the limit is not committed"
    assert load_marker(committed.metadata, committed.offset) is None, "and nobody will think that a process died over it"


def test_a_worker_goes_on_where_fewer_than_half_are_bad() -> None:
    world = World([jobs(120, 80)])
    assert worker_of(world, settings_of(window_jobs=200)) == (None, 80)
    assert world.lag == 0


def test_a_worker_that_meets_the_limit_at_a_rebalance_says_so_too() -> None:
    """kafka-python wraps what the rebalance listener raises."""
    world = World([jobs(0, 100)], chunk_tokens=10_000)
    scored: list[str] = []

    def bounce(name: str) -> None:
        scored.append(name)
        if name == "score":
            world.kafka.groups["workers"].change()

    world.kafka.step = bounce
    ended, dead = worker_of(world, settings_of(window_jobs=10))
    assert (ended, dead) == (DeadLetterLimitError, 0)
    assert "score" in scored
