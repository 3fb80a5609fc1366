/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules of S-EPT in software, see lib/x86/guest_memfd_sept.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_SEPT_H
#define SELFTEST_KVM_GUEST_MEMFD_SEPT_H

#include <stdio.h>

#include "guest_memfd_util.h"

/* What has been done to the S-EPT of a VM. */
struct gmem_sept {
	u64 demotes;
	u64 removes;
	u64 augs;
	u64 promotes;
	u64 violations;
};

/* For VMs that are created from now on.  Return what it was. */
bool gmem_sept_set(bool on);
/* May leaves grow?  Return what it was. */
bool gmem_sept_promote(bool on);

void gmem_sept_read(struct gmem_vm *g, struct gmem_sept *sept);
/* One of them, e.g. sept_violations. */
u64 gmem_sept_stat(struct gmem_vm *g, const char *name);

/* A file in the VM's folder of debugfs, to be read. */
FILE *gmem_debugfs_open(struct gmem_vm *g, const char *name);

#endif /* SELFTEST_KVM_GUEST_MEMFD_SEPT_H */
