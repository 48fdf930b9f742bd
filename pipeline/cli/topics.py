"""`llmos topics`: make the topics, and see how far each group has read."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from pipeline import topics
from pipeline.cli.common import OUT, AsJson, Bootstrap, command, settings_of

app = typer.Typer(help="Make the topics, and see how far each group has read.", no_args_is_help=True)


@app.command()
@command
def create(
    bootstrap: Bootstrap = None,
    gateway: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also the reply topic of the gateway whose --instance-id is NAME; may be given again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create what is missing, with partitions, replication and retention from the settings; what is there stays as it is."""
    reply_topics = [settings_of(bootstrap, instance_id=name).gateway_topic for name in gateway or ()]
    created, there = topics.create_topics(settings_of(bootstrap), reply_topics)
    if as_json:
        typer.echo(json.dumps({"created": created, "there": there}))
        return
    for name in created:
        OUT.print(f"created  {name}")
    for name in there:
        OUT.print(f"there    {name}")


@app.command()
@command
def describe(bootstrap: Bootstrap = None, as_json: AsJson = False) -> int:
    """Show every topic, and the lag of every group; exit code 1 where a topic is missing."""
    described, lags = topics.describe_topics(settings_of(bootstrap))
    if as_json:
        groups = [{**asdict(lag), "lag": lag.behind} for lag in lags]
        typer.echo(json.dumps({"topics": [asdict(topic) for topic in described], "groups": groups}))
    else:
        table = Table("topic", "partitions", "replication", "records so far")
        for topic in described:
            table.add_row(topic.name, str(topic.partitions or "missing"), str(topic.replication), f"{topic.records:,}")
        OUT.print(table)
        table = Table("group", "reads", "committed", "lag")
        for lag in lags:
            table.add_row(lag.group, lag.topic, f"{lag.committed:,}", f"{lag.behind:,}")
        OUT.print(table)
    return int(any(topic.partitions == 0 for topic in described))
