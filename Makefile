# make help lists the verbs. Everything runs from .venv, which `make setup` prepares from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
TESTED := tests/cluster tests/faults tests/fingerprint_db tests/known_issues tests/fuzz
.DEFAULT_GOAL := help

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## prepare .venv with what running and testing need

$(STAMP): pyproject.toml constraints.txt jobs/demo/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Makersmark needs Python 3.11 or newer; this is $$($(PYTHON) --version). Set PYTHON=python3.11, or install it: apt-get install python3.11 python3.11-venv"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing; install it: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT= $(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev,postgres]'
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps -r jobs/demo/requirements.txt
	@touch $@

demo: setup ## make a demo archive, enroll, sweep it twice, print who made what
	$(BIN)/python -m jobs.demo

test: setup lint typecheck ## everything that users rely on
	@# Two plain processes on two cores: a test runner's own workers were once seen to wait for each other for ever.
	@$(BIN)/python -m pytest -q tests/jobs tests/chaos > .test-jobs.log 2>&1 & jobs=$$!; \
	$(BIN)/python -m pytest -q $(TESTED); others=$$?; \
	wait $$jobs; first=$$?; cat .test-jobs.log; rm -f .test-jobs.log; exit $$((first | others))

lint: setup ## ruff and the import walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: setup ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: setup ## mypy --strict
	$(BIN)/mypy

chaos: setup ## the long proofs: crash schedules, a cluster of several raylets (about half an hour)
	$(BIN)/python -m tests.chaos --aimed --schedules 5000 --seed 1
	$(BIN)/python -m pytest -q -m cluster tests/cluster/test_many_machines.py tests/jobs/test_long_files.py

fuzz: setup ## 2,000 mutated containers through the real path
	$(BIN)/python -m tests.fuzz --mutations 2000 --seed 1

bench: setup ## measure decoding and fingerprinting on this machine, as ratios
	$(BIN)/makersmark bench

STARTER := fingerprint_db/starter
starter: setup ## make the starter pack anew: make starter CLIPS=folder/manifest.csv BENCH=bench/labelled.csv
	@test -n "$(CLIPS)" || { echo "name the labelled clips: make starter CLIPS=folder/manifest.csv"; exit 2; }
	rm -rf starter-home && mkdir -p starter-home $(STARTER) && rm -rf $(STARTER)/*
	-$(BIN)/makersmark --home starter-home enroll --yes --manifest $(CLIPS)
	-$(BIN)/makersmark --home starter-home enroll --yes --manifest $(CLIPS) --chain x264-crf23
	test -z "$(BENCH)" || $(BIN)/makersmark --home starter-home enroll --yes --manifest $(BENCH)
	$(BIN)/makersmark --home starter-home pack $(STARTER) --name starter

clean: ## remove .venv, caches and the demo
	rm -rf $(VENV) demo-run .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.PHONY: help setup demo test lint format typecheck chaos fuzz bench starter clean
