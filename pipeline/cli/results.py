"""`llmos results`: what came of the jobs."""

from typing import Annotated, Literal

import typer

from pipeline.cli.common import OUT, Bootstrap, Since, command, parse_since, plain, settings_of
from pipeline.read import ResultReader
from schemas.codes import Verdict
from schemas.policies import WordHits
from schemas.results import InferenceResult

_COLOURS = {Verdict.ALLOW: "green", Verdict.REVIEW: "yellow", Verdict.BLOCK: "red"}


@command
def results(
    bootstrap: Bootstrap = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new results come, until Ctrl-C.")] = False,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only verdicts review and block.")] = False,
    since: Since = None,
    canaries: Annotated[
        bool, typer.Option("--canaries", help="Those of canaries too, by which processes know they are ready.")
    ] = False,
    format_: Annotated[Literal["table", "jsonl"], typer.Option("--format", help="Lines for people or JSON lines.")] = "table",
) -> None:
    """Print results, each job once."""
    with ResultReader(settings_of(bootstrap), flagged=flagged, since=parse_since(since), canaries=canaries) as reader:
        for result in reader.results(follow=follow):
            if format_ == "jsonl":
                typer.echo(result.model_dump_json())
            else:
                OUT.print(line(result))


def line(result: InferenceResult) -> str:
    """A result on one line, in rich's markup: verdict, id, language, the labels and phrases that count, what was folded."""
    over = [f"{score.label} {score.score:.2f}" for score in result.labels if score.over_threshold]
    top = max(result.labels, key=lambda score: score.score)
    said = ", ".join([*over, *_words(result.words)]) or f"{top.label} {top.score:.2f}"
    folded = f" folded: {', '.join(result.signals)}" if result.signals else ""
    colour = _COLOURS[result.verdict]
    return f"[{colour}]{result.verdict:6}[/] {plain(result.job_id)} {plain(result.language)} {said}{folded}"


def _words(words: WordHits | None) -> list[str]:
    if words is None:
        return []
    lists = {"block": words.block, "review": words.review, "allow": words.allow}
    return [f"word {number} of {name}" for name, numbers in lists.items() for number in numbers]
