# SPDX-License-Identifier: GPL-2.0-only
#
# The front door: every target is a script, which can be run by itself.
# README.md says what this project is, base/README.md how the tree is made.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Which kernel, and which tests.
K ?= release
T ?= *
export KERNEL_SRC FORCE MSG PATCH SKIP JOBS SEED OPS

# The main job of make run, and the machine it wants.
MAIN_JOB ?= tools/gmemdemo/gmemdemo
MAIN_JOB_OPTIONS ?= --kernel release --hugepages 1G=2

.PHONY: help
help:
	@echo 'make run          everything from a bare machine, then the main job'
	@echo 'make test         the tests for every change (T=name or pattern, T=list, SKIP=pattern,'
	@echo '                  JOBS=tests at a time)'
	@echo '                  T=stress SEED=17 OPS=3-3,40-52 repeats operations of a life that failed'
	@echo 'make test-long    full counts; resumable; results in scripts/long-results.txt'
	@echo 'make kernel       build a kernel: K=release (default), debug, stock, kcsan, gcov'
	@echo 'make selftests    build the KVM selftests for kernel K'
	@echo 'make tools        build the programs in tools/ and perf/'
	@echo 'make shell        a shell in kernel K'
	@echo 'make check        checkpatch, sparse, W=1, kernel-doc, shellcheck on our lines'
	@echo 'make patches      turn edits in build/linux into patches/ (MSG=, PATCH=: base/README.md)'
	@echo 'make series       build a kernel at each step of patches/ (slow)'
	@echo 'make matrix       build with KVM as modules, and with each of our options off (slow)'
	@echo 'make assemble     refresh build/linux (KERNEL_SRC=deb, tarball or tree; FORCE=1 loses edits)'
	@echo 'make clean        remove build/'

.PHONY: run
run: packages kernel tools
	@echo '=== $(MAIN_JOB), in a virtual machine with the kernel just built'
	@tools/vm/run $(MAIN_JOB_OPTIONS) -- $(MAIN_JOB) && echo '=== make run: the main job succeeded' || \
		{ s=$$?; echo "=== make run: FAILED, exit status $$s"; exit $$s; }

.PHONY: packages
packages:
	@scripts/install-packages

.PHONY: assemble
assemble:
	@base/assemble linux

.PHONY: kernel
kernel:
	@scripts/kernel-build $(K)

.PHONY: selftests
selftests: kernel
	@scripts/selftests-build $(K)

.PHONY: tools
tools:
	@scripts/tools-build

.PHONY: test
test: packages
	@scripts/test '$(T)'

.PHONY: test-long
test-long:
	@scripts/install-packages clang libclang-rt-14-dev
	@scripts/test --long '$(T)'

.PHONY: shell
shell:
	@tools/vm/run --kernel $(K) -- $${SHELL:-/bin/bash}

.PHONY: check
check:
	@scripts/check

.PHONY: patches
patches:
	@base/make-patches

.PHONY: series
series:
	@base/check-series

.PHONY: matrix
matrix:
	@scripts/build-matrix

.PHONY: clean
clean:
	@for m in tools/*/Makefile perf/*/Makefile; do [ ! -e "$$m" ] || $(MAKE) -s -C "$${m%/*}" clean; done
	rm -rf build
