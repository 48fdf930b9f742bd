"""The sentences of model cards that no figure can tell: what a model is for, what it must not be used for, where it fails."""

from typing import Final, NamedTuple


class Words(NamedTuple):
    """Sections of a card, in Markdown."""

    use: str
    misuse: str
    failures: str
    reproduce: str


MODERATION: Final = Words(
    use="""\
## What it is for
Sorting large streams of user comments in English and Chinese: most pass, some wait for a person, the plainest are blocked. The
thresholds are yours (`pipeline/defaults/policies/default.toml`); scores are calibrated, so that 0.8 means that about 8 of 10
texts like those of the validation sets carry the label. Other mixtures of texts have other shares.
""",
    misuse="""\
## What it must not be used for
Decisions about people without a person who looks, policing of private messages, ranking of users, languages other than English
and Chinese. No label finds child abuse material, graphic violence or instructions for self-harm: there was no licensed data.
""",
    failures="""\
## Known failures
- It learned data sets. On carefully contrasted sentences (counter-speech, quoted slurs, irony, dehumanising hate without a bad
  word) it errs often; the figures above show how often.
- Chinese insults aimed at one person, Chinese threats, self-harm, sexual and advertising texts were learned mostly from
  sentences written by hand for this project: what is phrased otherwise may pass.
- `illicit` knows prompts to a language model and little else; `spam` knows English text messages of the 2000s.
- It scores a comment alone: neither the thread nor the picture is known. Dialects and reclaimed words are judged too harshly.
- How windows of a long text become one score was chosen with Wikipedia-1492 in sight.
""",
    reproduce="`training/runs/moderation.sh` makes it again from the same data, from there or from its base encoder; "
    "`training/LOG.md` tells what did not work.",
)
OWN: Final = Words(
    use="""\
## What it is for
Texts like those it was trained on. Scores are calibrated on its validation texts: 0.8 means that about 8 of 10 such texts carry
the label. `policy.toml` in this folder, where there is one, has thresholds found on the same texts.
""",
    misuse="""\
## What it must not be used for
Texts of another kind, language or time than its data, before it was measured on them. Decisions about people without a person
who looks.
""",
    failures="""\
## Known failures
Nobody has written any down. `training.evaluate` shows texts by language, group and disguise; add here what you find.
""",
    reproduce="The data's card, `run.json` and `made.json` of the run tell how.",
)
