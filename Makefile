# The only task list. `make` alone prints it.
# Any Python can run the bootstrap, which says what is missing.
PYTHON := $(shell command -v python3.13 || echo python3)
BIN := .venv/bin
SOURCE ?=
EVENTS ?=
RATE ?=
REPORT ?= report.json

.PHONY: help
help: ## print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

.PHONY: demo
demo: setup ## run the whole system once: SOURCE=folder EVENTS=n RATE=n REPORT=file
	$(BIN)/pipeline demo $(if $(SOURCE),--source '$(SOURCE)') $(if $(EVENTS),--events $(EVENTS)) $(if $(RATE),--rate $(RATE)) --report '$(REPORT)'

.PHONY: test
test: setup-dev ## every check and every test; those in containers where Docker runs
	$(BIN)/python tests/tiers.py

.PHONY: setup
setup: ## make .venv and fetch everything the system needs
	@$(PYTHON) local/bootstrap.py
	@$(BIN)/python -m pipeline_local.toolchain

.PHONY: setup-dev
setup-dev: ## the same, with the test tools, and environments of Databricks' and MWAA's Python
	@$(PYTHON) local/bootstrap.py --dev
	@$(PYTHON) local/bootstrap.py --databricks
	@$(PYTHON) local/bootstrap.py --mwaa
	@$(BIN)/python -m pipeline_local.toolchain --dev

.PHONY: lint
lint: ## style, types, import rules, templates
	$(BIN)/python tests/tiers.py lint

.PHONY: unit
unit: ## unit tests alone (about two minutes)
	$(BIN)/python tests/tiers.py unit

.PHONY: histories
histories: ## random histories of a stream and its reader: COUNT=n SEED=first
	PYTHONPATH=tests/support $(BIN)/python tests/support/kinesis_histories.py --count $(or $(COUNT),1000) --seed $(or $(SEED),0)

.PHONY: fuzz
fuzz: setup-dev ## random requests and bytes against a running installation: MINUTES=n SEED=n CASE=surface/number
	PYTHONPATH=tests/support:tests/fuzz $(BIN)/python -m fuzzing --minutes $(or $(MINUTES),5) --seed $(or $(SEED),0) $(if $(CASE),--case '$(CASE)')

.PHONY: nightly
nightly: setup-dev ## what is too long for each commit: long fuzzing, 100,000 histories, chaos, both runners
	$(BIN)/python tests/support/nightly.py

.PHONY: format
format: ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: setup-dev ## take the figures of docs/performance.md
	$(BIN)/python benchmarks/run.py

.PHONY: screenshots
screenshots: setup-dev ## take the README's picture of the dashboard (needs Chromium)
	$(BIN)/python tests/support/screenshots.py

.PHONY: pins
pins: ## compile requirements/*.txt from pyproject.toml (needs uv)
	requirements/compile.sh requirements

.PHONY: wheel
wheel: setup ## build the wheel that Databricks takes, into dist/
	$(BIN)/python -m hatchling build -t wheel

.PHONY: clean
clean: ## delete downloads, environments and state
	-$(BIN)/pipeline down
	-PIPELINE_HOME=.pipeline/demo $(BIN)/pipeline down
	rm -rf .venv .venv-3.12 .venv-3.12-mwaa .pipeline dist
