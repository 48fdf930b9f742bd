"""Jobs to rows: normalise, detect the language, choose policy and model, look for its words, tokenise, cut windows. Pure.

In: accepted jobs. Out: for each, in order, a `Prepared` row or the `MessageError` that says why there is none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.bundles import Bundle
from pipeline.policies import LoadedPolicy, policy_of
from pipeline.policy_book import PolicyBook
from pipeline.preprocess.decode import Accepted
from pipeline.preprocess.tokenise import Ids, Tokenizer, cut_windows
from pipeline.routing import RoutingTable
from pipeline.text.language import primary_subtag
from pipeline.text.normalise import NormalisedText, normalise
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.work import WorkItem


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What preprocess must know of a model: its bundle, its tokenizer and where its work goes."""

    bundle: Bundle
    tokenizer: Tokenizer
    work_topic: str


@dataclass(frozen=True, slots=True)
class Rules:
    """All that decides what becomes of a job, loaded and checked at start; policies alone may change later."""

    routes: RoutingTable
    policies: PolicyBook
    models: Mapping[str, ServedModel]
    detect_language: Callable[[str], str]
    tokens_max: int
    reply_prefix: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job as a model wants it: `windows` are framed token ids."""

    model: str
    item: WorkItem
    windows: list[Ids]


@dataclass(frozen=True, slots=True)
class _Routed:
    accepted: Accepted
    policy: LoadedPolicy
    text: NormalisedText
    language: str
    model: str


def prepare(jobs: Sequence[Accepted], rules: Rules, received_ms: int) -> list[Prepared | MessageError]:
    """One outcome a job, in order. Any other exception than MessageError is caught a job at a time by `prepare_one`."""
    routed = [_route(accepted, rules) for accepted in jobs]
    ids = _tokenise([entry for entry in routed if isinstance(entry, _Routed)], rules)
    return [entry if isinstance(entry, MessageError) else _cut(entry, next(ids), rules, received_ms) for entry in routed]


def _route(accepted: Accepted, rules: Rules) -> _Routed | MessageError:
    job = accepted.job
    try:
        policy = policy_of(rules.policies.current, job.tenant)
        _check(accepted, rules)
        text = _scorable(job.text)
        language = primary_subtag(job.language) if job.language else rules.detect_language(text.text)
        return _Routed(accepted, policy, text, language, rules.routes.model(job.task, language, job.tenant))
    except MessageError as error:
        return error


def _check(accepted: Accepted, rules: Rules) -> None:
    job = accepted.job
    if job.reply_to is not None and not job.reply_to.startswith(rules.reply_prefix):
        raise MessageError(Code.REPLY_TO_NOT_ALLOWED, f"reply topics begin with {rules.reply_prefix}", "reply_to")
    # Against the broker's time of the record, not the clock: a replay must decide the same.
    if job.deadline is not None and job.deadline.timestamp() * 1000 < accepted.accepted_ms:
        raise MessageError(Code.DEADLINE_PASSED, f"the deadline {job.deadline.isoformat()} had passed", "deadline")


def _scorable(original: str) -> NormalisedText:
    text = normalise(original)
    if not text.text or text.text.isspace():
        raise MessageError(Code.EMPTY_TEXT, "only white space and invisible characters", "text")
    return text


def _tokenise(routed: Sequence[_Routed], rules: Rules) -> Iterator[Ids]:
    """The ids of each text, in order; one call of a tokenizer for each model."""
    places: dict[str, list[int]] = {}
    for place, entry in enumerate(routed):
        places.setdefault(entry.model, []).append(place)
    ids: dict[int, Ids] = {}
    for model, chosen in places.items():
        encoded = rules.models[model].tokenizer.encode_batch([routed[place].text.text for place in chosen])
        ids.update(zip(chosen, encoded, strict=True))
    return (ids[place] for place in range(len(routed)))


def _cut(entry: _Routed, ids: Ids, rules: Rules, received_ms: int) -> Prepared | MessageError:
    if len(ids) == 0:
        return MessageError(Code.EMPTY_TEXT, "nothing that the model could read", "text")
    if len(ids) > rules.tokens_max:
        return MessageError(Code.TOO_MANY_TOKENS, f"{len(ids):,} tokens are more than {rules.tokens_max:,}", "text")
    manifest = rules.models[entry.model].bundle.manifest
    phrases = entry.policy.phrases
    item = WorkItem(
        job=entry.accepted.job,
        language=entry.language,
        signals=entry.text.signals,
        tokens_total=len(ids),
        source=entry.accepted.source,
        accepted_ms=entry.accepted.accepted_ms,
        received_ms=received_ms,
        tried=entry.accepted.tried,
        words=phrases.find(entry.text.text) if phrases else None,
        words_policy=entry.policy.ref.sha256 if phrases else None,
        traceparent=entry.accepted.traceparent,
    )
    windows = cut_windows(ids, manifest.windows, manifest.tokenizer.begin_id, manifest.tokenizer.end_id)
    return Prepared(entry.model, item, windows)
