# On a machine with Python 3.11 or newer and make, nothing else: `make figure1`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: figure1 test lint bench notebooks clean

figure1: $(VENV)/installed ## train with ReLU and with tanh, draw AlexNet's Figure 1 (1 to 5 minutes on 2 cores)
	$(BIN)/npnet figure1 --quick --resume

test: $(VENV)/installed-dev ## all tests, in two processes: most of their time is compiling
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/installed-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed ## speed of AlexNet on this machine, layer by layer
	$(BIN)/npnet bench alexnet --batch 64

notebooks: $(VENV)/installed-notebooks ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

$(VENV)/installed-notebooks: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[notebooks]"
	touch $@

clean: ## the virtual environment and compiled kernels; runs and data are kept
	rm -rf $(VENV) build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
