"""Routing: which model serves a job, by task, language and tenant. A pure table, read from a TOML file and checked at start."""

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from schemas.base import Message
from schemas.codes import Code, Task
from schemas.errors import ConfigurationError, MessageError


class Route(Message):
    """One line of the table; an empty tuple fits everything."""

    task: Task
    language: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    model: str

    def fits(self, task: Task, language: str, tenant: str) -> bool:
        """Whether this route takes such a job."""
        return (
            self.task == task and (not self.language or language in self.language) and (not self.tenant or tenant in self.tenant)
        )


class RoutingTable(Message):
    """The routes, first fit wins."""

    routes: tuple[Route, ...] = Field(min_length=1)

    @property
    def models(self) -> frozenset[str]:
        """Every model that some route names."""
        return frozenset(route.model for route in self.routes)

    def model(self, task: str, language: str, tenant: str) -> str:
        """The model for such a job; raises MessageError (unknown_task, no_route)."""
        try:
            known = Task(task)
        except ValueError:
            raise MessageError(Code.UNKNOWN_TASK, f"no task is called {task!r}; known: {', '.join(Task)}", "task") from None
        for route in self.routes:
            if route.fits(known, language, tenant):
                return route.model
        raise MessageError(Code.NO_ROUTE, f"no model serves task {task!r} in language {language!r} for tenant {tenant!r}")


def load_routes(file: Path) -> RoutingTable:
    """The table in `file`; raises ConfigurationError that names the file and the line or field."""
    try:
        return RoutingTable.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"routes file {file}: {error}") from error
