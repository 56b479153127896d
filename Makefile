# SPDX-License-Identifier: Apache-2.0
# make demo: the finished example in out/.   make test: all tests.   make lint: ruff and mypy.
# make fuzz: the tests that draw their cases, at random and 20 times as long; about ten minutes.
# Needs Python 3.11 to 3.13 with venv; everything is installed into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
OUT    ?= out
TESTS  ?= tests
JOBS   ?= 2
FUZZ   ?= tests/dicom/reading/test_damage.py tests/dicom/test_radiograph.py tests/prompts tests/test_composite.py tests/test_request.py

.PHONY: demo test fuzz lint format oldest lock clean

demo: $(VENV)/.product
	$(BIN)/cxr-cf edit docs/example.dcm --prompt "left pleural effusion" --out $(OUT) --overwrite
	@echo
	@echo "Look at $(OUT)/preview.png first; $(OUT)/report.json says what changed and what did not."

# One thread a worker: the workers share the cores, and sums stay in one order.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE MPLBACKEND=agg $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(TESTS)

# What it finds becomes an @example or a test of its own: plain runs draw the same cases again.
fuzz: $(VENV)/.dev
	CXR_CF_FUZZ=20 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --timeout 3600 --show-capture no $(FUZZ)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A floor of pyproject.toml is the version this was run with; needs Python 3.11.
oldest:
	$(PYTHON) .ci/oldest

# The versions that a fresh environment resolves to; a build tag such as +cpu is the machine's own.
lock: $(VENV)/.dev
	{ echo "# Full lock of the product and its tests; written by: make lock"; \
	  $(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed -E 's/(==[^+ ]+)\+[A-Za-z0-9.]+$$/\1/'; } > constraints.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 3; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.product: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.product
	$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-oldest $(OUT) build dist
