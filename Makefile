# The project's verbs. Each does its own set-up; nothing but Python 3.11+ and make is expected.
# VENV=folder puts the environment elsewhere; PYTHON=program chooses the interpreter.

VENV ?= .venv
ARGS ?=
SEEDS ?= 20000
STACK ?= 100
FROM ?= 1
N ?= 50
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links
READY_RUN := $(VENV)/ready-to-run
READY_DEV := $(VENV)/ready-to-develop

.DEFAULT_GOAL := help
.PHONY: help setup run test lint types docs bench conformance e2e demo powerloss sim crash histories mutants mutmut coverage campaign lock ci clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY_DEV) ## everything for development

run: $(READY_RUN) ## the hub at 127.0.0.1:8765 with a demo fleet
	@$(BIN)/crossfade up $(ARGS)

demo: $(READY_RUN) ## the whole ramp in about 90 seconds, reconciled; exits 0 if nothing was lost
	@$(BIN)/crossfade demo --exit $(ARGS)

test: $(READY_DEV) ## all tests
	@$(BIN)/python -m pytest $(ARGS)

e2e: $(READY_DEV) ## the tests with real processes, official clients and a browser
	@$(BIN)/python -m pytest tests/e2e $(ARGS)

CASES ?= 10000
FLIPS ?= 2000
SHELVES ?= 1000
SEED ?= 0
powerloss: $(READY_DEV) ## log and snapshots under power cuts, disk errors and flipped bits: CASES=n FLIPS=n SHELVES=n SEED=s
	@$(BIN)/python -m tests.powerloss --cases $(CASES) --flips $(FLIPS) --shelves $(SHELVES) --seed $(SEED) $(ARGS)

sim: $(READY_DEV) ## simulated schedules, each one seed: SEEDS=n FROM=k; STACK=n runs with the official client
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM) $(ARGS)
	@$(BIN)/python -m tests.simulation --stack --seeds $(STACK) --from $(FROM) $(ARGS)

crash: $(READY_DEV) ## kill a real hub under load N times and check what its clients saw
	@$(BIN)/python -m tests.crash --kills $(N) $(ARGS)

HISTORIES ?= 5000
histories: $(READY_DEV) ## the checker of histories against every order tried: HISTORIES=n FROM=k
	@$(BIN)/python -m tests.campaign.histories --count $(HISTORIES) --from $(FROM) $(ARGS)

HOURS ?= 0
SECONDS ?= $(if $(filter 0,$(HOURS)),3600,0)
campaign: $(READY_DEV) ## all proofs in turn, resumable: SECONDS=n or HOURS=n; ARGS=--report says how far it is
	@$(BIN)/python -m tests.campaign --seconds $(SECONDS) --hours $(HOURS) $(ARGS)

gates: $(READY_DEV) ## the figures behind gates: false verdicts, power and delays of thousands of simulated rollouts
	@$(BIN)/python -m tests.statistics $(ARGS)

mutants: $(READY_DEV) ## plant each seeded mutant; the test that is named must notice
	@$(BIN)/python -m tests.mutants --control $(ARGS)
	@$(BIN)/python -m tests.mutants $(ARGS)

mutmut: $(READY_DEV) ## change core by machine; the tests must notice. Goes on where it was; FILES="runs clusters" ARGS=--again
	@$(BIN)/python tools/mutation.py $(FILES) $(ARGS)

coverage: $(READY_DEV) ## every line and branch of core is reached by its tests; fails below 100 %
	@$(BIN)/python -m coverage run --source=crossfade.core -m pytest -q --hypothesis-profile=ci \
		tests/core tests/runsheets tests/engine/test_phase_checks.py \
		tests/contract/test_event_format.py tests/contract/test_histories.py
	@$(BIN)/python -m coverage report --show-missing --fail-under=100

lint: $(READY_DEV) ## ruff, layers, house rules, changelog fragments
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/tidy.py src
	@$(BIN)/towncrier build --draft --version next >/dev/null

types: $(READY_DEV) ## mypy --strict
	@$(BIN)/mypy

docs: $(READY_DEV) ## draw the generated pages anew
	@$(BIN)/python tools/diagrams.py
	@$(BIN)/python tools/reference.py
	@$(BIN)/python tools/refusals.py
	@$(BIN)/python tools/cli_docs.py
	@$(BIN)/python tools/runsheet_docs.py

bench: $(READY_DEV) ## every benchmark, and bench/RESULTS.md anew; ARGS="--only log_append --rounds 5"
	@$(BIN)/python -m bench $(ARGS)

conformance: $(READY_DEV) ## the official MCP conformance suite against our transport
	@$(BIN)/python tools/conformance.py $(ARGS)

lock: $(READY_DEV) ## pin the dependencies anew
	@$(LOCK) --all-extras --group dev pyproject.toml -o requirements/dev.lock $(ARGS)
	@$(LOCK) --extra agents --group build -c requirements/dev.lock pyproject.toml -o requirements/run.lock
	@touch $(READY_RUN) $(READY_DEV)

ci: ## what CI does
	@.ci/run

clean: ## forget the environment, caches and what a run left behind
	@rm -rf $(VENV) build dist var .crossfade .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@tools/venv.sh "$(VENV)" "$(PYTHON)"

$(READY_RUN): requirements/run.lock pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) (once)"
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(READY_DEV): requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) for development (once)"
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(READY_RUN)
