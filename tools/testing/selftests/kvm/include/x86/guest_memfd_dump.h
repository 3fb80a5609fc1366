/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that a call which fails must leave as it was, see
 * lib/x86/guest_memfd_dump.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_DUMP_H
#define SELFTEST_KVM_GUEST_MEMFD_DUMP_H

#include "guest_memfd_util.h"

struct gmem_leaf {
	u64 gfn;
	u64 nr_pages;
	u64 nr;
	bool private;
};

struct gmem_dump {
	/* Folios, struct pages, counters; and runs of pages the host has mapped. */
	char *state;
	char *mapped;
	/* Runs of equal leaves. */
	struct gmem_leaf *leaves;
	u64 nr_leaves;
	/* Of the memory itself, unless there is too much of it. */
	u64 checksum;
};

/* What may be gone afterwards, as the next touch brings it back. */
enum gmem_dump_lost {
	GMEM_LOST_NOTHING,
	GMEM_LOST_SHARED,
};

void gmem_dump(struct gmem_vm *g, struct gmem_dump *dump);
void gmem_dump_free(struct gmem_dump *dump);

/* Leaves may be smaller than they were. */
void gmem_dump_assert_same(struct gmem_vm *g, const struct gmem_dump *was,
			   enum gmem_dump_lost lost, const char *when);

#endif /* SELFTEST_KVM_GUEST_MEMFD_DUMP_H */
