/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Prove that a call changed nothing: a snapshot of what a guest_memfd holds
 * and how, to compare with.  And poisoned pages, which stand in the way of
 * calls.
 *
 * For files with GUEST_MEMFD_FLAG_MMAP and attributes of their own.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_STATE_H
#define SELFTEST_KVM_GUEST_MEMFD_STATE_H

#include "guest_memfd_util.h"

#define GMEM_LAYOUT_TEXT	4096
#define GMEM_PROBES_MAX		512

/* No offset in a file is this: it must survive what may not write it. */
#define GMEM_UNTOUCHED		0x5a5a5a5a5a5a5a5aull

enum gmem_probe {
	GMEM_UNALLOCATED,
	GMEM_PRIVATE,
	GMEM_SHARED,
	GMEM_POISONED,
};

/*
 * @layout has the lines of hugetlb_gmem/extents in debugfs that are the file's.
 * Contents are those of the model; so what a snapshot has of them is where they
 * can be read.
 */
struct gmem_snapshot {
	struct hugetlb_pool pool;
	u64 st_blocks;
	char layout[GMEM_LAYOUT_TEXT];
	u64 nr_probes;
	u32 pages[GMEM_PROBES_MAX];
	enum gmem_probe probes[GMEM_PROBES_MAX];
};

/* Look closely at pages around both ends of @nr pages from @first. */
void gmem_snapshot(struct gmem_vm *g, struct gmem_snapshot *s, u64 first, u64 nr);
void gmem_assert_unchanged(struct gmem_vm *g, const struct gmem_snapshot *s,
			   const char *when);
enum gmem_probe gmem_probe(struct gmem_vm *g, u64 page);

u64 gmem_blocks(int fd);

/* Sums in a text of fdinfo that hold at any time; of a host with one node. */
void gmem_assert_sums(const char *text);

/* Have KVM kill the VM. */
void gmem_kill_vm(struct gmem_vm *g);

/* The pfn of a page.  A base page is touched by the host for that. */
u64 gmem_pfn(struct gmem_vm *g, u64 page);

/* Poison a page: with gmem_pfn(), by a pfn that is known, as the host has it. */
void gmem_poison(struct gmem_vm *g, u64 page);
void gmem_poison_pfn(struct gmem_vm *g, u64 page, u64 pfn);
void gmem_poison_mapped(struct gmem_vm *g, u64 page);

#endif /* SELFTEST_KVM_GUEST_MEMFD_STATE_H */
