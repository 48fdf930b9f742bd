"""The normaliser as a whole: disguises are folded and named, ordinary text is not; whatever comes, and however much."""

import sys
import unicodedata
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.text.normalise import NormalisedText, normalise
from schemas.codes import Signal


@pytest.mark.parametrize(
    ("text", "folded", "signals"),
    [
        ("ｆｕｃｋ ｙｏｕ", "fuck you", (Signal.COMPATIBILITY,)),
        ("fu\x00ck", "fuck", (Signal.CONTROL,)),
        ("\u202ekcuf\u202c", "kcuf", (Signal.CONTROL,)),
        ("fu\u200bck", "fuck", (Signal.ZERO_WIDTH,)),
        ("傻\u200b逼", "傻逼", (Signal.ZERO_WIDTH,)),
        ("f\u0336u\u0336c\u0336k\u0336", "fuck", (Signal.COMBINING,)),
        ("idiо\u0442", "idiot", (Signal.HOMOGLYPH,)),
        ("sh1t", "shit", (Signal.LEETSPEAK,)),
        ("f u c k", "fuck", (Signal.SPACED_LETTERS,)),
        ("操*你*妈", "操你妈", (Signal.SPACED_LETTERS,)),
        ("fuuuuuck", "fuck", (Signal.REPETITION,)),
        ("哈哈哈哈哈哈哈哈哈", "哈哈哈", (Signal.REPETITION,)),
    ],
)
def test_a_disguise_is_folded_and_named(text: str, folded: str, signals: tuple[Signal, ...]) -> None:
    found = normalise(text)
    assert (found.text, found.signals) == (folded, signals)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("f\u200b \u200bu\u200b c\u200b k", "fuck"),
        ("ｓh1\u200bt", "shit"),
        ("ѕh1t", "shit"),
        ("f\u0336.\u0336u\u0336.\u0336c\u0336.\u0336k\u0336", "fuck"),
        ("ѕhiiiiιt", "shit"),
        ("ｆ＊ｃｋ", "fuck"),
        ("fuuuuck1ng", "fucking"),  # the last fold uncovers work for an earlier one
        ("ｆ\u09c7\u09be", "f\u09cb"),
        ("傻\u200b*\u200b逼", "傻逼"),
        ("操，\u200b你 妈", "操,你 妈"),  # a comma ends a phrase
    ],
)
def test_one_disguise_may_hide_another(text: str, folded: str) -> None:
    assert normalise(text).text == folded


@pytest.mark.parametrize(
    "text",
    [
        "An ordinary sentence, with 3 numbers (1, 2.5 and 1e10) and a name: O'Neill-Smith.",
        "$5.50, US$4m, A$5, 20 €, £3, ¥100",
        "v1.2.3-rc1, Python 3.11, ES2015, HTML5, Intel i5, Samsung A55, BMW M3, the 90s, 1s, 4m",
        "https://example.com/sh1t?a=k1ll, www.example.com/aaaaaa, me.sh1t@example.com, @sh1t_happens",
        "😀😂👍🏽🇩🇪 on fire 🔥🔥🔥🔥🔥🔥🔥🔥🔥",
        "مرحبا كيف حالك اليوم؟ ٱلرَّحْمَٰنِ",
        "हिन्दी में एक वाक्य, বাংলা, தமிழ்",
        "בְּרֵאשִׁ֖ית בָּרָ֣א אֱלֹהִ֑ים",
        "Καλημέρα κόσμε, τι κάνετε;",
        "Привет, как дела? Ёлка и йод.",
        "Tiếng Việt: Hồ Chí Minh được thành lập, nghĩa là gì?",
        "你好。世界、和平——我爱你",
        "谢谢你。妈妈也爱你",
        "こんにちは、世界。カタカナ",
        "안녕하세요 반갑습니다",
        "สวัสดีครับ ขอบคุณที่รัก",
        "5 μm, 3 μmol/l, 10 kΩ, TNFα, NFκB, ΔG",
        "Yılmaz'ın adlarını, Ångström, crème brûlée, Dvořák, straße",
        "if (x != y && a[i] == '$') { return f(x)*g(x); } // C++, C#, #ffffff",
        "U.S.A., W.H.O., S.O.S., e.g., a.m., J.R.R. Tolkien",
        "tabs\tand\nlines\r\nstay",
        "   spaces stay   ",
        "",
    ],
)
def test_ordinary_text_comes_back_as_it_is(text: str) -> None:
    assert normalise(text) == NormalisedText(text, (), None, len(text))


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("你好，世界！", "你好,世界!"),
        ("👨\u200d👩\u200d👧 ❤\ufe0f", "👨👩👧 ❤"),
        ("می\u200cخواهم", "میخواهم"),
        ("क्\u200dष", "क्ष"),
        ("10 ㎏, ½, x², …", "10 kg, 1⁄2, x2, ..."),
        ("e\u0323\u0302", "ệ"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("5 µm", "5 μm"),  # the micro sign is a Greek letter
        ("น้ำ", "น้ํา"),  # Thai's AM is two characters
        ("\ufeffhello", "hello"),
    ],
)
def test_typography_is_made_plain_without_a_signal(text: str, folded: str) -> None:
    found = normalise(text)
    assert (found.text, found.signals) == (folded, ())


