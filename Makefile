# The commands that people and scripts rely on. Only git, make and Python are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data/online-retail
export PYTHONUTF8 := 1

.PHONY: demo models up test test-demo test-cluster reliability lint fix lock benchmarks clean

demo: $(VENV)/.installed
	"$(BIN)/aquifer" demo --data "$(DATA)"

# Train, gate, promote and score every model on what the lake has.
models: $(VENV)/.models
	"$(BIN)/aquifer" model train

up: $(VENV)/.installed
	"$(BIN)/aquifer" up --simulate --fraud usual

# Four at once on two cores: workers also wait, for the disk, servers and ends of processes.
test: $(VENV)/.tested lint
	"$(BIN)/python" -m pytest -n 4 --dist loadfile --no-loadscope-reorder

# `make demo` in a clean clone of what is committed: installs all packages a second time.
test-demo: $(VENV)/.tested
	"$(BIN)/python" -m pytest tests/test_clean_clone.py

# On real servers, which it fetches, starts and stops; needs Java, openssl, PostgreSQL, Redis,
# faketime and strace. Three at once on two cores: most wait for servers that are away.
test-cluster: $(VENV)/.tested
	"$(BIN)/python" -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/cluster

# All tests that inject a fault, and the report of them.
reliability: $(VENV)/.tested
	"$(BIN)/python" -m pytest --only-faults --reliability docs/reliability.md \
	    tests/aquifer tests/assets tests/cluster

lint: $(VENV)/.tested
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy" platform/aquifer
	PYTHONPATH=platform:. "$(BIN)/lint-imports"
	"$(BIN)/aquifer" dbt-properties --check
	"$(BIN)/aquifer" event-schemas --check
	"$(BIN)/dbt" --quiet parse --project-dir dbt_project --profiles-dir dbt_project \
	    --target-path "$(CURDIR)/$(VENV)/dbt" --log-path "$(CURDIR)/$(VENV)/dbt"
	"$(BIN)/sqlfluff" lint dbt_project/models dbt_project/tests/*.sql

fix: $(VENV)/.tested
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .
	"$(BIN)/aquifer" dbt-properties
	"$(BIN)/aquifer" event-schemas
	"$(BIN)/sqlfluff" fix dbt_project/models

# After a change of pyproject.toml.
lock: $(VENV)/.created
	"$(BIN)/python" -m pip install --quiet uv
	"$(BIN)/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	"$(BIN)/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --all-extras --group dev pyproject.toml \
	    -o requirements-dev.lock
	"$(BIN)/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --all-extras \
	    --constraint requirements-dev.lock pyproject.toml -o deploy/requirements.lock
	"$(BIN)/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --extra ml \
	    --constraint requirements-dev.lock pyproject.toml -o requirements-ml.lock

benchmarks: $(VENV)/.tested
	"$(BIN)/python" benchmarks/main_job.py
	"$(BIN)/python" benchmarks/one_more_day.py
	"$(BIN)/python" benchmarks/scale.py
	"$(BIN)/python" benchmarks/query.py
	"$(BIN)/python" benchmarks/dagster_events.py
	"$(BIN)/python" benchmarks/click_to_finish.py
	"$(BIN)/python" benchmarks/idle.py
	"$(BIN)/python" benchmarks/event_log.py
	"$(BIN)/python" benchmarks/stream_latency.py
	"$(BIN)/python" benchmarks/catch_up.py
	"$(BIN)/python" benchmarks/kills.py

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	    || { echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	    || { echo "Python has no venv module; on Debian: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created requirements.lock pyproject.toml
	@echo "Installing the packages: about 650 MB to download, 1.6 GB installed."
	"$(BIN)/python" -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	"$(BIN)/python" -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/.models: $(VENV)/.installed requirements-ml.lock
	@echo "Installing the packages of models: about 140 MB to download, 550 MB installed."
	"$(BIN)/python" -m pip install --quiet --no-deps --require-hashes -r requirements-ml.lock
	touch $@

$(VENV)/.tested: $(VENV)/.installed requirements-dev.lock
	"$(BIN)/python" -m pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	touch $@

clean:
	rm -rf $(VENV) dbt_project/target
