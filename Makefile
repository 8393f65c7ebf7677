# Every command of the project. `make` alone lists them. Each makes .venv first, when that is needed.

PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$each && break; \
	done)
PY := .venv/bin/python
STORY ?=
ONLY ?=
ARGS ?=

# Checks read the settings but open no connection; none of these values is used anywhere else.
SETTINGS := ZHIYIN_SECRET_KEY=only-for-checks-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ \
	ZHIYIN_MASTER_KEYS=k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= \
	DATABASE_URL=postgresql://zhiyin_app@127.0.0.1:9/none DATABASE_OWNER_URL=postgresql://zhiyin_owner@127.0.0.1:9/none \
	DATABASE_INTAKE_URL=postgresql://zhiyin_intake@127.0.0.1:9/none REDIS_URL=redis://127.0.0.1:9/0

# Where this is set, every worker of the tests and every process of the product would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up test lint types layers descriptions template messages check smoke bench chaos isolation hostile ledger orders simulate sabotage repeat demo manage lock \
	clean python venv venv-dev venv-peers

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf 'make %-8s %s\n' "$$name" "$$text"; done

up: python ## install what is needed and run everything: console, API, gateway, workers, simulator, PostgreSQL, Valkey (SIZE=M or L: a crowd)
	@exec $(PYTHON) -m launcher up

test: venv-dev ## run the tests in parallel, always in the same order (ARGS="tests/members -k merge" narrows them)
	@$(PY) -m pytest -n 5 --dist worksteal --randomly-seed=1 $(ARGS)

lint: venv-dev ## check style
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: venv-dev ## check types
	@$(SETTINGS) $(PY) -m mypy

layers: venv-dev ## check who imports whom
	@$(PY) -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())'

messages: venv-dev ## collect, merge and compile the message catalogues (ARGS="--check" only looks)
	@$(PY) -m scripts.messages $(ARGS)

check: types lint layers descriptions ## all checks: style, types, layers, catalogues, migrations, production settings, API description

descriptions: venv-dev
	@$(PY) -m scripts.messages --check
	@$(SETTINGS) ZHIYIN_ENV=test $(PY) manage.py makemigrations --check --dry-run
	@$(SETTINGS) ZHIYIN_ENV=production $(PY) manage.py check --deploy --fail-level WARNING
	@$(SETTINGS) ZHIYIN_ENV=production $(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null

# Every later run of the tests restores what this one has migrated, and loads what this one has compiled.
template: venv-dev
	@$(PY) -m pytest -q tests/launcher/test_template_dump.py

smoke: venv ## play a story against a whole product on free ports, and assert it (STORY=name plays one)
	@$(PY) -m launcher around -- $(PY) -m tests.smoke $(STORY)

bench: venv-dev venv-peers ## measure our paths beside their peers and the physical limit (ONLY="callback send" measures some)
	@$(PY) -m benchmarks $(ONLY) $(ARGS)

chaos: venv-dev ## kill, cut and stop real processes under load, and compare with the truth (ONLY="R1 R16", ARGS="--recipients 100000")
	@$(PY) -m tests.chaos $(ONLY) $(ARGS)

isolation: venv-dev ## every surface as another brand; then with the Python guard open, then with row security off
	@$(PY) -m tests.isolation $(ARGS)

hostile: venv-dev ## the bad-input corpus, forgeries, replays, fuzzing, planted secrets, and the whole API by its schema
	@$(PY) -m tests.hostile $(ARGS)

orders: venv-dev ## one person in 2,000 orders of what can happen first is always one person, and an erased one stays erased (ARGS=40320)
	@ZHIYIN_ORDERS=$(or $(ARGS),2000) $(PY) -m pytest -q -n 2 tests/members/test_orders.py

ledger: venv-dev ## points: 5,000 sequences of 50 steps against paper, 64 callers at once against a serial order, days against calendars
	@ZHIYIN_SEQUENCES=$(or $(ARGS),5000) ZHIYIN_STEPS=50 ZHIYIN_CALLERS=64 ZHIYIN_ACTS=200 ZHIYIN_CASES=10000 ZHIYIN_POSTS=200 \
		ZHIYIN_BURNS=1000 $(PY) -m pytest -q -s -n 2 -o faulthandler_timeout=0 tests/loyalty/test_machine.py \
		tests/loyalty/test_history.py tests/loyalty/test_races.py tests/loyalty/test_expiry.py tests/loyalty/test_tiers.py tests/api/test_keys.py

simulate: venv-dev ## delivery, tokens and inbox under virtual time from 10,000 seeds; failpoints; fail at the Nth call
	@$(PY) -m tests.simulation $(ARGS)

sabotage: venv-dev ## apply each deliberate bug to a copy and show which test catches it
	@$(PY) -m tests.sabotage $(ARGS)

repeat: venv-dev ## run the tests again and again in random order and count flakes (ARGS=20)
	@$(PY) -m scripts.repeat $(ARGS)

demo: venv ## load what is missing of the demo brands into a running `make up`, and print how to sign in
	@$(PY) -m launcher manage demo --load --size $(or $(SIZE),S)
	@$(PY) -m launcher manage demo --banner

manage: venv ## run a management command in a running `make up` (ARGS="extensions")
	@$(PY) -m launcher manage $(ARGS)

lock: python ## write requirements*.txt anew from requirements/*.in
	@$(PYTHON) -m launcher install --dev
	@$(PY) -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@UV_PYTHON_DOWNLOADS=never $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate requirements/runtime.in --output-file requirements.txt
	@UV_PYTHON_DOWNLOADS=never $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --constraint requirements.txt requirements/dev.in --output-file requirements-dev.txt
	@UV_PYTHON_DOWNLOADS=never $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --constraint requirements.txt requirements/peers.in --output-file requirements-peers.txt

clean: ## remove .venv, caches and everything `make up` has stored (asks first)
	@printf 'This deletes .venv, .venv-peers and var/ with the database of `make up`. Continue? [y/N] '; read -r answer; [ "$$answer" = y ]
	@rm -rf .venv .venv-peers var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A clear word when there is no suitable Python at all.
python:
	@[ -n "$(PYTHON)" ] || { \
		echo 'error: no Python 3.11, 3.12 or 3.13 was found.' >&2; \
		echo '  do: as root: apt install python3 python3-venv; or name one: make PYTHON=/path/to/python3.12 up' >&2; exit 2; }

venv: python
	@$(PYTHON) -m launcher install

venv-dev: python
	@$(PYTHON) -m launcher install --dev

venv-peers: python
	@$(PYTHON) -m launcher install --peers