@pytest.mark.parametrize("text", ["\u200b\u200b", "\x00\x01", "\ufeff", "\u202e", "\u0336"])
def test_nothing_but_the_invisible_leaves_nothing(text: str) -> None:
    assert normalise(text).text == ""


PIECES = (
    *("f", "u", "c", "k", "s", "h", "1", "t", "$", "@", "!", "0", "*", "#", "(", "|", "+", ".", "-", "_", "~", "·", " ", "  "),
    *("傻", "逼", "操", "你", "妈", "去", "死", "，", "…", "ｆ", "ｕ", "𝓯", "🅱", "о", "с", "ι", "μ", "ı", "ᴋ", "İ", "ß", "ſ"),
    *("\u200b", "\u200d", "\ufe0f", "\u202e", "\x00", "\u0301", "\u0323", "\u0336", "\u0489", "\u302e", "\u0f73", "\uff9e"),
    *(
        "aaaa",
        "uuuuu",
        "哈" * 8,
        "http://",
        "www.",
        "@a",
        "a@b.cc",
        "0x",
        "\n",
        "\u3000",
        "ﬁ",
        "㎏",
        "ﷺ",
        "ᄀ",
        "ᅡ",
        "\u09c7",
        "\u09be",
    ),
    *("you", "die", "w.h.o", "k i l l", "90s", "A$5"),
)
DISGUISED = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
ANYTHING = st.text(st.characters(exclude_categories=()))
"""All planes, and halves of surrogate pairs, which the schema refuses but which must not hurt."""


@settings(deadline=None)
@given(DISGUISED | ANYTHING)
@example("\ud800 f u c k")
@example("\u0f73" * 9)
def test_folding_twice_is_folding_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once.text) == NormalisedText(once.text, (), None, len(once.text))


@settings(deadline=None)
@given(DISGUISED | ANYTHING)
def test_every_character_has_an_origin(text: str) -> None:
    found = normalise(text)
    assert found.original_length == len(text)
    origins = range(len(text)) if found.origins is None else found.origins
    assert len(origins) == len(found.text)
    assert list(origins) == sorted(origins)
    assert all(0 <= place < len(text) for place in origins)
    assert found.origins is not None or found.text == text or len(found.text) == len(text)


@settings(deadline=None)
@given(DISGUISED | ANYTHING, st.data())
def test_a_span_maps_back_to_one_that_holds_something(text: str, data: st.DataObject) -> None:
    found = normalise(text)
    begin = data.draw(st.integers(0, len(found.text)))
    end = data.draw(st.integers(begin, len(found.text)))
    first, last = found.original_span(begin, end)
    assert 0 <= first <= last <= len(text)
    assert (first < last) == (begin < end)


@pytest.mark.parametrize(
    ("text", "part", "original"),
    [
        ("you f u c k, you", "fuck", "f u c k"),
        ("you f u c k, you", "uc", "f u c k"),  # a part of a folded word comes from all of it
        ("you f u c k, you", ", you", ", you"),
        ("so \u200bfu\u200bck\u200b!", "fuck", "fu\u200bck\u200b"),
        ("10 ㎏ of", "g", "㎏"),
        ("sh1t happens", "shit", "sh1t"),
        ("plain", "lai", "lai"),
    ],
)
def test_a_span_of_the_folded_text_is_found_in_the_original(text: str, part: str, original: str) -> None:
    found = normalise(text)
    begin = found.text.index(part)
    first, last = found.original_span(begin, begin + len(part))
    assert text[first:last] == original


MIB = 1 << 20
HUGE = (
    *("a", "@", "傻", "😀", "\x00", "\u200b", "\u202e", "\u0301", "傻 ", "a-", "e\u0301 "),
    *("\u0301\u0323", "\u302e\u302a", "\u0f73", "\u0e34\u0301\u0323", "\uff9e\u093c"),  # marks that NFKC must put in order
    *("@a b1 ", "@a aaaa "),  # as many mentions as tokens
)
MORE = (
    *("1", " ", "*", "#", "ｆ", "🅱", "ᄀ", "\ufdfa", "i-", "a ", "a\u200b", "aа", "(((", "|!|", "www.", "哈" * 9 + "，"),
    *("http://a k1ll ", "a.a@a.aa ", "k.i.l.l ", "f*ck ", "sh1t"),
)


@pytest.mark.timeout(120)  # each takes a second or two, and hours where a fold's time grows with the square of the length
@pytest.mark.parametrize("piece", HUGE, ids=ascii)
def test_a_mebibyte_of_anything_is_folded(piece: str) -> None:
    text = piece * (MIB // len(piece.encode()))
    found = normalise(text)
    assert len(found.text) <= len(text)
    assert found.origins is None or len(found.origins) == len(found.text)


def test_no_character_becomes_more_than_eighteen() -> None:
    assert len(normalise("\ufdfa" * 1000).text) == 18_000
    assert max(len(unicodedata.normalize("NFKC", character)) for character in map(chr, range(0x110000))) == 18


def calls(work: Callable[[], object]) -> int:
    """How many Python functions `work` enters, generators resumed included: a clock that no load disturbs."""
    entered = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return entered


@pytest.mark.parametrize("piece", HUGE + MORE, ids=ascii)
def test_twice_the_text_is_twice_the_work(piece: str) -> None:
    normalise(piece * 4000)  # fills the caches
    single, double = (calls(lambda times=times: normalise(piece * times)) for times in (2000, 4000))
    assert double <= 2.2 * single + 200
