# make demo   restore an old print with shipped models and show the difference
# make serve   open the page that restores pictures in the browser
# make test   run all tests but the next three: about 4 minutes on two cores
# make test-slow   run the slow ones: load on the server, several processes, more exports
# make test-older-cpu   run the numerically sensitive tests as a CPU with AVX2 alone
# make test-integrations   install the wheel into an empty environment and use it
# make test-all   all of these tests
# make check  lint, formatting, types, which package knows which
# make docs   build the documentation as a site, into site/
# make fuzz   damage pictures and weights files at random for 7 to 10 minutes: 15,000 of a kind
# make zoo DATA=FOLDER [MODEL=NAME] [MINUTES=60]   train a model of the zoo further (docs/zoo.md)
# make zoo-check DATA=FOLDER [MODEL=NAME] [FULL=1]   score the shipped models again (docs/zoo.md)
#
# PIP_ARGS goes to every pip call; PYTHON is the interpreter to start from (3.11 or newer).

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
DATA ?= data
MODEL ?=
MINUTES ?= 60

.PHONY: demo serve test test-slow test-older-cpu test-integrations test-all check docs fuzz zoo zoo-check clean

demo: $(VENV)/core.stamp
	$(BIN)/python demo/run.py

serve: $(VENV)/serve.stamp
	$(BIN)/iln serve

# One thread a process, one process a core: torch's threads would wait for each other.
test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow" $(PYTEST_ARGS)

test-slow: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m slow $(PYTEST_ARGS)

test-older-cpu: $(VENV)/dev.stamp
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto \
		tests/test_cpu.py tests/norm tests/layers tests/backbones tests/restoration tests/lab/dynamics \
		tests/lab/training/test_golden_losses.py tests/lab/training/test_loop.py \
		tests/lab/training/test_recipe_options.py tests/cli/test_quantize.py $(PYTEST_ARGS)

test-integrations: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/integrations $(PYTEST_ARGS)

test-all: test test-slow test-older-cpu test-integrations

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

fuzz: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --hypothesis-profile fuzz --timeout 1800 \
		tests/images/test_damaged_pictures.py tests/checkpoints/test_damaged_files.py $(PYTEST_ARGS)

zoo: $(VENV)/core.stamp
	$(BIN)/python zoo/train.py $(MODEL) --minutes $(MINUTES) --data $(DATA) -o runs/zoo

zoo-check: $(VENV)/core.stamp
	$(BIN)/python zoo/check.py $(MODEL) --data $(DATA) $(if $(FULL),--full)

# A torch that is already there is used: its download is by far the largest.
$(VENV)/bin/python:
	@if $(PYTHON) -c "import torch" 2>/dev/null; then \
		$(PYTHON) -m venv --system-site-packages $(VENV); \
	else \
		$(PYTHON) -m venv $(VENV); \
	fi

$(VENV)/core.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e ".[dev]"
	@touch $@ $(VENV)/core.stamp

$(VENV)/serve.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e ".[serve]"
	@touch $@ $(VENV)/core.stamp

$(VENV)/docs.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e ".[docs]"
	@touch $@ $(VENV)/core.stamp

clean:
	rm -rf $(VENV) build dist site demo/out
