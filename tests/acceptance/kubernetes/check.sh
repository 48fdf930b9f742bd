#!/bin/sh
# Renders the example with all that it can take in, and validates its custom resources against the schemas of KEDA and of the
# Prometheus Operator. Needs kubectl or kustomize, Node.js 20 and the npm registry; what is Kubernetes' own, `make test` validates.
set -eu
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --silent --no-audit --no-fund --ignore-scripts \
    @kubernetes-models/keda@2.0.0 @kubernetes-models/prometheus-operator@6.0.0 >&2
.venv/bin/python - "$work" > "$work/resources.json" <<'PYTHON'
import json
import sys
from pathlib import Path

from tests.support.manifests import kustomize, rendered, with_everything

command = kustomize() or sys.exit("neither kustomize nor kubectl is here")
json.dump(rendered(command, with_everything(Path(sys.argv[1]))), sys.stdout)
PYTHON
node tests/acceptance/kubernetes/custom_resources.mjs "$work/node_modules" < "$work/resources.json"
