/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the selftests of HugeTLB accounting share: a file that takes its memory
 * from a pool, guest_memfd or hugetlbfs, and the counters of all pools.
 *
 * A guest_memfd counts like a hugetlbfs of the same size that has reserved all
 * of it (min_size=).  The tests thus run on either, with the same numbers.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_POOL_H
#define SELFTEST_KVM_GUEST_MEMFD_POOL_H

#include "guest_memfd_util.h"

struct hugetlb_file {
	/* To be set before it is opened. */
	struct kvm_vm *vm;
	u8 order;
	bool hugetlbfs;

	int fd;
	u64 page_size;
	u64 nr;
	/* Mount point of the hugetlbfs. */
	char dir[32];
	/* By hugetlb_file_map(). */
	u8 *mem;
};

/* Return 0 or an errno. */
int __hugetlb_file_open(struct hugetlb_file *file, u64 nr);
int hugetlb_file_allocate(struct hugetlb_file *file, u64 page);

void hugetlb_file_open(struct hugetlb_file *file, u64 nr);
void hugetlb_file_close(struct hugetlb_file *file);
void hugetlb_file_punch(struct hugetlb_file *file, u64 page);

/* Map the file, for a NUMA policy; without effect on the counters. */
void hugetlb_file_map(struct hugetlb_file *file);

/* Share 4K of a page with the host, and take it back; not for hugetlbfs. */
void hugetlb_file_split(struct hugetlb_file *file, u64 page);
void hugetlb_file_merge(struct hugetlb_file *file, u64 page);

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
void hugetlb_counters_assert_eq(const struct hugetlb_counters *want);
u64 hugetlb_memmap_pages(void);
void hugetlb_memmap_assert_eq(u64 pages);

#endif /* SELFTEST_KVM_GUEST_MEMFD_POOL_H */
