#!/bin/sh
# The whole chain on a hundred rows, in under two minutes: data → tokenizer → encoder → model → bundle in service.
#
#   training/runs/smoke.sh [FOLDER]      what is made goes to FOLDER, by default runs/smoke, which is emptied first
#
# It needs nothing but this repository and its .venv; PYTHON names another interpreter.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
OUT=${1:-runs/smoke}
FILES=training/runs/smoke
rm -rf "$OUT"
mkdir -p "$OUT/models"

step() {
    echo "== $1"
    shift
    "$PYTHON" -m "$@"
}

step "data" training.prepare --own $FILES/tickets.toml --output "$OUT/data"
step "tokenizer" training.tokenizer train --texts "$OUT/data" --vocabulary 400 --output "$OUT/tokenizer"
step "encoder" training.pretrain --config $FILES/encoder.toml --texts "$OUT/data" --tokenizer "$OUT/tokenizer" --state "$OUT/encoder"
step "model" training.finetune --config $FILES/finetune.toml --prepared "$OUT/data" --base "$OUT/encoder" --state "$OUT/model"
step "bundle" training.export --state "$OUT/model" --prepared "$OUT/data" --bundle "$OUT/models/tickets" --release 1.0.0 \
    --precision int8 --precision fp32
step "calibration and thresholds" training.calibrate --bundle "$OUT/models/tickets" --prepared "$OUT/data" \
    --review-precision 0.6 --block-precision 0.9
step "evaluation" training.evaluate --bundle "$OUT/models/tickets" --prepared "$OUT/data" --output "$OUT/report" --write
step "into service" training.promote --candidate "$OUT/models/tickets" --prepared "$OUT/data"
echo "== done: $OUT/models/current, $OUT/report/report.html"
