"""Parsers of the Chinese data sets: each takes the data folder and yields rows in file order.

Profanity is a rule label here (see `profanity`): where a set names no swear words, a word of the list gives the label,
and a harmless text without one denies it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from training.parse_english import questions
from training.profanity import CHINESE, profane
from training.rows import CLEAN, Row, table

JADE_LEFT_OUT = ("国家", "淫秽", "其他")
"""Sub-types of jade that are political, sexual or anything at all: they say nothing sure about `illicit`."""


def cold(data: Path) -> Iterator[Row]:
    """Social-media comments on race, region and gender, offensive or not; anti-bias comments count as harmless."""
    for name, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
        for row in table(data / f"cold/{name}.csv"):
            labels = _cold_labels(row["TEXT"], offensive=row["label"] == "1")
            if row.get("fine-grained-label") == "1":  # only the test tells attacks on one person from attacks on a group
                labels |= {"insult": 1, "identity_attack": 0}
            yield Row(row["TEXT"], labels, split)  # type: ignore[arg-type]


def _cold_labels(text: str, *, offensive: bool) -> dict[str, int]:
    swears = bool(CHINESE.search(text))
    if offensive:
        return {"toxicity": 1, "identity_attack": 1, "profanity": int(swears), "spam": 0, "self_harm": 0}
    return {**CLEAN, "profanity": 1} if swears else CLEAN


def swsr(data: Path) -> Iterator[Row]:
    """Weibo comments, sexist or not. Micro-aggressions (MA) are prejudice, but rarely rude: their toxicity is unknown."""
    for row in table(data / "swsr/SexComment.csv"):
        text, sexist = row["comment_text"], row["label"] == "1"
        labels = {"identity_attack": int(sexist), "profanity": int(bool(CHINESE.search(text))), "spam": 0}
        if sexist and row["category"] != "MA":
            labels["toxicity"] = 1
        yield Row(text, labels)


def jade(data: Path) -> Iterator[Row]:
    """Prompts that ask for help with a crime."""
    for name in ("easy", "medium"):
        for row in table(data / f"jade/jade_benchmark_{name}_zh.csv"):
            crime = row["违规类型"].strip() == "违法犯罪" and not any(word in row["违规子类"] for word in JADE_LEFT_OUT)
            if crime:
                yield Row(row["问题"], {"illicit": 1, "self_harm": 0, "spam": 0})


def cvalues(data: Path) -> Iterator[Row]:
    """Everyday questions that call for a responsible answer: harmless."""
    for line in (data / "cvalues/cvalues_responsibility_prompts.jsonl").read_text(encoding="utf-8").splitlines():
        yield Row(json.loads(line)["prompt"], CLEAN)


def weibo_ner(data: Path) -> Iterator[Row]:
    """Weibo posts collected for names, not for abuse: everyday chat, minus those with a swear word."""
    text = (data / "weibo-ner/weiboNER_2nd_conll.train").read_text(encoding="utf-8")
    for sentence in text.split("\n\n"):
        # A token is a character and its place in the word ("科0"); the place is of no use here.
        post = "".join(line.split("\t")[0][:1] for line in sentence.splitlines() if line)
        if post and not profane(post):
            yield Row(post, CLEAN)


def xquad_chinese(data: Path) -> Iterator[Row]:
    """Questions and paragraphs of Wikipedia: harmless, and the paragraphs are long."""
    return questions(data / "xquad/xquad.zh.json")


def zh_templates(data: Path) -> Iterator[Row]:
    """Templated sentences that name identities, harmless and hateful: a bias probe."""
    for row in table(data / "conversationai-bias/zh-cn_sentence_templates.csv"):
        yield Row(row["phrase"], {"toxicity": int(row["toxicity"] == "toxic")}, "test")
