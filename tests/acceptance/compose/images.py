"""Base images, official or stand-ins, and the two images of LLM OS: built and looked at."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.acceptance.compose.engine import ROOT, CommandError, Engine, shell
from tests.acceptance.compose.report import Check

BASES: Final = Path(__file__).parent / "bases"
DEBIAN: Final = "localhost/llmos-test/debian"
CPU_BYTES_MAX: Final = 450_000_000
_SLIM: Final = "path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n"
_AUTHORITIES: Final = "etc/ssl/certs/ca-certificates.crt"
_SCRATCH: Final = "/tmp"  # noqa: S108 (of a container)
_COMPILERS: Final = ("cc", "gcc", "g++", "clang", "make", "ld", "cargo")
_CUDA_PROVIDER: Final = "/opt/llmos/lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so"
_LOOK: Final = """
import importlib.util as u, json, os, shutil, sys
def writes(path):
    try: open(path, "w").close()
    except OSError: return False
    return True
print(json.dumps({"uid": os.getuid(), "torch": u.find_spec("torch") is not None,
    "compilers": [name for name in sys.argv[1:] if shutil.which(name)],
    "writes": [path for path in ("/x", "/opt/llmos/x", "/var/lib/llmos/x", "/etc/x", "/tmp/x") if writes(path)]}))
"""


def official() -> dict[str, str]:
    """The images that the stack needs of others, by the variable of the compose file that names another."""
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    return {name: image for name, image in re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", text) if name != "CPU_IMAGE"}


def bases(engine: Engine, kafka: Path | None) -> Iterator[tuple[str, str, str]]:
    """(variable, image, what it is) of each, made where no registry has it; an empty image where it cannot be had at all."""
    for variable, image in official().items():
        name = variable.removesuffix("_IMAGE").lower()
        if engine.has(image):
            yield variable, image, "official"
        elif not (BASES / f"{name}.Dockerfile").exists() or (name == "kafka" and kafka is None):
            yield variable, "", f"{image}: no registry has it here, and there is no stand-in"
        else:
            _debian(engine)
            context = str(kafka) if name == "kafka" else str(BASES)
            tag = f"localhost/llmos-test/{name}"
            engine("build", "--quiet", "--file", str(BASES / f"{name}.Dockerfile"), "--tag", tag, context)
            yield variable, tag, f"stand-in for {image}"


def _debian(engine: Engine) -> None:
    """Debian as its packages make it, as slim as the official image; trusts whom this machine trusts."""
    if engine.has(DEBIAN):
        return
    if not shutil.which("debootstrap"):
        raise CommandError("stand-ins need debootstrap: apt-get install debootstrap")
    with tempfile.TemporaryDirectory(prefix="llmos-debian-") as folder:
        root = Path(folder) / "root"
        shell("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root))
        for heavy in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(root / heavy, ignore_errors=True)
        (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(_SLIM, "utf-8")
        shutil.copy(os.environ.get("SSL_CERT_FILE", f"/{_AUTHORITIES}"), root / _AUTHORITIES)
        shell("tar", "--create", "--file", f"{folder}/root.tar", "--directory", str(root), ".")
        engine("import", "--quiet" if engine.program == "podman" else "--message=debian", f"{folder}/root.tar", DEBIAN)


def build(engine: Engine, target: str, python: str) -> str:
    """Build one of the two images; its name."""
    image = f"localhost/llmos-test/llmos:{target}"
    docker = ["--format", "docker"] if engine.program == "podman" else []
    arguments = ["--file", "deploy/Dockerfile", "--target", target, "--build-arg", f"PYTHON_IMAGE={python}", "--tag", image, "."]
    engine("build", *docker, *arguments)
    return image


def look_at(engine: Engine, image: str, target: str) -> Iterator[Check]:
    """What must hold of an image."""
    bytes_ = int(engine("image", "inspect", "--format", "{{.Size}}", image))
    limit = f" < {CPU_BYTES_MAX / 1e6:.0f} MB" if target == "cpu" else ""
    yield Check(f"{target} image: size{limit}", target != "cpu" or bytes_ < CPU_BYTES_MAX, f"{bytes_ / 1e6:.0f} MB")
    hardened = [
        "--read-only",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--network",
        "none",
        "--tmpfs",
        _SCRATCH,
    ]
    seen = json.loads(engine("run", "--rm", *hardened, "--entrypoint", "python", image, "-c", _LOOK, *_COMPILERS))
    yield Check(f"{target} image: user", seen["uid"] == 10001, f"uid {seen['uid']}")
    yield Check(f"{target} image: writes to /tmp alone", seen["writes"] == [f"{_SCRATCH}/x"], ", ".join(seen["writes"]))
    yield Check(
        f"{target} image: no torch, no compilers", not seen["torch"] and not seen["compilers"], ", ".join(seen["compilers"])
    )
    if target == "gpu":
        libraries = engine("run", "--rm", *hardened, "--entrypoint", "sh", image, "-c", f"ldd {_CUDA_PROVIDER}")
        missing = [line.split()[0] for line in libraries.splitlines() if line.endswith("not found")]
        yield Check(
            "gpu image: CUDA's libraries are found, but for the driver's", missing == ["libcuda.so.1"], ", ".join(missing)
        )
    version = engine("run", "--rm", *hardened, image, "--version").strip()
    yield Check(f"{target} image: llmos is its entry point", version.startswith("llmos "), version)
