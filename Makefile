# What can be done here. `make` alone lists it.

MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test oracle chaos bench examples install-demo install-test format lint tests docs

target := $(or $(CARGO_TARGET_DIR),target)
pgjam := $(target)/release/pgjam
demo := $(target)/demo

# pg_query's build script rewrites its own sources in cargo's cache when it finds protoc.
# It leaves them alone where it believes to be on docs.rs, and no other crate here asks.
ifneq ($(shell command -v protoc 2>/dev/null),)
export DOCS_RS := 1
endif

# Says what it does and how long it took.
define step
	@echo '==> $(1)'; began=$$(date +%s); $(1); status=$$?; \
	echo "==> $$(( $$(date +%s) - began )) s, exit $$status"; exit $$status
endef

help: ## This list
	@echo 'pgjam: whose arrival made whose latency grow, on a shared PostgreSQL.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'demo and test first install what is missing: they say what, and ask when on a terminal.'
	@echo 'To see what that would be: .ci/install test --check'
	@echo 'One test, while at work:   cargo test --lib graph::   or   cargo test --test tidy'
	@echo 'Bless the golden files:    INSTA_UPDATE=always cargo test --lib report::'

demo: install-demo ## Twelve agencies jam a throw-away PostgreSQL; pgjam says which one did it (about 3 min once built)
	$(call step,cargo build --release --locked)
	@rm -rf $(demo) && mkdir -p $(demo)
# Twice the usual pace: over 80 s of the last wave ten looks a second leave about 4 % of chance.
	@$(pgjam) lab county-rollout --diagnose --hz 20 --html $(demo)/pgjam-demo.html --svg $(demo)/svg \
		--record $(demo)/recording --truth $(demo)/truth.jsonl
	@echo
	@echo 'The report, with pictures: $(abspath $(demo))/pgjam-demo.html'

test: install-test format lint tests docs ## Everything that CI runs, cheap checks first

# Linting checks every target without generating code; the documentation reuses that.
format:
	$(call step,cargo fmt --check)

lint:
	$(call step,cargo clippy --locked --all-targets -- -D warnings)

docs:
	$(call step,RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items)

# Here the property tests draw the same cases every time; a plain cargo test draws new ones.
tests:
	$(call step,PROPTEST_RNG_SEED=1 cargo test --locked)

oracle: install-test ## The graph beside pg_blocking_pids(): 5,000 frozen waits on each version, about 1 min
	@PGJAM_ORACLE_WAITS=5000 cargo test --locked --test oracle -- storm

chaos: install-test ## 200 times kill -9 under load, and all else that happens to a recording, about 15 min
	@PGJAM_KILLS=200 cargo test --locked --test chaos

bench: install-demo ## What a look costs a server, how fast graph and attribution are
	$(call step,cargo bench --locked)

examples: ## Write reports/examples anew, from the last demo's recording and some scenarios (about 5 min)
	@reports/examples.sh $(pgjam) $(demo)

install-demo:
	@.ci/install demo

install-test:
	@.ci/install test
