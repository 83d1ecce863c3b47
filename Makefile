# make demo   sets up, then runs the main job: mint, burn, boot, connect
# make test   sets up, then lints, type-checks and runs the tests
# make docs   writes the pages that are made of the code
# make bench  measures beside the peers
# make heap   prints where the bytes of a device's heap are
# make vectors  fetches 210 MB of test vectors for the board's cryptography, whose tests are skipped without them
# make mutants  breaks leaf in some 70 ways, one at a time, and looks whether a test fails (a few of them are in make test)
# make campaign  looks for what is rare: hours of seeded faults (a short slice of it is in make test)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KEEP ?=
SEED ?= 1
RUNS ?= 10
WORKERS ?= 4
DAYS ?= 1000
MONTHS ?= 200

.PHONY: vectors demo docs test lint types bench heap mutants campaign setup setup-dev clean help
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

$(VENV)/run.stamp: requirements/run.lock pyproject.toml tools/setup
	@PYTHON=$(PYTHON) tools/setup $(VENV) requirements/run.lock
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(VENV)/run.stamp
	@PYTHON=$(PYTHON) tools/setup $(VENV) requirements/dev.lock
	@touch $@

.typings/stamp: requirements/typings.lock $(VENV)/dev.stamp
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --upgrade \
		--target .typings --requirement $<
	@touch $@

.vectors/stamp: requirements/vectors.lock $(VENV)/dev.stamp
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes --no-compile --upgrade \
		--target .vectors --requirement $<
	@touch $@

vectors: .vectors/stamp
setup: $(VENV)/run.stamp
setup-dev: $(VENV)/dev.stamp .typings/stamp

demo: $(VENV)/run.stamp
	@$(BIN)/python tools/demo.py $(if $(KEEP),--keep)

docs: $(VENV)/dev.stamp
	@$(BIN)/python tools/docs.py

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp .typings/stamp
	$(BIN)/mypy
	$(BIN)/mypy --config-file firmware/mypy.ini

test: lint types # four workers on two cores: much of their time is waiting
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

bench: $(VENV)/dev.stamp
	$(BIN)/python bench/issue_batch.py
	$(BIN)/python bench/flashing.py
	$(BIN)/python bench/ledger.py
	$(BIN)/python bench/session.py
	$(BIN)/python bench/advisor_peers.py
	$(BIN)/python bench/factory.py

heap: $(VENV)/dev.stamp
	@$(BIN)/python tools/heap.py

mutants: $(VENV)/dev.stamp
	@$(BIN)/python -m campaign.mutants

campaign: $(VENV)/dev.stamp
	$(BIN)/python -m campaign.bad_days --seed $(SEED) --runs $(DAYS) --results build/bad-days-$(SEED).jsonl --logs build/bad-days
	$(BIN)/python -m campaign.months --seed $(SEED) --runs $(MONTHS) --results build/months-$(SEED).jsonl --logs build/months
	$(BIN)/python -m campaign.fuzz --seed $(SEED)
	$(BIN)/python -m campaign.host_fuzz --seed $(SEED)
	$(BIN)/python -m campaign.power_cuts --seed $(SEED)
	$(BIN)/python -m campaign.soak
	$(BIN)/python -m campaign.factory_faults --seed $(SEED) --runs $(RUNS)

clean:
	rm -rf build $(VENV) .typings .mypy_cache .ruff_cache .pytest_cache
