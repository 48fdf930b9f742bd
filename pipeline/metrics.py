"""Every metric of every process, with its sentence; docs/metrics.md says more. Served where `LLMOS_METRICS_PORT` is set."""

from importlib.metadata import version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

from pipeline.collectors import AskedGauge, BatchHistogram

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside every counter, which nobody looks at

_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.5, 1, 2, 5, 15, 60, 300)
_SCORES: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)
"""Fine at both ends, where most scores lie, and even in between, where thresholds do."""

BUILD: Final = Info("llmos_build", "Which release of LLM OS this process runs.")
MODEL: Final = Info("llmos_model", "Which release of a model this worker serves.", ["model"])
PROVIDER: Final = Gauge("llmos_provider", "1 for the ONNX Runtime provider that really runs.", ["model", "provider", "precision"])

JOBS_RECEIVED: Final = Counter("llmos_jobs_received", "Jobs that preprocess made work of.", ["task", "tenant"])
JOBS_REPLAYED: Final = Counter("llmos_jobs_replayed", "Those of them that had been dead letters and were replayed.")
JOBS_DEAD: Final = Counter("llmos_jobs_dead", "Jobs that ended as dead letters.", ["stage", "code"])
JOBS_DONE: Final = Counter("llmos_jobs_done", "Jobs that ended as results.", ["model", "verdict", "tenant"])
JOB_SECONDS: Final = Histogram("llmos_job_seconds", "From the broker's acceptance of a job to its result.", buckets=_SECONDS)
STAGE_SECONDS: Final = BatchHistogram(
    "llmos_stage_seconds", "Parts of that time, one after the other.", ["part"], buckets=_SECONDS
)
RECORDS_IN_FLIGHT: Final = Gauge("llmos_records_in_flight", "Records taken up and not yet safe on the next topic.", ["stage"])
OLDEST_SECONDS: Final = Gauge("llmos_oldest_waiting_seconds", "Age of the oldest of them; 0 where there is none.", ["stage"])
LAG_RECORDS: Final = AskedGauge(
    "llmos_lag_records", "Records that wait on the partitions of this process.", ["stage", "topic", "partition"]
)
REPLIES_SKIPPED: Final = Counter("llmos_replies_skipped", "Replies whose topic does not exist.")

BATCH_RUN_SECONDS: Final = Histogram("llmos_batch_run_seconds", "One run of a model.", ["model"], buckets=_SECONDS)
BATCH_ROWS: Final = Counter("llmos_batch_rows", "Windows given to models: a row of a batch each.", ["model"])
BATCH_TOKENS: Final = Counter("llmos_batch_tokens", "Tokens given to models, without padding.", ["model"])
BATCH_PADDED_TOKENS: Final = Counter("llmos_batch_padded_tokens", "The same, padding included.", ["model"])
SCORE: Final = BatchHistogram("llmos_score", "Calibrated scores of texts.", ["model", "label"], buckets=_SCORES)
GPU_MEMORY_USED: Final = AskedGauge("llmos_gpu_memory_used_bytes", "Memory of a GPU that is taken, by whomever.", ["gpu"])
GPU_MEMORY: Final = AskedGauge("llmos_gpu_memory_bytes", "Memory that a GPU has.", ["gpu"])

GATEWAY_JOBS: Final = Counter("llmos_gateway_jobs", "Jobs that the gateway published, for a request or a batch.", ["kind"])
GATEWAY_WAITING: Final = Gauge("llmos_gateway_jobs_waiting", "Jobs of requests and of batches without an outcome.", ["kind"])
GATEWAY_LATE: Final = Counter("llmos_gateway_jobs_late", "Jobs that had no outcome while their request waited.")
GATEWAY_OVERLOADED: Final = Counter("llmos_gateway_overloaded", "Requests turned away because too many jobs were waited for.")
GATEWAY_REPLIES: Final = Counter("llmos_gateway_replies", "Records read from the gateway's reply topic.", ["kind"])
GATEWAY_LOOKED_UP: Final = Counter("llmos_gateway_looked_up", "Outcomes found among all others, since no reply had come.")
HTTP_REQUESTS: Final = Counter("llmos_http_requests", "Requests that the gateway answered.", ["route", "status"])
HTTP_REQUEST_SECONDS: Final = Histogram("llmos_http_request_seconds", "From a request to its reply.", ["route"], buckets=_SECONDS)
HTTP_STREAMS: Final = Gauge("llmos_http_streams", "Clients that listen to events.")
POLICIES_BROKEN: Final = Gauge("llmos_policies_broken", "Policies that cannot be read as they are: the last good ones hold.")

CANARY_SECONDS: Final = Histogram(
    "llmos_canary_seconds", "From a canary's publication to its answer.", ["kind"], buckets=_SECONDS
)
CANARY_OK: Final = Gauge("llmos_canary_ok", "1 while the last canary got the right answer in time, else 0.", ["kind"])

BUILD.info({"version": version("llmos")})
