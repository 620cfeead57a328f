# memwatch: build, try, test. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

# What the installed package is made of: newer than the stamp, and it is built anew.
SOURCES := pyproject.toml meson.build meson.options $(shell find csrc python -type f \
	-not -name '*.pyc')
C_SOURCES := $(shell find csrc tests/c tests/fuzz benchmarks -name '*.[ch]')

PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
# As many test files at a time; the tests of a file may share a kernel or a cluster.
WORKERS = 2
PARALLEL = -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

##@ To try it
.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} \
	    /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	    /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.memwatch $(VENV)/.demo ## Set up, build, run the slots demo in a Jupyter kernel
	@$(BIN)/python tools/run_demo.py notebooks/slots_vs_noslots.ipynb

##@ To develop it
.PHONY: test
test: test-c test-python ## Set up, build, run all tests

.PHONY: test-c
test-c: build/plain/build.ninja build/asan/build.ninja ## C tests, plain and under ASan + UBSan
	$(BIN)/meson test -C build/plain --print-errorlogs
	$(BIN)/meson test -C build/asan --print-errorlogs

.PHONY: test-python
test-python: $(VENV)/.memwatch $(VENV)/.test ## Python tests: real shells, real kernels
	$(PYTEST) $(PARALLEL)

.PHONY: browser
browser: $(VENV)/.memwatch $(VENV)/.browser build/.system-browser ## JupyterLab and the report in headless Chromium; build/screenshots
	MEMWATCH_NEEDS_BROWSER=1 $(PYTEST) tests/kernel/test_jupyterlab.py tests/unit/run/test_page.py

.PHONY: tsan
tsan: build/tsan/build.ninja ## C tests under ThreadSanitizer
	$(BIN)/meson test -C build/tsan --print-errorlogs

.PHONY: memcheck helgrind
memcheck: build/valgrind/build.ninja ## C tests in valgrind's memcheck
	$(BIN)/meson test -C build/valgrind --print-errorlogs --timeout-multiplier 10 \
	    --wrap '$(VALGRIND) --leak-check=full $(LEAKS)'
helgrind: build/valgrind/build.ninja ## C tests in valgrind's helgrind
	$(BIN)/meson test -C build/valgrind --print-errorlogs --timeout-multiplier 10 \
	    --wrap '$(VALGRIND) --tool=helgrind'

.PHONY: coverage
coverage: build/coverage/build.ninja $(VENV)/.test $(VENV)/.coverage ## Which lines of csrc all tests run: 95 % at least
	find build/coverage -name '*.gcda' -delete
	# Those who give up their rights in a test count too.
	find build/coverage -type d -exec chmod a+rwx {} +
	umask 0; $(BIN)/meson test -C build/coverage --print-errorlogs
	chmod -R a+rwX build/coverage
	$(BIN)/meson install -C build/coverage --quiet
	umask 0; PYTHONPATH=$(abspath build/coverage/site) $(PYTEST) -q $(PARALLEL)
	$(BIN)/gcovr --root . --filter csrc/ --sort uncovered-percent \
	    --html-details build/coverage/report.html --txt - --fail-under-line 95 \
	    build/coverage/csrc build/coverage/python

.PHONY: fuzz-replay
fuzz-replay: build/asan/build.ninja ## The kept fuzz inputs through the parsers, under ASan + UBSan
	$(BIN)/meson test -C build/asan --print-errorlogs 'fuzz_*'

.PHONY: fuzz fuzz-corpus
FUZZ_SECONDS = 60
fuzz: build/fuzz/build.ninja ## Fuzz the parsers for FUZZ_SECONDS=60 in all
	$(BIN)/meson compile -C build/fuzz
	tools/fuzz build/fuzz $(FUZZ_SECONDS)
fuzz-corpus: build/fuzz/build.ninja ## Keep what fuzzing found in tests/data/fuzz, minimised
	$(BIN)/meson compile -C build/fuzz
	tools/fuzz build/fuzz keep

.PHONY: lint
lint: $(VENV)/.memwatch $(VENV)/.test $(VENV)/.lint ## Style, types, tidy, and the rules of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	$(MAKE) --no-print-directory tidy
	$(PYTEST) -q tests/unit/test_architecture.py

