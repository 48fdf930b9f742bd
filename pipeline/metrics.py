"""Every metric of every process, with its sentence. Served for Prometheus where `LLMOS_METRICS_PORT` is set."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.5, 1, 2, 5, 15, 60, 300)

JOBS_RECEIVED: Final = Counter("llmos_jobs_received", "Jobs taken up by preprocess.", ["task", "tenant"])
JOBS_DEAD: Final = Counter("llmos_jobs_dead", "Jobs that ended as dead letters.", ["stage", "code"])
JOBS_DONE: Final = Counter("llmos_jobs_done", "Jobs that ended as results.", ["model", "verdict"])
JOBS_IN_FLIGHT: Final = Gauge("llmos_jobs_in_flight", "Jobs taken up and not yet safe on the next topic.", ["stage"])
JOB_SECONDS: Final = Histogram("llmos_job_seconds", "From the broker's acceptance of a job to its result.", buckets=_SECONDS)
BATCH_RUN_SECONDS: Final = Histogram("llmos_batch_run_seconds", "One run of a model.", ["model"], buckets=_SECONDS)
BATCH_TOKENS: Final = Counter("llmos_batch_tokens", "Tokens given to models, without padding.", ["model"])
BATCH_PADDED_TOKENS: Final = Counter("llmos_batch_padded_tokens", "The same, padding included.", ["model"])
PROVIDER: Final = Gauge("llmos_provider", "1 for the ONNX Runtime provider that really runs.", ["model", "provider", "precision"])
REPLIES_SKIPPED: Final = Counter("llmos_replies_skipped", "Replies whose topic does not exist.")
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
