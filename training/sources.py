"""The data sets: where each comes from, under which licence, how it is read and how much of it is trained on.

Home pages and commits stand in the data's own notes; a data set whose repository names no licence says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training import contrast, synthetic
from training import parse_chinese as zh
from training import parse_english as en
from training.rows import Row


@dataclass(frozen=True, slots=True)
class Source:
    """A data set; `train_rows_max` caps what is trained on, so that no large set drowns a small one."""

    name: str
    language: Literal["en", "zh", "both"]
    licence: str
    home: str
    parse: Callable[[Path], Iterator[Row]]
    train_rows_max: int = 100_000


_GITHUB = "https://github.com/"
_JIGSAW = "none in the repository; the texts are CC0"
MODERATION = (
    Source("toxic-spans-test", "en", "CC0", _GITHUB + "ipavlopoulos/toxic_spans", en.toxic_spans_test),
    Source("wikipedia-1492", "en", "Apache-2.0", _GITHUB + "conversationai/unintended-ml-bias-analysis", en.wikipedia_1492),
    Source("bias-madlibs", "en", "Apache-2.0", _GITHUB + "conversationai/unintended-ml-bias-analysis", en.bias_madlibs),
    Source("zh-templates", "zh", "Apache-2.0", _GITHUB + "conversationai/unintended-ml-bias-analysis", zh.zh_templates),
    Source("context-toxicity-gn", "en", "Apache-2.0", _GITHUB + "ipavlopoulos/context_toxicity", en.context_gn),
    Source("xstest", "en", "CC BY 4.0", _GITHUB + "paul-rottger/exaggerated-safety", en.xstest),
    Source("cold", "zh", "Apache-2.0", _GITHUB + "thu-coai/COLDataset", zh.cold),
    Source("edos", "en", "CC0", _GITHUB + "rewire-online/edos", en.edos),
    Source("hatemoji", "en", "CC BY 4.0", _GITHUB + "HannahKirk/Hatemoji", en.hatemoji),
    Source("convabuse", "en", "CC BY 4.0", _GITHUB + "amandacurry/convabuse", en.convabuse),
    Source("toxic-spans", "en", "CC0", _GITHUB + "ipavlopoulos/toxic_spans", en.toxic_spans, 9_000),
    Source("jigsaw-hieu", "en", _JIGSAW, _GITHUB + "HieuNT91/file_storage", en.jigsaw_hieu),
    Source("jigsaw-amodh", "en", _JIGSAW, _GITHUB + "amodh-saxena/toxic_message_analyzer", en.jigsaw_amodh),
    Source("jigsaw-ak", "en", _JIGSAW, _GITHUB + "AK-Algorithm/Toxic-Comment-Classification", en.jigsaw_ak),
    Source("jigsaw-houm", "en", _JIGSAW, _GITHUB + "Houmamelte/Binary-classification-poisoning-", en.jigsaw_houm, 6_000),
    Source("davidson", "en", "MIT", _GITHUB + "t-davidson/hate-speech-and-offensive-language", en.davidson, 7_000),
    Source("surge-toxicity", "en", "MIT", _GITHUB + "surge-ai/toxicity", en.surge_toxicity),
    Source("context-toxicity-gc", "en", "Apache-2.0", _GITHUB + "ipavlopoulos/context_toxicity", en.context_gc, 5_000),
    Source("goemotions", "en", "Apache-2.0", _GITHUB + "monologg/GoEmotions-pytorch", en.goemotions, 5_000),
    Source("ailuminate", "en", "CC BY 4.0", _GITHUB + "mlcommons/ailuminate", en.ailuminate),
    Source("simple-safety-tests", "en", "CC BY 4.0", _GITHUB + "bertiev/SimpleSafetyTests", en.simple_safety_tests),
    Source("sms-spam", "en", "CC BY 4.0", _GITHUB + "mohitgupta-omg/Kaggle-SMS-Spam-Collection-Dataset-", en.sms_spam),
    Source("xquad-en", "en", "CC BY-SA 4.0", _GITHUB + "google-deepmind/xquad", en.xquad_english),
    Source("swsr", "zh", "MIT", _GITHUB + "aggiejiang/SWSR", zh.swsr),
    Source("jade", "zh", "MIT", _GITHUB + "whitzard-ai/jade-db", zh.jade),
    Source("cvalues", "zh", "Apache-2.0", _GITHUB + "X-PLUG/CValues", zh.cvalues),
    Source("weibo-ner", "zh", "CC BY-SA 3.0", _GITHUB + "hltcoe/golden-horse", zh.weibo_ner),
    Source("xquad-zh", "zh", "CC BY-SA 4.0", _GITHUB + "google-deepmind/xquad", zh.xquad_chinese),
    Source("hand-written-abuse", "both", "Apache-2.0", "training/synthetic.py", synthetic.abuse),
    Source("hand-written-rare-labels", "both", "Apache-2.0", "training/synthetic.py", synthetic.rare_labels),
    Source("hand-written-contrast", "both", "Apache-2.0", "training/contrast.py", contrast.contrast),
    Source("hand-written-harmless", "both", "Apache-2.0", "training/synthetic.py", synthetic.harmless),
)
"""In order of claim: a text that stands in several sets belongs to the first, so that no test text is trained on."""
