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
/* All allocations from slabs; all of pages. */
extern const struct gmem_fault gmem_fault_slab;
extern const struct gmem_fault gmem_fault_page;

/*
 * Any capability of debugfs: have it fail @times times, from the @number-th time
 * on that it could.  Return how many times are left.
 */
void gmem_fail_arm(const char *capability, u64 number, u64 times);
u64 gmem_fail_disarm(const char *capability);

u64 gmem_fault_next(u64 number);

#endif /* SELFTEST_KVM_GUEST_MEMFD_FAULTS_H */
