# Every target creates what it needs: a virtual environment in .venv, filled from PyPI.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench clean

help: ## say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(VENV)/.ready-to-develop ## install closefit and all tools for working on it

demo: $(VENV)/.ready-to-run ## make a clip of two people, run everything on it, say where to look
	$(BIN)/closefit demo --out demo

test: $(VENV)/.ready-to-develop ## run all tests
	$(BIN)/python -m pytest

check: $(VENV)/.ready-to-develop ## lint, format, types, import contracts, then all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

format: $(VENV)/.ready-to-develop ## put all code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready-to-develop ## measure speed and, where the shared clips are, accuracy
	$(BIN)/python benchmarks/rasterizer.py
	$(BIN)/python benchmarks/clip_length.py
	$(BIN)/python benchmarks/downloads.py
	@if [ -d ../shared/clips/synth ]; then \
	  $(BIN)/python benchmarks/ablation.py ../shared/clips/synth --jobs 2; \
	else echo "no ../shared/clips/synth beside this checkout: accuracy not measured"; fi

clean: ## remove the environment and what the demo made
	rm -rf $(VENV) demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-to-run: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.ready-to-develop: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.ready-to-run
