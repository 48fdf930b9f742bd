"""Every setting of every process, in one class, read once at start.

Strongest first: command-line options, environment variables `LLMOS_<NAME>`, a `.env` file, a TOML file (`LLMOS_CONFIG_FILE`,
by default `llmos.toml`), the defaults below, which work on one machine.
"""

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from schemas.errors import ConfigurationError

_ROOT = Path(__file__).resolve().parent
_STATE = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "llmos"

Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Names, limits and addresses. Units stand in the names; every field has a default that works locally."""

    model_config = SettingsConfigDict(
        env_prefix="LLMOS_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # an error about one setting must not print another, which may be a password
    )

    state_dir: Path = Field(default=_STATE, description="Where `llmos up` remembers its broker and keeps logs.")

    kafka_bootstrap: str | None = Field(
        default=None, description="HOST:PORT[,HOST:PORT…]; by default the broker that `llmos up` last started on this machine."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = Field(default=None, description="Better given as a file.")
    kafka_sasl_password_file: Path | None = Field(
        default=None, description="File that holds the password, as compose and Kubernetes mount secrets."
    )
    kafka_ssl_ca_file: Path | None = Field(default=None, description="PEM file of the authority that signed the brokers.")
    kafka_ssl_cert_file: Path | None = Field(default=None, description="PEM file of this client's certificate (mutual TLS).")
    kafka_ssl_key_file: Path | None = None
    kafka_idempotence: bool = Field(
        default=True, description="Idempotent producers; off for the embedded broker, which lacks them."
    )
    kafka_session_timeout_ms: Positive = Field(
        default=15_000,
        description="How long a silent process keeps its partitions: short finds the dead sooner, long bears longer pauses.",
    )
    kafka_request_timeout_ms: Annotated[int, Field(ge=1_000)] = Field(
        default=20_000, description="How long one request to a broker, or finding a first broker, may take."
    )
    kafka_fetch_wait_ms: Positive = Field(
        default=500, description="How long a broker may hold a fetch that finds nothing; it answers at once when records come."
    )
    kafka_delivery_timeout_ms: Positive = Field(
        default=60_000, description="How long a record may wait for its delivery, retries included."
    )
    instance_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = Field(
        default=None,
        description="A stable, unique name of this process makes its group membership static: a restart is no rebalance.",
    )

    topic_prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = "llmos"
    topic_partitions: Positive = Field(
        default=8, description="Partitions of the job and work topics: the most processes a stage can have."
    )
    topic_replication: Positive = Field(default=1, description="Copies of each partition; 3 on a real cluster.")
    topic_retention_hours: Positive = Field(default=168, description="How long jobs, work and results are kept.")
    dead_letter_retention_hours: Positive = Field(default=720, description="How long dead letters are kept.")
    record_bytes_max: Annotated[int, Field(ge=8 << 20)] = Field(
        default=8 << 20, description="Largest record of any topic; no less, or the largest text that is allowed would not fit."
    )

    models_dir: Path = Field(default=_ROOT.parent / "models", description="Folder of model bundles.")
    routes_file: Path = Field(
        default=_ROOT / "defaults" / "routes.toml", description="Which model serves which task, language, tenant."
    )
    policies_dir: Path = Field(default=_ROOT / "defaults" / "policies", description="One TOML file a tenant.")

    publish_bulk_jobs: Annotated[int, Field(gt=0, le=500)] = Field(
        default=100, description="Jobs a record when publishing files."
    )
    publish_in_flight_jobs: Positive = Field(default=5_000, description="Published and not yet confirmed, at most.")

    preprocess_linger_ms: Annotated[int, Field(ge=0)] = Field(
        default=10, description="How long records wait for company while others are on their way; an idle app never waits."
    )
    preprocess_batch_records: Positive = Field(default=512, description="Records prepared in one go, at most.")
    preprocess_batch_bytes: Positive = Field(default=256 << 10, description="Bytes of records prepared in one go, about.")
    preprocess_in_flight_records: Positive = Field(
        default=8_192, description="Records taken and not yet delivered; then intake waits."
    )
    preprocess_in_flight_bytes: Positive = Field(default=32 << 20, description="Bytes of the same.")
    tokens_max: Positive = Field(default=65_536, description="Tokens of one text; more is refused, never cut.")
    work_tokens_max: Positive = Field(default=8_192, description="Tokens in one work batch; a longer single text stands alone.")

    worker_model: str = Field(default="moderation-en-zh", description="The bundle that `llmos worker` serves.")
    worker_provider: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: CUDA where it works, else the CPU."
    )
    worker_precision: Literal["auto", "fp32", "fp16", "int8"] = Field(
        default="auto", description="auto: int8 on CPU, fp16 on CUDA."
    )
    worker_threads: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Threads of a model; on the CPU each has a run of its own. 0: one a core."
    )
    worker_arena: bool = Field(
        default=True, description="Keep the memory of one run for the next; without it a worker is smaller and slower."
    )
    worker_graph_optimization: Literal["none", "basic", "extended", "all"] = Field(
        default="all", description="How far ONNX Runtime rewrites a graph when it opens it."
    )
    worker_provider_options: dict[str, str] = Field(
        default_factory=dict,
        description='Options of ONNX Runtime\'s CUDA provider, as JSON such as {"gpu_mem_limit": "4294967296"}.',
    )
    worker_batch_tokens: Positive = Field(
        default=512, description="Rows times longest row of one model run, at most; raise it on a GPU."
    )
    worker_chunk_tokens: Positive = Field(default=16_384, description="Tokens taken up between two commits, about.")
    worker_attempts: Positive = Field(
        default=3, description="Tries of a text that kills its process, before it is dead-lettered."
    )

    stuck_after_s: Annotated[int, Field(ge=0)] = Field(
        default=120,
        description="A stage exits when it has partitions and a lag, and finishes nothing for so long; 0: never. "
        "Keep it above the delivery timeout and the longest run of a model.",
    )
    dead_letter_share_max: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="A stage stops before more than this share of its last jobs become dead letters; 0 and 1: never.",
    )
    dead_letter_window_jobs: Positive = Field(
        default=1_000, description="Those last jobs: no stage stops before it has seen so many."
    )

    http_host: str = Field(
        default="127.0.0.1", description="Address that the gateway listens on; wider than this machine needs keys."
    )
    http_port: Annotated[int, Field(ge=0, le=65_535)] = Field(default=8080, description="Its port; 0: a free one.")
    http_insecure: bool = Field(default=False, description="Listen wider than this machine without API keys.")
    http_public_url: str | None = Field(
        default=None, description="How clients reach the gateway, where that is not the address they name in Host."
    )
    http_cors_origins: tuple[str, ...] = Field(default=(), description="Web pages' origins that may call the gateway, as JSON.")
    http_body_bytes_max: Positive = Field(
        default=4 << 20, description="Largest body of a request; files have a limit of their own."
    )
    http_wait_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=30, description="How long a request waits for its outcome, before it is told that the job goes on."
    )
    http_keys_file: Path | None = Field(default=None, description="API keys, hashed; by default keys.json in the state folder.")
    http_texts_per_minute: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Texts a minute for each key without a limit of its own, or each address where no keys are asked; 0: any.",
    )
    gateway_in_flight_jobs: Positive = Field(
        default=2_000, description="Jobs whose outcome requests wait for, at most; then requests are turned away."
    )
    gateway_batch_in_flight_jobs: Positive = Field(
        default=5_000, description="Jobs of batches without an outcome, at most; then the rest of the batch waits."
    )
    gateway_keep_hours: Positive = Field(default=24, description="How long outcomes of POST /v1/jobs can be asked for.")
    gateway_jobs_max: Positive = Field(
        default=1_000_000, description="Jobs of POST /v1/jobs that are kept, about; beyond that the oldest outcomes go early."
    )
    gateway_files_bytes_max: Positive = Field(
        default=10 << 30, description="Disk that uploaded files and outputs may take, all together."
    )

    ready_file: Path | None = Field(
        default=None, description="Exists while the process is ready to work; for probes and supervisors."
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address of /metrics, /livez and /readyz, which ask nobody who he is; 0.0.0.0: any."
    )
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=0, description="Port of /metrics, /livez and /readyz; 0: none."
    )
    canary_every_s: Annotated[int, Field(ge=0, le=3_600)] = Field(
        default=0,
        description="How often the process sends a known-bad and a known-good text through the queue; it is ready only while "
        "both get the right answer. 0: never.",
    )
    canary_within_s: Annotated[int, Field(gt=0, le=600)] = Field(default=15, description="How long those answers may take.")
    canary_bad_text: Annotated[str, Field(min_length=1, max_length=1_000)] = Field(
        default="Shut up, you worthless piece of shit.", description="The known-bad text: its right answer is review or block."
    )
    canary_good_text: Annotated[str, Field(min_length=1, max_length=1_000)] = Field(
        default="Thank you, that was very helpful.", description="The known-good text: its right answer is allow."
    )
    shutdown_grace_s: Positive = Field(default=30, description="How long a stopping process may finish what it took up.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    log_texts: bool = Field(default=False, description="Log the messages of unforeseen errors, which may quote a job's text.")
    traces: bool = Field(default=False, description="Send OpenTelemetry traces; OTEL_… variables say where (extra `otel`).")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options, environment, `.env`, TOML, in this order; raises ConfigurationError for a TOML file that cannot be read."""
        file = Path(os.environ.get("LLMOS_CONFIG_FILE", "llmos.toml"))
        try:
            toml = TomlConfigSettingsSource(settings_cls, file)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"settings file {file}: {error}") from error
        if unknown := sorted(set(toml.toml_data) - set(settings_cls.model_fields)):
            meant = get_close_matches(unknown[0], settings_cls.model_fields, 1)
            hint = f"; {meant[0]} is meant?" if meant else "; `llmos settings` shows them all"
            raise ConfigurationError(f"settings file {file}: there is no setting {unknown[0]!r}{hint}")
        return init_settings, env_settings, dotenv_settings, toml

    @property
    def jobs_topic(self) -> str:
        """Where jobs are published."""
        return f"{self.topic_prefix}.jobs"

    def work_topic(self, model: str, tokenizer_sha256: str) -> str:
        """Where work for a model lies; another tokenizer means another topic, so that old batches meet their own ids."""
        return f"{self.topic_prefix}.work.{model}.{tokenizer_sha256[:8]}"

    @property
    def results_topic(self) -> str:
        """Every result."""
        return f"{self.topic_prefix}.results"

    @property
    def flagged_topic(self) -> str:
        """Results whose verdict is review or block."""
        return f"{self.topic_prefix}.flagged"

    @property
    def dead_letters_topic(self) -> str:
        """What could not be worked on."""
        return f"{self.topic_prefix}.dead-letters"

    @property
    def replays_topic(self) -> str:
        """Notes on replayed dead letters."""
        return f"{self.topic_prefix}.replays"

    @property
    def reply_prefix(self) -> str:
        """How the name of every reply topic begins."""
        return f"{self.topic_prefix}.replies."

    @property
    def preprocess_group(self) -> str:
        """Consumer group of the preprocess apps."""
        return f"{self.topic_prefix}-preprocess"

    @property
    def gateway_topic(self) -> str:
        """Where this gateway's replies come in; each instance needs a name of its own."""
        return f"{self.reply_prefix}{self.instance_id or 'gateway'}"

    @property
    def canary_topic(self) -> str:
        """Where the answers to everybody's canaries come in."""
        return f"{self.reply_prefix}canary"

    def worker_group(self, model: str) -> str:
        """Consumer group of one model's workers."""
        return f"{self.topic_prefix}-worker-{model}"
