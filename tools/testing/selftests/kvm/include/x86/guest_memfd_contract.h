/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which error a call on a guest_memfd must return, from what the documents say
 * and not from what the kernel does, see lib/x86/guest_memfd_contract.c
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_CONTRACT_H
#define SELFTEST_KVM_GUEST_MEMFD_CONTRACT_H

#include "guest_memfd_util.h"

#define GMEM_SLOTS_MAX		8

/* A memslot as it was set, with a guest_memfd or without. */
struct gmem_slots {
	unsigned int nr;
	struct kvm_userspace_memory_region2 slots[GMEM_SLOTS_MAX];
};

/* A guest_memfd of the VM that a memslot may be bound to. */
struct gmem_bindable {
	int fd;
	u64 size;
};

/* All return 0 or minus an errno. */
int gmem_contract_create(unsigned long vm_type,
			 const struct kvm_create_guest_memfd *args);
int gmem_contract_set_attributes(const struct gmem_config *file,
				 const struct kvm_memory_attributes2 *args);
int gmem_contract_fallocate(u64 file_size, int mode, s64 offset, s64 len);
int gmem_contract_region(struct kvm_vm *vm, const struct gmem_slots *slots,
			 const struct gmem_bindable *files, unsigned int nr_files,
			 const struct kvm_userspace_memory_region2 *args);
int gmem_contract_pre_fault(const struct gmem_slots *slots,
			    const struct kvm_pre_fault_memory *args);

/* The slots of @g, with those that it has for code and the model. */
void gmem_contract_slots(struct gmem_vm *g, struct gmem_slots *slots);
/* The slot that has a guest physical address, or NULL. */
const struct kvm_userspace_memory_region2 *
gmem_contract_find_slot(const struct gmem_slots *slots, u64 gpa);

/*
 * What a call that fails must leave as it was, looked at so quickly that it can
 * be done after each of thousands.
 */
struct gmem_quick {
	char fdinfo[GMEM_FDINFO_SIZE];
	u64 st_blocks;
	u64 size;
	u64 page_size;
	struct hugetlb_pool pool;
	int next_fd;
};

void gmem_quick_read(int fd, struct gmem_quick *q);
void gmem_quick_assert_same(int fd, const struct gmem_quick *was, const char *when);

#endif /* SELFTEST_KVM_GUEST_MEMFD_CONTRACT_H */
