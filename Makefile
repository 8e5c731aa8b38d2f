# Every target sets up what it needs in .venv by itself: python3 (3.10 or newer), git and make are enough.
# `make test ARGS="-k index"` passes ARGS on to pytest; `make PYTHON=python3.12 test` takes another Python.

PYTHON ?= python3
PY := .venv/bin/python
ARGS ?=

.PHONY: help demo test quick lint format docs tour bench findings clean

help:  ## Show the targets.
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 14

demo: .venv/.demo  ## Train and record in a scratch repository (.demo/), with every command and its output.
	@$(PY) examples/demo.py

test: .venv/.dev  ## Run all tests.
	$(PY) -m pytest -n auto $(ARGS)

quick: .venv/.dev  ## Run the tests that take milliseconds.
	$(PY) -m pytest -n auto -m "not slow" $(ARGS)

lint: .venv/.dev  ## Check style and types.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: .venv/.dev  ## Put the code into the house style.
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: .venv/.dev  ## Write docs/commands.md, docs/api.md and the map of modules from the code itself.
	$(PY) docs/make_commands.py
	$(PY) docs/make_api.py
	$(PY) docs/make_map.py

tour: .venv/.dev  ## Run the README's tour again, and write what it prints into it.
	$(PY) docs/make_tour.py

bench: .venv/.dev  ## Measure, and write docs/performance.md (about 15 minutes).
	$(PY) benchmarks/scale.py $(ARGS)

findings:  ## Try what other tools were found to do, each in its pinned release, and print a table.
	@bash findings/run.sh

clean:  ## Remove what the targets made.
	rm -rf .venv .demo .mypy_cache .pytest_cache .ruff_cache build dist

# A stamp for each extra, older than pyproject.toml when it has to be installed again.
.venv/.%: pyproject.toml | .venv/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "gitexp needs Python 3.10 or newer; try: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "python3 has no venv here; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
