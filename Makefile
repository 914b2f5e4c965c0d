# Atomic Store: everything a newcomer types. `make help` lists it.
#
# Everything is built in the release profile, the tests too: the tests then run the program as it is
# shipped (overflow checks stay on in it), and the dependencies are compiled once, not twice.

CARGO ?= cargo
GUESTS := target/guests

.PHONY: help build dist guests guests-all test demo measure bench benchcheck guest-costs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build target/release/atomic-store
	$(CARGO) build --release --locked -p atomic-store

dist: ## build target/dist/atomic-store: minutes more to build, less CPU per append
	$(CARGO) build --profile dist --locked -p atomic-store

guests: ## build the example validators to target/guests/*.wasm
	scripts/build-guests.sh

guests-all: guests ## build the auction in every other guest language, too; tools go to target/guest-tools
	scripts/build-guest-languages.sh

# What is quick to fail comes first. The tests come last, so that the runner's own closing lines, with
# what was passed and failed, end the output.
test: guests-all ## format, lints, documentation, then all tests
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/bench/Cargo.toml --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps
	$(CARGO) test --release --locked --workspace --doc
	$(CARGO) test --release --locked --workspace --no-fail-fast --lib --bins --tests --examples

demo: ## an auction, end to end, in a minute; BIDS=file.csv for bids of your own
	scripts/demo.sh

measure: build guests ## measure this machine's disk and the store on it, in about a minute
	target/release/atomic-store bench --dir target --validator $(GUESTS)/auction.wasm

# QUICK=1: ten minutes instead of an hour. SECTION=a (or a,c): only these.
bench: guests ## measure the store beside its peers, to docs/benchmarks.md; QUICK=1, SECTION=a
	scripts/bench.sh $(if $(QUICK),--quick) $(if $(SECTION),--sections $(SECTION))

# The harness is a workspace of its own: the clients of the peers take minutes to build, so `make test`
# only looks at its format.
benchcheck: ## format, lints and tests of the harness behind `make bench`
	$(CARGO) fmt --manifest-path tests/bench/Cargo.toml --check
	$(CARGO) clippy --release --locked --manifest-path tests/bench/Cargo.toml --target-dir target/peers/build --all-targets -- -D warnings
	$(CARGO) test --release --locked --manifest-path tests/bench/Cargo.toml --target-dir target/peers/build

guest-costs: guests-all ## measure what the same rules cost in each guest language
	$(CARGO) run --release --locked -p atomic-store-tests --example guest_costs
