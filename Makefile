# Every target makes what it needs. Short list: `make`.
PYTHON ?= python3
BIN := .venv/bin
SEED ?= 1
BENCH_JOBS ?= 100000
COMPOSE := .venv-compose/bin/podman-compose
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo up test chaos compose-test bench lint format package clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/serving ## Moderate examples/comments.jsonl on an embedded broker, print what came of it, stop everything
	$(BIN)/llmos demo

up: .venv/serving ## Run the whole system on this machine until Ctrl-C
	$(BIN)/llmos up

test: .venv/development ## Run every test
	$(BIN)/python -m pytest

chaos: .venv/development ## Ten minutes of faults, then the books must balance (SEED=1 CHAOS_ARGS="--broker cluster")
	$(BIN)/python -m tests.acceptance.chaos --seed $(SEED) $(CHAOS_ARGS)

compose-test: .venv/development $(COMPOSE) ## The compose stack, built and run in containers, then the books must balance (COMPOSE_ARGS=--gpu)
	PATH="$(CURDIR)/.venv-compose/bin:$$PATH" $(BIN)/python -m tests.acceptance.compose $(COMPOSE_ARGS)

bench: .venv/development ## Speed, latency, scaling, memory, side by side with other ways (BENCH_JOBS=10000 takes less time)
	$(BIN)/python -m benchmarks --jobs $(BENCH_JOBS) $(BENCH_ARGS)

lint: .venv/development ## Style, types and the consistency of what is installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PIP) check

format: .venv/development ## Mend what ruff can mend
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

package: .venv/development ## Build the wheel into dist/
	$(PIP) wheel --no-deps --wheel-dir dist .

clean: ## Remove what the other targets made
	rm -rf .venv .venv-compose dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "LLM OS needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.12 …"; exit 3; }
	@$(PYTHON) -m venv .venv \
	  || { echo "no virtual environment: on Debian and Ubuntu, apt install python3-venv"; exit 3; }

$(COMPOSE):
	@$(PYTHON) -m venv .venv-compose
	.venv-compose/bin/python -m pip --disable-pip-version-check --quiet install podman-compose==1.6.0

.venv/serving: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing what serving needs (about 0.6 GB, once) …"
	$(PIP) install -c constraints.txt -e '.[embedded]'
	@touch $@

.venv/development: .venv/serving
	@echo "installing what training and tests need (torch among it, once) …"
	$(PIP) install -c constraints.txt -e '.[embedded,train,dev]'
	@touch $@
