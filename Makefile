# Everything here works on a fresh machine: what is missing is made first (scripts/setup).
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
FAILOVER := .venv/bin/failover
RUNS ?= 20
SCHEDULES ?= 200
STEPS ?= 200
SEED ?=
MODEL ?=
EXAMPLES ?= 500
MACHINE ?=

.PHONY: help setup demo test test-full check lint format fuzz sim sim-campaign mutations model bench \
        dashboard reference docs lock clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## virtual environment, container engine, image: what demo and test need
	@scripts/setup

demo: setup ## the story: Jakarta is lost, Makassar takes over, Jakarta returns
	@$(FAILOVER) demo

test: check setup ## check, simulation, mutations, and the integration tests on the lab (about 45 minutes on two cores)
	@test "$$(id -u)" != 0 || scripts/setup --model
	$(PYTEST) -n 2 tests/unit tests/simulation -m "slow and not full"
	$(PYTHON) -m tests.mutations
	$(PYTEST) tests/integration -m "not full" --durations=30
	$(PYTHON) -m failover.simulation --schedules $(SCHEDULES) --steps $(STEPS)

test-full: test ## test, and the long campaigns
	$(PYTEST) -n 2 tests/unit tests/scenarios tests/simulation -m full
	$(PYTEST) tests/integration -m full
	$(PYTHON) -m failover.simulation --schedules 2000 --steps $(STEPS)

check: .venv/.ready lint ## lint, types, contracts, unit tests, scenarios (minutes)
	$(PYTEST) -n 3 tests/unit tests/fuzz tests/scenarios tests/simulation -m "not slow and not full"

lint: .venv/.ready ## ruff, mypy, layer contracts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy failover
	.venv/bin/mypy deploy/grafana/dashboard.py
	.venv/bin/lint-imports

format: .venv/.ready ## put the sources in shape
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

fuzz: .venv/.ready ## odd input to everything that reads from outside (EXAMPLES=500 of each kind; minutes)
	FUZZ_EXAMPLES=$(EXAMPLES) $(PYTEST) tests/fuzz

sim: .venv/.ready ## random faults on the simulated world (SEED=, SCHEDULES=200, STEPS=200)
	$(PYTHON) -m failover.simulation --schedules $(SCHEDULES) --steps $(STEPS) $(SEED:%=--seed %)

model: ## the model of the protocol, exhaustively, and every rule taken away (spin; about 10 minutes)
	@scripts/setup --model
	@$(PYTHON) scripts/check_model.py $(MODEL)

sim-campaign: SCHEDULES := $(if $(filter command line environment,$(origin SCHEDULES)),$(SCHEDULES),100000)
sim-campaign: .venv/.ready ## 100,000 schedules with coverage, resumed where it stopped (SCHEDULES=, STEPS=200)
	$(PYTHON) -m failover.simulation.campaign --schedules $(SCHEDULES) --steps $(STEPS)

mutations: .venv/.ready ## break the protocol in one way after another: every breakage must be caught
	$(PYTHON) -m tests.mutations

bench: setup ## takeovers measured on the lab (RUNS=20), as JSON
	@$(FAILOVER) bench takeover --runs $(RUNS) -o json

dashboard: .venv/.ready ## write deploy/grafana/failover.json from its code
	@$(PYTHON) deploy/grafana/dashboard.py

reference: .venv/.ready ## write the pages of docs/ that are made from the code
	REWRITE_GOLDEN=1 $(PYTEST) $$(grep -l mark.reference tests/unit/test_*.py) -m reference

docs: .venv/.ready ## the documentation as a site, in .build/site; every link and anchor is checked
	@.venv/bin/mkdocs build --strict --quiet
	@echo "made: .build/site/index.html"

lock: .venv/.ready ## write requirements.lock from what is installed, with hashes
	@scripts/lock development

.PHONY: lock-hosts wheel
lock-hosts: .venv/.ready ## write requirements-hosts.lock: what the hosts install, with hashes
	@scripts/lock hosts

wheel: .venv/.ready ## dist/: the wheel, what it needs and their hashes (MACHINE=aarch64 for other hosts)
	@MACHINE=$(MACHINE) $(PYTHON) scripts/wheel.py

clean: ## remove the lab and everything that was made here
	@if test -x $(FAILOVER); then $(FAILOVER) lab down; fi
	rm -rf .venv .build .lab dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.ready: requirements.lock pyproject.toml scripts/setup
	@scripts/setup --python-only
