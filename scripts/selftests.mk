# SPDX-License-Identifier: GPL-2.0-only
#
# Build chosen KVM selftests out of tree. Run in tools/testing/selftests/kvm of
# an assembled tree by scripts/selftests-build, which passes our own programs
# and library files; those the series already lists there are not added twice.

listed := $(shell tr -d % <Makefile.kvm)

TEST_GEN_PROGS += $(filter-out $(listed),$(GMEM_PROGS))
LIBKVM += $(filter-out $(listed),$(GMEM_LIBS))

include Makefile

chosen: $(addprefix $(OUTPUT)/,$(CHOSEN))
.PHONY: chosen
