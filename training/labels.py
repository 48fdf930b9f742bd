"""The labels of the moderation model: their order (that of the logits), what each means, and how far its data carries."""

from typing import Literal, NamedTuple

Grade = Literal["strong", "fair", "weak", "experimental"]


class Label(NamedTuple):
    """One output of the model."""

    name: str
    grade: Grade
    description: str


MODERATION = (
    Label("toxicity", "strong", "Rude, hateful or abusive in any way: the top score."),
    Label("insult", "fair", "Belittles a person; Chinese is weaker than English."),
    Label("identity_attack", "strong", "Attacks people for what they are: origin, religion, sex, orientation, disability."),
    Label("profanity", "fair", "Swear words and obscene language; Chinese labels were derived from word lists."),
    Label("threat", "weak", "Wishes or announces violence; Chinese learned from hand-written sentences only."),
    Label("sexual", "experimental", "Sexually explicit; learned from prompts, word lists and a few hundred chat turns."),
    Label("self_harm", "experimental", "Suicide or self-injury; learned from prompts and hand-written sentences."),
    Label("illicit", "weak", "Asks for help with a crime; learned from prompts only, blind to other forms."),
    Label("spam", "weak", "Unwanted advertising; learned from English SMS of the 2000s only."),
)
NAMES = tuple(label.name for label in MODERATION)
