"""Which language a text is in: by script, by fastText's small model, or undetected; never by asking the network."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.language import UNDETECTED, LanguageDetector, primary_subtag


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    """One for all: it only reads."""
    return LanguageDetector()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("This is an ordinary English sentence about the weather.", "en"),
        ("今天天气很好，我们去公园散步吧", "zh"),
        ("今天天氣很好，我們去公園散步吧", "zh"),  # traditional characters
        ("これはテストです", "ja"),
        ("漢字かな交じり文の例", "ja"),
        ("안녕하세요 반갑습니다", "ko"),
        ("สวัสดีครับ", "th"),
        ("שלום עולם", "he"),
        ("Γειά σου Κόσμε", "el"),
        ("Привет, как у тебя дела сегодня?", "ru"),
        ("Bonjour, comment allez-vous aujourd'hui mes amis ?", "fr"),
        ("Das ist ein ganz gewöhnlicher deutscher Satz.", "de"),
        ("مرحبا كيف حالك اليوم", "ar"),
        ("Tiếng Việt là ngôn ngữ của người Việt", "vi"),
    ],
)
def test_a_language_is_told_by_its_words_or_its_script(detector: LanguageDetector, text: str, language: str) -> None:
    assert detector.detect(text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("a", "en"),
        ("ok", "en"),
        ("lol merci", "en"),  # too short to guess
        ("猫", "zh"),
        ("あ", "ja"),
        ("ok 好", "zh"),
        ("iPhone 15 真的很好用啊", "zh"),
        ("this movie is 垃圾", "en"),
        ("https://example.com/some/path 你好世界", "zh"),
        ("@someone #hashtag 안녕", "ko"),
        ("The α and β particles are emitted by nuclei", "en"),
    ],
)
def test_short_and_mixed_texts(detector: LanguageDetector, text: str, language: str) -> None:
    assert detector.detect(text) == language


@pytest.mark.parametrize(
    "text", ["", " \n\t", "😀😀👍🏽", "https://example.com/a/b https://x.y/z", "@someone #hashtag", "12345 !!! ... ___", "\u0301"]
)
def test_a_text_without_letters_is_undetected(detector: LanguageDetector, text: str) -> None:
    assert detector.detect(text) == UNDETECTED


def test_only_the_beginning_of_a_long_text_is_read(detector: LanguageDetector) -> None:
    assert detector.detect("word " * 1000 + "这是中文" * 100_000) == "en"


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r", "\u2028", "\x85", "\v"])
def test_line_ends_do_not_disturb(detector: LanguageDetector, breaks: str) -> None:
    assert detector.detect(f"Das ist ein ganz{breaks}gewöhnlicher{breaks}deutscher Satz.") == "de"


@given(text=st.text())
def test_any_text_has_a_subtag_or_none(text: str) -> None:
    language = DETECTOR.detect(text)
    assert language == UNDETECTED or (language.isascii() and language.isalpha() and language.islower())
    assert DETECTOR.detect(text) == language


DETECTOR = LanguageDetector()


def test_the_network_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("no network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert LanguageDetector().detect("Das ist ein ganz gewöhnlicher deutscher Satz.") == "de"


@pytest.mark.parametrize(
    ("tag", "subtag"), [("zh", "zh"), ("zh-CN", "zh"), ("zh-Hant-TW", "zh"), ("EN-us", "en"), ("und", "und")]
)
def test_the_primary_subtag_stands_first(tag: str, subtag: str) -> None:
    assert primary_subtag(tag) == subtag
