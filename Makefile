# Two commands do everything on a machine that has only Python 3.11 (or newer) and make:
#   make run     install, make the bird folder, start the daemon
#   make test    install everything, check everything

PYTHON ?= python3
ROOT ?= $(HOME)/birdwatch
UV = .venv/bin/uv
LANES ?= 3

.DEFAULT_GOAL := help
.PHONY: help run test test-base test-train torture lint format lock config bench clean

help:
	@echo "make run     start birdwatchd: drop photos into $(ROOT)/inbox"
	@echo "make test    check everything"
	@echo "make bench   measure speed and memory"

run: .venv/ready
	@.venv/bin/birdwatchd init --root "$(ROOT)"
	@.venv/bin/birdwatchd run --root "$(ROOT)"

test: lint test-base test-train

# The base install: what most people have. Nothing in it may need torch.
# Many tests wait most of their time, so they run side by side; those that nothing may disturb come after them, one by one.
test-base: .venv/ready-dev
	.venv/bin/pytest -m "not alone" --numprocesses $(LANES) --dist loadfile --no-loadscope-reorder --cov --cov-report= --cov-fail-under=0
	.venv/bin/pytest -m alone --cov --cov-append --cov-report= --cov-fail-under=0
	.venv/bin/coverage report

# With the extra `train`: the tests that need torch, and that the daemon does not touch it even where it is installed.
test-train: .venv-train/ready
	.venv-train/bin/pytest tests/training tests/test_architecture.py

# The long versions of the fault tests: an hour and more. What this machine cannot do is skipped, told and counted.
torture: .venv/ready-dev
	.venv/bin/pytest --torture -m torture --timeout 14400 tests

lint: .venv/ready-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/ready-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# config.toml is generated from the schema, so that the two cannot differ.
config: .venv/ready
	.venv/bin/python -c 'from birdwatchd.core.configuring import as_toml; print(as_toml(), end="")' > config.toml

bench: .venv/ready-dev
	.venv/bin/python -m benchmarks

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "birdwatchd needs Python 3.11 or newer")'
	@echo 'installing birdwatchd into .venv ...'
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet uv

.venv/ready: .venv/bin/uv requirements/base.txt pyproject.toml
	@$(UV) pip install --quiet --python .venv/bin/python --require-hashes -r requirements/base.txt
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps -e .
	@touch $@

.venv/ready-dev: .venv/ready requirements/dev.txt
	$(UV) pip install --quiet --python .venv/bin/python --require-hashes -r requirements/dev.txt
	@touch $@

.venv-train/ready: .venv/ready requirements/train.txt
	$(PYTHON) -m venv .venv-train
	$(UV) pip install --quiet --python .venv-train/bin/python --require-hashes -r requirements/train.txt
	$(UV) pip install --quiet --python .venv-train/bin/python --no-deps -e .
	@touch $@

# Versions and hashes only: where they come from is the installing machine's business.
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml
lock: .venv/bin/uv
	$(LOCK) --extra web --output-file requirements/base.txt
	$(LOCK) --extra dev --extra web --output-file requirements/dev.txt --constraint requirements/base.txt
	$(LOCK) --extra dev --extra web --extra train --output-file requirements/train.txt --constraint requirements/dev.txt

clean:
	rm -rf .venv .venv-train .mypy_cache .pytest_cache .ruff_cache .hypothesis
