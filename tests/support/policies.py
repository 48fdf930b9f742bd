"""Policy files for tests, and a book over them whose clocks the test moves."""

from pathlib import Path

from pipeline.policy_book import LOOK_S, PolicyBook

TOXICITY = "toxicity = { review = 0.5, block = 0.9 }"


def write_policy(
    folder: Path, name: str = "default", *, release: str = "1", labels: str = TOXICITY, words: str = "", unscored: str = "hold"
) -> Path:
    """The policy file of a tenant; `labels` and `words` are lines of these tables."""
    file = folder / f"{name}.toml"
    parts = [f'name = "{name}"', f'release = "{release}"', f'unscored = "{unscored}"', "[labels]", labels, "[words]", words]
    file.write_text("\n".join(parts) + "\n", "utf-8")
    return file


class TimedBook:
    """A book, and the time: `later` lets so much pass that a change counts, and looks."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_000.0
        self.wall = 4_000_000_000.0
        """Long after any file was written: all that is found is settled."""
        self.book = PolicyBook(folder, clock=lambda: self.now, wall_clock=lambda: self.wall)

    def releases(self) -> dict[str, str]:
        """The releases that hold now, without a look."""
        return {name: loaded.policy.release for name, loaded in self.book.current.items()}

    def later(self) -> dict[str, str]:
        """The releases that hold after the next look."""
        self.now += LOOK_S
        self.book.refresh()
        return self.releases()
