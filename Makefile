# Two commands set everything up on a fresh machine: `make demo` and `make test`.
# Needed beforehand: Python 3.11+, Java 17+, Maven, and access to the package registries the machine is configured for.

PYTHON := $(or $(PYTHON),$(shell tools/python.sh))
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
FOREIGN := tests/broker/kafkajs

.PHONY: help venv unit lowest pythons system system-tests check format lock test properties simulate fuzz chaos chaos-long chaos-bugs bench bench-peers bench-scaling demo clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/' | expand -t 10

venv: $(STAMP) ## the virtual environment, exactly as locked

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "python 3.11 or newer is needed; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

# Without Java, a broker or anything slow; `make test` runs these too.
UNIT := tests/unit tests/cases -m "not slow"

unit: venv ## the first command of a contributor: tests that need Python alone, about a minute
	$(BIN)/pytest -q $(UNIT)

LOWEST := .venv-lowest

$(LOWEST)/.installed: pyproject.toml tools/lowest.py
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) tools/lowest.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check --no-compile 'hatchling>=1.26' 'editables>=0.5'
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check --no-compile --no-build-isolation \
	  --constraint $(LOWEST)/constraints.txt -e '.[dev]'
	@touch $@

lowest: $(LOWEST)/.installed ## the tests of `make unit` with the lowest dependencies that pyproject.toml allows
	$(LOWEST)/bin/pytest -q $(UNIT)

PYTHONS := 3.12 3.13

.venv-3.%/.installed: requirements.lock pyproject.toml
	@tools/interpreter.sh 3.$* >/dev/null
	$$(tools/interpreter.sh 3.$*) -m venv .venv-3.$*
	.venv-3.$*/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements.lock
	.venv-3.$*/bin/pip install --quiet --disable-pip-version-check --no-compile --no-build-isolation --no-deps -e .
	@touch $@

pythons: $(PYTHONS:%=.venv-%/.installed) ## the tests of `make unit` on the other Pythons that are supported: make pythons PYTHONS="3.12 3.13"
	@set -e; for version in $(PYTHONS); do echo "Python $$version"; .venv-$$version/bin/pytest -q $(UNIT); done

system: ## the system packages that demo and tests need (kcat, Java, Maven)
	@tools/system-packages.sh

check: venv ## lint, format, types, layer contracts, module length: what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_modules.py
	$(BIN)/python tools/check_news.py

system-tests: ## system, and what only the tests need: Node.js and kafkajs, exactly as locked
	@tools/system-packages.sh tests
	@test $(FOREIGN)/node_modules/.package-lock.json -nt $(FOREIGN)/package-lock.json \
	  || npm ci --prefix $(FOREIGN) --no-audit --no-fund --loglevel=error

format: venv ## rewrite the sources as `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: venv ## bring requirements.lock in line with pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --extra dev --strip-extras --no-header --no-annotate \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --allow-unsafe -o requirements.lock pyproject.toml

test: venv system-tests ## every test, against a real Apache Kafka
	$(BIN)/pytest

properties: venv ## the long mode of the property tests: 100,000 histories against the slow model, 10,000 examples a law
	CONTACTGATE_LONG=1 $(BIN)/pytest tests/property

simulate: venv ## simulated lives of the engine under faults: make simulate SEEDS=n (10000)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000)

fuzz: venv ## every decoder under atheris, guided by coverage: make fuzz SECONDS=n (60 each)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

chaos: venv system ## faults against a real cluster, every promise checked from the topics: make chaos SEED=n MINUTES=n
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),12)

chaos-long: venv system ## the same with new seeds for n hours: make chaos-long HOURS=n
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),12) --hours $(or $(HOURS),1)

chaos-bugs: venv system ## the tests' test: every seeded bug must be caught, with a table
	$(BIN)/python -m tests.chaos --bugs

.PHONY: docs docs-cli changelog
docs-cli: venv ## write docs/cli.md from the command line
	$(BIN)/python tools/cli_docs.py

# The site has an environment of its own: nothing of it is a dependency of the package.
DOCS := .venv-docs

$(DOCS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check --no-compile \
	  $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	@touch $@

docs: $(DOCS)/.installed ## the site of docs/, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

changelog: $(DOCS)/.installed ## put the fragments of news/ into CHANGELOG.md under the version of src/contactgate/__init__.py
	$(DOCS)/bin/towncrier build --yes --version $$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/contactgate/__init__.py)

demo: venv system ## a live decision stream on a real Apache Kafka, which checks its own promises
	$(BIN)/contactgate demo

# The benchmark and its peers live in environments of their own: nothing of them is a dependency of the package.
BENCH   := .venv-bench
STREAMS := bench/peers/kafka-streams

$(BENCH)/harness/.installed: requirements.lock pyproject.toml bench/requirements.txt
	$(PYTHON) -m venv $(BENCH)/harness
	$(BENCH)/harness/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements.lock
	$(BENCH)/harness/bin/pip install --quiet --disable-pip-version-check --no-compile -r bench/requirements.txt
	$(BENCH)/harness/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(BENCH)/peers/.installed: bench/peers/requirements.txt
	$(PYTHON) -m venv $(BENCH)/peers
	$(BENCH)/peers/bin/pip install --quiet --disable-pip-version-check --no-compile -r bench/peers/requirements.txt
	@touch $@

$(STREAMS)/target/bench-kafka-streams.jar: $(STREAMS)/pom.xml $(wildcard $(STREAMS)/src/main/java/bench/*.java)
	@command -v javac >/dev/null || { echo "a JDK is needed (debian: apt-get install openjdk-17-jdk-headless)" >&2; exit 1; }
	mvn -q -B -f $(STREAMS)/pom.xml package
	@touch $@

bench-peers: $(BENCH)/harness/.installed $(BENCH)/peers/.installed $(STREAMS)/target/bench-kafka-streams.jar

bench: system bench-peers ## the same job by contactgate and its peers on one broker: make bench [QUICK=1] [REPEAT=n] [MINUTES=n] [PARTITIONS=n] [ONLY=a,b] [DOCS=1]
	$(BENCH)/harness/bin/python -m bench.run $(if $(QUICK),--quick) $(if $(REPEAT),--repeat $(REPEAT)) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(PARTITIONS),--partitions $(PARTITIONS)) $(if $(ONLY),--only $(ONLY)) $(if $(DOCS),--docs)

bench-scaling: system $(BENCH)/harness/.installed ## cost of a decision by workers, people and partitions; restarts: make bench-scaling [QUICK=1] [HUGE=1]
	$(BENCH)/harness/bin/python -m bench.scaling $(if $(QUICK),--quick) $(if $(HUGE),--huge) $(if $(DOCS),--docs)

clean: ## remove the virtual environment and tool caches
	rm -rf $(VENV) $(DOCS) $(LOWEST) .venv-3.* site $(BENCH) $(STREAMS)/target .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
