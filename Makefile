# Two targets do all their set-up on a fresh Debian or Ubuntu machine with Rust: demo and test.

.PHONY: demo test test-egress soak rehearse newcomer fuzz bench microbench gate baseline lint deny ci

# Starts a plane, deploys two servers, and shows scaling from zero and back. Cleans up after itself.
demo:
	@./.ci/need cc cmake python3 curl
	cargo build --locked -p fprs
	@./examples/demo.sh "$${CARGO_TARGET_DIR:-target}/debug/fprs"

test:
	@./.ci/need cc cmake python3 curl
	@./.ci/test

# Static-IP egress in network namespaces, at full size and optimised, since it measures; wants root.
# Prints what it measures.
test-egress:
	@./.ci/need cc cmake python3 curl ip nft ss ping wireguard-go
	@FPRS_REQUIRE_NETNS=1 FPRS_SOAK=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo nextest run --release --locked -P soak -p fprs --features fprs/stores \
		--test egress --success-output immediate

# Egress with WireGuard of a kernel, in a virtual machine that is emulated, whatever this machine's own has. Not
# what measures, or does a hundred things at once: nothing is as fast there as it is.
KERNEL_TESTS ?= engine available binding failover refused fencing a_gateway_is_drained of_two_leaders
.PHONY: test-egress-kernel
test-egress-kernel:
	@./.ci/need cc cmake python3 curl ip nft ss ping depmod qemu-system-x86_64 busybox cpio
	@cargo test --locked -p fprs --features fprs/stores --test egress --no-run
	@FPRS_REQUIRE_NETNS=1 FPRS_REQUIRE_WIREGUARD=1 ./.ci/in-vm cargo test --locked --offline -p fprs \
		--features fprs/stores --test egress -- --test-threads 1 $(KERNEL_TESTS)

# The same tests at full size: gigabytes and hours instead of megabytes and seconds.
soak:
	@./.ci/need cc cmake python3 curl
	@FPRS_SOAK=1 ./.ci/test

# Rolls every role of a plane from the build of the commit before (FROM) to this one's and back.
rehearse:
	@./.ci/need cc cmake python3 envoy
	@./.ci/rehearse $(FROM)

# How long the first steps take from `git clone` on, with nothing downloaded.
newcomer:
	@./.ci/need cc cmake python3 curl
	@./examples/newcomer.sh

# Every fuzz target for FUZZ_SECONDS, one after the other; fuzz/README.md says what they hold to. Wants
# a nightly toolchain and cargo-fuzz. What a target finds is written to fuzz/artifacts.
FUZZ_SECONDS ?= 600
fuzz:
	@cd fuzz && for target in fuzz_targets/*.rs; do \
		target=$$(basename $$target .rs); mkdir -p target/found/$$target; \
		cargo +nightly fuzz run --sanitizer none $$target target/found/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

# Numbers for this machine; benches/README.md says what they mean.
bench:
	@./.ci/need cc cmake
	cargo build --release --locked -p fprs -p fprs-benches
	$${CARGO_TARGET_DIR:-target}/release/fprs-bench run $(BENCH)

# The autoscaler at its sizes, optimised: 10,000 servers with 50,000 busy replicas behind 16 proxies; 200
# requests at once on nothing, in a whole plane and beside Knative's algorithm in the simulator.
.PHONY: bench-autoscaler
bench-autoscaler:
	FPRS_SOAK=1 cargo test --release --locked -p fprs-autoscaler --lib --test plane -- --nocapture \
		--test-threads 1 a_large_plane several_times_sooner
	cargo test --locked -p fprs --test plane -- --nocapture a_burst_from_zero

# The pieces of the request path one by one: lookup, choice, count, apply.
microbench:
	cargo bench --locked -p fprs-benches

# What a request costs fprs in instructions and allocations, beside the committed baseline. Only
# what is counted is built for release.
gate: counted
	$(COUNTER) gate

# Accepts the costs of now: commit benches/baseline.json and say why.
baseline: counted
	$(COUNTER) gate --write

.PHONY: counted
counted:
	@./.ci/need cc cmake valgrind
	cargo build --release --locked -p fprs
	cargo build --locked -p fprs-benches

COUNTER = FPRS=$${CARGO_TARGET_DIR:-target}/release/fprs $${CARGO_TARGET_DIR:-target}/debug/fprs-bench

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	@$(MAKE) --no-print-directory deny

# Licences, bans and sources. A wrapper without its crate is a rule for later, not a fault.
deny:
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked --log-level error check -A unused-wrapper -A license-not-encountered bans licenses sources; \
	elif [ -n "$$CI" ]; then \
		echo "cargo-deny is missing: ./.ci/run installs it" >&2; exit 1; \
	else \
		echo "SKIPPED: licences, bans and sources: cargo install cargo-deny --locked" >&2; \
	fi

ci:
	./.ci/run
