// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage 2 of memory from a guest_memfd with attributes or huge pages
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kvm_host.h>

#include "mmu.h"
#include "mmu_internal.h"

/*
 * Hardware that owns private memory (SEV-SNP, TDX) has to be told when a page
 * changes hands, which is not done yet.
 */
static bool is_software_vm(struct kvm *kvm)
{
	return kvm->arch.vm_type == KVM_X86_DEFAULT_VM ||
	       kvm->arch.vm_type == KVM_X86_SW_PROTECTED_VM;
}

bool kvm_arch_supports_gmem_hugetlb(struct kvm *kvm)
{
	return is_software_vm(kvm);
}

bool kvm_arch_supports_gmem_attributes(struct kvm *kvm)
{
	return kvm_arch_has_private_mem(kvm) && is_software_vm(kvm);
}

static bool level_fits(struct kvm *kvm, const struct kvm_memory_slot *slot,
		       gfn_t gfn, bool is_private, u8 level)
{
	gfn_t nr = KVM_PAGES_PER_HPAGE(level);
	gfn_t ugfn = slot->userspace_addr >> PAGE_SHIFT;

	/* Shared memory elsewhere: lpage_info knows of the file's offset only. */
	if (!is_private && !kvm_memslot_is_gmem_only(slot) &&
	    (slot->base_gfn ^ ugfn) & (nr - 1))
		return false;

	return vm_memory_attributes || !kvm_arch_has_private_mem(kvm) ||
	       kvm_gmem_range_is_uniform(slot, round_down(gfn, nr), nr);
}

/**
 * kvm_gmem_clip_mapping_level - no mapping covers both private and shared gfns
 * @kvm: the VM
 * @slot: memslot of @gfn
 * @gfn: the gfn to be mapped
 * @is_private: of which kind the mapping is
 * @level: the largest level otherwise allowed, so that the gfns are in @slot
 *
 * With attributes in the file nothing is noted in lpage_info; look them up.
 * A change of attributes excludes this by its invalidation.
 *
 * Context: mmu_lock held.
 *
 * Return: the level to use.
 */
u8 kvm_gmem_clip_mapping_level(struct kvm *kvm,
			       const struct kvm_memory_slot *slot, u64 gfn,
			       bool is_private, u8 level)
{
	if (!kvm_slot_has_gmem(slot))
		return level;

	while (level > PG_LEVEL_4K &&
	       !level_fits(kvm, slot, gfn, is_private, level))
		level--;
	return level;
}

/**
 * kvm_gmem_lpage_alignment - what a memslot's gfns must be aligned with
 * @slot: the memslot, being created
 *
 * Return: a frame number; huge mappings need it to be congruent to base_gfn.
 */
u64 kvm_gmem_lpage_alignment(const struct kvm_memory_slot *slot)
{
	return kvm_gmem_slot_is_hugetlb(slot) ? slot->gmem.pgoff :
	       slot->userspace_addr >> PAGE_SHIFT;
}