.PHONY: tidy
tidy: build/tidy/build.ninja $(VENV)/.lint ## clang-tidy and cppcheck over all C
	@$(BIN)/ninja -C build/tidy --quiet build.ninja # after a change to meson.build
	@echo clang-tidy -p build/tidy, for each .c file
	@printf '%s\n' $(filter %.c,$(C_SOURCES)) | \
	    xargs -P 2 -n 1 $(BIN)/clang-tidy --quiet -p build/tidy
	$(BIN)/cppcheck $(CPPCHECK) csrc tests/c tests/fuzz

.PHONY: format
format: $(VENV)/.lint ## Let ruff and clang-format have their way
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)

.PHONY: notebooks
notebooks: $(VENV)/.memwatch $(VENV)/.demo ## Execute the demo notebooks and keep their outputs
	$(BIN)/python tools/run_demo.py --in-place notebooks/*.ipynb

##@ To release it, and to look closer (these take minutes)
# Cheap ones first. One that fails does not keep the others from being run.
DEEP = fuzz-replay tsan memcheck helgrind soak coverage matrix
.PHONY: deep
deep: ## Before a release: every deep check, and a line about each
	@summary=; status=0; \
	for check in $(DEEP); do \
	    printf '\n== make %s\n' $$check; \
	    begin=$$(date +%s); result=passed; \
	    $(MAKE) --no-print-directory $$check || { result=FAILED; status=1; }; \
	    line=$$(printf '%-12s %s in %d s' $$check $$result $$(($$(date +%s) - begin))); \
	    summary="$$summary$$line\n"; \
	done; \
	printf "\n$$summary"; exit $$status

.PHONY: wheel
wheel: dist/.wheel ## One abi3 wheel for every CPython from 3.10 on, in dist/

.PHONY: matrix
matrix: dist/.wheel ## Python tests with that wheel on every CPython that pyenv has
	tools/matrix

.PHONY: truth
truth: $(VENV)/.test dist/.wheel ## What memwatch and its peers say of cells of known cost
	$(BIN)/python -m benchmarks.accuracy.truth

.PHONY: bench-compare
bench-compare: $(VENV)/.memwatch $(VENV)/.test ## How often memwatch compare is wrong
	$(BIN)/python -m benchmarks.accuracy.comparisons

.PHONY: holders
holders: $(VENV)/.memwatch $(VENV)/.test ## Ways to hold 64 MiB: named and freed? Into docs/holders.md
	$(BIN)/pip install --quiet polars pyarrow
	$(BIN)/python -m benchmarks.heap.holders --write

.PHONY: bench-heap
bench-heap: $(VENV)/.test dist/.wheel ## variables() beside RSS for real data sets; how fast it walks
	$(BIN)/python -m benchmarks.heap.data_sets
	$(BIN)/python -m benchmarks.heap.walk_speed

.PHONY: bench-statements
bench-statements: $(VENV)/.test dist/.wheel ## Statements of known cost; memwatch and other line profilers
	$(BIN)/python -m benchmarks.accuracy.statements

.PHONY: slots-table
slots-table: $(VENV)/.memwatch $(VENV)/.demo ## What slots save on each Python here; into README.md
	$(BIN)/python tools/slots_table.py --write

.PHONY: bench-exec
bench-exec: $(VENV)/.memwatch ## memwatch exec and its peers: which peak, at what cost
	$(BIN)/python -m benchmarks.accuracy.commands
	$(BIN)/python -m benchmarks.cost.command_cost

.PHONY: bench
bench: $(VENV)/.memwatch $(VENV)/.test dist/.wheel callgrind ## What memwatch and its peers cost
	$(BIN)/python -m benchmarks.cost.cost
	$(BIN)/python -m benchmarks.cost.history
	$(BIN)/python -m benchmarks.cost.slow_place

.PHONY: callgrind
callgrind: $(VENV)/.memwatch $(VENV)/.test build/plain/build.ninja build/.system-valgrind ## The hot path in instructions
	$(BIN)/ninja -C build/plain benchmarks/cost/hot_path
	$(BIN)/python -m benchmarks.cost.instructions build/plain/benchmarks/cost/hot_path

.PHONY: bench-stream
bench-stream: $(VENV)/.memwatch $(VENV)/.test build/plain/build.ninja ## What the stream carries, and what it costs
	$(BIN)/ninja -C build/plain benchmarks/stream/stream_writer
	$(BIN)/python -m benchmarks.stream.stream build/plain/benchmarks/stream/stream_writer

.PHONY: third-party
third-party: $(VENV)/.memwatch $(VENV)/.test ## memwatch run beside jupyter execute, on notebooks of others
	$(BIN)/python -m benchmarks.cost.third_party

.PHONY: cluster
cluster: $(VENV)/.memwatch $(VENV)/.test ## 200 notebooks on two Dask workers, one killed every 10 s
	$(BIN)/python -m benchmarks.endurance.cluster

.PHONY: load
load: $(VENV)/.memwatch $(VENV)/.test build/plain/build.ninja ## 2,000 simulated kernels report to one collector
	$(BIN)/ninja -C build/plain benchmarks/stream/fleet
	$(BIN)/python -m benchmarks.stream.load build/plain/benchmarks/stream/fleet

.PHONY: hostile
hostile: $(VENV)/.memwatch $(VENV)/.test ## 1,000,000 hostile messages at a collector
	$(BIN)/python -m benchmarks.stream.hostile

.PHONY: soak
soak: $(VENV)/.memwatch $(VENV)/.test ## 100,000 cells in one shell
	$(BIN)/python -m benchmarks.endurance.soak

.PHONY: clean
clean: ## Remove what was built, and .venv
	rm -rf $(VENV) build dist

# ---- how: each stamp stands for a state of .venv ----

build/.system: tools/system-packages
	tools/system-packages $(PYTHON)
	@mkdir -p build && touch $@

build/.system-%: tools/system-packages build/.system
	tools/system-packages $(PYTHON) $*
	@touch $@

$(VENV)/.pip: build/.system
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.build $(VENV)/.demo $(VENV)/.test $(VENV)/.lint $(VENV)/.coverage $(VENV)/.browser: $(VENV)/.%: $(VENV)/.pip pyproject.toml
	$(PIP) install --group $*
	@touch $@

$(VENV)/.memwatch: $(VENV)/.build $(SOURCES)
	$(PIP) install --no-build-isolation --no-deps --force-reinstall \
	    -Cbuild-dir=build/package .
	@touch $@

dist/.wheel: $(VENV)/.build $(SOURCES) README.md LICENSE
	rm -rf dist
	$(PIP) wheel --no-build-isolation --no-deps -Cbuild-dir=build/wheel -w dist .
	# meson-python names the Python that built it; the limited API is that of 3.10.
	$(BIN)/python -m wheel tags --remove --python-tag cp310 dist/*.whl
	@touch $@

C_SETUP = $(BIN)/meson setup --wipe $(@D) -Dpython=false -Dtests=true
build/plain/build.ninja: $(VENV)/.build
	@mkdir -p $(@D)
	$(C_SETUP)
build/asan/build.ninja: $(VENV)/.build
	@mkdir -p $(@D)
	$(C_SETUP) -Db_sanitize=address,undefined
build/tsan/build.ninja: $(VENV)/.build
	@mkdir -p $(@D)
	$(C_SETUP) -Db_sanitize=thread
build/valgrind/build.ninja: $(VENV)/.build build/.system-valgrind
	@mkdir -p $(@D)
	$(C_SETUP) --buildtype=debug
# The package is installed beside the one in .venv; counters are shared by threads.
build/coverage/build.ninja: $(VENV)/.build
	@mkdir -p $(@D)
	$(BIN)/meson setup --wipe $(@D) -Dtests=true --buildtype=debug -Db_coverage=true \
	    -Dc_args=-fprofile-update=atomic -Dpython.platlibdir=$(abspath $(@D)/site)
# Not to be built: it tells clang-tidy how each file would be compiled.
build/tidy/build.ninja: $(VENV)/.build
	@mkdir -p $(@D)
	$(BIN)/meson setup --wipe $(@D) -Dtests=true

CPPCHECK = --quiet --error-exitcode=1 --std=c11 -D_GNU_SOURCE -I csrc \
	--library=posix,gnu --enable=warning,style,performance,portability \
	--inline-suppr --suppressions-list=tools/cppcheck.supp

# clang leaves libFuzzer's symbols to be found when it links: b_lundef would refuse.
build/fuzz/build.ninja: $(VENV)/.build build/.system-fuzz
	@mkdir -p $(@D)
	CC=clang $(BIN)/meson setup --wipe $(@D) -Dpython=false -Dprocps=disabled \
	    -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false

# Not optimised: no function that a suppression names is inlined away.
VALGRIND = valgrind --quiet --error-exitcode=1 --fair-sched=yes --num-callers=30 \
	--suppressions=$(abspath tests/c/valgrind.supp)
LEAKS = --show-leak-kinds=all --errors-for-leak-kinds=all
