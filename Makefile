# make train   build .venv, install, and run the main job on drawn demo photos
# make test    build the same and run the tests
# make check   lint, types and tests, as CI does
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: train test check lint bench clean
.DEFAULT_GOAL := train

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	-$(BIN)/python -m catdog.weights
	touch $@

train: $(INSTALLED)
	$(BIN)/python -m catdog.train

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict conf sweeps

check: lint test

bench: $(INSTALLED)
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/fit.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
