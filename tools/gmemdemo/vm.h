/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A software-protected VM with one vCPU in 64-bit mode, a plain slot for its
 * code and one guest_memfd of huge pages.  See vm.c.
 */
#ifndef GMEMDEMO_VM_H
#define GMEMDEMO_VM_H

#include <linux/types.h>
#include <linux/kvm.h>

#include "guest_abi.h"

struct vm {
	int kvm_fd;
	int vm_fd;
	int vcpu_fd;
	int gmem_fd;
	int stats_fd;
	u64 page_size;
	u64 size;
	u8 *plain;
	u8 *shared;
	struct control *control;
	struct kvm_run *run;
};

/* The image that the guest runs, linked for CODE_GPA: guest_image.S. */
extern const u8 guest_image[], guest_image_end[];

/* Exits with one line when the kernel or the pool cannot do it. */
void vm_create(struct vm *vm);
void vm_add_gmem(struct vm *vm, u64 page_size, u64 size);
void vm_start_guest(struct vm *vm, u64 seed, u64 shared_page);
void vm_destroy(struct vm *vm);

/*
 * Run until the guest reports; conversions it asks for are carried out on the
 * way.  Exits with one line on anything unexpected.
 */
enum report vm_run(struct vm *vm);

/* The page as the host sees it while it is shared, mapped from guest_memfd. */
u64 *vm_host_page(struct vm *vm, u64 page);

/* Does a host access to the page fault, as it must while it is private? */
int vm_host_access_faults(struct vm *vm, u64 page);

#endif /* GMEMDEMO_VM_H */
