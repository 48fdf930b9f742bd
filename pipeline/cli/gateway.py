"""`llmos gateway`: the HTTP gateway, as compose and Kubernetes run it."""

from typing import Annotated

import typer

from pipeline.cli.common import Bootstrap, command, settings_of
from pipeline.cli.stages import Instance

HttpPort = Annotated[
    int | None, typer.Option(min=0, max=65_535, metavar="N", help="Port of the HTTP gateway; 0: a free one (LLMOS_HTTP_PORT).")
]


@command
def gateway(
    http_host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Address to listen on; wider than this machine needs API keys (LLMOS_HTTP_HOST)."),
    ] = None,
    http_port: HttpPort = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen wider than this machine without API keys.")] = False,
    bootstrap: Bootstrap = None,
    instance_id: Instance = None,
) -> None:
    """Run one HTTP gateway until SIGTERM or Ctrl-C, then drain.

    Takes requests, publishes them as jobs and answers with their outcomes. Needs its reply topic: `llmos topics create
    --gateway NAME`, where NAME is its --instance-id.
    """
    from pipeline.gateway.serve import run_gateway  # noqa: PLC0415 (FastAPI is heavy, and no other command needs it)

    given = {"http_host": http_host, "http_port": http_port, "http_insecure": insecure or None, "instance_id": instance_id}
    run_gateway(settings_of(bootstrap, **given))
