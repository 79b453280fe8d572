# Every target creates what it needs: a virtual environment in .venv, filled from PyPI.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A process for each core, and one thread in each: tests are small.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test check format docs pictures bench campaign prior clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(VENV)/.ready-to-develop ## install closefit and all tools for working on it

demo: $(VENV)/.ready-to-run ## make a clip of two people, run everything on it, show where to look
	$(BIN)/closefit demo --out demo

test: $(VENV)/.ready-to-develop ## run all tests
	$(TEST)

check: $(VENV)/.ready-to-develop ## lint, format, types, import contracts, then all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(TEST)

format: $(VENV)/.ready-to-develop ## put all code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.ready-to-develop ## build the pages of docs/ as a site in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pictures: demo $(VENV)/.ready-to-develop ## make the pictures of README and gallery from the demo
	$(BIN)/python -m docs.pictures demo

bench: $(VENV)/.ready-to-develop ## measure speed and, where the shared clips are, accuracy
	$(BIN)/python benchmarks/rasterizer.py
	$(BIN)/python benchmarks/speed.py --passes 4
	$(BIN)/python benchmarks/downloads.py
	@if [ -d ../shared/clips/synth ]; then \
	  $(BIN)/python benchmarks/ablation.py ../shared/clips/synth --jobs 2; \
	else echo "no ../shared/clips/synth beside this checkout: accuracy not measured"; fi

campaign: $(VENV)/.ready-to-develop ## try 10,000 bad inputs, kill runs where they write, fill their disk
	$(BIN)/python -m benchmarks.campaign --cases 10000 --publish
	$(BIN)/python -m benchmarks.campaign.kills

# One thread, so that the same machine ends with the same bits; two cores are little faster. The second
# training speeds motion up, for people who are hidden: of them init uses every second and third frame.
# The third goes on from the second: it is the one with the detector noise of today.
MOTION ?= ../shared/mocap
HELD_OUT := 60_03 60_09
PREPARE := OMP_NUM_THREADS=1 $(BIN)/closefit prior prepare
TRAIN := cd training && OMP_NUM_THREADS=1 $(abspath $(BIN))/closefit train-prior \
  salsa singles generated_1 generated_2 generated_3 --set share_exponent=0.15 \
  --validate salsa=salsa_held_out --validate generated=generated_held_out
prior: $(VENV)/.ready-to-develop ## train the prior that ships again, from CMU's motion in MOTION
	$(PREPARE) $(MOTION)/cmu_salsa_60_61_bvh.tar.xz --out training/salsa \
	  $(addprefix --exclude ,60_01 60_02 60_04 $(HELD_OUT))
	$(PREPARE) $(MOTION)/cmu_salsa_60_61_bvh.tar.xz --out training/salsa_held_out \
	  $(addprefix --exclude ,60_01 60_02 60_04 60_05 60_06 60_07 60_10 60_11)
	$(PREPARE) $(MOTION)/cmu_01_02_03_asf_amc.tar.xz --out training/singles
	$(PREPARE) --generate 1.25 --seed 1 --out training/generated_1
	$(PREPARE) --generate 1.25 --seed 2 --out training/generated_2
	$(PREPARE) --generate 0.5 --seed 3 --out training/generated_3
	$(PREPARE) --generate 0.25 --seed 500 --out training/generated_held_out
	$(TRAIN) --out run --steps 18000 --set validate_every=3000
	$(TRAIN) --out faster --steps 12500 --set validate_every=4000 --start-from run/prior.safetensors \
	  --seed 1 --set lr=6e-4 --set 'augmentation.pace=[0.7,2.2]'
	$(TRAIN) --out noisy --steps 12000 --set validate_every=1500 --start-from faster/prior.safetensors \
	  --seed 14 --set lr=5e-4 --set 'augmentation.pace=[0.7,2.2]'

clean: ## remove the environment and what the demo made
	rm -rf $(VENV) demo campaign

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-to-run: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.ready-to-develop: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.ready-to-run
