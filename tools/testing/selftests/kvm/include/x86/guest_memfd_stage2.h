/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM on guest_memfd, a model of the leaves that stage 2 should have for it,
 * and the counters of the S-EPT emulation, see lib/x86/guest_memfd_stage2.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_STAGE2_H
#define SELFTEST_KVM_GUEST_MEMFD_STAGE2_H

#include "guest_memfd_sept.h"

struct gmem_stage2 {
	struct gmem_vm g;
	/* With the S-EPT emulation, whose counters the model has, too. */
	bool sept;
	u64 demotes;
	u64 removes;
	/* By page: the level of the leaf that maps it, or 0, and of which kind. */
	u8 *level;
	bool *shared;
	/* To go back to. */
	u64 nr_hugepages;
	bool sept_before;
	bool promote_before;
};

/* The guest has written all of the memory, which is private, by huge leaves. */
void gmem_stage2_create(struct gmem_stage2 *s, u8 order, u64 nr_extents, u64 flags,
			bool sept);
/* Nobody has touched any of it. */
void gmem_stage2_create_empty(struct gmem_stage2 *s, u8 order, u64 nr_extents,
			      u64 flags, bool sept);
void gmem_stage2_free(struct gmem_stage2 *s);
void gmem_stage2_fill(struct gmem_stage2 *s);

/* A page in the middle of a block, and of the file if there are more. */
u64 gmem_stage2_middle(const struct gmem_stage2 *s);
/* All pages but these. */
void gmem_guest_check_around(struct gmem_vm *g, u64 page, u64 nr);

/* Switches of the kernel; gmem_stage2_create() and _free() set and reset them. */
void gmem_skip_presplit(bool on);

/* The model.  Unmapping splits first what is only partly in the range. */
u8 gmem_stage2_huge(const struct gmem_stage2 *s);
void gmem_stage2_map(struct gmem_stage2 *s, u64 page, u64 nr, u8 level, bool shared);
void gmem_stage2_split(struct gmem_stage2 *s, u64 page);
void gmem_stage2_split_once(struct gmem_stage2 *s, u64 page);
void gmem_stage2_unmap(struct gmem_stage2 *s, u64 page, u64 nr);

/* Compare leaves and counters with the model; wait for a worker to be done. */
void gmem_stage2_assert(struct gmem_stage2 *s, const char *when);
void gmem_stage2_wait(struct gmem_stage2 *s, const char *when);

/* Lines of the VM's gmem_leaves, all or those with @kind in it; to be freed. */
char *gmem_leaves_text(struct gmem_vm *g, const char *kind);

#endif /* SELFTEST_KVM_GUEST_MEMFD_STAGE2_H */
