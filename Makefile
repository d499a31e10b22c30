# `make demo` shows the package at work; `make test` tests it; `make test-all` runs the tests that `make test` leaves out.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Modules are compiled when they are first imported, which saves a minute for those that never are. That needs bytecode to
# be written: without, each process that the tests start compiles TensorFlow again, and takes 28 s to start instead of 10.
unexport PYTHONDONTWRITEBYTECODE
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal --durations 20

.PHONY: demo test test-all lint docs clean

demo: $(VENV)/installed
	$(BIN)/sentinode demo

# Needs neither PyTorch nor a browser; about 9 minutes on 2 cores.
test: $(VENV)/installed-test
	$(PYTEST) -m "not slow"

# The tests that `make test` leaves out: PyTorch, browser pages, the notebook, many killed processes, damaged files.
test-all: $(VENV)/installed-test-all
	$(PYTEST) -m slow

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site in site/; warnings are errors.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is needed, and $(PYTHON) is another version; try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing Sentinode into $(VENV)"
	$(PIP) -e .
	@touch $@

# `make test` installs the extra `test`, and so on.
$(VENV)/installed-%: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing Sentinode with its extra '$*' into $(VENV)"
	$(PIP) -e '.[$*]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist site
