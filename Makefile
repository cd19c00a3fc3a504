# Everything a person does here, in the order of a day. `make` alone prints it.
.DEFAULT_GOAL := help
.PHONY: help setup demo up down status reset fmt lint type test server-tests check integration e2e proto proto-image proto-release \
	proto-breaking drift chart docs bench bench-sustained bench-overload bench-scale \
	bench-report bench-cost sim-scale bench-rsmp bench-signals bench-signals-scale report-signals soak profile faults faults-long kernel fuzz \
	security sbom audit-dependencies kind kube-test

BIN := .venv/bin
STACK := $(BIN)/python -m maasloop.stack
# Makers of images set it; here each process would compile our sources again.
unexport PYTHONDONTWRITEBYTECODE
SERVER_TESTS := scripts/tests -m "(integration or e2e) and not containers"

# Settings of the demo: street seconds, street seconds a wall second, seed, road network.
DURATION ?= 600
SPEED ?= 10
SEED ?= 7
SCENARIO ?= cologne8

# Settings of the bench of signal controllers: networks, seeds, controllers, area|loops|area-blind, share of dead detectors.
SCENARIOS ?= cologne1 cologne3 cologne8 ingolstadt1 ingolstadt7 grid4x4
SEEDS ?= 1 2 3
CONTROLLERS ?= fixed actuated maxpressure maasloop maasloop-bands
DETECTION ?= $(if $(PLATFORM),loops,area)
DETECTORS_DEAD ?= 0
STREET_SECONDS ?= 3600
KILL_AT ?=
RESTART_AT ?=
PLATFORM ?=
KEEP ?=

# A cluster: its kubeconfig, the line for sh that brings an image to it ({image} is its name), the registry of image names,
# the name for kind.
KUBECONFIG ?=
IMAGE_LOADER ?=
REGISTRY ?=
KIND ?= maasloop

# A fault of the lanes of security.
SABOTAGE ?=

help: ## print this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: system packages, uv, locked Python packages
	@scripts/setup

demo: setup ## a city for a minute: six services, real servers, the twin (DURATION SPEED SEED SCENARIO)
	@$(BIN)/maasloop demo --duration $(DURATION) --speed $(SPEED) --seed $(SEED) --scenario $(SCENARIO)

up: setup ## start the stack without the twin, for what you connect yourself
	@$(STACK) up

down: ## stop the stack
	@$(STACK) down

status: ## show the addresses and processes of the stack
	@$(STACK) status

reset: ## stop the stack and delete its state
	@scripts/reset

fmt: ## format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix-only --quiet .

lint: ## style, layers, protos
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/lint-imports --no-logo

type: ## types, strict
	@$(BIN)/mypy libs services scripts tests

test: setup ## everything that must pass to land
	@scripts/check && $(SERVER_TESTS)

server-tests: setup ## the part of it that needs servers
	@$(SERVER_TESTS)

check: setup ## lint, types, layers, protos, drift, unit tests: two minutes
	@scripts/check

integration: setup ## tests that need NATS or TimescaleDB
	@scripts/tests -m "integration and not containers"

e2e: setup ## stories through the whole stack
	@scripts/tests -m e2e

images: setup ## build the container images with podman, without a registry (ARGS="--only ingest --twice --json")
	@$(BIN)/python scripts/build_images.py $(ARGS)

containers: setup ## the shipped images, run: installs podman where it is missing, builds, stops and hangs them (ARGS="--where-possible")
	@$(BIN)/python scripts/containers.py $(ARGS)

kube-play: setup ## the chart's laptop profile in podman, without a cluster, and the loop tried once (needs make images)
	@$(BIN)/python scripts/kube_play.py up $(ARGS)

kube-play-down: ## remove all that kube-play made
	@$(BIN)/python scripts/kube_play.py down

compose-files: setup ## settings and secrets that deploy/compose.yaml mounts, below .maasloop/compose
	@$(BIN)/python scripts/kube_play.py compose-files

proto: ## generate stubs and error reasons from proto/
	@$(BIN)/python scripts/generate_protos.py

proto-image: setup ## contracts and all they import in one file, for other languages: dist/maasloop.binpb
	@mkdir -p dist && $(BIN)/python scripts/generate_protos.py --image dist/maasloop.binpb

proto-release: ## take today's contracts as the ones that may not break
	@$(BIN)/python scripts/generate_protos.py --release

proto-breaking: ## compare the contracts with the released ones
	@$(BIN)/pytest -q tests/contract -k breaking

drift: ## is everything generated equal to its source?
	@$(BIN)/pytest -q tests -k drift

kind: setup ## a cluster on this machine, by kind, with the images on its node (KIND names it)
	@kind create cluster --name $(KIND) && $(MAKE) images && $(BIN)/python scripts/kube_test.py --images-only --image-loader \
		'rm -f .maasloop/image.tar; podman save --output .maasloop/image.tar {image} && \
		kind load image-archive --name $(KIND) .maasloop/image.tar' && rm -f .maasloop/image.tar

