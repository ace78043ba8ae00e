# The two commands a newcomer needs are `make run` and `make test`; both set up what they need first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test setup setup-test lint demo clean

run: setup
	$(BIN)/pyojeong run --sample

test: setup-test lint
	$(BIN)/pytest

setup:
	@$(PYTHON) scripts/setup.py run

setup-test:
	@$(PYTHON) scripts/setup.py test

lint: setup-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	npx --no-install tsc -p web --noEmit

demo: setup
	$(BIN)/pyojeong demo

clean:  # what the set-up made; data, models and reports stay
	rm -rf .venv node_modules build dist
