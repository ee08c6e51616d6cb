# Everything there is to learn: make demo | test | lint | setup | bench | lock | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
DATA_DIR ?= .demo
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: setup demo test lint format bench lock clean

# The stamps are the memory: nothing is installed or compiled twice. The requirements are complete, so nothing is resolved: older pips
# look for the newest version of a package with extras, which has no hash here, and give up.
setup: $(VENV)/.compiled

$(VENV)/.installed: requirements.txt pyproject.toml
	@test -x $(BIN)/python || { echo "setup: creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "setup: installing dependencies (about a minute the first time)"
	@$(PIP) install -qq --no-deps --require-hashes --requirement requirements.txt
	@$(PIP) install -qq --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@echo "setup: installing development tools"
	@$(PIP) install -qq --no-deps --require-hashes --requirement requirements-dev.txt
	@touch $@

$(VENV)/.compiled: $(VENV)/.installed $(wildcard src/active_customers/kernels/*.py src/active_customers/core/*.py)
	@rm -f src/active_customers/kernels/__pycache__/*.nb? # a cached kernel does not notice a changed callee or constant of another file
	@$(BIN)/active-customers compile
	@touch $@

demo: setup
	@exec $(BIN)/active-customers demo --data-dir "$(DATA_DIR)" --port $(PORT)

# First what shares the cores: each of its processes starts one BLAS thread, for those wait for each other without rest. Then, two at a time,
# what starts services, kills processes and waits for deadlines. TESTS="tests/core -x" runs those, in one process.
test: setup $(VENV)/.installed-dev
ifdef TESTS
	@$(BIN)/python -m pytest $(TESTS)
else
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --ignore tests/e2e --numprocesses auto --maxprocesses 4 --dist loadfile
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest tests/e2e --numprocesses 2 --dist loadfile
endif

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# make bench [DATA=folder of data sets] [ONLY="serving memory"] [QUICK=1]
bench: setup $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

# Pin every dependency by hash. uv.lock itself is not kept: it names a package index.
lock:
	@uv lock --quiet --upgrade
	@uv export --quiet --no-header --no-emit-project --no-dev --group setup --output-file requirements.txt
	@uv export --quiet --no-header --no-emit-project --group dev --output-file requirements-dev.txt

clean:
	@rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
