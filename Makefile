# The two commands a newcomer needs are `make run` and `make test`; both set up what they need first.
#
# make check     lint, types and the fast unit tests, no browser: under a minute, for the inner loop
# make test      lint, types and everything but the tests marked `slow`: the browser and the real face-api.js included
# make test-all  all tests, the slow ones too: before an issue is called resolved
PYTHON ?= python3
BIN := .venv/bin

# Browser tests often wait, so a third worker keeps two cores busy. The tests of a file share its fixtures in one worker.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile

.PHONY: run check test test-all setup setup-test docs lint demo wheel clean

run: setup
	$(BIN)/pyojeong run --sample

# `heavy` marks what takes seconds: torch, Node.js, pip, drawn faces and figures (see tests/conftest.py).
check: lint
	$(PYTEST) -m "not slow and not browser and not heavy" -q

test: lint
	$(PYTEST) -m "not slow" --durations 20 --durations-min 1

test-all: lint
	@$(PYTHON) scripts/setup.py tools
	$(PYTEST) --durations 20 --durations-min 5

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

wheel: setup  # carries the graphs of our detector and of face-api, so that a pip user needs no Node
	$(BIN)/python -m pyojeong.detection.graph
	$(BIN)/python -m pyojeong.faceapi.nets
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:  # what the set-up made; data, models and reports stay
	rm -rf .venv node_modules build dist site
