"""The table from our labels to OpenAI's categories."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.moderation import Categories

from pipeline.gateway.openai.categories import CATEGORIES, NAMES, NOTHING, Scores, moderation
from schemas.codes import Verdict
from schemas.jobs import TextJob
from tests.support.desk import result
from tests.support.toy import LABELS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "openai.md"
NEVER = {"sexual/minors", "self-harm/instructions", "violence/graphic"}

probabilities = st.floats(0, 1)
scores = st.dictionaries(st.sampled_from([*LABELS, "another"]), probabilities)


def judged(labels: dict[str, float], over: set[str], *, flagged: bool = True) -> dict[str, bool]:
    """The categories of a text with these scores, of which the policy minds those in `over`."""
    found: dict[str, bool] = moderation(Scores(flagged, {name: (score, name in over) for name, score in labels.items()}))[
        "categories"
    ]
    return found


def true_of(*over: str, flagged: bool = True) -> set[str]:
    """The categories that hold where the policy minds these labels."""
    found = judged(dict.fromkeys(LABELS, 0.9), set(over), flagged=flagged)
    return {name for name, holds in found.items() if holds}


def test_the_names_are_those_that_the_official_client_knows() -> None:
    known = {field.alias or name for name, field in Categories.model_fields.items()}
    assert set(NAMES) == known
    assert len(NAMES) == 13


def test_every_label_has_a_place_in_the_table() -> None:
    assert {label for row in CATEGORIES for label in (*row.any_of, *row.all_of, *row.also)} == set(LABELS)


@pytest.mark.parametrize(
    ("over", "found"),
    [
        (["toxicity"], {"harassment"}),
        (["insult"], {"harassment"}),
        (["profanity"], {"harassment"}),
        (["identity_attack"], {"hate"}),
        (["threat"], {"harassment/threatening", "violence"}),
        (["identity_attack", "threat"], {"hate", "hate/threatening", "harassment/threatening", "violence"}),
        (["self_harm"], {"self-harm", "self-harm/intent"}),
        (["sexual"], {"sexual"}),
        (["illicit"], {"illicit"}),
        (["spam"], {"illicit"}),
        (["illicit", "threat"], {"illicit", "illicit/violent", "harassment/threatening", "violence"}),
        ([], {"harassment"}),  # a blocked word, which no label knows
    ],
)
def test_what_the_policy_minds_makes_its_categories_true(over: list[str], found: set[str]) -> None:
    assert true_of(*over) == found


def test_a_text_that_the_policy_allows_is_not_flagged_whatever_its_scores() -> None:
    assert true_of("toxicity", "threat", flagged=False) == set()


@given(scores, st.sets(st.sampled_from(LABELS)), st.booleans())
def test_flagged_means_that_a_category_is_true(labels: dict[str, float], over: set[str], flagged: bool) -> None:  # noqa: FBT001
    assert any(judged(labels, over, flagged=flagged).values()) == flagged


@given(scores, st.sampled_from(LABELS), probabilities)
def test_a_higher_score_of_ours_never_lowers_one_of_theirs(labels: dict[str, float], label: str, more: float) -> None:
    higher = {**labels, label: max(more, labels.get(label, 0))}
    assert all(0 <= row.score(labels) <= row.score(higher) <= 1 for row in CATEGORIES)


def test_what_the_model_cannot_tell_scores_nothing() -> None:
    found = moderation(Scores(flagged=True, labels=dict.fromkeys(LABELS, (1.0, True))))["category_scores"]
    assert {name for name, score in found.items() if score == 0} == NEVER
    assert all(row.note.startswith("never") == (row.name in NEVER) for row in CATEGORIES)


def test_profanity_and_spam_flag_without_raising_a_score() -> None:
    found = moderation(Scores(flagged=True, labels={"spam": (0.9, True), "profanity": (0.9, True)}))
    assert (found["categories"]["illicit"], found["category_scores"]["illicit"]) == (True, 0)


def test_scores_come_through_their_short_form() -> None:
    found = Scores.of(result(TextJob(text="you idiot")))
    assert found.flagged
    assert moderation(Scores.load(found.dump())) == moderation(found)
    assert moderation(Scores.load(NOTHING.dump())) == moderation(NOTHING)


def test_a_review_flags_as_a_block_does() -> None:
    reviewed = result(TextJob(text="you idiot")).model_copy(update={"verdict": Verdict.REVIEW})
    assert Scores.of(reviewed).flagged


def test_the_document_shows_this_table() -> None:
    shown = DOCUMENT.read_text("utf-8")
    for row in CATEGORIES:
        cells = next(line for line in shown.splitlines() if line.startswith(f"| `{row.name}` |")).split("|")
        assert all(f"`{label}`" in cells[2] for label in (*row.any_of, *row.all_of)), row.name
        assert all(f"`{label}`" in cells[3] for label in row.also), row.name
