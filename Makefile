# Developer verbs; each is one line, so what it does can be read here.
.DEFAULT_GOAL := help
.PHONY: help setup run test check down status unit toy protos bench-serving bench-monitoring bench-many bench-reliability

help:    ## print these lines
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/'

setup:   ## create .venv and install pinned dependencies
	@scripts/setup

run:     ## start a local cluster and run the closed loop on flights (FRESH=1 repeats)
	@scripts/run

test:    ## every test
	@scripts/test

unit: setup    ## tests without Ray, seconds
	@.venv/bin/python -m pytest tests/unit -q

.PHONY: test-schema
test-schema: setup   ## many made-up requests against the OpenAPI document, path by path (half an hour)
	@HELIOSTAT_SCHEMA_EXAMPLES=200 .venv/bin/python -m pytest tests/integration/test_openapi.py -v -s --durations=10

.PHONY: test-training
test-training: setup   ## searches on a cluster of their own, networks compiled and laid out over workers (minutes)
	@.venv/bin/python -m pytest tests/training -q

.PHONY: test-planted
test-planted: setup   ## a bad model, a slow one and poisoned labels, planted on a cluster of their own (minutes)
	@.venv/bin/python -m pytest tests/planted -q

check: setup   ## ruff (lint and format), mypy, import-linter
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

toy: setup     ## the closed loop on two minutes of toy data
	@scripts/run tests.toy

.PHONY: bench-grpc
bench-grpc: setup    ## what finding the application of a gRPC call by its model's name costs
	@.venv/bin/python -m benchmarks.grpc_gateway

protos:  ## generate the gRPC messages from heliostat/serving/open_inference.proto
	@scripts/protos

.PHONY: bench-scoring
bench-scoring: setup    ## jobs.score beside a plain loop and bare Ray Data (minutes)
	@.venv/bin/python -m benchmarks.scoring

bench-serving: setup    ## this server beside others, loaded by wrk (15 minutes; the peers' packages once)
	@.venv/bin/python -m benchmarks.serving --fresh

bench-monitoring: setup ## the monitor beside other detectors on the same streams (15 minutes; installs river once)
	@.venv/bin/python -m pip install -q -c constraints.txt -e '.[benchmarks]' && .venv/bin/python -m benchmarks.monitoring

.PHONY: bench-simulate
bench-simulate: setup    ## the simulated loop on 20 streams with and without change (installs river once; half an hour)
	@.venv/bin/python -m pip install -q -c constraints.txt -e '.[benchmarks]' && .venv/bin/python -m benchmarks.simulate_streams --out $${OUT:-/tmp/heliostat-streams.jsonl}

bench-many: setup    ## 100 small models in one replica: memory, throughput, cold loads (3 minutes)
	@HELIOSTAT_HOME=$${HELIOSTAT_HOME:-/tmp/heliostat-bench-many} .venv/bin/python -m benchmarks.many_models

.PHONY: bench-training
bench-training: setup    ## training beside a plain PyTorch loop: a step, a whole fit, two workers, the start (3 minutes)
	@.venv/bin/python -m benchmarks.training && .venv/bin/python -m benchmarks.training_whole

bench-reliability: setup    ## replicas killed, code and versions changed, scaling, under load (15 minutes)
	@.venv/bin/python -m benchmarks.reliability

status:  ## what is up, and how the loop is doing
	@scripts/heliostat status

down:    ## stop what `make run` started, and nothing else
	@scripts/heliostat down
