// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage 2 of memory from a guest_memfd with attributes or huge pages
 *
 * What is private must not be unmapped unless it is converted or punched: a TD
 * would have to accept it anew.  So a leaf which reaches out of a range that is
 * to be unmapped is split first, which may fail, and then the range is unmapped,
 * which may not:
 *
 *	           start                            end
 *	[    1G    . |    ][      1G      ][      1G |     ]   before
 *	[2M][2M][4K..|][2M][      1G      ][2M][4K..|][2M]     split at both ends
 *	[2M][2M][4K]                                [4K][2M]   after
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/error-injection.h>
#include <linux/hugetlb_gmem.h>
#include <linux/kvm_host.h>

#include <trace/events/guest_memfd.h>

#include "gmem_stage2.h"
#include "mmu.h"
#include "mmu_internal.h"
#include "spte.h"
#include "tdp_mmu.h"

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

/**
 * kvm_gmem_slot_changed - is a gfn getting another memslot, or none?
 * @kvm: the VM
 * @slot: memslot of @gfn, as a fault has found it, or NULL
 * @gfn: the gfn of the fault
 *
 * With attributes in the file, a memslot that is being deleted does not know them:
 * its gfns look private, and shared once it is gone.  A fault that finds @gfn to be
 * of another kind than it was a moment ago has to look again.  That goes for VMs
 * of which KVM itself says what a fault is; others know it of their hardware.
 *
 * Context: kvm->srcu held.
 *
 * Return: true if so.
 */
bool kvm_gmem_slot_changed(struct kvm *kvm, const struct kvm_memory_slot *slot,
			   u64 gfn)
{
	const struct kvm_memory_slot *now;

	if (vm_memory_attributes || !is_software_vm(kvm))
		return false;

	now = gfn_to_memslot(kvm, gfn);
	return !now || now != slot || now->flags & KVM_MEMSLOT_INVALID;
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
 * kvm_gmem_adjust_level - a fault that wants a small leaf finds a larger one
 * @vcpu: the vCPU
 * @fault: the fault
 * @iter: at an SPTE on the way down
 *
 * The file says how large a mapping may be before mmu_lock is taken.  A merge since
 * then lets another vCPU map more; and poison, before it is unmapped, lets this one
 * map less.  The leaf is right as long as nothing is invalidated.  It is not for a
 * fault to split it: hardware that owns stage 2 cannot while other vCPUs fault, and
 * nobody would make it large again.
 *
 * Context: mmu_lock held for reading, and RCU.
 */
void kvm_gmem_adjust_level(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault,
			   const struct tdp_iter *iter)
{
	if (iter->level <= fault->goal_level || !fault->slot ||
	    !is_shadow_present_pte(iter->old_spte) ||
	    !is_last_spte(iter->old_spte, iter->level) ||
	    !kvm_gmem_slot_is_hugetlb(fault->slot))
		return;

	/* What the leaf does not allow is to be mapped as usual. */
	if (!fault->prefetch &&
	    spte_permission_fault(vcpu->arch.mmu, iter->old_spte, fault))
		return;

	fault->pfn = round_down(fault->pfn, KVM_PAGES_PER_HPAGE(iter->level));
	fault->goal_level = iter->level;
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

/* Split the leaf over both @gfn - 1 and @gfn, if there is one, to 4K. */
static int split_leaf_at(struct kvm *kvm, const struct kvm_memory_slot *slot,
			 gfn_t gfn)
{
	int level, ret;

	for (level = KVM_MAX_HUGEPAGE_LEVEL; level > PG_LEVEL_4K; level--) {
		gfn_t nr = KVM_PAGES_PER_HPAGE(level);
		gfn_t base = round_down(gfn, nr);

		if (base == gfn)
			return 0;

		ret = kvm_tdp_mmu_try_split_huge_pages(kvm, slot, base,
						       base + nr, level - 1,
						       false);
		trace_gmem_stage2_split(base, level, ret);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * kvm_arch_gmem_split - see that no leaf of stage 2 is on both sides of a gfn
 * @kvm: the VM
 * @slot: memslot of @gfn
 * @gfn: the first gfn on one side
 *
 * Memory is allocated with mmu_lock dropped.
 *
 * Context: an invalidation is in progress over all gfns that one leaf with @gfn
 * could map, or a fault would make it large again; mmu_lock not held.
 *
 * Return: 0; -ENOMEM; -EBUSY if hardware that owns stage 2 is busy.  In either
 * case leaves may be smaller than before, and nothing is unmapped.
 */
int kvm_arch_gmem_split(struct kvm *kvm, const struct kvm_memory_slot *slot,
			gfn_t gfn)
{
	int ret;

	/* The rmaps of shadow paging find what straddles a range, unmap it. */
	if (!tdp_mmu_enabled || hugetlb_gmem_skip_presplit())
		return 0;
	if (hugetlb_gmem_should_fail())
		return -ENOMEM;

	write_lock(&kvm->mmu_lock);
	ret = split_leaf_at(kvm, slot, gfn);
	write_unlock(&kvm->mmu_lock);
	return ret;
}
ALLOW_ERROR_INJECTION(kvm_arch_gmem_split, ERRNO);

/*
 * Do unmappings tell private from shared, although one root maps both?  Not when
 * the file is closed: what goes then is all of the file's, private or not.
 */
static bool filters_leaves(const struct kvm_memory_slot *slot)
{
	return kvm_slot_has_gmem(slot) && READ_ONCE(slot->gmem.file) &&
	       (!vm_memory_attributes || kvm_gmem_slot_is_hugetlb(slot) ||
		kvm_sept_emul_has_slot(slot));
}

static bool is_filtered_out(struct kvm *kvm, const struct kvm_gfn_range *range,
			    const struct tdp_iter *iter)
{
	enum kvm_gfn_range_filter both = KVM_FILTER_SHARED | KVM_FILTER_PRIVATE;
	bool is_private;

	if (range->attr_filter == both || !kvm_arch_has_private_mem(kvm) ||
	    !filters_leaves(range->slot))
		return false;

	is_private = vm_memory_attributes ?
		     kvm_mem_is_private(kvm, iter->gfn) :
		     kvm_gmem_slot_is_private(range->slot, iter->gfn);
	return !(range->attr_filter & (is_private ? KVM_FILTER_PRIVATE :
						    KVM_FILTER_SHARED));
}

/**
 * kvm_gmem_keep_leaf - is a leaf in an unmapped range not to be unmapped?
 * @kvm: the VM
 * @range: what is unmapped; NULL if not on behalf of a memslot
 * @iter: at the leaf
 *
 * A notifier on the VMM's addresses is about shared memory.  Private memory in
 * the same gfns is not there, so that nothing happens to it.
 *
 * A leaf is uniform, and attributes change only when no leaf of the old kind is
 * left, so that the attribute of any gfn tells what the leaf is.  Of a file that is
 * being closed, or a memslot that is being deleted, nothing is kept.
 *
 * Context: mmu_lock held for writing.
 *
 * Return: true if so.
 */
bool kvm_gmem_keep_leaf(struct kvm *kvm, const struct kvm_gfn_range *range,
			const struct tdp_iter *iter)
{
	return range && (is_filtered_out(kvm, range, iter) ||
			 kvm_sept_emul_remove(kvm, range, iter));
}
