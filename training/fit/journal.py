"""The log of a run: one JSON object a line, what the figures are drawn from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

LOG: Final = "log.jsonl"


class Journal:
    """Writes `log.jsonl` in a run's folder; a run that goes on from step `step` forgets what was written later."""

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / LOG
        kept = [line for line in entries(folder) if line.get("step", 0) <= step] if step else []
        self._file.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")

    def write(self, **entry: Any) -> None:  # noqa: ANN401 (whatever JSON takes)
        """Append one line."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of the log in `folder`; none where there is no log. A last line that was cut is passed over."""
    file = folder / LOG
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
