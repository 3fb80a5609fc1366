/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A software-protected VM with one vCPU and one guest_memfd.  See vm.c.
 */
#ifndef TOOLS_COMMON_VM_H
#define TOOLS_COMMON_VM_H

#include <linux/bits.h>
#include <linux/kvm.h>
#include <linux/types.h>

#define PAGE_SIZE	4096ul
#define SIZE_2M		(2ul << 20)
#define SIZE_1G		BIT(30)

/* Where in guest memory the guest_memfd begins. */
#define GMEM_GPA	(4ul << 30)
#define GMEM_SLOT	1

struct vm {
	int kvm_fd;
	int vm_fd;
	int vcpu_fd;
	int gmem_fd;
	int stats_fd;
	u64 page_size;
	u64 size;
	u8 *shared;
	struct kvm_run *run;
};

/* All of these exit with one line when the kernel or the pool cannot do it. */
void vm_create(struct vm *vm);
void vm_set_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *host,
		 int gmem_fd);
/* Pages of 4K are not from the pool. */
void vm_add_gmem(struct vm *vm, u64 page_size, u64 size);
void vm_pre_fault(struct vm *vm, u64 gpa, u64 size);
void vm_convert(struct vm *vm, u64 offset, u64 size, int to_private, u64 flags);
void vm_destroy(struct vm *vm);

#endif /* TOOLS_COMMON_VM_H */
