# Tuning Fork. `make` alone lists the targets.

PYTHON ?= python3
BIN := .venv/bin
QUICK := -m "not full and not gpu"

.DEFAULT_GOAL := help
.PHONY: help up test test-all check calibrate format chromium migration clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

up: .venv/installed ## Set everything up and serve web and worker on this machine
	@$(BIN)/tuning-fork up

test: .venv/installed-dev chromium ## Set everything up and run the tests (about 15 minutes on 2 cores)
	@$(BIN)/python tests/side_by_side.py $(BIN)/pytest $(QUICK)

test-all: .venv/installed-dev chromium ## Also the full-length training stories and the kill tests (about an hour)
	@TUNING_FORK_TESTS=thorough $(BIN)/pytest -m "not gpu"

check: .venv/installed-dev ## Format, lint, types, import contracts, migrations without drift
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	  export TUNING_FORK_WEB_DATABASE_URL="sqlite:///$$folder/check.db" && \
	  $(BIN)/alembic upgrade head && $(BIN)/alembic check

calibrate: .venv/installed ## Hold the advice against forty published projects, beside three simpler rules
	@$(BIN)/python benchmarks/calibration.py

format: .venv/installed-dev ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

migration: .venv/installed-dev ## Draft a migration from the tables: make migration name="what it adds"
	@$(BIN)/alembic revision --autogenerate -m "$(name)"

clean: ## Remove the environment and the caches; .data stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tuning Fork needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what Tuning Fork needs into .venv (some minutes, once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[worker]'
	@touch $@

.venv/installed-dev: .venv/installed
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[worker,dev]'
	@touch $@

chromium: .venv/installed-dev
	@$(BIN)/python tests/browser/chromium.py
