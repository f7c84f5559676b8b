# Any target first sets up what it needs. Everything Python goes into .venv.
#   make convert    the shipped LeNet-5 -> build/out/lenet5-int8/
#   make test       the test suite, simulations included (make test-long adds the long tests)
PYTHON ?= python3
TORCH_INDEX ?=
export TORCH_INDEX

VENV := .venv
RUN := $(VENV)/bin/python
# Each test process gets one core; without this every process starts a pool of threads.
export OMP_NUM_THREADS ?= 1
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: convert test test-long lint bench docs setup clean distclean

convert: $(VENV)/.convert-ready
	$(RUN) -m accel.convert

test: setup
	$(RUN) -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-long: setup
	$(RUN) -m pytest -n $(JOBS) --dist worksteal -m "long or not long" $(PYTEST_ARGS)

lint: $(VENV)/.python-ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: setup $(VENV)/.bench-ready
	$(RUN) -m benchmarks $(BENCH)

docs: $(VENV)/.python-ready
	$(RUN) -m scripts.pages
	$(RUN) -m scripts.pictures
	$(RUN) -m benchmarks.pages

setup: $(VENV)/.python-ready $(VENV)/.tools-ready

$(VENV)/.convert-ready: requirements.lock scripts/setup.sh
	bash scripts/setup.sh convert $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.python-ready: requirements.lock setup.cfg pyproject.toml scripts/setup.sh | $(VENV)/.convert-ready
	bash scripts/setup.sh python $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.tools-ready: scripts/setup.sh | $(VENV)/.python-ready
	bash scripts/setup.sh tools
	@touch $@

$(VENV)/.bench-ready: scripts/setup.sh | $(VENV)/.python-ready
	bash scripts/setup.sh bench
	@touch $@

clean:
	rm -rf build/out .cache .pytest_cache .ruff_cache .hypothesis
	find accel quant sim tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) bitloom.egg-info