kube-test: setup ## the chart on a cluster: install, test, upgrade under load, kill, scale, remove (KUBECONFIG IMAGE_LOADER REGISTRY)
	@$(BIN)/python scripts/kube_test.py $(ARGS)

chart: ## lint, render and round-trip the Helm chart
	@$(BIN)/pytest -q tests/chart

docs: ## generate docs/reference/, the schema of the chart's values and the dashboards
	@$(BIN)/python scripts/generate_reference.py && $(BIN)/python scripts/generate_chart_schema.py && \
		$(BIN)/python scripts/generate_dashboards.py

.PHONY: pictures bench-telemetry
pictures: setup ## draw what the dashboards show of a running loop, into docs/explanations/dashboards/
	@MAASLOOP_TEST_PICTURES=docs/explanations/dashboards $(BIN)/pytest -q tests/e2e/test_what_the_city_shows.py

bench-telemetry: setup ## what metrics and traces cost the data path: the same load with and without, in turns
	@$(BIN)/python -m tests.load.telemetry

bench-sustained: setup ## 25,000 readings/s and 1,000 MQTT singles/s for five minutes
	@$(BIN)/python -m tests.load.sustained sustained

bench-overload: setup ## ten times as much for a minute: memory, refusals, nothing lost
	@$(BIN)/python -m tests.load.sustained overload

bench-scale: setup ## does a row cost the same with 100 M rows and with 100,000 series?
	@$(BIN)/python -m tests.load.scale

soak: setup ## half the sustained load for half an hour: slopes of memory and descriptors
	@$(BIN)/python -m tests.load.sustained soak

profile: setup ## where the processor time of the data path goes, as a picture (needs perf)
	@$(BIN)/python -m tests.load.profile

bench-cost: setup ## what a reading, a lamp's command and a junction cost: the figures of `maasloop size`
	@$(BIN)/python -m tests.load.cost

sim-scale: setup ## a hundred cities of different sizes: partitions, hot districts, a year of failures; docs/reports/scale.md
	@$(BIN)/python -m tests.country

bench-report: setup ## write the figures of the last benches into docs/reports/data-path.md
	@$(BIN)/python -m tests.load.report

bench-signals: setup ## signal controllers over SUMO: delay, waiting, safety (SCENARIOS SEEDS CONTROLLERS DETECTION …)
	@$(BIN)/python -m tests.signals --scenarios "$(SCENARIOS)" --seeds "$(SEEDS)" --controllers "$(CONTROLLERS)" \
		--detection "$(DETECTION)" --detectors-dead $(DETECTORS_DEAD) --seconds $(STREET_SECONDS) \
		$(if $(KILL_AT),--kill-at $(KILL_AT)) $(if $(RESTART_AT),--restart-at $(RESTART_AT)) $(if $(KEEP),--keep) $(if $(PLATFORM),--platform) $(ARGS)

bench-signals-scale: setup ## how many junctions one core decides upon each second (DETECTION, ARGS="--junctions 1000")
	@$(BIN)/python -m tests.signals.scale --detection $(DETECTION) $(ARGS)

bench-rsmp: setup ## 500 RSMP sites in one supervisor process: command to read-back, watchdogs, memory (ARGS="--seconds 60")
	@$(BIN)/python -m tests.load.rsmp_sites $(ARGS)

report-signals: setup ## figures and pictures of the last bench of signal controllers, or of those in ARGS, into docs/reports/signals.md
	@$(BIN)/python -m tests.signals.report $(ARGS)

bench: setup ## measure the data path and the loop, into .maasloop/bench/
	@scripts/bench

faults: setup ## break everything once, by a seed, and judge (ten minutes; some lanes need root)
	@$(BIN)/python -m tests.faults short

faults-long: setup ## fifty kills of each process under five million readings (forty minutes)
	@$(BIN)/python -m tests.faults long

kernel: setup ## a million random requests at the safety kernel for signals, and every one of small junctions (ARGS)
	@$(BIN)/python -m tests.kernel $(ARGS)

fuzz: setup ## fuzz every decoder, ten minutes at most, into .maasloop/fuzz/
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

security: setup ## attack everything, judge by independent models, into docs/reports/security.md (SABOTAGE ARGS)
	@$(BIN)/python -m tests.security $(if $(SABOTAGE),--sabotage $(SABOTAGE)) $(ARGS)

sbom: setup ## bill of materials of the lock file (CycloneDX), into dist/
	@$(BIN)/python scripts/dependencies.py sbom

audit-dependencies: setup ## known vulnerabilities of what the lock file names; status 3 where no database is reached
	@$(BIN)/python scripts/dependencies.py audit
