"""Digits, symbols and stars that stand for letters; and prices, models, units and formulas, which stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.leetspeak import leetspeak
from pipeline.text.lexicon import is_word
from pipeline.text.protected import protection
from schemas.codes import Signal
from tests.support.folds import apply


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("sh1t", "shit"),
        ("Sh1t!", "Shit!"),
        ("$tupid", "stupid"),
        ("k1ll y0urself", "kill yourself"),
        ("1d10t", "idiot"),  # 10 reads as io
        ("a$$h0le", "asshole"),
        ("5hit, 8itch, ki11", "shit, bitch, kill"),
        ("b!tch", "bitch"),
        ("fu(k", "fuck"),
        ("f*ck", "fuck"),
        ("F**K", "fuck"),
        ("f***ed", "fucked"),  # not freed: the likelier word
        ("s*x", "sex"),
        ("f*gs", "fags"),
        ("b#tches", "bitches"),
        ("bulls**t", "bullshit"),
        ("r****d", "retard"),
        ("(sh1t)", "(shit)"),
        ("*sh1t*", "*shit*"),
        ("#k1ll", "#kill"),
        ("m0th3rfuck3r5", "motherfuckers"),
        ("fr33 v1agra cas1no", "free viagra casino"),
        ("£oser", "loser"),
    ],
)
def test_a_disguised_word_of_the_lexicon_is_read(text: str, folded: str) -> None:
    assert apply(leetspeak, text) == (folded, {Signal.LEETSPEAK})


@pytest.mark.parametrize(
    "text",
    [
        "the 50s, 60's, 70s, 80s, 90s, 1990s, '90s and 15s",
        "$5, $4m, $1.50, 5$, A$5, US$5, R$5, S$55, £4m, €3, 20€",
        "4m people, 1s later, 5m3, 6ft 1in, 10mm, 5kg, 3am, 4pm, 1er janvier, 1st 2nd 3rd 4th 5th",
        "Samsung A55 and S10, BMW M3, Intel i5 and i7, AMD AM4, Boeing 747s, iPhone 5s, F-15s, AR-15s, SUV X5",
        "MP3, MP4, H1N1, B12, COVID-19, PS5, 4K, 5G, Wi-Fi 802.11n, USB3, COM1, t0, s0, g0, x1, K9, C4, A4",
        "v1.2.3-rc1, 2.1s, 0x4d3, d41d8cd9, 3.5e10, 1e5, i18n, l10n, a11y, k8s",
        "SO2, CO2, H2SO4, C6H12O6, NO3",
        "m*n, a*s + b, x = a*b*c, d*e, i*s, f*g, 2*x",
        "C#m, F#m7, C#, F#, C++, A+, A++",
        "gr8 b4 2day 4ever l8r m8",  # no words of the lexicon
        "f(x), g(all), (um, I mean), (hat), (ass)",
        "**bold** and *emphasis*, * item, # heading, #hashtag, ***",
        "@sh1t, mail sh1t@example.com, https://example.com/sh1t?a=k1ll www.sh1t.com/f*ck",
        "!important, 10!, wow!!!, what?!",
        "women, people and children",
        "",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert apply(leetspeak, text) == (text, set())


def test_what_is_read_is_a_word_of_the_lexicon() -> None:
    assert all(map(is_word, ("shit", "SHITTY", "fuckers", "you", "idiots", "killing")))
    assert not any(map(is_word, ("gos", "tos", "sos", "ally", "iin", "ied", "hello", "", "kil")))  # endings need a telling word


@given(st.text("abcdefghijklmnopqrstuvwxyz ABCDE.,:;?'\n", max_size=60))
def test_plain_letters_are_never_touched(text: str) -> None:
    assert apply(leetspeak, text) == (text, set())


@given(st.text("a1@$ .#*x", min_size=1, max_size=40), st.data())
def test_protection_tells_the_same_as_looking_at_every_span(text: str, data: st.DataObject) -> None:
    touches = protection(text)
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, len(text)))
    each = [touches(place, place + 1) for place in range(begin, end)]
    assert touches(begin, end) == any(each)


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("see https://a.b/c?d=e now", "https://a.b/c?d=e"),
        ("www.a.b/c, d", "www.a.b/c,"),
        ("mail a.b+c@d-e.co.uk, please", "a.b+c@d-e.co.uk"),
        ("hi @some_one!", "@some_one"),
        ("colour #ffffff or #FFAA00CC", "#ffffff #FFAA00CC"),
        ("at 0xDEADBEEF.", "0xDEADBEEF"),
        ("#hashtag #fff a@b 10x5 http:", ""),
    ],
)
def test_addresses_mentions_and_hexadecimal_numbers_are_protected(text: str, protected: str) -> None:
    touches = protection(text)
    kept = "".join(letter if touches(place, place + 1) else " " for place, letter in enumerate(text))
    assert " ".join(kept.split()) == protected
