// SPDX-License-Identifier: GPL-2.0-only
/*
 * See and check the leaves of stage 2 that map memory of guest_memfds
 *
 * The file gmem_leaves in a VM's debugfs folder has a line for each run of equal
 * leaves one after the other:
 *
 *	0x100000 1G 3 private
 *	0x1c0000 2M 511 private
 *
 * which are the first gfn, the size, the number, and what the memory is.
 *
 * With DEBUG_VM, what a conversion concerned is checked after it: a leaf maps the
 * memory that the file has there, is no larger than its folio, and covers no two
 * attributes.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/hugetlb_gmem.h>
#include <linux/kvm_host.h>
#include <linux/seq_file.h>

#include "gmem_stage2.h"
#include "mmu.h"
#include "mmu_internal.h"
#include "tdp_mmu.h"

typedef void (*leaf_fn_t)(struct kvm *kvm, const struct tdp_iter *iter,
			  void *arg);

/* Call @fn for each leaf that maps any of the gfns [start, end). */
static void visit_leaves(struct kvm *kvm, gfn_t start, gfn_t end, leaf_fn_t fn,
			 void *arg)
{
	struct kvm_mmu_page *root;
	struct tdp_iter iter;

	guard(rcu)();
	list_for_each_entry_rcu(root, &kvm->arch.tdp_mmu_roots, link) {
		if (root->role.invalid)
			continue;
		for_each_tdp_pte(iter, kvm, root, start, end) {
			if (is_shadow_present_pte(iter.old_spte) &&
			    is_last_spte(iter.old_spte, iter.level))
				fn(kvm, &iter, arg);
		}
	}
}

/* The run of leaves that is being counted. */
struct leaf_run {
	struct seq_file	*m;
	gfn_t		start;
	gfn_t		end;
	int		level;
	bool		is_private;
};

static const char * const level_names[] = {
	[PG_LEVEL_4K] = "4K", [PG_LEVEL_2M] = "2M", [PG_LEVEL_1G] = "1G",
};

static void show_run(const struct leaf_run *run)
{
	if (run->end)
		seq_printf(run->m, "%#llx %s %llu %s\n", run->start,
			   level_names[run->level],
			   (run->end - run->start) /
			   KVM_PAGES_PER_HPAGE(run->level),
			   run->is_private ? "private" : "shared");
}

static void add_leaf(struct kvm *kvm, const struct tdp_iter *iter, void *arg)
{
	bool is_private = kvm_mem_is_private(kvm, iter->gfn);
	struct leaf_run *run = arg;

	if (run->end != iter->gfn || run->level != iter->level ||
	    run->is_private != is_private) {
		show_run(run);
		run->start = iter->gfn;
		run->level = iter->level;
		run->is_private = is_private;
	}
	run->end = iter->gfn + KVM_PAGES_PER_HPAGE(iter->level);
}

static int gmem_leaves_show(struct seq_file *m, void *unused)
{
	struct kvm *kvm = m->private;
	struct kvm_memory_slot *slot;
	struct leaf_run run;
	int bkt;

	guard(srcu)(&kvm->srcu);
	kvm_for_each_memslot(slot, bkt, kvm_memslots(kvm)) {
		if (!kvm_slot_has_gmem(slot))
			continue;
		run = (struct leaf_run){ .m = m };
		scoped_guard(read_lock, &kvm->mmu_lock)
			visit_leaves(kvm, slot->base_gfn,
				     slot->base_gfn + slot->npages, add_leaf,
				     &run);
		show_run(&run);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(gmem_leaves);

void kvm_gmem_create_vm_debugfs(struct kvm *kvm)
{
	debugfs_create_file("gmem_leaves", 0400, kvm->debugfs_dentry, kvm,
			    &gmem_leaves_fops);
}

/* What a memslot's leaves are checked against. */
struct leaf_check {
	const struct kvm_memory_slot	*slot;
	struct inode			*inode;
};

static bool leaf_is_uniform(struct kvm *kvm, const struct leaf_check *check,
			    pgoff_t index, pgoff_t nr)
{
	pgoff_t last;

	if (!kvm_arch_has_private_mem(kvm))
		return true;

	kvm_gmem_attribute_private(check->inode, index, &last);
	return last >= index + nr - 1;
}

/* Is the leaf that of a folio of the file, and no larger? */
static bool leaf_fits_folio(const struct leaf_check *check,
			    const struct tdp_iter *iter, pgoff_t index)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_hugetlb(check->inode);
	struct hugetlb_gmem_extent *extent;

	extent = hugetlb_gmem_find_extent(hugetlb, index);
	if (!extent)
		return false;

	return page_to_pfn(extent->page) + index - extent->index ==
	       spte_to_pfn(iter->old_spte) &&
	       (hugetlb_gmem_order(extent, index) >=
		(iter->level - 1) * SPTE_LEVEL_BITS ||
		hugetlb_gmem_plain_split());
}

static void check_leaf(struct kvm *kvm, const struct tdp_iter *iter, void *arg)
{
	const struct leaf_check *check = arg;
	const struct kvm_memory_slot *slot = check->slot;
	pgoff_t index = iter->gfn - slot->base_gfn + slot->gmem.pgoff;
	bool good;

	good = leaf_is_uniform(kvm, check, index,
			       KVM_PAGES_PER_HPAGE(iter->level));
	/* Shared memory may be elsewhere. */
	if (kvm_gmem_hugetlb(check->inode) &&
	    (kvm_memslot_is_gmem_only(slot) ||
	     kvm_gmem_attribute_private(check->inode, index, NULL)))
		good &= leaf_fits_folio(check, iter, index);

	WARN_ONCE(!good, "leaf of level %d at gfn %#llx, spte %#llx: larger than its folio, or of other memory, or of two kinds\n",
		  iter->level, iter->gfn, iter->old_spte);
}

/**
 * kvm_arch_gmem_check - check the leaves of stage 2 in a part of a memslot
 * @kvm: the VM
 * @slot: the memslot
 * @inode: the guest_memfd it is bound to
 * @start: first gfn
 * @end: gfn after the last
 *
 * Context: the inode's invalidate_lock held exclusively.
 */
void kvm_arch_gmem_check(struct kvm *kvm, const struct kvm_memory_slot *slot,
			 struct inode *inode, u64 start, u64 end)
{
	struct leaf_check check = { slot, inode };

	/* With attributes of the VM only it knows what is private. */
	if (vm_memory_attributes && kvm_arch_has_private_mem(kvm))
		return;

	guard(read_lock)(&kvm->mmu_lock);
	visit_leaves(kvm, start, end, check_leaf, &check);
}
