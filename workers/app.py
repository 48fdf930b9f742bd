"""The worker process: opens a bundle, proves it, joins the group, works until it is told to stop."""

import logging
import os
import signal
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from pipeline import kafka as options
from pipeline.admission import admit
from pipeline.backlog import Backlog
from pipeline.backoff import Backoff
from pipeline.bundles import Bundle, open_bundle, verify_bundle
from pipeline.clock import now_ms
from pipeline.dead_letter_guard import guarded
from pipeline.garbage import collect_seldom
from pipeline.gauges import LagWatch, show_in_hand
from pipeline.health import serving_health
from pipeline.log import configure_logging
from pipeline.policy_book import PolicyBook
from pipeline.preprocess.tokenise import Tokenizer
from pipeline.prober import probing
from pipeline.ready import Readiness
from pipeline.refusal import failure
from pipeline.settings import Settings
from pipeline.succession import Succession, first_at
from pipeline.tracing import start_tracing
from pipeline.watchdog import Watchdog
from schemas.errors import ConfigurationError
from schemas.results import ModelRef
from workers.delivery import Deliverer
from workers.faults import with_failing_tokens, with_faults
from workers.infer import Inference
from workers.loop import UNDER_WAY_MAX, Loop
from workers.progress import WorkerProgress
from workers.prove import prove, warm_up
from workers.recovery import Recovery
from workers.remembering import RememberingConsumer
from workers.results import Recorder
from workers.score import Scorer
from workers.session import open_session
from workers.traced import traced

_LOG = logging.getLogger(__name__)
_AFTER_GRACE_S = 3
"""After the grace period the loop gives up; a process that hangs even then ends so much later."""


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then drain and return.

    Raises ConfigurationError, BundleError (before anything is taken up), TransientError (Kafka or the device is away),
    DeadLetterLimitError; nothing of the chunk under way is committed then. Exits with 75 where it is stuck.
    """
    configure_logging(settings, "worker")
    readiness = Readiness(settings)
    readiness.announce(up=False)  # a killed process leaves its file behind
    with serving_health(settings, readiness), probing(settings, readiness):
        _work(settings, readiness)


def _work(settings: Settings, readiness: Readiness) -> None:
    tracing = start_tracing(settings, "worker")
    bundle = open_bundle(settings.models_dir / settings.worker_model)
    verify_bundle(bundle)
    scorer, recorder, inference = _scorer(settings, bundle)
    topic = settings.work_topic(bundle.manifest.name, bundle.manifest.tokenizer.sha256)
    outputs = [settings.results_topic, settings.flagged_topic, settings.dead_letters_topic]
    admit(settings, reads=[topic], writes=outputs, group=settings.worker_group(bundle.manifest.name))
    deliverer = Deliverer(settings)
    _wait_for_topics(deliverer, [topic, *outputs], settings)
    consumer = _consumer(settings, bundle)
    executor = ThreadPoolExecutor(UNDER_WAY_MAX, "score")
    loop = Loop(
        consumer,
        traced(with_faults(scorer.score), settings, tracing),
        guarded(deliverer.deliver, settings),
        recover=Recovery(recorder, settings.worker_attempts),
        succession=Succession(partial(first_at, settings)),
        chunk_tokens=settings.worker_chunk_tokens,
        executor=executor,
        on_assigned=lambda: readiness.announce(up=True),
    )
    _stop_on_signals(loop, settings, readiness)
    group = settings.worker_group(bundle.manifest.name)
    progress = WorkerProgress(loop, lambda: inference.runs, Backlog(settings, group))
    lag = _shown(progress, settings, group)
    watchdog = Watchdog(progress, readiness.end_stuck, stuck_after_s=settings.stuck_after_s)
    watchdog.start()
    collect_seldom()
    try:
        loop.run(topic)
        _LOG.info("drained")
    finally:
        watchdog.stop()
        lag.stop()
        readiness.announce(up=False)
        executor.shutdown(wait=False, cancel_futures=True)
        options.close(consumer, autocommit=False)
        deliverer.close()


def _shown(progress: WorkerProgress, settings: Settings, group: str) -> LagWatch:
    show_in_hand("worker", progress.in_hand, progress.oldest_ms)
    lag = LagWatch("worker", Backlog(settings, group), progress.partitions)
    lag.start(settings.metrics_port)
    return lag


def _scorer(settings: Settings, bundle: Bundle) -> tuple[Scorer, Recorder, Inference]:
    policies = PolicyBook(settings.policies_dir)
    session = open_session(bundle, settings)
    spec = bundle.manifest
    inference = Inference(
        with_failing_tokens(session.run),
        labels=len(spec.labels),
        pad_id=spec.tokenizer.pad_id,
        tokens_max=settings.worker_batch_tokens,
        model=spec.name,
        at_once=session.at_once,
        buckets=session.buckets,
    )
    tokenizer = Tokenizer(bundle)
    warm_up(inference, bundle, tokenizer)
    prove(inference, bundle, tokenizer, policies.current)
    model = ModelRef(name=spec.name, release=spec.release, precision=session.file.precision, sha256=session.file.sha256)
    recorder = Recorder(settings, spec, model, policies, now_ms)
    return Scorer(bundle, inference, policies, recorder, now_ms), recorder, inference


def _consumer(settings: Settings, bundle: Bundle) -> KafkaConsumer:
    chosen = options.group_consumer(settings, settings.worker_group(bundle.manifest.name))
    notes = options.notes_folder(settings)
    try:
        return RememberingConsumer(notes, **chosen) if notes else KafkaConsumer(**chosen)
    except KafkaError as error:
        raise failure("no connection to Kafka", error) from error


def _wait_for_topics(deliverer: Deliverer, topics: Collection[str], settings: Settings) -> None:
    backoff = Backoff(settings.kafka_delivery_timeout_ms / 1000)
    while missing := sorted(set(topics) - set(deliverer.topics())):
        if (wait_s := backoff.next_s()) is None:
            raise ConfigurationError(f"topics do not exist: {', '.join(missing)}; create them with `llmos topics create`")
        _LOG.warning("waiting for topics: %s", ", ".join(missing))
        time.sleep(wait_s)


def _stop_on_signals(loop: Loop, settings: Settings, readiness: Readiness) -> None:
    def stop(_signal: int, _frame: object) -> None:
        _LOG.info("stopping: finishing what was taken up")
        readiness.announce(up=False)
        grace = threading.Timer(settings.shutdown_grace_s + _AFTER_GRACE_S, _give_up, [settings, readiness])
        grace.daemon = True
        grace.start()
        loop.stop(settings.shutdown_grace_s)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _give_up(settings: Settings, readiness: Readiness) -> None:
    readiness.give_up()
    _LOG.error("not drained in %d s: exiting, the rest uncommitted", settings.shutdown_grace_s)
    logging.shutdown()
    os._exit(os.EX_TEMPFAIL)
