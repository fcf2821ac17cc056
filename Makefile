# Two commands for a newcomer: `make demo` and `make test`. After `make setup`, everything else is
# .venv/bin/ganinv VERB, from any folder.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Without compiled bytecode every process compiles all modules anew, and pytest rewrites all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo demo-clean studio test test-unit test-integration chaos lab check format

help:
	@echo "make setup       make .venv with all packages and the command .venv/bin/ganinv"
	@echo "make demo        train on drawn faces for about ten minutes and make a page of results"
	@echo "make demo-clean  remove everything that the demo made"
	@echo "make studio      edit pictures of your own on a page (MODEL=FILE: with another model)"
	@echo "make test        linters, type checker and all tests"
	@echo "make test-unit   the fast tests alone"
	@echo "make chaos       faults in real trainings (GANINV_FAULTS=2 of each kind), kills in a save, alerts;"
	@echo "                 an eighth of the faults with GANINV_CHAOS_GROUP=0, 1, …, 7"
	@echo "make lab         a cluster of three hosts on this machine, through its life (root only)"
	@echo "make check       linters and type checker alone"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,metrics,dev]'
	@touch $@

demo: setup
	$(BIN)/ganinv demo

demo-clean: setup
	$(BIN)/ganinv demo clean

MODEL ?= models/avatars32.safetensors
studio: setup
	$(BIN)/ganinv studio $(MODEL)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check test-unit test-integration

test-unit: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not integration and not gpu and not chaos"

test-integration: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "integration or gpu"

# These tests measure time. All other chaos tests run two at a time. Pytest ends with 5 where a group
# has none of them.
ALONE := tests/chaos/test_alerts_live.py tests/chaos/test_step_faults.py
chaos: setup
	$(BIN)/python -m pytest -m chaos $(ALONE) || [ $$? = 5 ]
	$(BIN)/python -m pytest -n 2 --dist loadfile -m chaos $(addprefix --ignore=,$(ALONE)) tests/chaos

lab: setup
	GANINV_LAB_DOWNLOAD=$(CURDIR)/$(VENV)/lab \
	GANINV_LAB_PYTHON=$$($(BIN)/python -c 'from tests.lab.hosts import python; print(python())') \
	tests/lab/enter.sh $(BIN)/python -m pytest -s tests/lab </dev/null

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
