# Every target sets up .venv by itself; the second time that takes no time.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest
# What every command imports is compiled once; compiling all that is installed took 50 s of processor time.
WARM := import torchvision, lightning_fabric, pandas, scipy.ndimage, sklearn.linear_model, matplotlib.figure

.DEFAULT_GOAL := help
.PHONY: help setup demo test tests lint types bench campaign requirements clean

help:  ## what can be made
	@grep -E '^[a-z]+: .*##|^[a-z]+:  ##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 16

$(READY): requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.11"
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet -r requirements.txt
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --editable .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "$(WARM)"
	@touch $(READY)

setup: $(READY)  ## .venv with every pinned package

demo: $(READY)  ## synthetic scans, both stages, evaluation, a report: some minutes
	$(BIN)/ichseq demo --run runs/demo

test: $(READY)  ## lint, types and all tests
	@$(MAKE) --no-print-directory --jobs 3 lint types tests

# Whole files by process, in their order: those that take long come first. Two processes keep two cores busy with a thread each.
tests: $(READY)
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "not campaign"

lint: $(READY)  ## style, without changing a file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## static types
	$(BIN)/pyright

bench: $(READY)  ## speed and memory on this machine, into benchmarks/results
	$(BIN)/python -m benchmarks.run

campaign: $(READY)  ## the whole of what `test` samples, into benchmarks/results
	$(BIN)/python -m benchmarks.campaign

requirements: $(READY)  ## pin every package anew, without naming a registry
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra cluster --extra dev --extra dicom --extra export --python-version 3.11 \
		--no-emit-index-url --no-header -o requirements.txt

clean:  ## remove .venv and caches; runs stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
