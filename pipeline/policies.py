"""The policies of all tenants, read from a folder of TOML files and checked at start."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schemas.codes import Code
from schemas.errors import ConfigurationError, MessageError
from schemas.policies import Policy
from schemas.results import PolicyRef


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy, and how results refer to it."""

    policy: Policy
    ref: PolicyRef


def policy_of(policies: Mapping[str, LoadedPolicy], tenant: str) -> LoadedPolicy:
    """The tenant's policy; raises MessageError (unknown_tenant)."""
    try:
        return policies[tenant]
    except KeyError:
        raise MessageError(Code.UNKNOWN_TENANT, f"tenant {tenant!r} has no policy here", "tenant") from None


def load_policy(file: Path) -> LoadedPolicy:
    """The policy in `file`; raises ConfigurationError that names the file and the field."""
    try:
        content = file.read_bytes()
        policy = Policy.model_validate(tomllib.loads(content.decode()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"policy file {file}: {error}") from error
    if policy.name != file.stem:
        raise ConfigurationError(f"policy file {file}: its name is {policy.name!r}, which must be the file's")
    return LoadedPolicy(policy, PolicyRef(name=policy.name, release=policy.release, sha256=hashlib.sha256(content).hexdigest()))


def load_policies(folder: Path) -> dict[str, LoadedPolicy]:
    """Every tenant's policy by name; raises ConfigurationError, also where the folder holds none."""
    loaded = {file.stem: load_policy(file) for file in sorted(folder.glob("*.toml"))}
    if not loaded:
        raise ConfigurationError(f"policies folder {folder}: no *.toml file there")
    return loaded
