# The index of commands. What they do is in scripts/, xtask/ and the crates; `make help` lists them.

.DEFAULT_GOAL := help
BINARY := target/release/ironclad

.PHONY: help
help: ## List the commands
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 16

.PHONY: up
up: setup build ## Install what is missing, build, start a cluster, and show it working
	@scripts/show

.PHONY: down
down: ## Stop the cluster that `make up` started; its data stays
	@sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; $$sudo $(BINARY) down

.PHONY: setup
setup: ## Install what building needs (a C compiler; Rust must be there)
	@scripts/setup build

.PHONY: build
build: ## Build the release binary: one static file, target/release/ironclad
	@scripts/build

.PHONY: test
test: ## Run every test, the end-to-end ones too (as root: they make namespaces)
	@scripts/setup test
	@scripts/test

.PHONY: lint
lint: ## Formatting, clippy without mercy, and the house rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo xtask tidy

.PHONY: clients
clients: build ## Programs of client libraries (Go, Rust, Python) against an API server of this product
	@tests/clients/run

.PHONY: e2e
e2e: build ## Only the end-to-end run: a real cluster, real containers, the real kubectl
	@scripts/setup test
	@tests/e2e/run

.PHONY: churn
churn: build ## Pods come and go while the cluster is killed at random (PODS=10000 KILLS=1000 SEED=1)
	@scripts/setup test
	@PODS=$(or $(PODS),10000) KILLS=$(or $(KILLS),1000) SEED=$(or $(SEED),1) ONLY=churn tests/e2e/run

.PHONY: compat
compat: build ## Replay recorded conversations with the reference API server, if they are here (COMPAT=folder)
	@scripts/compat

.PHONY: mutants
mutants: build ## Prove that the recorded conversations notice a verb that is made wrong on purpose
	@tests/mutants/run

.PHONY: conformance
conformance: build ## Run the official conformance suite, if it is given (E2E=file IMAGES=folder FOCUS= SKIP=)
	@scripts/setup test
	@E2E="$(E2E)" IMAGES="$(IMAGES)" FOCUS="$(FOCUS)" SKIP="$(SKIP)" tests/conformance/run

.PHONY: test-images
test-images: ## Make the images of the conformance suite (E2E=file PROGRAMS=folder of programs of upstream)
	@scripts/setup test
	@E2E="$(E2E)" OUT="$(OUT)" PROGRAMS="$(PROGRAMS)" tests/images/suite

.PHONY: chaos
chaos: build ## Kills, cut links and a full disk on a real cluster of three nodes (T=seconds SEED=)
	@scripts/setup test
	@T="$(or $(T),120)" SEED="$(SEED)" tests/chaos/run

.PHONY: soak
soak: build ## A long, steady life on one node; nothing may grow (T=seconds)
	@scripts/setup test
	@T="$(or $(T),600)" tests/soak/run

.PHONY: cgroup2
cgroup2: build ## A small suite in an emulated machine that has cgroup v2 only (as root; fetches a Debian kernel)
	@scripts/setup test cgroup2
	@tests/cgroup2/run

.PHONY: sim
sim: ## Run a whole cluster under everything that can go wrong, once for each seed (SEEDS=number FROM=first)
	@cargo run --quiet --release --locked --package sim -- --seeds $(or $(SEEDS),200) --from $(or $(FROM),1)

.PHONY: fuzz
fuzz: ## Fuzz every decoder and engine (T=seconds for each; findings are kept in target/findings)
	cargo run --quiet --profile fuzz --package fuzz -- run --seconds $(or $(T),60)

.PHONY: bench
bench: build ## Run the benchmarks, one after the other (as root: they make clusters; WHAT=names APIBENCH=its driver)
	@APIBENCH="$(APIBENCH)" scripts/bench $(WHAT)
