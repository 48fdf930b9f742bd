"""Parsers of the English data sets: each takes the data folder and yields rows in file order."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from training.profanity import profane
from training.rows import CLEAN, Row, Split, clean_or, table

SURE_SHARE, DOUBT_SHARE = 0.5, 0.2
"""Share of raters from which a label is given, and below which it is denied; in between it stays unknown."""
THREAT_SHARE = 0.34
"""Threats are so rare that one rater in three is enough."""
SPAN_LABELS = {"Insult": "insult", "Profane/Obscene": "profanity", "Identity based Attack": "identity_attack", "Threat": "threat"}
JIGSAW = {"toxic": "toxicity", "obscene": "profanity", "threat": "threat", "insult": "insult", "identity_hate": "identity_attack"}
NAMED_SPLITS: dict[str, Split] = {"train": "train", "dev": "validation", "test": "test"}


def toxic_spans(data: Path) -> Iterator[Row]:
    """Civil Comments chosen as toxic; the share of raters who marked a span of a type gives the label."""
    comment_of, raters, toxic = {}, Counter[str](), Counter[str]()
    for row in table(data / "toxic-spans/annotations.csv"):
        comment_of[row["annotation"]] = row["comment_id"]
        raters[row["comment_id"]] += 1
        toxic[row["comment_id"]] += row["not toxic"] != "True"
    marks: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in table(data / "toxic-spans/spans.csv"):
        if row["type"] in SPAN_LABELS:
            marks[comment_of[row["annotation"]]].add((SPAN_LABELS[row["type"]], row["annotation"]))
    for row in table(data / "toxic-spans/comments.csv"):
        key = row["comment_id"]
        votes = Counter(label for label, _ in marks[key])
        shares = {label: votes[label] / max(1, raters[key]) for label in SPAN_LABELS.values()}
        yield Row(row["comment_text"], _from_shares(shares, toxic[key] / max(1, raters[key])))


def _from_shares(shares: dict[str, float], toxic_share: float) -> dict[str, int]:
    labels = {label: int(share >= SURE_SHARE) for label, share in shares.items() if not DOUBT_SHARE <= share < SURE_SHARE}
    if shares["threat"] >= THREAT_SHARE:
        labels["threat"] = 1
    return labels | ({"toxicity": 1} if toxic_share > SURE_SHARE else {})


def toxic_spans_test(data: Path) -> Iterator[Row]:
    """The SemEval test texts: held out, so that nothing here is trained on them."""
    for row in table(data / "toxic-spans/tsd_test.csv"):
        yield Row(row["text"], {"toxicity": 1}, "test")


def jigsaw(folder: str, data: Path) -> Iterator[Row]:
    """Wikipedia talk comments with the six labels of the Jigsaw challenge."""
    for row in table(data / folder / "toxic_comments.csv"):
        labels = {ours: int(row[theirs]) for theirs, ours in JIGSAW.items()}
        yield Row(row["comment_text"], clean_or(any(labels.values()), labels))


def jigsaw_hieu(data: Path) -> Iterator[Row]:
    """2,000 comments, a quarter toxic."""
    return jigsaw("jigsaw-subset-hieu", data)


def jigsaw_amodh(data: Path) -> Iterator[Row]:
    """The first 3,000 comments of the challenge."""
    return jigsaw("jigsaw-subset-amodh", data)


def jigsaw_ak(data: Path) -> Iterator[Row]:
    """5,000 comments in lower case, toxic or not."""
    for row in table(data / "jigsaw-subset-ak/toxic_comments.csv"):
        yield Row(row["text"], clean_or(row["toxic"] == "1", {"toxicity": 1}))


def jigsaw_houm(data: Path) -> Iterator[Row]:
    """10,000 comments without punctuation, half of them toxic."""
    for row in table(data / "jigsaw-subset-houm/balanced_dataset.csv"):
        toxic = float(row["target"]) >= SURE_SHARE
        yield Row(row["comment_text"], clean_or(toxic, {"toxicity": 1}))


def wikipedia_1492(data: Path) -> Iterator[Row]:
    """The test of the unintended-bias study."""
    for row in table(data / "conversationai-bias/toxicity_nonfuzzed_testset.csv"):
        yield Row(row["comment"], {"toxicity": int(row["toxic"] == "True")}, "test")


def bias_madlibs(data: Path) -> Iterator[Row]:
    """Templated sentences that name identities, harmless and hateful: a bias probe."""
    for row in table(data / "conversationai-bias/bias_madlibs_77k.csv"):
        yield Row(row["Text"], {"toxicity": int(row["Label"] == "BAD")}, "test")


def context_gc(data: Path) -> Iterator[Row]:
    """Wikipedia talk at its real base rate: clean negatives, with 151 toxic ones."""
    for row in table(data / "context-toxicity/gc.csv"):
        yield Row(row["text"], clean_or(float(row["label"]) >= SURE_SHARE, {"toxicity": 1}))


def context_gn(data: Path) -> Iterator[Row]:
    """The same for the test of false positives."""
    for row in table(data / "context-toxicity/gn.csv"):
        yield Row(row["text"], {"toxicity": int(float(row["label"]) >= SURE_SHARE)}, "test")


def davidson(data: Path) -> Iterator[Row]:
    """Tweets found by hateful words: hate speech, offensive language, or neither."""
    for row in table(data / "davidson/labeled_data.csv"):
        hate, neither = int(row["class"] == "0"), row["class"] == "2"
        labels = {"toxicity": int(not neither), "identity_attack": hate}
        if profane(row["tweet"]):
            labels["profanity"] = 1
        yield Row(row["tweet"], {"threat": 0, "self_harm": 0, "illicit": 0, "spam": 0} | labels if neither else labels)


def edos(data: Path) -> Iterator[Row]:
    """Posts of Gab and Reddit, sexist or not. A post that is not sexist may still abuse others: its toxicity is unknown."""
    for row in table(data / "edos/edos_labelled_aggregated.csv"):
        sexist = row["label_sexist"] == "sexist"
        threat = "threats" in row["label_category"]
        labels = {"toxicity": 1, "identity_attack": 1, "threat": int(threat)} if sexist else {"identity_attack": 0}
        yield Row(row["text"], labels, NAMED_SPLITS[row["split"]])


def hatemoji(data: Path) -> Iterator[Row]:
    """Adversarial sentences in which emoji carry the hate."""
    for name, split in (("train", "train"), ("validation", "validation"), ("build_test", "test")):
        for row in table(data / f"hatemoji/{name}.csv"):
            hate = int(row["label_gold"])
            threat = int(row["type"] == "threateninglanguage")
            yield Row(row["text"], {"toxicity": hate, "identity_attack": hate, "threat": threat}, split)  # type: ignore[arg-type]


def surge_toxicity(data: Path) -> Iterator[Row]:
    """1,000 social-media comments, half of them toxic."""
    for row in table(data / "surge-toxicity/toxicity_en.csv"):
        yield Row(row["text"], clean_or(row["is_toxic"] == "Toxic", {"toxicity": 1}))


def convabuse(data: Path) -> Iterator[Row]:
    """What people say to chat bots; each of up to eight raters graded the abuse from 1 (none) to -3."""
    for part, split in (("train", "train"), ("valid", "validation"), ("test", "test")):
        for row in table(data / f"convabuse/ConvAbuseEMNLP{part}.csv"):
            votes = [_abuse_vote(row, rater) for rater in range(1, 9)]
            known = [vote for vote in votes if vote is not None]
            harassed = any("1" in row.get(f"Annotator{rater}_sex_harassment", "") for rater in range(1, 9))
            abusive = sum(known) * 2 > len(known)
            harmful = {"toxicity": 1, "insult": 1, "sexual": int(harassed)}
            doubt = {"sexual": int(harassed)} if any(known) else CLEAN
            yield Row(row["user"], harmful if abusive else doubt, split)  # type: ignore[arg-type]


def _abuse_vote(row: dict[str, str], rater: int) -> bool | None:
    grades = {grade: row.get(f"Annotator{rater}_is_abuse.{grade}", "") for grade in ("1", "0", "-1", "-2", "-3")}
    if not any(grades.values()):
        return None
    return any("1" in grades[grade] for grade in ("-1", "-2", "-3"))


def goemotions(data: Path) -> Iterator[Row]:
    """Reddit comments whose only emotion is neutral or friendly, and that hold no swear word: clean negatives."""
    names = (data / "goemotions/labels.txt").read_text(encoding="utf-8").split()
    friendly = {names.index(name) for name in ("neutral", "admiration", "amusement", "excitement", "gratitude", "joy", "love")}
    for part, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
        for line in (data / f"goemotions/{part}.tsv").read_text(encoding="utf-8").splitlines():
            text, emotions, _ = line.split("\t")
            if friendly.issuperset(map(int, emotions.split(","))) and not profane(text):
                yield Row(text, CLEAN, split)  # type: ignore[arg-type]


HAZARDS: dict[str, dict[str, int]] = {
    "ssh": {"self_harm": 1, "spam": 0},
    "sxc_prn": {"sexual": 1, "self_harm": 0, "spam": 0},
    "cse": {"sexual": 1, "illicit": 1, "self_harm": 0, "spam": 0},
    **{hazard: {"illicit": 1, "self_harm": 0, "spam": 0} for hazard in ("iwp", "ncr", "vcr", "prv", "src")},
}


def ailuminate(data: Path) -> Iterator[Row]:
    """Hazardous prompts to a language model. Defamation, copyright and advice are left out: the model has no label for them."""
    for row in table(data / "ailuminate/airr_official_1.0_demo_en_us_prompt_set_release.csv"):
        if row["hazard"] in HAZARDS:
            yield Row(row["prompt_text"], HAZARDS[row["hazard"]])


def simple_safety_tests(data: Path) -> Iterator[Row]:
    """100 short prompts that no assistant should follow."""
    for row in table(data / "simple-safety-tests/SimpleSafetyTests - test cases.csv"):
        self_harm = "Suicide" in row["harm_area"]
        yield Row(row["prompts_final"], {"self_harm": int(self_harm), "spam": 0} | ({} if self_harm else {"illicit": 1}), "train")


def xstest(data: Path) -> Iterator[Row]:
    """Prompts that only sound dangerous, and their dangerous twins: the test of over-blocking."""
    for row in table(data / "xstest/xstest_prompts.csv"):
        yield Row(row["prompt"], {"illicit": int(row["label"] == "unsafe")}, "test")


def sms_spam(data: Path) -> Iterator[Row]:
    """Text messages of the 2000s. What is not spam is everyday chat, swearing included."""
    for row in table(data / "sms-spam/spam.csv", encoding="latin-1"):
        spam = int(row["v1"] == "spam")
        harmless = {} if spam or profane(row["v2"]) else {"toxicity": 0, "identity_attack": 0, "threat": 0}
        yield Row(row["v2"], {"spam": spam, "self_harm": 0} | harmless)


def xquad_english(data: Path) -> Iterator[Row]:
    """Questions on Wikipedia articles: harmless questions, which the prompt sets lack."""
    return questions(data / "xquad/xquad.en.json")


def questions(path: Path) -> Iterator[Row]:
    """The paragraphs and questions of a file in SQuAD's form, as clean negatives."""
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            yield Row(paragraph["context"], CLEAN)
            yield from (Row(question["question"], CLEAN) for question in paragraph["qas"])
