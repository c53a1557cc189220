# Every way to run and check Queuey.  Needs Python 3.11 or newer and make; the rest comes from requirements.lock.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do command -v $$p >/dev/null \
	&& $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/installed
CODE := api cli clients common deploy storage_node tests
PYTEST := $(BIN)/pytest --quiet
# The gate judges the change at hand, in the same order each time; elsewhere each run has an order of its own.
ORDER := $(if $(CI),--randomly-seed=1)
STORE ?=
LOCK := $(BIN)/uv pip compile setup.cfg --extra dev --universal --python-version 3.11 --generate-hashes --no-header --quiet

-include deploy/cassandra/cassandra.mk

.PHONY: help
help: ## Show this list
	@sed -n -E 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "make %-14s %s\n", $$1, $$2 }'

# --- the environment ---

$(READY): requirements.lock setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) from requirements.lock"; $(PYTHON) -m venv $(VENV); }
	@awk '/^[a-z]/ { keep = /^uv==/ } keep' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: venv
venv: $(READY) ## Set up .venv from the lock (every other target does it when needed)

.PHONY: lock
lock: $(READY) ## Compile requirements.lock from setup.cfg, keeping versions that still fit
	$(LOCK) --output-file requirements.lock

.PHONY: lock-newest
lock-newest: $(READY) ## Compile requirements.lock with the newest versions
	$(LOCK) --upgrade --output-file requirements.lock

.PHONY: clean
clean: ## Remove what the checks and tests left; keeps .venv and var
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# --- the service ---

.PHONY: run
run: $(READY) ## Start the service in the foreground; STORE=cassandra takes (and if need be starts) a Cassandra
	@exec $(BIN)/queuey run $(if $(STORE),--store $(STORE))

# --- the checks, cheapest first ---

.PHONY: check
check: format lint spelling imports types ## Format, lint, spelling, import contracts, types

.PHONY: format
format: $(READY)
	$(BIN)/ruff format --quiet --check $(CODE)

.PHONY: lint
lint: $(READY)
	$(BIN)/ruff check --quiet $(CODE)

.PHONY: spelling
spelling: $(READY)
	$(BIN)/codespell

.PHONY: imports
imports: $(READY)
	$(BIN)/lint-imports --no-cache

.PHONY: types
types: $(READY)
	$(BIN)/mypy

.PHONY: fix
fix: $(READY) ## Format, and repair what the linter can
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.PHONY: audit
audit: $(READY) ## Check installed packages against the lock, and ask for known vulnerabilities (needs the internet)
	@deploy/audit

# --- the tests ---

KINDS := architecture unit property golden contracts simulation http integration browser fault

.PHONY: $(KINDS) simulate
architecture unit property golden contracts http integration browser fault: $(READY)
	$(PYTEST) tests/$@

simulation: $(READY)
	$(PYTEST) tests/simulation

SEEDS ?= 1..500
simulate: $(READY) ## Run the seeded simulation; SEEDS=1..500 says which, a failing one prints the line that replays it
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

.PHONY: test
test: tools check coverage ## Run every check and every test, with coverage

.PHONY: tools
tools:
	@missing="$$(deploy/missing-packages)"; test -z "$$missing" \
		|| echo "Some tests can't run here for want of programs: apt-get install $$missing"

.PHONY: coverage
coverage: $(READY) ## Run every test and report the coverage of branches, subprocesses included
	@rm -f .coverage .coverage.*
	@mkdir -p var
	$(BIN)/coverage run -m pytest $(ORDER) -rs --durations=30 --durations-min=5 $(wildcard $(addprefix tests/,$(KINDS))) | tee var/pytest.log
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report
	@tail -n 1 var/pytest.log

include tests/bench/bench.mk
include tests/fault/faults.mk

.PHONY: docs
docs: $(READY) ## Generate docs/reference.md from the code
	$(BIN)/queuey reference > docs/reference.md
