# Everything runs from a virtual environment that the first target builds and later ones reuse.
PYTHON   ?= python3
VENV     ?= .venv
EXTRAS   ?= dev
SCENARIO ?= tour
SCRIPT   ?= docs/first-boot.script
BOOT     ?= --script $(SCRIPT)
TESTS    ?= tests
BENCH    ?=

PY    := $(VENV)/bin/python
RUN   := $(VENV)/.installed
CHECK := $(VENV)/.installed-$(EXTRAS)

.DEFAULT_GOAL := help
.PHONY: help run test test-long boot nested bench lint clean distclean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: $(VENV)/.installed-plots ## set up, then run the main scenario; its picture and trace go to out/
	@$(PY) -m soc scenario run $(SCENARIO) --out out/$(SCENARIO)

test: $(CHECK) ## set up, then run the tests
	@$(PY) -m pytest -q -m "not slow" $(TESTS)

test-long: $(CHECK) ## the long evidence: full boots, long fuzzing
	@$(PY) -m pytest -q $(TESTS)

boot: $(RUN) ## fetch Debian's kernel, boot it to a shell, run a few commands, power off
	@$(PY) -m soc fetch debian > /dev/null
	@$(PY) -m soc boot $(BOOT)

nested: $(VENV)/.installed-guests ## Debian's own KVM, on the simulated cores, runs a second Debian
	@$(PY) -m soc fetch debian > /dev/null
	@$(PY) -m soc scenario run debian_kvm --out out/debian_kvm

bench: $(VENV)/.installed-guests ## measure speed on a program and on the boot, next to QEMU
	@$(PY) -m soc bench $(BENCH)

lint: $(CHECK) ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

clean: ## remove what tests and tools leave behind
	rm -rf build out .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## also remove the virtual environment
	rm -rf $(VENV)

# Some systems ship venv without ensurepip; pip of the host then installs into the environment. An editable install
# leaves the byte code to the first run, which a host may forbid to write it (PYTHONDONTWRITEBYTECODE).
define INSTALL
@if [ -x $(VENV)/bin/pip ]; then $(PY) -m pip install -q --disable-pip-version-check $(1); \
 else $(PYTHON) -m pip --python $(PY) install -q --disable-pip-version-check $(1); fi
@$(PY) -m compileall -q soc cpu devices scenarios
endef

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	 { echo "soc needs Python 3.11 or newer, $(PYTHON) is older: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2> /dev/null || $(PYTHON) -m venv --clear --without-pip $(VENV)

$(RUN): pyproject.toml | $(PY)
	@echo "setting up $(VENV) ..." >&2
	$(call INSTALL,-e .)
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(PY)
	@echo "setting up $(VENV) with $* ..." >&2
	$(call INSTALL,-e '.[$*]')
	@touch $(RUN) $@
