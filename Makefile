# Every target sets up what it needs; a second run finds it there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready

# The real registry joins the scenarios where it is installed; where it is demanded, its absence fails.
REAL   := $(if $(or $(shell command -v docker-registry),$(PULLPROOF_REQUIRE_REAL)),--target binary:docker-registry)

.PHONY: scenarios check test ci house containers peers lint docs report fuzz stateful recordings bench clean

# The main job: proves the reference registry.
scenarios: $(READY)
	$(BIN)/pytest scenarios/ -n auto --pullproof-slowest 10 $(ARGS)

test: $(READY)
	$(BIN)/pytest tests/ -n auto $(COVERAGE) $(ARGS)
	$(BIN)/pytest scenarios/ -n auto --target reference --target reference@2.8 $(REAL) $(ARGS)

# Before each commit: under a minute once installed.
check: lint
	$(BIN)/pytest $(FAST) -n auto -q $(ARGS)
FAST := tests/unit/models tests/unit/lint tests/unit/explain tests/unit/upstream

# What CI runs on a machine with all real parts. It fails if the tests run too few lines (pyproject.toml).
ci: COVERAGE := --cov --cov-report=
ci: lint test containers peers

# Size and shape of the code base, against its limits.
house: $(READY)
	$(BIN)/python -m tests.support.house

# The image that .ci/dockerd makes, or any other: make containers IMAGE=registry:3
IMAGE ?= registry:2
containers: $(READY)
	$(BIN)/pytest scenarios/ -n auto --target container:$(IMAGE) $(ARGS)

# Other people's caches, as they come.
peers: $(READY)
	$(BIN)/pytest scenarios/ -n auto --target drayage --pullproof-slowest 10 $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy hatch_build.py
	$(BIN)/lint-imports
	$(BIN)/codespell --dictionary - --dictionary docs/words.txt
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive -ll harness reference_registry pullproof
	$(BIN)/python -m tests.support.audit

docs: $(READY)
	$(BIN)/pytest scenarios/ --collect-only -q --pullproof-catalogue docs/scenarios.md
	$(BIN)/python -m tests.unit.lint.catalogue

# Claims and all that was said, side by side, as one page: make report TARGETS="reference container:registry:2"
TARGETS ?= reference reference@2.8 $(if $(shell command -v docker-registry),binary:docker-registry)
report: $(READY)
	$(BIN)/pytest scenarios/ -n auto $(addprefix --target ,$(TARGETS)) --pullproof-slowest 10 \
		--pullproof-html report.html --pullproof-json report.json $(ARGS)

# Each target of tests/fuzz for so many minutes of processor time, with random inputs.
MINUTES ?= 1
fuzz: $(READY)
	PULLPROOF_FUZZ_MINUTES=$(MINUTES) $(BIN)/pytest tests/fuzz -n auto $(ARGS)

# Where a real registry is installed: ours against it. REGISTRIES adds binaries of further releases.
SEQUENCES ?= 2000
SEED      ?= 0
stateful: $(READY)
	$(BIN)/pullproof stateful reference@2.8 binary:docker-registry --sequences $(SEQUENCES) --seed $(SEED)

recordings: $(READY)
	$(BIN)/pytest scenarios/ -n 2 --target binary:docker-registry $(foreach file,$(REGISTRIES),--target binary:$(file)) \
		--record fixtures/recordings $(ARGS)

bench: $(READY)
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test,lint]'
	touch $@
