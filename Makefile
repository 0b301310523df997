# Two commands are enough on a fresh machine: `make demo` and `make test`. Both set up what they need.
.DEFAULT_GOAL := help
SHELL := /bin/sh
# The programs run on the Node of the lockfile; the machine's own Node may be older.
export PATH := $(CURDIR)/node_modules/.bin:$(CURDIR)/.tools/bin:$(PATH)
export NODE_NO_WARNINGS := 1

RUN_TESTS := node --test --test-concurrency=2 --test-timeout=300000 --test-reporter=./test/support/reporter.ts

##@ Use
demo: setup tools  ## set everything up and show the main job, step by step
	node ops/demo/demo.ts
up: setup tools  ## start the same mesh and leave it running; ./ztctl is ready
	node ops/demo/up.ts
down:  ## end the mesh that `make up` started
	node ops/demo/down.ts
doctor: node_modules/.stamp  ## say what this machine lacks, and the remedy
	./ztctl doctor

##@ Set up
setup: node_modules/.stamp .tools/system.stamp .tools/pkcs11.stamp  ## install the packages that are missing
tools: .tools/bin.stamp  ## build nats-server, frps and frpc, pinned, into .tools/bin
node_modules/.stamp: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@
.tools/system.stamp: ops/setup/system-packages.sh
	@mkdir -p .tools
	sh ops/setup/system-packages.sh
	@touch $@
.tools/pkcs11.stamp: node_modules/.stamp .tools/system.stamp ops/setup/build-pkcs11.sh
	sh ops/setup/build-pkcs11.sh
	@touch $@
.tools/bin.stamp: ops/tools/go.mod ops/tools/go.sum ops/tools/build.sh
	sh ops/tools/build.sh
	@touch $@

##@ Check
check: fmt-check lint types test-unit  ## format, lint, types, unit and architecture tests: a minute or two
fmt: node_modules/.stamp  ## format everything
	oxfmt .
errors-doc: node_modules/.stamp  ## write docs/errors.md from the table of codes
	node ops/setup/errors-doc.ts
fmt-check: node_modules/.stamp
	oxfmt --check .
lint: node_modules/.stamp  ## lint, with types
	oxlint --type-aware .
types: node_modules/.stamp  ## check types
	tsc -p .
test-unit: node_modules/.stamp  ## tests that need nothing but Node
	$(RUN_TESTS) 'test/unit/**/*.test.ts' test/architecture.test.ts test/docs.test.ts

##@ Test
test: setup tools  ## every test but the slow ones: about 10 minutes on 2 cores
	$(RUN_TESTS) 'test/**/*.test.ts'
test-contract: setup tools  ## each seam's suite, against every implementation
	$(RUN_TESTS) 'test/contract/**/*.test.ts'
test-conformance: setup  ## the SPIFFE standards, item by item
	$(RUN_TESTS) 'test/conformance/**/*.test.ts'
test-interop: setup tools  ## verifiers and encoders that we did not write
	$(RUN_TESTS) 'test/interop/**/*.test.ts'
test-attack: setup tools  ## what must not happen, a file each
	$(RUN_TESTS) 'test/attack/**/*.test.ts'
test-e2e: setup tools  ## the whole mesh, from source and from dist
	$(RUN_TESTS) 'test/e2e/**/*.test.ts'
test-slow: setup tools  ## every parser of hostile bytes with 10,000 cases each
	ZT_FUZZ_RUNS=10000 $(RUN_TESTS) 'test/property/**/*.test.ts'
bench: setup tools dist  ## the figures, beside their peers, in one run
	node ops/bench/main.ts

##@ Release
dist: node_modules/.stamp  ## one bundled file a program, with a SHA-256 manifest
	node ops/release/bundle.ts
clean:  ## remove what was built; keeps the running mesh and its state
	rm -rf dist node_modules .tools

help:  ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { sub(/:.*/, "", $$1); printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: errors-doc demo up down doctor setup tools check fmt fmt-check lint types test-unit test test-contract test-conformance test-interop test-attack test-e2e test-slow bench dist clean help
