# What one does with filmless; `make help` prints the list.
#
# Everything that is built lies in the target folder of cargo (CARGO_TARGET_DIR where it is set), in
# viewer/dist and in two node_modules; `make clean` takes all of it away.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TERM_PROGRESS_WHEN ?= never

target   := $(CARGO_TARGET_DIR)
step     := scripts/step
peers    := $(target)/peers/requirements.txt
ohif     := $(target)/ohif-3.13.2/dist/index.html
browser  := tests/browser/node_modules/.package-lock.json
# The last one that is installed.
dicomrs  := $(target)/dicom-rs-0.10.1/bin/dicom-storescp
modules  := viewer/node_modules/.package-lock.json
dist     := viewer/dist/index.html
sources  := $(shell find viewer -type d \( -name node_modules -o -name dist \) -prune -o \
              -type f ! -name '*.rs' ! -name Cargo.toml -print)
# The address of the trial; `make run HTTP=127.0.0.1:9000 DIMSE=127.0.0.1:4242` takes others.
HTTP     ?= 127.0.0.1:8080
DIMSE    ?= 127.0.0.1:11112
# Where the trial keeps its studies.
DATA     ?= $(target)/trial

# The S3 object store of `make test-cluster`, which cargo builds once; `GARAGE=/path/to/garage` takes another one.
garage   := $(target)/garage-2.5.0/bin/garage
GARAGE   ?= $(garage)

.PHONY: help run test crash-test test-cluster bench fuzz viewer lint fmt fmt-check clippy test-viewer test-rust program clean packages-run packages-test

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: packages-run $(dist) ## builds what is missing, starts a trial with sample studies, prints the viewer's address
	@$(step) 'filmless: build (the first time takes some minutes)' cargo build --locked --release -p filmless --features embed
	@exec $(target)/release/filmless serve --open --samples --data '$(DATA)' --http $(HTTP) --dimse $(DIMSE)

test: packages-test fmt-check test-viewer clippy test-rust ## builds what is missing and runs every test
	@echo 'all tests passed'

crash-test: packages-test program ## fails and switches off every step of the write path, then kills the program under load for CRASH_SECONDS=60
	@scripts/crash-test

test-cluster: packages-test program $(GARAGE) ## the nodes' tests over a cluster of three Garage nodes, built once from crates.io (GARAGE=PATH: another one)
	@scripts/test-cluster '$(GARAGE)'

bench: packages-run $(dist) ## measures the archive: storing, with jobs and without, finding, reading its packs again; a study in a bucket beside one in files; frames beside Orthanc and nginx; codecs beside tools of others; pixels
	@$(step) 'filmless: build' cargo build --locked --release -p filmless
	@cargo bench --locked --quiet -p tests --bench archive --bench ingest --bench far --bench frames --bench codecs
	@cargo bench --locked --quiet -p worker --bench pixels

fuzz: packages-run $(dist) ## feeds the parsers with changed inputs, each for FUZZ_SECONDS=3600; TARGET=NAME for one of them
	@$(step) 'fuzz: build' cargo bench --locked --quiet --profile dev --no-run -p tests --bench fuzz
	@cargo bench --locked --quiet --profile dev -p tests --bench fuzz -- $(TARGET)

viewer: packages-run $(dist) ## builds the viewer into viewer/dist

lint: packages-run fmt-check $(dist) clippy ## what the compilers and linters say: rustfmt, clippy, tsc
	@$(step) 'viewer: types' npm --prefix viewer run --silent lint

fmt: ## formats the Rust sources
	@cargo fmt --all

clean: ## removes everything that was built, the trial's studies too
	@cargo clean --quiet
	@rm -rf viewer/dist viewer/node_modules tests/browser/node_modules '$(target)/peers' '$(target)/ohif-3.13.2' '$(target)/dicom-rs-0.10.1' '$(DATA)'

# The parts of `make test`.

fmt-check:
	@$(step) 'rust: format' cargo fmt --all --check

test-viewer: $(dist)
	@$(step) 'viewer: tests' npm --prefix viewer run --silent test

clippy: $(dist)
	@$(step) 'rust: clippy' cargo clippy --locked --workspace --all-targets --features filmless/embed -- -D warnings

test-rust: program $(peers) $(browser) $(ohif) $(dicomrs)
	@scripts/test-rust

# The end-to-end tests start the program itself, which cargo builds for them only with all targets.
program: $(dist)
	@$(step) 'rust: build' cargo build --locked --workspace --all-targets

# What is fetched or built once, and again when it changed.

$(modules): viewer/package.json viewer/package-lock.json
	@$(step) 'viewer: packages' npm --prefix viewer ci --no-audit --no-fund
	@touch $@

$(dist): $(modules) $(sources)
	@$(step) 'viewer: build' npm --prefix viewer run --silent build
	@touch $@

$(browser): tests/browser/package.json tests/browser/package-lock.json
	@$(step) 'tests: browser driver' npm --prefix tests/browser ci --no-audit --no-fund
	@touch $@

$(ohif): scripts/ohif
	@$(step) 'tests: OHIF' scripts/ohif '$(target)/ohif-3.13.2'

$(dicomrs):
	@$(step) 'tests: tools of dicom-rs' cargo install --quiet --locked --debug --root '$(target)/dicom-rs-0.10.1' \
	  --target-dir '$(target)/dicom-rs-0.10.1/build' dicom-echoscu@0.10.1 dicom-storescu@0.10.1 dicom-findscu@0.10.1 \
	  dicom-movescu@0.10.1 dicom-storescp@0.10.1
	@rm -rf '$(target)/dicom-rs-0.10.1/build'

$(garage):
	@$(step) 'tests: Garage 2.5.0 (it takes many minutes)' cargo install garage --version 2.5.0 --locked --debug \
	  --no-default-features --features bundled-libs,sqlite --root '$(target)/garage-2.5.0' --target-dir '$(target)/garage-2.5.0/build'
	@rm -rf '$(target)/garage-2.5.0/build'

$(peers): tests/peers/requirements.txt
	@$(step) 'tests: Python peers' scripts/python-peers $(target)/peers $<

packages-run:
	@scripts/packages run

packages-test:
	@scripts/packages test
