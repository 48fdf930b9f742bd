"""The OpenAI-compatible part on its own, served over HTTP: with a desk that answers at once, and a gate of a few keys."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import openai
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from openai.types import Batch
from starlette.exceptions import HTTPException

from pipeline.gateway.contract import Context, GatewayError
from pipeline.gateway.dialect import openai_error
from pipeline.gateway.openai.part import OpenAIPart, openai_part
from pipeline.settings import Settings
from schemas.bundles import BundleManifest
from schemas.ids import new_job_id
from tests.support.desk import FakeDesk
from tests.support.http_server import serving
from tests.support.perspective import FakeGate, manifest
from tests.support.waiting import wait_until

ENDED = {"completed", "failed", "expired", "cancelled"}


@dataclass
class OpenAIApi:
    """The part as it is served, what stands around it, and clients for it."""

    part: OpenAIPart
    desk: FakeDesk
    gate: FakeGate
    folder: Path
    address: str = ""
    key: str = "sk-any"
    clients: ExitStack = field(default_factory=ExitStack)

    def fresh(self) -> Self:
        """The same as nobody has used it: a desk without a past, and a tenant of its own for whoever calls from now on."""
        self.clients.close()
        self.desk.held, self.desk.failure = False, None
        self.desk.asked.clear()
        self.desk.waiting.clear()
        self.key = f"sk-{new_job_id()}"
        self.gate.keys, self.gate.texts_left, self.gate.spent = {self.key: f"tenant of {self.key}"}, None, []
        return self

    def client(self, key: str | None = None, **options: Any) -> openai.OpenAI:
        """The official client, which tries once."""
        return self.clients.enter_context(
            openai.OpenAI(base_url=f"{self.address}/v1", api_key=key or self.key, **{"max_retries": 0, **options})
        )

    def batch_of(self, lines: Iterable[object], key: str | None = None, **options: Any) -> Batch:
        """A new batch whose file holds these lines; strings stand for texts to be moderated."""
        client = self.client(key)
        file = client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
        return client.batches.create(input_file_id=file.id, endpoint="/v1/moderations", completion_window="24h", **options)

    def reached(self, batch: Batch, statuses: Iterable[str] = ENDED, key: str | None = None) -> Batch:
        """The batch once it is in one of these states, by default at its end."""
        client, wanted, seen = self.client(key), set(statuses), ""

        def look() -> Batch | None:
            nonlocal seen
            found = client.batches.retrieve(batch.id)
            seen = found.status
            return found if seen in wanted else None

        return wait_until(look, lambda: f"{wanted}, but {seen}")

    def lines_of(self, file_id: str | None, key: str | None = None) -> list[dict[str, Any]]:
        """What stands in an output; nothing where there is none."""
        if file_id is None:
            return []
        text = self.client(key).files.content(file_id).text
        return [json.loads(line) for line in text.splitlines()]


def line(text: object, number: int = 1, **changes: object) -> dict[str, Any]:
    """A line of a batch that asks to moderate `text`."""
    return {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": "/v1/moderations",
        "body": {"input": text, "model": "omni-moderation-latest"},
        **changes,
    }


def jsonl(lines: Iterable[object]) -> bytes:
    """A file of these: bytes as they are, objects as JSON, anything else as a text to be moderated."""
    rows = [
        given if isinstance(given, bytes) else json.dumps(given if isinstance(given, dict) else line(given, number)).encode()
        for number, given in enumerate(lines, 1)
    ]
    return b"".join(row + b"\n" for row in rows)


@contextmanager
def openai_api(
    folder: Path,
    *,
    keys: dict[str, str] | None = None,
    desk: FakeDesk | None = None,
    clock: Callable[[], float] = time.time,
    **settings: object,
) -> Iterator[OpenAIApi]:
    """The part over the toy model, with its files in `folder`, until the block ends: as one life of a gateway."""
    desk, gate = desk or FakeDesk(), FakeGate(keys or {})
    part = openai_part(Context(Settings(**settings), desk, gate, folder, dict, [toy(folder)]), clock)  # type: ignore[arg-type]
    desk.sinks = part.sinks

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await part.start()
        yield
        await part.stop()

    api = OpenAIApi(part, desk, gate, folder)
    with api.clients, serving(app_of(part, lifespan)) as api.address:
        yield api


def app_of(part: OpenAIPart, lifespan: Any = None) -> FastAPI:
    """An app of this part alone, with the errors of its dialect."""

    async def answer(_request: Request, error: Exception) -> Response:
        return openai_error(error)

    app = FastAPI(lifespan=lifespan)
    app.include_router(part.router)
    for kind in (GatewayError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)
    return app


def toy(folder: Path) -> BundleManifest:
    """The manifest of the toy, which a restart finds again."""
    made = folder / "models" / "toy" / "bundle.json"
    return BundleManifest.model_validate_json(made.read_bytes()) if made.exists() else manifest(folder / "models")
