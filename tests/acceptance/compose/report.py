"""What must hold, whether it does, and the proof."""

from dataclasses import dataclass, field

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    name: str
    holds: bool
    detail: str = ""


@dataclass(slots=True)
class Report:
    """Says each check as it comes, and remembers them."""

    console: Console
    checks: list[Check] = field(default_factory=list)

    def add(self, check: Check) -> None:
        """Take it up."""
        self.checks.append(check)
        mark = "[green]yes[/]" if check.holds else "[bold red]NO[/] "
        self.console.print(
            f"{mark} {check.name}" + (f": {check.detail}" if check.detail else ""), highlight=False, soft_wrap=True
        )

    def say(self, text: str) -> None:
        """A line that is no check."""
        self.console.print(f"    {text}", markup=False, highlight=False, soft_wrap=True)

    @property
    def exit_code(self) -> int:
        """0 where there were checks and all of them hold."""
        return 0 if self.checks and all(check.holds for check in self.checks) else 1
