/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel tells about the memory of a VM.  See counters.c.
 */
#ifndef TOOLS_COMMON_COUNTERS_H
#define TOOLS_COMMON_COUNTERS_H

#include "vm.h"

struct pool {
	u64 nr;
	u64 free;
	u64 resv;
};

/* Stage-2 leaves of the VM. */
struct leaves {
	u64 nr_1g;
	u64 nr_2m;
	u64 nr_4k;
};

void read_pool(u64 page_size, struct pool *pool);
/* Exits with one line if the pool cannot give @need pages. */
void check_pool(u64 page_size, u64 need);
void read_leaves(struct vm *vm, struct leaves *leaves);

/* A value of the guest_memfd's fdinfo, or 0 if the kernel does not tell. */
u64 read_fdinfo(struct vm *vm, const char *key);

#endif /* TOOLS_COMMON_COUNTERS_H */
