# Every command of the project. `make help` lists them; continuous integration calls the same ones.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules
export UV_PYTHON_DOWNLOADS = never

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
CLUSTER ?= native
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# One worker a processor; a file stays with one worker, since its tests share servers.
PARALLEL := -n auto --dist loadfile
COVERED := podbook_core podbook_cluster podbook_runner podbook_api podbook_operator podbook

##@ Use

.PHONY: run
run: $(VENV)/.installed-run ## Serve the example notebooks, call one over REST and go on serving (PORT=8000; ONCE=1 exits)
	$(BIN)/python notebooks/demo.py --port $(PORT) $(if $(ONCE),--once)

##@ Develop

.PHONY: setup
setup: $(VENV)/.installed-dev ## Put everything into .venv

.PHONY: test
test: setup lint type ## Lint, type-check and test, on this Python
	$(PYTEST) $(PARALLEL) -m "not cluster and not controlplane" $(PYTEST_ARGS)

.PHONY: coverage
coverage: setup ## The tests, with the branches they take; the report is in coverage.txt
	$(PYTEST) $(PARALLEL) -m "not cluster and not controlplane" $(COVERED:%=--cov=%) --cov-branch --cov-report=term $(PYTEST_ARGS) | tee coverage.txt

.PHONY: test-versions
test-versions: ## The tests of core, runner and client on Python 3.12 and 3.13, where they are installed (without the slow ones)
	for version in 3.12 3.13; do \
	  python=$$(tests/find-python $$version) || { echo "skipped: no Python $$version on this machine"; continue; }; \
	  $(MAKE) test-version VENV=.venv-$$version PYTHON=$$python; \
	done

.PHONY: test-version
test-version: $(VENV)/.installed-dev
	$(PYTEST) $(PARALLEL) -m "not cluster and not controlplane and not slow" tests/core tests/runner tests/client tests/skew $(PYTEST_ARGS)

.PHONY: lint
lint: setup ## Style, formatting, layers and shell scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/shellcheck $$(grep -rlE '^#!/usr/bin/env bash|^# shellcheck shell=' .ci requirements tests/find-python tests/cluster)

.PHONY: fmt
fmt: setup ## Put the source in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: type
type: setup ## Check types, tests included
	$(BIN)/mypy

.PHONY: docs
docs: setup ## Generate the reference pages, the CRD and docs/reference/openapi.json from the code
	$(BIN)/python docs/generate.py

.PHONY: bench
bench: setup ## Measure the runner and the embedded server; writes docs/explanation/benchmark.md
	$(BIN)/python -m bench.embedded

.PHONY: bench-doors
bench-doors: setup ## Measure podbook kernelgateway against the original; writes its part of docs/explanation/benchmark.md
	$(BIN)/python -m bench.doors

.PHONY: requirements
requirements: setup ## Compile the hashed requirements from pyproject.toml
	UV=$$(command -v uv || echo $(BIN)/uv) requirements/compile

##@ Cluster

.PHONY: e2e
e2e: setup ## Test on a real cluster (CLUSTER=native|kind|existing)
	CLUSTER=$(CLUSTER) PYTEST="$(PYTEST)" tests/cluster/run

.PHONY: test-controlplane
test-controlplane: setup ## Test against a real API server without a kubelet; needs no root
	CLUSTER=controlplane PYTEST="$(PYTEST)" tests/cluster/run

.PHONY: bench-cluster
bench-cluster: setup ## Measure on a real cluster; writes its part of docs/explanation/benchmark.md
	CLUSTER=$(CLUSTER) tests/cluster/run bench

.PHONY: kind-up
kind-up: ## A kind cluster with MinIO, the chart and a first run (needs docker, kind, helm, kubectl)
	tests/cluster/kind-up

.PHONY: kind-down
kind-down: ## Remove the kind cluster
	kind delete cluster --name podbook

##@ Other

.PHONY: clean
clean: ## Remove environments and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environments: uv comes from this machine when it has one, else from the hashed requirements.
$(VENV)/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# $(1): stamp, $(2): requirements
define installed
$(VENV)/.installed-$(1): $(VENV)/.uv requirements/$(2).txt pyproject.toml
	@echo "installing requirements/$(2).txt into $(VENV)"
	@uv=$$$$(command -v uv || echo $(BIN)/uv); \
	  $$$$uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/$(2).txt; \
	  $$$$uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/build.txt; \
	  $$$$uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $$@
endef
$(eval $(call installed,run,all))
$(eval $(call installed,dev,dev))
