# Every target makes the virtual environment by itself and is fast the second time. PYTHON names the interpreter to make
# it with; without it the first on PATH that fits is taken, or one is fetched.
VENV := .venv
BIN := $(VENV)/bin

# What a shell was prepared with for other programs would change what ours import, or make each of them compile all that
# it imports anew. PYTHON goes to environment.sh.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONWARNINGS PYTHONUSERBASE
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up down test check bench parity chaos properties arm64 clean models environment

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: environment ## Fetch the models, run sample photos through the stack, write demo/index.html
	@$(BIN)/maskwright demo

up: models ## Start everything on this machine, and leave it running
	@$(BIN)/maskwright up --detach

down: ## Stop them
	@! $(BIN)/maskwright --version >/dev/null 2>&1 || $(BIN)/maskwright down

test: models ## Run the tests
	$(BIN)/pytest --numprocesses 4 --no-loadscope-reorder

check: environment ## Lint, type-check, and see who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: models ## Measure throughput and latency against the bare loop
	$(BIN)/python -m loadtests
	$(BIN)/python -m loadtests.redaction

parity: models ## Compare with MediaPipe's own Pose and FaceMesh (in an environment of its own)
	$(BIN)/python -m tests.parity

chaos: models ## The long form of the chaos tests
	$(BIN)/pytest tests/chaos --long

properties: models ## The property tests with many more examples
	$(BIN)/pytest --numprocesses 2 -m hypothesis --hypothesis-profile thorough

arm64: models ## Try the demo and jobs on ARM64 Linux, in emulation (needs root and QEMU)
	tests/arm64/trial

clean: down ## Stop the stack and remove everything that was made or fetched
	rm -rf $(VENV) .python .maskwright demo build dist checkpoints/files *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf model_repository/*/1/model.onnx model_repository/*/1/parity.json
	find . -name __pycache__ -prune -exec rm -rf {} +

demo up: NEEDED_TO := run
environment:
	@sh deploy/machine/environment.sh $(or $(NEEDED_TO),install)

models: environment
	@$(BIN)/maskwright models verify >/dev/null 2>&1 || { $(BIN)/maskwright models fetch && $(BIN)/maskwright models export; }
