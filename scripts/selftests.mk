# SPDX-License-Identifier: GPL-2.0-only
#
# Build chosen KVM selftests out of tree. Run in tools/testing/selftests/kvm of
# an assembled tree by scripts/selftests-build, which passes our own programs,
# library files and headers; those that are listed already are not added twice.

listed := $(shell cat Makefile.kvm $(wildcard guest_memfd.mk) | tr -d %)

TEST_GEN_PROGS += $(filter-out $(listed),$(GMEM_PROGS))
LIBKVM += $(filter-out $(listed),$(GMEM_LIBS))

include Makefile

# ccache makes paths in dependency files relative, so that make finds no target
# of theirs.
$(addprefix $(OUTPUT)/,$(addsuffix .o,$(GMEM_PROGS) $(basename $(GMEM_LIBS)))): $(GMEM_HEADERS)

chosen: $(addprefix $(OUTPUT)/,$(CHOSEN))
.PHONY: chosen
