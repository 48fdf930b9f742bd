"""Letters in costume and letters of other scripts: read as Latin where they play Latin, left alone where they do not."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.compatibility import compatibility, full_width, look_alikes
from schemas.codes import Signal
from tests.support.folds import apply


@pytest.mark.parametrize(
    ("text", "folded", "signals"),
    [
        ("ｆｕｃｋ", "fuck", {Signal.COMPATIBILITY}),
        ("𝓯𝓾𝓬𝓴 𝖞𝖔𝖚 𝕊𝕥𝕠𝕡", "fuck you Stop", {Signal.COMPATIBILITY}),
        ("ⓕⓤⓒⓚ ⒦⒤⒧⒧", "fuck (k)(i)(l)(l)", {Signal.COMPATIBILITY}),
        ("🅱🆄🅽", "BUN", {Signal.COMPATIBILITY}),  # NFKC leaves these alone
        ("ᶠᵘᶜᵏ", "fuck", {Signal.COMPATIBILITY}),
        ("10 ㎏, ½ ℡ №5 ﬁne … ™", "10 kg, 1⁄2 TEL No5 fine ... TM", set()),  # ordinary typography
        ("5 Å at 300 K ℹ", "5 Å at 300 K i", set()),  # Angström, Kelvin and the information sign are not dressed up
        ("e\u0323\u0302", "ệ", set()),
        ("ｶﾞｷﾞｸﾞ", "ガギグ", set()),
        ("각", "각", set()),
        ("\u09c7\u09be", "\u09cb", set()),  # composes across clusters
        ("Ⅷ x² H₂O", "VIII x2 H2O", set()),
        ("hello 你好 привет", "hello 你好 привет", set()),
        ("", "", set()),
    ],
)
def test_compatible_characters_become_plain(text: str, folded: str, signals: set[Signal]) -> None:
    assert apply(compatibility, text) == (folded, signals)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_repeated_it_gives_what_nfkc_gives(text: str) -> None:
    folded = text
    for _ in range(4):
        folded, _ = apply(compatibility, folded)
    plain = "".join(chr(ord("A") + ord(letter) - 0x1F170) if "🅰" <= letter <= "🆉" else letter for letter in text)
    assert folded == unicodedata.normalize("NFKC", plain)


def test_full_width_punctuation_and_digits_become_ascii_one_for_one() -> None:
    assert full_width("你好，世界！（１２３）　ＡＢ") == "你好,世界!(123) ＡＢ"
    assert full_width("。、「」…") == "。、「」…"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("fuсk", "fuck"),  # Cyrillic es
        ("Рaypal", "Paypal"),
        ("іdіоt", "idiot"),
        ("stupіԁ", "stupid"),
        ("idιοt", "idiot"),  # Greek iota and omicron
        ("shιt", "shit"),
        ("yoυ", "you"),
        ("kıll", "kill"),
        ("kɪll", "kill"),
        ("ʏᴏᴜʀsᴇʟꜰ", "yourself"),
        ("ѕh1t", "sh1t"),
    ],
)
def test_letters_that_play_latin_inside_a_word_are_folded(text: str, folded: str) -> None:
    assert apply(look_alikes, text) == (folded, {Signal.HOMOGLYPH})


@pytest.mark.parametrize(
    "text",
    [
        "Привет, как дела? Все хорошо, спасибо.",
        "Καλημέρα σε όλους, τι κάνετε;",
        "Москва и Moscow, Αθήνα and Athens",
        "5 μm, 3 μmol/l, kΩ, μF, μTorrent",
        "TNFα, NFκB, IκBα, αSMA, ΔG, TGFβ",
        "Yılmaz, Ayrıca, adlarını, ılıman",  # Turkish
        "/ˈbɪɡət/, /braɪt/",  # phonetic script
        "iPhone'ы и SMSки",
        "naïve façade Ångström Œuvre ß",
        "日本語とEnglish、中文和English",
        "plain",
        "",
    ],
)
def test_words_of_other_scripts_units_and_symbols_are_left_alone(text: str) -> None:
    assert apply(look_alikes, text) == (text, set())
