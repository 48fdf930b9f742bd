"""The data sets: where each comes from, under which licence, how it is read and how much of it is trained on.

    python -m training.sources                          # list them
    python -m training.sources --data ../shared/data    # count what lies there, and say which labels each set knows

Commits stand in the data's own notes; a data set whose repository names no licence says so. Your own data: training.own_data.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigurationError
from training import contrast, synthetic
from training import parse_chinese as zh
from training import parse_english as en
from training.citations import CITATIONS
from training.command import parser, run
from training.page import table
from training.rows import Row


@dataclass(frozen=True, slots=True)
class Source:
    """A data set; `train_rows_max` caps what is trained on, so that no large set drowns a small one.

    `rows` is how many its parser yields where the data is what it should be; None is for sets that still grow. A `language` of
    both or und is looked at text by text.
    """

    name: str
    language: str
    licence: str
    home: str
    parse: Callable[[Path], Iterator[Row]]
    train_rows_max: int = 100_000
    rows: int | None = None


_GITHUB = "https://github.com/"
_BIAS = _GITHUB + "conversationai/unintended-ml-bias-analysis"
_JIGSAW = "none in the repository; the texts are CC0"
MODERATION = (
    Source("toxic-spans-test", "en", "CC0", _GITHUB + "ipavlopoulos/toxic_spans", en.toxic_spans_test, rows=2_000),
    Source("wikipedia-1492", "en", "Apache-2.0", _BIAS, en.wikipedia_1492, rows=1_492),
    Source("bias-madlibs", "en", "Apache-2.0", _BIAS, en.bias_madlibs, rows=76_564),
    Source("zh-templates", "zh", "Apache-2.0", _BIAS, zh.zh_templates, rows=37_359),
    Source("context-toxicity-gn", "en", "Apache-2.0", _GITHUB + "ipavlopoulos/context_toxicity", en.context_gn, rows=10_000),
    Source("xstest", "en", "CC BY 4.0", _GITHUB + "paul-rottger/exaggerated-safety", en.xstest, rows=450),
    Source("cold", "zh", "Apache-2.0", _GITHUB + "thu-coai/COLDataset", zh.cold, rows=37_480),
    Source("edos", "en", "CC0", _GITHUB + "rewire-online/edos", en.edos, rows=20_000),
    Source("hatemoji", "en", "CC BY 4.0", _GITHUB + "HannahKirk/Hatemoji", en.hatemoji, rows=5_912),
    Source("convabuse", "en", "CC BY 4.0", _GITHUB + "amandacurry/convabuse", en.convabuse, rows=4_185),
    Source("toxic-spans", "en", "CC0", _GITHUB + "ipavlopoulos/toxic_spans", en.toxic_spans, rows=16_100),
    Source("jigsaw-hieu", "en", _JIGSAW, _GITHUB + "HieuNT91/file_storage", en.jigsaw_hieu, rows=2_000),
    Source("jigsaw-amodh", "en", _JIGSAW, _GITHUB + "amodh-saxena/toxic_message_analyzer", en.jigsaw_amodh, rows=3_000),
    Source("jigsaw-ak", "en", _JIGSAW, _GITHUB + "AK-Algorithm/Toxic-Comment-Classification", en.jigsaw_ak, rows=5_000),
    Source("jigsaw-houm", "en", _JIGSAW, _GITHUB + "Houmamelte/Binary-classification-poisoning-", en.jigsaw_houm, rows=10_000),
    Source("davidson", "en", "MIT", _GITHUB + "t-davidson/hate-speech-and-offensive-language", en.davidson, 10_000, rows=24_783),
    Source("surge-toxicity", "en", "MIT", _GITHUB + "surge-ai/toxicity", en.surge_toxicity, rows=1_000),
    Source("context-toxicity-gc", "en", "Apache-2.0", _GITHUB + "ipavlopoulos/context_toxicity", en.context_gc, rows=10_000),
    Source("goemotions", "en", "Apache-2.0", _GITHUB + "monologg/GoEmotions-pytorch", en.goemotions, 10_000, rows=28_066),
    Source("ailuminate", "en", "CC BY 4.0", _GITHUB + "mlcommons/ailuminate", en.ailuminate, rows=800),
    Source("simple-safety-tests", "en", "CC BY 4.0", _GITHUB + "bertiev/SimpleSafetyTests", en.simple_safety_tests, rows=100),
    Source(
        "sms-spam", "en", "CC BY 4.0", _GITHUB + "mohitgupta-omg/Kaggle-SMS-Spam-Collection-Dataset-", en.sms_spam, rows=5_572
    ),
    Source("xquad-en", "en", "CC BY-SA 4.0", _GITHUB + "google-deepmind/xquad", en.xquad_english, rows=1_430),
    Source("swsr", "zh", "MIT", _GITHUB + "aggiejiang/SWSR", zh.swsr, rows=8_969),
    Source("jade", "zh", "MIT", _GITHUB + "whitzard-ai/jade-db", zh.jade, rows=1_054),
    Source("cvalues", "zh", "Apache-2.0", _GITHUB + "X-PLUG/CValues", zh.cvalues, rows=664),
    Source("weibo-ner", "zh", "CC BY-SA 3.0", _GITHUB + "hltcoe/golden-horse", zh.weibo_ner, rows=1_313),
    Source("xquad-zh", "zh", "CC BY-SA 4.0", _GITHUB + "google-deepmind/xquad", zh.xquad_chinese, rows=1_430),
    Source("hand-written-abuse", "both", "Apache-2.0", "training/synthetic.py", synthetic.abuse),
    Source("hand-written-rare-labels", "both", "Apache-2.0", "training/synthetic.py", synthetic.rare_labels),
    Source("contrast", "both", "Apache-2.0", "training/contrast", contrast.contrast),
    Source("contrast-heldout", "both", "Apache-2.0", "training/contrast", contrast.heldout),
    Source("hand-written-harmless", "both", "Apache-2.0", "training/synthetic.py", synthetic.harmless),
)
"""In order of claim: a text that stands in several sets belongs to the first, so that no test text is trained on."""


def counted(source: Source, data: Path) -> Iterator[Row]:
    """The rows of a source; raises ConfigurationError at the end where their number is not what it should be."""
    seen = 0
    for seen, row in enumerate(source.parse(data), 1):  # noqa: B007 (counted on)
        yield row
    if source.rows not in {None, seen}:
        raise ConfigurationError(f"source {source.name}: {seen:,} rows, and there should be {source.rows:,}")


def listed(sources: Sequence[Source], data: Path | None) -> Iterator[tuple[str, ...]]:
    """What each source is; with `data`, counted there; raises ConfigurationError where the count is not what it should be."""
    for source in sources:
        counts = _labels(source, data) if data else ("?" if source.rows is None else f"{source.rows:,}", "")
        yield source.name, source.language, *counts, source.licence, CITATIONS.get(source.name, ""), source.home


def _labels(source: Source, data: Path) -> tuple[str, str]:
    rows = list(counted(source, data))
    known = Counter(label for row in rows for label in row.labels)
    return f"{len(rows):,}", ", ".join(label for label, _ in known.most_common())


def main() -> None:
    """List them."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, help="folder of the data sets: count them, and say which labels they know")
    given = arguments.parse_args()
    head = ("data set", "language", "rows", "labels known", "licence", "cite as", "home")
    print(table(head, listed(MODERATION, given.data)))


if __name__ == "__main__":
    run(main)
