# make app   open the page with the bundled weights
# make test  install what the tests need and run the checks, under five minutes on two cores
# make proof run what takes long: the full browser matrix, attacks on a served page, the fuzz, runs on Ray, load
VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin

.PHONY: app test proof lint browser

app: $(VENV)/.app
	$(BIN)/python app.py

test: $(VENV)/.dev browser lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

proof: $(VENV)/.dev browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m proof
	$(BIN)/python -m tests.attacks
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz
	$(BIN)/python -m benchmarks.load

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

$(VENV)/.app: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.dev: $(VENV)/.app pyproject.toml
	$(BIN)/python -m pip install --quiet -c requirements.txt --editable '.[dev]'
	touch $@

# The page is tested in a real Chromium: the one that CHROMIUM names, the system's, or one installed here.
browser: $(VENV)/.dev
	sh tests/install_chromium.sh $(BIN)
