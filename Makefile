# Every target makes the virtual environment by itself and is fast the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MODELS := $(VENV)/.models

.DEFAULT_GOAL := help
.PHONY: help demo up down test check bench parity chaos clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Fetch the models, run sample photos through the stack, write demo/index.html
	@$(BIN)/maskwright demo

up: $(MODELS) ## Start Triton and the gateway, and leave them running
	@$(BIN)/maskwright up --detach

down: $(INSTALLED) ## Stop them
	@$(BIN)/maskwright down

test: $(MODELS) ## Run the tests
	$(BIN)/pytest

check: $(INSTALLED) ## Lint and type-check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(MODELS) ## Measure throughput and latency against the bare loop
	$(BIN)/python -m loadtests

parity: $(MODELS) ## Compare with MediaPipe's own Pose (in an environment of its own)
	$(BIN)/python -m tests.parity

chaos: $(MODELS) ## The long form of the chaos tests
	$(BIN)/pytest tests/chaos --long

clean: ## Remove everything that was made or fetched
	rm -rf $(VENV) .maskwright demo build dist checkpoints/files *.egg-info
	rm -rf model_repository/*/1/model.onnx model_repository/*/1/parity.json
	find . -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[embedded,exporters,test]'
	@touch $@

# `export` skips what is there and fits, so this is safe to run again.
$(MODELS): $(INSTALLED) checkpoints/catalogue.toml $(shell find exporters -name '*.py' 2>/dev/null)
	$(BIN)/maskwright models fetch
	$(BIN)/maskwright models export
	@touch $@
