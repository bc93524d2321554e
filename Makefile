# Two commands for a new user: `make demo` and `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test docs lint types install constraints clean

demo: $(INSTALLED)
	$(BIN)/mousterian grid grids/quickstart.toml
	$(BIN)/mousterian fit
	$(BIN)/mousterian report

test: lint types
	$(BIN)/pytest -n 2 --dist loadfile

# The documentation site, in docs/build; a warning is an error.
docs: $(INSTALLED)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/build

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

install: $(INSTALLED)

# uv comes from PyPI into the venv; torch and torchvision come together, as one matched pair.
$(INSTALLED): pyproject.toml .ci/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint .ci/constraints.txt --editable ".[train,dev]"
	touch $@

# Pin what is installed now (names and versions only).
constraints: $(INSTALLED)
	$(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable > .ci/constraints.txt

clean:
	rm -rf .venv results
