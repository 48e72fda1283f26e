# Each target sets up what it needs: on a machine with Python 3.10 to 3.12 and make, `make demo` or `make test` is enough.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.10 python3,$(shell command -v $(name))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TYPES := build/types
DEMO ?= demo

# Jobs start many processes: compiled modules are kept, whatever the environment says, or each would compile them anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo test lint format types bench lock clean

setup: $(STAMP)

$(STAMP): requirements.lock setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "tracktokens needs Python 3.10, 3.11 or 3.12: say which with make PYTHON=python3.11"; exit 2; }
	@echo "installing into $(VENV) (6.6 GB, since PyPI's torch brings CUDA; half a minute on a fast line)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# The catalog is made once; a second `make demo` tokenizes it again, and encodes nothing.
$(DEMO)/.made: | setup
	@echo "inventing a catalog in $(DEMO)/catalog"
	@rm -rf $(DEMO)/catalog
	@$(BIN)/tracktokens demo $(DEMO)/catalog
	@touch $@

demo: setup $(DEMO)/.made
	@echo "tokenizing it into $(DEMO)/store"
	@$(BIN)/tracktokens run --tracks $(DEMO)/catalog/tracks.jsonl --playlists $(DEMO)/catalog/playlists.jsonl \
		--audio-root $(DEMO)/catalog/audio --store $(DEMO)/store --codebook-size 32
	@$(BIN)/tracktokens show --store $(DEMO)/store

test: setup
	@$(BIN)/python -m pytest

lint: setup types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@MYPYPATH=$(TYPES) $(BIN)/mypy -p tracktokens.schemas -p tracktokens.codebooks -p tracktokens.transforms -p tracktokens.pipelines

# The folders are the packages of `tracktokens`; mypy finds them under that name through a link.
types:
	@mkdir -p $(TYPES) && ln -sfn ../.. $(TYPES)/tracktokens

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# About a quarter of an hour. bench_playlists.py needs real playlists, bench_vectors.py 16 GB of disk: they are called by hand.
bench: setup
	@for stage in text audio codebooks tokenize matching; do echo "== $$stage"; $(BIN)/python benchmarks/bench_$$stage.py || exit 1; done

lock: setup
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --extra offline --extra dev setup.py -o requirements.lock

clean:
	rm -rf $(VENV) build demo .mypy_cache .pytest_cache .ruff_cache *.egg-info
