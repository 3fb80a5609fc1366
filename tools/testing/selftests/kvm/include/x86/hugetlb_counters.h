/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters of the HugeTLB pools, see lib/x86/hugetlb_counters.c
 */
#ifndef SELFTEST_KVM_HUGETLB_COUNTERS_H
#define SELFTEST_KVM_HUGETLB_COUNTERS_H

#include <linux/types.h>

/* One number of a pool, -1 as node for all nodes. */
u64 hugetlb_pool_get(int node, u64 page_size, const char *name);
void hugetlb_pool_put(int node, u64 page_size, const char *name, u64 value);

/* The counters of all pools and what follows from them. */
struct hugetlb_counters {
	char *text;
	/* Pages of memory for struct pages, as /proc/vmstat has them. */
	u64 memmap;
};

void hugetlb_counters_read(struct hugetlb_counters *counters);
void hugetlb_counters_free(struct hugetlb_counters *counters);
/* Wait for what workers give back; return true if @now, to be freed, is as @want. */
bool hugetlb_counters_wait_eq(const struct hugetlb_counters *want,
			      struct hugetlb_counters *now);
void hugetlb_counters_assert_eq(const struct hugetlb_counters *want);
/* But for poisoned pages, which are free in @want and in no pool now. */
void hugetlb_counters_assert_lost(const struct hugetlb_counters *want,
				  u64 page_size, u64 nr);
u64 hugetlb_memmap_pages(void);
void hugetlb_memmap_assert_eq(u64 pages);

#endif /* SELFTEST_KVM_HUGETLB_COUNTERS_H */
