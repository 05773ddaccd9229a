# Everything from a fresh clone, with Python 3.11 or newer and a package registry: `make run` starts the system,
# `make test` checks it. Each installs what it needs, once, into two virtual environments in this folder.
#
# Settings are variables: make run PORT=9091, make run PHOTOS=path/to/photos, make test TEST_JOBS=1

PYTHON ?= python3
PHOTOS ?=
PROJECT ?=
DATASET ?=
JSON ?=
LABEL_STUDIO_PORT ?= 8080
TEST_JOBS ?= 2
# A process of tests that crashes is not replaced: xdist 3.8 would wait for what was left of its file, for ever.
TEST_OPTIONS = -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

PIP_INSTALL = -m pip install --disable-pip-version-check -q
APP = .venv/bin/python
APP_READY = .venv/.installed
TOOLS_READY = .venv/.tools-installed
BENCH_READY = .venv/.bench-installed
STUDIO_READY = .venv-label-studio/.installed
BROWSERS = chromium chromium-browser google-chrome
RUN_OPTIONS = --label-studio-port $(LABEL_STUDIO_PORT) \
  $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(PROJECT),--project $(PROJECT))

# Both OpenCV wheels own cv2/. The headless one comes last, since the other needs a desktop's libraries to be imported.
HEADLESS = $(APP) $(PIP_INSTALL) --force-reinstall --no-deps "$$(grep '^opencv-python-headless==' requirements.txt)"

# $(call timed,what,command): run the command, say how long it took, keep its exit code.
timed = @start=$$(date +%s); $(2); code=$$?; echo "-- $(1): $$(($$(date +%s) - start)) s"; exit $$code

.DEFAULT_GOAL := help
.PHONY: help run test proof bench screenshot tools lint format types label-studio browser clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

run: $(APP_READY) $(if $(LABEL_STUDIO_URL)$(LABEL_STUDIO_HOST),,$(STUDIO_READY)) ## Start Label Studio with captions in it (PHOTOS=folder: your own)
	@exec $(APP) -m backend run $(RUN_OPTIONS)

test: tools label-studio browser lint types ## Run every check and test, each timed
	$(call timed,tests,OMP_NUM_THREADS=1 $(APP) -m pytest $(TEST_OPTIONS))

proof: tools label-studio ## Measure the learning loop, but for the hour-long curves (DATASET=flickr8k:folder)
	$(call timed,proof,$(APP) -m proof all $(if $(DATASET),--dataset "$(DATASET)"))

bench: $(BENCH_READY) ## Measure how fast captions come here, beside a naive captioner and BLIP (JSON=file: keep it)
	$(call timed,bench,$(APP) -m model bench $(if $(JSON),--json "$(JSON)"))

screenshot: tools label-studio browser ## Make docs/caption-waiting.png anew, in the real thing
	@$(APP) -m pytest -q tests/e2e/test_annotating.py -k open_field --screenshot docs/caption-waiting.png

lint: $(TOOLS_READY) ## Check style
	$(call timed,style,$(APP) -m ruff check . && $(APP) -m ruff format --check .)

types: $(TOOLS_READY) ## Check types
	$(call timed,types,$(APP) -m mypy)

format: $(TOOLS_READY) ## Put the code into its style
	@$(APP) -m ruff check --fix . && $(APP) -m ruff format .

tools: $(TOOLS_READY) ## Install the application with the tools for tests

label-studio: $(STUDIO_READY) ## Install Label Studio into an environment of its own

browser: ## Make sure that there is a Chromium for the browser tests
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium for the browser tests."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else \
	  echo "There is no Chromium for the browser tests. Install one: sudo apt-get install chromium, or: $(APP) -m playwright install chromium"; \
	fi

clean: ## Remove both environments and every cache; data/ stays
	rm -rf .venv .venv-label-studio .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './data/*' -prune -exec rm -rf {} +

# An environment is brought up to date when a file that lists its packages has changed, and never otherwise.
$(APP_READY): requirements.txt
	@$(call environment,.venv,the application,requirements.txt)
	@$(HEADLESS)
	@touch $@

$(TOOLS_READY): requirements.txt requirements-bench.txt requirements-dev.txt
	@$(call environment,.venv,the application and the tools for tests,requirements-dev.txt)
	@$(HEADLESS)
	@touch $(APP_READY) $@

$(BENCH_READY): requirements.txt requirements-bench.txt
	@$(call environment,.venv,the application and what it is compared with,requirements-bench.txt)
	@$(HEADLESS)
	@touch $(APP_READY) $@

$(STUDIO_READY): requirements-label-studio.txt
	@$(call environment,.venv-label-studio,Label Studio,requirements-label-studio.txt)
	@touch $@

# $(call environment,folder,what,requirements)
define environment
command -v $(PYTHON) >/dev/null || { \
  echo "There is no $(PYTHON). Install Python 3.11 or newer, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 2; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "$(PYTHON) is $$($(PYTHON) --version), but 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }; \
test -x $(1)/bin/python || $(PYTHON) -m venv $(1) || { \
  rm -rf $(1); echo "$(PYTHON) cannot make virtual environments (Debian, Ubuntu: sudo apt-get install python3-venv)"; exit 2; }; \
echo "Installing $(2): minutes the first time."; start=$$(date +%s); \
$(1)/bin/python $(PIP_INSTALL) -r $(3) || { \
  echo "Installing from $(3) failed, see above. Is a package registry reachable? Then try again."; exit 2; }; \
echo "-- installing $(2): $$(($$(date +%s) - start)) s"
endef
