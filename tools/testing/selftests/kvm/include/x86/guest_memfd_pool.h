/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the selftests of HugeTLB accounting share: a file that takes its memory
 * from a pool, guest_memfd or hugetlbfs.
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

#endif /* SELFTEST_KVM_GUEST_MEMFD_POOL_H */
