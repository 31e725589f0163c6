# Two commands are all a newcomer needs: `make demo` and `make test`.

PYTHON ?= $(shell python3.11 -c pass 2>/dev/null && echo python3.11 || echo python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
TORCH := $(shell grep '^torch==' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help demo test lint clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: $(INSTALLED) ## Train, buy, predict and report on the embedded synthetic tissue (results/demo/index.html)
	$(BIN)/scr2st demo --output results/demo

test: lint ## Check style and types, then run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(INSTALLED) ## Check style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## Remove the virtual environment, caches and builds (results/ stays)
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f scr2st_env/rewards/_kernels.c scr2st_env/rewards/_kernels.*.so

# The mark is made last and removed first: an installation that was interrupted starts afresh.
# One call of pip, torch by name: so that the pinned torch is chosen before anything asks for one.
$(INSTALLED): pyproject.toml constraints.txt setup.py scr2st_env/rewards/_kernels.pyx
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or newer; say which with: make PYTHON=...")'
	$(PYTHON) -m venv $(if $(wildcard $(INSTALLED)),,--clear) .venv
	@rm -f $(INSTALLED)
	$(BIN)/python -m pip install -c constraints.txt $(TORCH) -e '.[test]'
	@touch $(INSTALLED)
