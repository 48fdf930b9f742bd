"""A batch through OpenAI's API while the gateway dies: `python -m tests.acceptance.batch --help`

Starts the system with a gateway, uploads a file of so many lines with the official client, kills the gateway once some of the
lines are done, starts it again, and compares the outputs with the lines: each has one answer, and it is the right one.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import openai
from openai import OpenAI
from rich.console import Console

from tests.acceptance.clients import TEXTS, served
from tests.support.processes import Stage

BURIED: Final = "\u200b\u2060"
"""A text with nothing to score: its line must end in the error file."""
BURY_EVERY: Final = 101
POLL_S: Final = 0.2
END_S: Final = 900


def lines(count: int) -> list[dict[str, Any]]:
    """The lines of the file."""
    texts = list(TEXTS)
    inputs = [BURIED if number % BURY_EVERY == 0 else texts[number % len(texts)] for number in range(count)]
    return [
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/moderations", "body": {"input": text}}
        for number, text in enumerate(inputs)
    ]


def run(client: OpenAI, sent: list[dict[str, Any]], folder: Path, gateway: Stage, console: Console) -> Any:
    """The batch when it has ended; the gateway is killed when a third of it is done."""
    file = folder / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in sent), "utf-8")
    uploaded = client.files.create(file=file, purpose="batch")
    batch = client.batches.create(input_file_id=uploaded.id, endpoint="/v1/moderations", completion_window="24h")
    killed = False
    until = time.monotonic() + END_S
    while batch.status not in {"completed", "failed", "expired", "cancelled"} and time.monotonic() < until:
        time.sleep(POLL_S)
        try:
            batch = client.batches.retrieve(batch.id)
        except openai.APIConnectionError:
            continue
        done = batch.request_counts.completed + batch.request_counts.failed if batch.request_counts else 0
        if not killed and done > len(sent) / 3:
            console.print(f"killed the gateway at {done:,} of {len(sent):,} lines")
            gateway.kill()
            gateway.start()
            killed = True
    if not killed:
        console.print("the batch was too quick to kill the gateway in its middle")
    return batch


def wrong(client: OpenAI, sent: list[dict[str, Any]], batch: Any) -> list[str]:
    """What is not as it must be."""
    if batch.status != "completed":
        return [f"the batch ended as {batch.status}: {batch.errors}"]
    found: dict[str, list[dict[str, Any]]] = {}
    for file_id in (batch.output_file_id, batch.error_file_id):
        for line in client.files.content(file_id).text.splitlines() if file_id else ():
            answer = json.loads(line)
            found.setdefault(answer["custom_id"], []).append(answer)
    problems = [f"{name}: not asked" for name in found.keys() - {line["custom_id"] for line in sent}]
    for line in sent:
        answers = found.get(line["custom_id"], [])
        if len(answers) != 1:
            problems.append(f"{line['custom_id']}: {len(answers)} answers")
        elif not _right(line["body"]["input"], answers[0]):
            problems.append(f"{line['custom_id']}: {answers[0]}")
    return problems


def _right(text: str, answer: dict[str, Any]) -> bool:
    response = answer["response"]
    if text == BURIED:
        return response is not None and response["status_code"] == 422
    return bool(response["status_code"] == 200 and response["body"]["results"][0]["flagged"] is TEXTS[text])


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.batch", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--lines", type=int, default=50_000)
    options = parser.parse_args()
    console, sent = Console(), lines(options.lines)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (_, url, stages):
        client = OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
        began = time.monotonic()
        batch = run(client, sent, Path(folder), stages["gateway"], console)
        problems = wrong(client, sent, batch)
        console.print(f"{options.lines:,} lines in {time.monotonic() - began:.0f} s: {batch.request_counts}")
    for problem in problems[:10]:
        console.print(f"  {problem}", markup=False)
    console.print("all holds" if not problems else f"IT DOES NOT HOLD: {len(problems):,} lines are wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
