/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What gmemdemo shows of the kernel's state: stage-2 leaves, folios and the
 * HugeTLB pool.  See counters.c.
 */
#ifndef GMEMDEMO_COUNTERS_H
#define GMEMDEMO_COUNTERS_H

#include <stddef.h>
#include <linux/types.h>

#include "vm.h"

struct pool {
	u64 nr;
	u64 free;
	u64 resv;
};

struct leaves {
	u64 nr_1g;
	u64 nr_2m;
	u64 nr_4k;
};

void read_pool(u64 page_size, struct pool *pool);

/* Stage-2 leaves of the guest_memfd, i.e. without those of the plain slot. */
void read_leaves(struct vm *vm, struct leaves *leaves);

/* As "SIZE:COUNT ..."; an empty string if the kernel does not tell. */
void read_folios(struct vm *vm, char *text, size_t len);

u64 read_merge_pending(struct vm *vm);

#endif /* GMEMDEMO_COUNTERS_H */
