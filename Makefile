# make run starts everything, runs the main job and shows what came out (make run DATASET=orders AS_OF=2026-09-30 for
# one dataset as of a day); make start starts the stack alone; make up starts the stack for a server, in
# Docker (make up DEMO=1 ML_WORKERS=2 runs the main job there, too). A port is changed like this:
# make run ML_AIRFLOW_PORT=8081 (also ML_POSTGRES_PORT, ML_S3_PORT, ML_MLFLOW_PORT). make restore and make restore-server
# bring a backup back: docs/runbooks/restore.md.

# What was chosen for a server for good: lines of ML_NAME=value. The local stack has nothing to do with it.
ifneq ($(filter up down restore-server smoke,$(MAKECMDGOALS)),)
-include server.env
export $(filter ML_%,$(.VARIABLES))
endif

PYTHON := .venv/bin/python
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .state/uv/bin/uv)
# Half the work of compiling is in what never or hardly gets imported.
SELDOM_IMPORTED := '/(tests|plotly|databricks)/'
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

# Needs no .venv: a server has Docker, Python and make.
ON_SERVER := UV_CONSTRAINT=constraints.txt $(UV) run --quiet --no-project --python 3.11 --with rich --with httpx python -m

.PHONY: run start stop status logs restore up down restore-server smoke audit new check-data install check test chaos lint bench demo mutants lock

run start stop status logs restore: install
	@$(PYTHON) -m include.stack $@

up down: | $(UV)
	@$(ON_SERVER) include.stack.compose $@

# Does a stack that was rolled out do its work? `make smoke URL=https://airflow.example.com` asks another machine's.
smoke: | $(UV)
	@$(ON_SERVER) include.stack.smoke $(URL)

# Asks a database on the internet for known vulnerabilities of the pinned packages.
audit: | $(UV)
	@$(UV) tool run --from pip-audit==2.10.1 pip-audit --strict --requirement constraints.txt --no-deps --disable-pip \
		|| { echo "Not passed: a package above is vulnerable, or the database could not be asked about it." >&2; exit 1; }

restore-server: | $(UV)
	@$(ON_SERVER) include.stack.compose restore

# A dataset and a model of one's own, from a CSV file: docs/your-own-data.md. KEY, DATE and LABEL name its columns.
# A name may have a dollar sign or quotes: neither make nor the shell reads what was given.
OF_NEW := DATASET MODEL CSV KEY DATE LABEL
ifneq ($(filter new,$(MAKECMDGOALS)),)
$(foreach name,$(OF_NEW),$(eval override $(name) := $$(value $(name))))
export $(OF_NEW)
endif
new: install
	@$(PYTHON) -m include.scaffold --dataset="$$DATASET" --model="$$MODEL" --csv="$$CSV" --key="$$KEY" \
		--date="$$DATE" --label="$$LABEL"

# A sample of a dataset through all stages, without Airflow.
check-data: install
	@$(PYTHON) -m include.checks "$(DATASET)"

install: .venv/.installed

# The quick loop while one writes.
check: lint
	$(PYTHON) -m pytest tests/unit --numprocesses auto --dist loadfile --quiet

# In the order of the files, the few long ones are not left for one process at the end. The end-to-end tests have stacks
# of their own, two at a time, which want the whole machine.
test: install
	$(PYTHON) -m pytest tests --ignore tests/e2e --ignore tests/chaos --numprocesses auto --dist loadfile \
		--no-loadscope-reorder
	$(PYTHON) -m pytest tests/e2e --numprocesses 2

# Kills and breaks the parts of a server's stack while they work (docs/reliability.md): about an hour, with Docker.
chaos: install
	$(PYTHON) -m pytest tests/chaos --capture no

lint: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/codespell
	.venv/bin/mypy

bench: install
	$(PYTHON) -m benchmarks

demo: install
	$(PYTHON) -m include.time_lapse

mutants: install
	nice $(PYTHON) -m tests.mutation

lock: | $(UV)
	$(UV) pip compile --quiet --upgrade --python-version 3.11 requirements-dev.txt -o constraints.txt

.venv/.installed: requirements.txt requirements-dev.txt constraints.txt | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
		|| $(UV) venv --quiet --clear --python 3.11 .venv \
		|| { echo "No Python 3.11 here, and uv could not fetch one: install Python 3.11, then run make again." >&2; exit 1; }
	@echo "Installing the pinned requirements into .venv"
	@$(UV) pip install --quiet --python $(PYTHON) -r requirements-dev.txt -c constraints.txt \
		|| { echo "The requirements could not be installed: see above; the network or a full disk are usual reasons." >&2; exit 1; }
	@echo "Compiling them"
	@$(PYTHON) -m compileall -qq -j 0 -x $(SELDOM_IMPORTED) .venv/lib
	@touch $@

.state/uv/bin/uv:
	@python3 -m venv --clear .state/uv && .state/uv/bin/python -m pip install --quiet --disable-pip-version-check uv \
		|| { rm -rf .state/uv; echo "uv, which installs the rest, could not be installed with $$(python3 --version 2>&1)." \
		"Install uv (https://docs.astral.sh/uv), or Python 3.8 or newer with its venv module (Debian: python3-venv)," \
		"then run make again." >&2; exit 1; }
