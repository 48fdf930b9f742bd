"""`llmos policy replay`: what a policy would have made of past results."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.canary import CANARY_TENANT
from pipeline.cli.common import OUT, AsJson, Bootstrap, Since, command, parse_since, plain, settings_of
from pipeline.policies import LoadedPolicy, load_policies, read_policy
from pipeline.policy_replay import GROUPS, Example, Flip, Group, Replay, Tally
from pipeline.read import ResultReader
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

_ARROW = " → "


@command
def replay(
    file: Annotated[Path, typer.Argument(help="The policy, by any file name.")],
    bootstrap: Bootstrap = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only results that came before; as --since.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only results of this tenant.")] = None,
    examples: Annotated[int, typer.Option(min=0, max=1000, help="Show so many results of each kind of flip.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Judge past results again, by their stored scores, and count the verdicts that would be others. Nothing is written.

    Example: llmos policy replay drafts/shop.toml --since 7d --tenant shop
    """
    policy, settings = read_policy(file), settings_of(bootstrap)
    begin, end = parse_since(since), parse_since(until, "--until")
    judged = Replay(policy.policy, _known(settings), examples=examples)
    with ResultReader(settings, since=begin, canaries=tenant == CANARY_TENANT) as reader:
        for result in reader.results():
            if tenant in (None, result.tenant) and (end is None or result.timings.completed_at < end):
                judged.take(result)
    if as_json:
        typer.echo(json.dumps(_document(policy, judged.tally, begin, end), ensure_ascii=False))
    else:
        _print(policy, judged.tally)


def _known(settings: Settings) -> Iterable[LoadedPolicy]:
    """The policies in place, as far as this machine has them: they explain old verdicts."""
    try:
        return load_policies(settings.policies_dir).values()
    except ConfigurationError:
        return ()


def _print(policy: LoadedPolicy, tally: Tally) -> None:
    name, flips = f"{policy.policy.name} release {plain(policy.policy.release)}", tally.flips.total()
    share = f" ({flips / tally.results:.2%})" if tally.results else ""
    kinds = sorted(tally.flips)
    each = "".join(f", {_ARROW.join(kind)} {tally.flips[kind]:,}" for kind in kinds)
    OUT.print(f"{tally.results:,} results under {name}: {flips:,} verdicts flip{share}{each}", soft_wrap=True)
    for group in GROUPS if kinds else ():
        OUT.print(_table(group, tally.by[group], tally.totals[group], kinds))
    for example in sorted(tally.examples, key=lambda example: example.flip):
        OUT.print(_line(example), soft_wrap=True)
    for remark in _remarks(policy, tally):
        OUT.print(remark, soft_wrap=True)


def _table(title: str, rows: dict[str, Counter[Flip]], totals: Counter[str], kinds: list[Flip]) -> Table:
    table = Table(title, "results", *(_ARROW.join(kind) for kind in kinds), "all flips")
    for name, flips in sorted(rows.items(), key=lambda row: (-row[1].total(), row[0])):
        results = f"{totals[name]:,}" if name in totals else ""
        table.add_row(plain(name), results, *(f"{flips[kind]:,}" for kind in kinds), f"{flips.total():,}")
    return table


def _line(example: Example) -> str:
    result = example.result
    scores = {line.label: line.score for line in result.labels}
    because = ", ".join(f"{plain(name)} {scores[name]:.2f}" if name in scores else name for name in example.because)
    place = f"{plain(result.tenant)} {plain(result.language)}"
    metadata = plain(json.dumps(result.metadata, ensure_ascii=False)) if result.metadata else ""
    return f"{_ARROW.join(example.flip)}  {plain(result.job_id)}  {place}  {because}  {metadata}".rstrip()


def _remarks(policy: LoadedPolicy, tally: Tally) -> Iterable[str]:
    if policy.phrases:
        yield (
            f"with phrases of word lists: {tally.with_words:,} results; these count as they did then, "
            "and no others are looked for: results hold no texts"
        )
    if tally.guessed:
        yield f"under policies that are not here now: {tally.guessed:,} flips; blamed is every label that was over a threshold"


def _document(policy: LoadedPolicy, tally: Tally, begin: datetime | None, end: datetime | None) -> dict[str, Any]:
    return {
        "policy": policy.ref.model_dump(mode="json"),
        "since": begin.isoformat() if begin else None,
        "until": end.isoformat() if end else None,
        "results": tally.results,
        "with_words": tally.with_words,
        "guessed": tally.guessed,
        "flips": _flips(tally.flips),
        **{f"by_{group}": _group(tally, group) for group in GROUPS},
        "examples": [_example(example) for example in tally.examples],
    }


def _group(tally: Tally, group: Group) -> dict[str, Any]:
    totals = tally.totals[group]
    return {name: {"results": totals.get(name), "flips": _flips(flips)} for name, flips in sorted(tally.by[group].items())}


def _flips(flips: Counter[Flip]) -> list[dict[str, Any]]:
    return [{"from": old, "to": new, "count": count} for (old, new), count in sorted(flips.items())]


def _example(example: Example) -> dict[str, Any]:
    result = example.result
    old, new = example.flip
    shown = result.model_dump(mode="json", include={"job_id", "tenant", "language", "created_at", "metadata", "words"})
    scores = {line.label: line.score for line in result.labels}
    return {"from": old, "to": new, "because": list(example.because), **shown, "scores": scores}
