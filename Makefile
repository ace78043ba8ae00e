# The two commands a newcomer needs are `make run` and `make test`; both set up what they need first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test setup setup-test docs lint demo wheel clean

run: setup
	$(BIN)/pyojeong run --sample

test: setup-test lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --durations 20 --durations-min 5

setup:
	@$(PYTHON) scripts/setup.py run

setup-test:
	@$(PYTHON) scripts/setup.py test

lint: setup-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	npx --no-install tsc -p web --noEmit

docs:  # the site in site/, checked for broken links
	@$(PYTHON) scripts/setup.py docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

demo: setup
	$(BIN)/pyojeong demo

wheel: setup  # carries face-api's two graphs, so that a pip user needs no Node
	$(BIN)/python -m pyojeong.faceapi.nets
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:  # what the set-up made; data, models and reports stay
	rm -rf .venv node_modules build dist site
