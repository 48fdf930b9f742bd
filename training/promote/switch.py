"""`models/current`, a link to the bundle in service, and `models/promotions.jsonl`, what was done to it and why."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.bundles import Bundle, open_bundle
from schemas.errors import ConfigurationError

CURRENT: Final = "current"
LOG: Final = "promotions.jsonl"


def current(models: Path) -> Bundle | None:
    """The bundle in service; None before the first. Raises BundleError where the link leads nowhere."""
    link = models / CURRENT
    return open_bundle(link) if link.is_symlink() else None


def switch(models: Path, name: str, action: str, **told: Any) -> None:  # noqa: ANN401 (whatever JSON takes)
    """Lead `models/current` to the bundle `name` in one go, and write it down."""
    before = current(models)
    new = models / f".{CURRENT}.new"
    new.unlink(missing_ok=True)
    new.symlink_to(name)
    new.replace(models / CURRENT)
    after = open_bundle(models / CURRENT).manifest
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "action": action,
        "to": name,
        "release": after.release,
        "from": before and before.manifest.name,
    }
    with (models / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps({**entry, "release": after.release, **told}, ensure_ascii=False) + "\n")


def rollback(models: Path) -> str:
    """Undo the last promotion that is not undone yet; returns the name of the bundle now in service.

    Raises ConfigurationError where there is nothing to go back to.
    """
    log = models / LOG
    undone, entries = 0, [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    for entry in reversed(entries):
        undone += entry["action"] == "rollback"
        if entry["action"] == "promote":
            if not undone:
                return _back(models, entry)
            undone -= 1
    raise ConfigurationError(f"{log}: no promotion to undo")


def _back(models: Path, entry: dict[str, Any]) -> str:
    before = entry["from"]
    if before is None:
        raise ConfigurationError("before the last promotion, nothing was in service")
    open_bundle(models / before)
    switch(models, before, "rollback", undone=entry["to"])
    return str(before)
