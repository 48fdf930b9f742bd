#!/bin/sh
# Makes the two lock files of the images anew: what serving and traces need on Linux x86-64 with Python 3.11, every file by its hash,
# in the versions of constraints.txt. Run it after a change of pyproject.toml or constraints.txt; it needs uv.
#
# pyproject.toml asks for onnxruntime-gpu there, which also runs without a GPU but is three times as large. The image without
# CUDA gets plain onnxruntime of the same version instead: hence the override, and hence pip's --no-deps in the Dockerfile.
# Left out of both: hf-xet, 11 MB that huggingface-hub (asked for by tokenizers) takes for downloads; serving never downloads.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^onnxruntime-gpu==\([^ ]*\).*/\1/p' constraints.txt)
overrides=$(mktemp -d)
trap 'rm -r "$overrides"' EXIT
echo "hf-xet ; python_version < '3'" > "$overrides/both"
echo "onnxruntime-gpu ; python_version < '3'" > "$overrides/cpu"

lock() {
  output=$1; shift
  uv pip compile --quiet --upgrade --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-annotate \
    --custom-compile-command deploy/lock.sh --constraints constraints.txt --overrides "$overrides/both" --output-file "$output" "$@"
}
echo "onnxruntime==$version" | lock deploy/requirements-cpu.txt --overrides "$overrides/cpu" --extra otel pyproject.toml -
lock deploy/requirements-gpu.txt --extra gpu --extra otel pyproject.toml
