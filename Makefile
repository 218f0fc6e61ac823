# Two commands are enough on a fresh machine: `make run` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint format clean tiktok screenshots bench drill fuzz soak lock audit

run: $(VENV)/runtime
	$(BIN)/python run.py

test: $(VENV)/development
	$(BIN)/python -m pytest

lint: $(VENV)/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# TikTok on loopback, for trying things out by hand.
tiktok: $(VENV)/development
	$(BIN)/python -m tests.tiktok

# The pictures of the README, taken by the tests.
screenshots: $(VENV)/development
	LIVERELAY_SCREENSHOTS=1 $(BIN)/python -m pytest -q tests/e2e -k readme

# The figures of the README, beside other servers: some forty minutes on a machine that does nothing
# else, and needs Debian's packages gcc, nodejs and npm.
bench: $(VENV)/bench
	$(BIN)/python -m bench

# What goes wrong on a real machine, at full length, with the figures; some fifteen minutes.
drill: $(VENV)/development
	LIVERELAY_DRILL=full LIVERELAY_MALFORMED=10000 $(BIN)/python -m pytest -q -s tests/test_drills.py tests/test_edge.py

# The parsers that meet strangers, with FUZZ inputs each: 429 headers, TikTok's frames, phones'
# frames, usernames and addresses.
FUZZ ?= 50000
fuzz: $(VENV)/development
	LIVERELAY_FUZZ=$(FUZZ) $(BIN)/python -m pytest -q -m fuzz --timeout 0

# Phones that come and go while everything fails in turn; then all must be as it was.
MINUTES ?= 30
soak: $(VENV)/development
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

# Hashes for the packages that the requirement files pin.
lock: $(VENV)-tools/installed
	$(VENV)-tools/bin/python -m tools.lock

# Known weaknesses of what we run on. Fails where it cannot be asked, too: silence is no all-clear.
audit: $(VENV)-tools/installed
	$(VENV)-tools/bin/pip-audit --strict --require-hashes --disable-pip -r requirements.txt
	$(VENV)-tools/bin/pip-audit --strict --require-hashes --disable-pip -r requirements-dev.txt

clean:
	rm -rf $(VENV) $(VENV)-tools .mypy_cache .pytest_cache .ruff_cache .hypothesis bench/peers/node_modules

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/development: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/runtime

$(VENV)/bench: $(VENV)/development bench/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

$(VENV)-tools/installed: tools/requirements.txt
	$(PYTHON) -m venv $(VENV)-tools
	$(VENV)-tools/bin/python -m pip install --quiet --disable-pip-version-check -r tools/requirements.txt
	@touch $@
