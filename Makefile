# What a developer does and what CI does are the same few words. `make` alone lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3 || echo python3)
VENV := .venv
# Always by the interpreter: the scripts in .venv/bin name it by an absolute path, which ends when the folder is moved.
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --disable-pip-version-check --no-input --quiet --require-hashes
PORT ?= 8000
STATE = $(or $(CSPM_HOME),var)

.PHONY: help setup setup-dev run test test-fast fmt check lock demo-reset clean python-is-right

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/installed-run ## build .venv: what running needs

run: setup ## start everything: make run [REPORT=path] [PORT=8000]
	@exec $(RUN) manage.py run --port $(PORT) $(if $(REPORT),--report "$(REPORT)")

test: setup-dev ## the whole test suite
	$(RUN) -m pytest -n 2 --dist worksteal tests

test-fast: setup-dev ## the tests that take no seconds each
	$(RUN) -m pytest -n 2 --dist worksteal -m "not slow and not browser" tests

fmt: setup-dev ## put the code in shape
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

check: setup-dev ## all that can be said without running the tests
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(RUN) manage.py check
	$(RUN) manage.py makemigrations --check --dry-run
	$(RUN) manage.py check_translations

lock: python-is-right ## choose versions anew: requirements*.in -> requirements*.lock
	rm -rf $(VENV)-lock
	"$(PYTHON)" -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --disable-pip-version-check --quiet uv
	for name in requirements requirements-dev; do \
		$(VENV)-lock/bin/python -m uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --system-certs \
			--output-file $$name.lock $$name.in || exit 1; \
	done
	rm -rf $(VENV)-lock

demo-reset: setup ## forget everything in CSPM_HOME (it asks), so that the next `make run` is a first one
	@[ ! -e "$(STATE)/run/address" ] || { echo "CSPM Triage is running on $(STATE); stop it first."; exit 1; }
	@printf 'Forget everything in %s? [y/N] ' "$(STATE)"; read answer; [ "$$answer" = y ]
	@rm -rf -- "$$(readlink -f "$(STATE)/database")" "$(STATE)"

clean: ## remove what was built; CSPM_HOME stays
	rm -rf $(VENV) $(VENV)-lock static-root .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

setup-dev: $(VENV)/installed-dev

# Each lock has its marker: a second time is quick, a changed lock is installed.
$(VENV)/installed-run: requirements.lock | python-is-right
	@$(RUN) -c '' 2>/dev/null || { echo "Making $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@echo "Installing requirements.lock"
	@$(INSTALL) -r requirements.lock
	@# Not `pip install -e .`: that needs setuptools, here or from the network. A line that adds this folder to Python's path, relative
	@# so that the folder can be moved, and a launcher.
	@echo '../../../..' > "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cspm-triage.pth"
	@printf '%s\n' '#!/bin/sh' 'exec "$$(dirname "$$(readlink -f "$$0")")/python" -P -m cspm.cli "$$@"' > $(VENV)/bin/cspm
	@chmod +x $(VENV)/bin/cspm
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed-run
	@echo "Installing requirements-dev.lock"
	@$(INSTALL) -r requirements-dev.lock
	@touch $@

python-is-right:
	@command -v "$(PYTHON)" >/dev/null || { echo "Python is missing: install Python 3.11 or newer (Debian, Ubuntu: apt install python3 python3-venv)," \
		"or name yours: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed," \
		"$(PYTHON) is $$("$(PYTHON)" --version). Name a newer one: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) can't make virtual environments." \
		"Debian, Ubuntu: apt install python3-venv"; exit 1; }
