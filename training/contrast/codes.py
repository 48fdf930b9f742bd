"""The codes that stand before a sentence in the data files, and the labels that each one means."""

import re
from collections.abc import Iterable
from typing import Final

from training.labels import NAMES
from training.profanity import profane
from training.rows import CLEAN

_ELSE: Final = {"threat": 0, "sexual": 0, "self_harm": 0, "illicit": 0, "spam": 0}
CODES: Final[dict[str, dict[str, int]]] = {
    "ok": CLEAN,
    # Swearing that hits nobody: as praise, or at a stubbed toe.
    "swear": {**CLEAN, "profanity": 1},
    # The same, so coarse that people differ on whether it is rude.
    "crude": {**_ELSE, "profanity": 1, "insult": 0, "identity_attack": 0},
    "hate": {**_ELSE, "toxicity": 1, "identity_attack": 1},
    # Prejudice in polite words: whether it is rude is left open.
    "bias": {**_ELSE, "identity_attack": 1},
    "insult": {**_ELSE, "toxicity": 1, "insult": 1, "identity_attack": 0},
    # Abuse of a party, a trade or a firm: rude, but no attack on what people are.
    "rude": {**_ELSE, "toxicity": 1, "identity_attack": 0},
    # Harsh words on a thing or an institution, of which it is left open whether they are rude.
    "harsh": {**_ELSE, "insult": 0, "identity_attack": 0},
    "threat": {**_ELSE, "toxicity": 1, "threat": 1, "identity_attack": 0},
    "sexual": {"sexual": 1, "identity_attack": 0, "threat": 0, "self_harm": 0, "illicit": 0, "spam": 0},
    "harass": {"toxicity": 1, "sexual": 1, "self_harm": 0, "illicit": 0, "spam": 0},
    "selfharm": {**CLEAN, "self_harm": 1},
    # Instructions for self-harm asked for: some call that illicit too.
    "method": {"self_harm": 1, "identity_attack": 0, "insult": 0, "spam": 0, "sexual": 0},
    # "Kill yourself": abuse; whether it counts as a threat or as self-harm is left open.
    "goad": {"toxicity": 1, "identity_attack": 0, "sexual": 0, "illicit": 0, "spam": 0},
    "illicit": {"illicit": 1, "self_harm": 0, "spam": 0},
    "spam": {**_ELSE, "spam": 1, "toxicity": 0, "insult": 0, "identity_attack": 0},
}

HARMLESS: Final = frozenset({"ok", "swear"})
_OF_A_GROUP: Final = re.compile(
    r"\b(?:bitch|cow|whore|slut|hag|witch|cunt|retard|spaz|cripple|fat|mum|sow|broad|halfwit|brain-damaged)"
    r"|婊|婆|母|智障|脑瘫|残废|贱人|贱货|肥|娘们|女人|瞎|聋|瘸|疯|神经病|巨婴|绿茶"
)
"""Insults that name a sex or a disability: whether they attack a group as well is left open."""


def labels_of(code: str, plain: str) -> dict[str, int]:
    """Labels of a sentence with `code`, several joined by "+"; `plain` is its undisguised wording, which decides on profanity."""
    labels = _joined(CODES[part] for part in code.split("+"))
    if labels.get("profanity") == 1:
        return labels
    if labels.get("insult") == 1 and labels.get("identity_attack") == 0 and _OF_A_GROUP.search(plain.lower()):
        del labels["identity_attack"]
    swears = profane(plain)
    if code == "ok":  # a quoted or reclaimed swear word: open whether that is profane
        return {name: value for name, value in labels.items() if name != "profanity" or not swears}
    return labels | {"profanity": int(swears)}


def _joined(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """One yes is enough; a no needs all; anything else is unknown."""
    several = list(parts)
    labels = {}
    for name in NAMES:
        known = [part.get(name) for part in several]
        if 1 in known:
            labels[name] = 1
        elif None not in known:
            labels[name] = 0
    return labels
