/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Make the N-th allocation of this task fail, see lib/x86/guest_memfd_faults.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_FAULTS_H
#define SELFTEST_KVM_GUEST_MEMFD_FAULTS_H

#include <stdbool.h>
#include <linux/types.h>

/* Of many allocations that are all alike, fail some. */
#define GMEM_NR_FAULTS_EACH	64

/* Arm with this to fail none, but count what might have failed. */
#define GMEM_FAULT_COUNT	1000000000ul

struct gmem_fault {
	const char *name;
	/* Copies from and to user memory count, too, and fail with EFAULT. */
	bool copies_count;
	void (*set_up)(void);
	void (*arm)(u64 number);
	/* Return true if something has been made to fail. */
	bool (*disarm)(void);
};

/* What guest_memfd allocates for itself. */
extern const struct gmem_fault gmem_fault_own;
u64 gmem_fault_own_counted(void);
/* Demotions in an emulated S-EPT, which allocate what they need. */
extern const struct gmem_fault gmem_fault_demote;
/* All allocations from slabs; all of pages. */
extern const struct gmem_fault gmem_fault_slab;
extern const struct gmem_fault gmem_fault_page;
/*
 * The next two of slabs after so many bytes: the page cache asks once without
 * waiting, then again.
 */
extern const struct gmem_fault gmem_fault_slab_twice;

/* What an emulated S-EPT can be asked to refuse. */
#define GMEM_FAIL_DEMOTE	"fail_sept_demote"
#define GMEM_FAIL_BUSY		"fail_sept_busy"
#define GMEM_FAIL_REMOVE	"fail_sept_remove"

/*
 * Any capability of debugfs: have it fail @times times, from the @number-th time
 * on that it could.  Return how many times are left.
 */
void gmem_fail_arm(const char *capability, u64 number, u64 times);
u64 gmem_fail_disarm(const char *capability);

/*
 * Have all allocations of this task fail that are made while a conversion is
 * committed.  Return how many have been made.
 */
void gmem_fail_commit_arm(void);
u64 gmem_fail_commit_disarm(void);

u64 gmem_fault_next(u64 number);

#endif /* SELFTEST_KVM_GUEST_MEMFD_FAULTS_H */
