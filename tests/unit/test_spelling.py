"""Words taken apart and letters dragged out; and abbreviations, lists, phrases and placeholders, which stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.lexicon import is_spelled, is_telling
from pipeline.text.spelling import chinese_words, han_spelled_out, repetition, spelled_out
from schemas.codes import Signal
from tests.support.folds import apply


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("f u c k", "fuck"),
        ("F.U.C.K. you", "FUCK. you"),
        ("s-t-u-p-i-d", "stupid"),
        ("s_h_i_t", "shit"),
        ("k  i  l  l", "kill"),
        ("f u c k   y o u", "fuck   you"),  # beside a telling word, its company is read too
        ("k i l l y o u r s e l f", "killyourself"),
        ("so d.u.m.b!", "so dumb!"),
        ("d·i·e", "die"),
    ],
)
def test_a_word_that_is_spelled_out_is_put_together(text: str, folded: str) -> None:
    assert apply(spelled_out, text) == (folded, {Signal.SPACED_LETTERS})


@pytest.mark.parametrize(
    "text",
    [
        "U.S.A., U.K., A.S.A.P., R.I.P., D.I.Y., N.Y.C., a.m., p.m., i.e., e.g., Ph.D., J.R.R. Tolkien",
        "W.H.O. and S.O.S., M.E.N., A.L.L., G-I-R-L-S",  # words, but they tell nothing on their own
        "x, y, z; a, b, c; i, a, m; t, h, e",
        "a + b + c = d, a*b*c, a/b/c, x_i_j",
        "A B C D E F G, 1 2 3 4, A|B|C",
        "f-u c.k",  # not one separator
        "wi-fi, t-shirt, e-mail, x-ray",
        "",
    ],
)
def test_abbreviations_lists_and_formulas_stay(text: str) -> None:
    assert apply(spelled_out, text) == (text, set())


@pytest.mark.parametrize(
    ("letters", "spelled", "telling"),
    [
        ("fuckyou", True, True),
        ("youare", True, False),
        ("youareanidiot", True, True),  # holds a stem
        ("youdumb", True, True),
        ("youhappy", False, False),
        ("sos", False, False),
        ("x" * 300, False, False),
    ],
)
def test_letters_are_words_put_together_or_they_are_none(letters: str, spelled: bool, telling: bool) -> None:  # noqa: FBT001
    assert (is_spelled(letters), is_telling(letters)) == (spelled, telling)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("傻*逼", "傻逼"),
        ("你个傻 逼", "你个傻逼"),
        ("傻.逼", "傻逼"),
        ("操~你-妈", "操你妈"),
        ("你 妈 的", "你妈的"),
        ("去|死 去·死", "去死 去死"),
        ("加 微 信", "加微信"),
    ],
)
def test_a_chinese_word_is_read_across_what_was_put_between(text: str, folded: str) -> None:
    assert apply(chinese_words, text) == (folded, {Signal.SPACED_LETTERS})


@pytest.mark.parametrize(
    "text",
    [
        "谢谢你，妈妈",
        "谢谢你 妈妈，我爱你\n妈妈也爱你",
        "别犯傻，逼自己一把",
        "这人傻。逼他也没用",
        "父母，狗和猫",
        "我想去…死也要去",
        "我想去...死也要去",
        "一棍子打死，你这样不对",
        "猫猫狗狗，日子过得甭提多爽",
        "他活该，死了最好",
        "很恶。\n心事",
        "甲、乙、丙",
        "hello",
        "",
    ],
)
def test_phrases_that_end_and_begin_with_its_characters_stay(text: str) -> None:
    assert apply(chinese_words, text) == (text, set())


@pytest.mark.parametrize(
    ("text", "folded"),
    [("我 要 杀 了 他", "我要杀了他"), ("我*爱*北*京*天*安*门", "我爱北京天安门"), ("好:你.是.谁.呢.啊!", "好:你是谁呢啊!")],
)
def test_five_chinese_characters_that_stand_apart_are_put_together(text: str, folded: str) -> None:
    assert apply(han_spelled_out, text) == (folded, {Signal.SPACED_LETTERS})


@pytest.mark.parametrize("text", ["春 夏 秋 冬", "你好 世界 和平 万岁 加油", "1 2 3 4 5 6", "我，你，他，她，它", ""])
def test_fewer_characters_or_whole_words_stay_apart(text: str) -> None:
    assert apply(han_spelled_out, text) == (text, set())


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("fuuuuuck", "fuck"),
        ("SHIIIIIT", "SHIT"),
        ("soooo good", "so good"),
        ("noooooo", "noo"),  # no word of the lexicon: two stay
        ("aaaaaaaa", "aa"),
        ("a" * 100_000, "aa"),
        ("哈哈哈哈哈哈哈哈哈", "哈哈哈"),
        ("ああああああああ", "あああ"),
        ("ееееееее", "еее"),  # Cyrillic
    ],
)
def test_letters_dragged_out_are_shortened(text: str, folded: str) -> None:
    assert apply(repetition, text) == (folded, {Signal.REPETITION})


@pytest.mark.parametrize(
    "text",
    [
        "coool, hmmm, good, feet, www",
        "yyyy-MM-dd, AAAA batteries, XXXX-1234, xxxxxx",
        "#ffffff, 0xffffffff, https://example.com/aaaaaa, @aaaaaaa",
        "哈哈哈哈哈哈哈",
        "1000000000, ........., !!!!!!!!!, ----------, __________",
        "😀😀😀😀😀😀😀😀😀😀",
        "",
    ],
)
def test_ordinary_repetitions_stay(text: str) -> None:
    assert apply(repetition, text) == (text, set())


@given(st.text("aab哈.", max_size=3000))
def test_no_letter_of_a_word_stands_four_times_in_a_row(text: str) -> None:
    folded, _ = apply(repetition, f"x{text}x")
    assert "xaaaa" not in folded
    assert "哈" * 8 not in folded
    assert apply(repetition, folded)[0] == folded
