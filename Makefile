# make train      build .venv, install, and run the main job on drawn demo photos
# make sweep      the same, then a search of seconds
# make test       build the same and run the tests that need no server, browser or kill (5 minutes)
# make test-all   these, and then the others
# make check      lint, types and make test
# make docs       the pages of docs/, into docs/_build (Python 3.11 or later)
# make bench      the benchmarks, into benchmarks/RESULTS.md (make bench-quick: minutes, no file)
# make kill-test  kill every kind of process of a sweep, end it, step its clock, 30 times each (EXTRAS=dev,postgres,joblib)
KILLS := $(patsubst %,plugins/hydra_optuna_workers/tests/test_%.py,kills clock signals)
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
INSTALLED := .venv/.installed
SPHINX := .venv/.sphinx
PEERS := .venv-peers/.installed

.PHONY: train sweep test test-all check lint kill-test bench bench-quick docs clean
.DEFAULT_GOAL := train

$(INSTALLED): pyproject.toml plugins/hydra_optuna_workers/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
	  --editable plugins/hydra_optuna_workers --editable '.[$(EXTRAS)]'
	-$(BIN)/python -m catdog.weights
	touch $@

train: $(INSTALLED)
	$(BIN)/python -m catdog.train

sweep: $(INSTALLED)
	$(BIN)/python -m catdog.sweep smoke

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m 'not slow'

test-all: test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict conf sweeps

check: lint test

$(SPHINX): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
	  --editable plugins/hydra_optuna_workers --editable '.[$(EXTRAS),docs]'
	touch $@

docs: $(SPHINX)
	$(BIN)/python -m sphinx -W --keep-going --quiet docs docs/_build

kill-test: $(INSTALLED)
	KILL_REPEATS=30 $(BIN)/python -m pytest -s $(KILLS) -k "random_moments or clock or goes_on"
	KILL_REPEATS=30 $(BIN)/python -m pytest -s tests/experiment/test_ends.py -k goes_on

$(PEERS): benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	touch $@

bench: $(INSTALLED) $(PEERS)
	$(BIN)/python benchmarks/all.py

bench-quick: $(INSTALLED)
	$(BIN)/python benchmarks/all.py --quick --out /dev/null

clean:
	rm -rf .venv .venv-peers .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build docs/_build
