"""The same model, broker and texts through the pipeline and through what users would otherwise write or install.

    python -m benchmarks.bench_peers [--jobs 5000] [--peers straight batches …]

Each peer lives in a virtual environment of its own, made from `peers/requirements-*.txt`, and comes in two forms: as usual, and
tuned as far as it goes. The pipeline runs first and last, the model alone as well: how far those two differ tells the noise.
"""

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks.support.brokers import Broker, any_broker
from benchmarks.support.ceiling import Ceiling
from benchmarks.support.drive import drive, warm_up
from benchmarks.support.peers import FORMS, IN_PROCESS, PEERS, Bench, Peer, PeerError
from benchmarks.support.report import Report, arguments, table
from benchmarks.support.stages import stages
from benchmarks.support.texts import real_texts, windows_of
from pipeline.bundles import open_bundle
from pipeline.settings import Settings

JOBS: Final = 5_000
OURS: Final = "LLM OS"
_WARM: Final = 200


def main() -> None:
    """Measure, print, end with a line of JSON."""
    given = _given()
    report = Report("bench_peers", given)
    settings = Settings()
    bundle = open_bundle(settings.models_dir / settings.worker_model)
    texts = real_texts(given.jobs, bundle, given.data)
    ceiling = Ceiling(bundle, windows_of(texts.texts, bundle))
    layout, _ = ceiling.best()
    rows: list[dict[str, Any]] = []
    limits = [ceiling.measure(layout).texts_per_s]
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name, any_broker(Path(name)) as broker:
        rows += _ours(broker, Path(name), texts.texts, "first")
        for row in _peers(Bench(broker.bootstrap, bundle, Path(name)), given.peers, texts.texts):
            rows.append(row)
            report.say(str(row))
        rows += _ours(broker, Path(name), texts.texts, "last")
    limits.append(ceiling.measure(layout).texts_per_s)
    figures = {
        "jobs": given.jobs,
        "texts": texts.source,
        "broker": broker.name,
        "ceiling_texts_per_s": [round(one, 1) for one in limits],
    }
    add_ratios(rows, sum(limits) / len(limits))
    report.finish({**figures, "rows": rows}, _table(rows, given.jobs, broker.name))


def _given() -> Namespace:
    parser = arguments(__doc__, JOBS)
    modules = [peer.module for peer in (*PEERS, IN_PROCESS)]
    parser.add_argument("--peers", nargs="*", choices=modules, default=modules, help="which; by default all")
    return parser.parse_args()


def _ours(broker: Broker, folder: Path, texts: Sequence[str], when: str) -> Iterator[dict[str, Any]]:
    with stages(broker, folder, name=f"bench-peers-{when}") as system:
        warm_up(system, folder, texts)
        for form, said in (("bulk", "many jobs a record"), ("single", "one job a record")):
            driven = drive(system, folder, texts, form)
            yield {"name": OURS, "form": said, "texts_per_s": round(driven.texts_per_s, 1)}


def _peers(bench: Bench, chosen: Sequence[str], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    for peer in (*PEERS, IN_PROCESS):
        if peer.module in chosen:
            yield from (_row(bench, peer, form, texts) for form in FORMS)


def _row(bench: Bench, peer: Peer, form: Any, texts: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401 (one of FORMS)
    def measure() -> float:
        return bench.rate_in_process(peer, form, texts) if peer is IN_PROCESS else bench.rate(peer, form, texts, _WARM)

    return {"name": peer.name, "form": form, **_outcome(measure)}


def _outcome(measure: Callable[[], float]) -> dict[str, Any]:
    """Texts a second, or why there are none: a peer that does not install or loses texts costs only its own row."""
    try:
        return {"texts_per_s": round(measure(), 1)}
    except PeerError as error:
        return {"texts_per_s": None, "why": str(error)}


def add_ratios(rows: list[dict[str, Any]], limit: float) -> None:
    """Adds to each row what share it is of the model alone, and how many times as fast the pipeline's bulk form is."""
    bulk = [row["texts_per_s"] for row in rows if row["name"] == OURS and row["form"] == "many jobs a record"]
    ours = sum(bulk) / len(bulk)
    for row in rows:
        if rate := row["texts_per_s"]:
            row["of_ceiling"], row["ours_times"] = round(rate / limit, 3), round(ours / rate, 2)


def _table(rows: Sequence[dict[str, Any]], jobs: int, broker: str) -> Table:
    columns = ("what", "form", "texts/s", "of the model alone", "LLM OS, times as fast")
    names = ("form", "texts_per_s", "of_ceiling", "ours_times")
    return table(f"{jobs:,} texts on {broker}", columns, [(row["name"], *(row.get(name, "") for name in names)) for row in rows])


if __name__ == "__main__":
    main()
