"""The policies of all tenants, read from a folder of TOML files and checked."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipeline.canary import CANARY_TENANT
from pipeline.text.phrases import LISTS, PhraseBook, PhraseError
from schemas.codes import Code, Verdict
from schemas.errors import ConfigurationError, MessageError
from schemas.policies import PHRASE_CHARACTERS_MAX, PHRASES_MAX, Policy, WordFile, WordList
from schemas.results import PolicyRef

_SHIPPED: Final = Path(__file__).parent / "defaults" / "policies" / "default.toml"


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy, how results refer to it, and its word lists where it has any."""

    policy: Policy
    ref: PolicyRef
    phrases: PhraseBook | None = None


def policy_of(policies: Mapping[str, LoadedPolicy], tenant: str) -> LoadedPolicy:
    """The tenant's policy; for canaries without one of their own the shipped one. Raises MessageError (unknown_tenant)."""
    try:
        return policies[tenant]
    except KeyError:
        if tenant == CANARY_TENANT:
            return shipped_policy()
        raise MessageError(Code.UNKNOWN_TENANT, f"tenant {tenant!r} has no policy here", "tenant") from None


@cache
def shipped_policy() -> LoadedPolicy:
    """The default policy as it comes with the package, whatever the operator's is."""
    return load_policy(_SHIPPED)


def unscored_verdict(policies: Mapping[str, LoadedPolicy], tenant: str | None) -> Verdict | None:
    """What the tenant's policy makes of a text that could not be scored; None where there is no such tenant."""
    loaded = policies.get(tenant) if tenant is not None else None
    return loaded.policy.unscored_verdict if loaded else None


def load_policy(file: Path, known: LoadedPolicy | None = None) -> LoadedPolicy:
    """The policy in `file`, which is called as its tenant is; raises ConfigurationError that names the file and the field.

    It is `known` itself where nothing has changed since that was read.
    """
    loaded = read_policy(file, known)
    if loaded.policy.name != file.stem:
        raise ConfigurationError(f"policy file {file}: its name is {loaded.policy.name!r}, which must be the file's")
    return loaded


def read_policy(file: Path, known: LoadedPolicy | None = None) -> LoadedPolicy:
    """The same of a file by any name, such as a draft."""
    try:
        content = file.read_bytes()
        policy = Policy.model_validate(tomllib.loads(content.decode()))
        beside = _word_files(policy, file.parent)
        sha256 = _checksum(content, beside)
        if known and known.ref.sha256 == sha256:
            return known
        phrases = _phrases(policy, beside)
    except ValidationError as error:
        raise ConfigurationError(f"policy file {file}: {_sentence(error)}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, PhraseError) as error:
        raise ConfigurationError(f"policy file {file}: {error}") from error
    return LoadedPolicy(policy, PolicyRef(name=policy.name, release=policy.release, sha256=sha256), phrases)


def load_policies(folder: Path) -> dict[str, LoadedPolicy]:
    """Every tenant's policy by name; raises ConfigurationError, also where the folder holds none."""
    loaded = {file.stem: load_policy(file) for file in policy_files(folder)}
    if not loaded:
        raise ConfigurationError(f"policies folder {folder}: no *.toml file there")
    return loaded


def policy_files(folder: Path) -> list[Path]:
    """The files of the folder that are policies; none where it cannot be read."""
    return sorted(folder.glob("*.toml"))


def _sentence(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(str(step) for step in found['loc'])}: {found['msg']}" for found in error.errors())


def _word_files(policy: Policy, folder: Path) -> dict[str, bytes]:
    lists = [getattr(policy.words, name) for name in LISTS]
    return {words.file: (folder / words.file).read_bytes() for words in lists if isinstance(words, WordFile)}


def _checksum(content: bytes, beside: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(content)
    for words in beside.values():
        digest.update(hashlib.sha256(words).digest())
    return digest.hexdigest()


def _phrases(policy: Policy, beside: Mapping[str, bytes]) -> PhraseBook | None:
    lists = {name: _numbered(getattr(policy.words, name), beside) for name in LISTS}
    return PhraseBook(lists) if any(lists.values()) else None


def _numbered(words: WordList, beside: Mapping[str, bytes]) -> list[tuple[int, str]]:
    return list(_lines(words.file, beside[words.file]) if isinstance(words, WordFile) else enumerate(words, 1))


def _lines(name: str, content: bytes) -> Iterator[tuple[int, str]]:
    """The phrases of a word file by line number; raises PhraseError, or UnicodeDecodeError."""
    lines = content.decode("utf-8-sig").split("\n")
    if len(lines) > PHRASES_MAX:
        raise PhraseError(f"word file {name}: {len(lines):,} lines are more than {PHRASES_MAX:,}")
    for number, line in enumerate(lines, 1):
        phrase = line.strip()
        if len(phrase) > PHRASE_CHARACTERS_MAX:
            raise PhraseError(f"word file {name}, line {number}: longer than {PHRASE_CHARACTERS_MAX} characters")
        if phrase and phrase != "#" and not phrase.startswith("# "):
            yield number, phrase
