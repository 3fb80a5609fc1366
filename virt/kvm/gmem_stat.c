// SPDX-License-Identifier: GPL-2.0-only
/*
 * Count conversions of a guest_memfd, and what its HugeTLB pages are used for
 *
 * For the VM: KVM_GET_STATS_FD.  For the file: /proc/PID/fdinfo/FD, of which
 * mm/hugetlb_gmem_stat.c does the larger part.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/seq_file.h>
#include <linux/spinlock.h>

#include "gmem_internal.h"

/* A VM may have several files, each with locks of its own. */
static DEFINE_SPINLOCK(vm_stat_lock);

/* What the pages of one extent are, in numbers. */
struct extent_use {
	unsigned long nr_private;
	unsigned long nr_collateral;
	bool shared_small;
};

/* Add a run [start, end) of one attribute; offsets in the extent. */
static void add_run(struct hugetlb_gmem_extent *extent, pgoff_t start,
		    pgoff_t end, bool is_private, struct extent_use *use)
{
	pgoff_t next;

	if (is_private)
		use->nr_private += end - start;

	for (; start < end; start = next) {
		next = min(end, round_down(start, HUGETLB_GMEM_BLOCK_PAGES) +
			   HUGETLB_GMEM_BLOCK_PAGES);
		if (extent->layout[start >> HUGETLB_GMEM_BLOCK_ORDER] !=
		    HUGETLB_GMEM_SMALL)
			continue;
		if (is_private)
			use->nr_collateral += next - start;
		else if (next - start == HUGETLB_GMEM_BLOCK_PAGES)
			use->shared_small = true;
	}
}

static void add_up(struct inode *inode, struct hugetlb_gmem_extent *extent,
		   struct extent_use *use)
{
	pgoff_t first = extent->index, end = first + (1UL << extent->order);
	pgoff_t index, last;
	bool is_private;

	for (index = first; index < end; index = last + 1) {
		is_private = kvm_gmem_attribute_private(inode, index, &last);
		last = min(last, end - 1);
		add_run(extent, index - first, last + 1 - first, is_private,
			use);
	}
}

/**
 * kvm_gmem_note_extent - take note of an extent's new attributes and layout
 * @inode: the guest_memfd
 * @extent: the extent, with memory
 *
 * Context: invalidate_lock held exclusively; or shared, and the extent is new.
 */
void kvm_gmem_note_extent(struct inode *inode,
			  struct hugetlb_gmem_extent *extent)
{
	struct extent_use use = {};

	add_up(inode, extent, &use);
	kvm_gmem_watch_extent(inode, extent, use.shared_small);
	hugetlb_gmem_count_extent(extent, use.nr_private, use.nr_collateral);
}

/**
 * kvm_gmem_count_changes - count splits and merges for the VM
 * @inode: the guest_memfd
 * @changes: how many there were
 *
 * Context: invalidate_lock held.
 */
void kvm_gmem_count_changes(struct inode *inode,
			    const struct hugetlb_gmem_changes *changes)
{
	struct kvm *kvm = kvm_gmem_inode_kvm(inode);

	/* The VM may be gone while the file lives. */
	if (!kvm)
		return;

	guard(spinlock)(&vm_stat_lock);
	kvm->stat.generic.gmem_splits += changes->splits;
	kvm->stat.generic.gmem_merges += changes->merges;
}

static void count_for_vm(struct kvm_vm_stat_generic *stat, int err,
			 u64 duration_ns)
{
	guard(spinlock)(&vm_stat_lock);
	switch (err) {
	case 0:
		stat->gmem_converts++;
		KVM_STATS_LOG_HIST_UPDATE(stat->gmem_convert_ns, duration_ns);
		break;
	case -EAGAIN:
		stat->gmem_convert_eagain++;
		break;
	case -ENOMEM:
		stat->gmem_convert_enomem++;
		break;
	}
}

static void count_for_file(struct hugetlb_gmem *hugetlb, int err,
			   pgoff_t error_index)
{
	switch (err) {
	case 0:
		hugetlb_gmem_count_event(hugetlb, HUGETLB_GMEM_CONVERTS, 1);
		break;
	case -EAGAIN:
		hugetlb_gmem_count_eagain(hugetlb, (loff_t)error_index << PAGE_SHIFT);
		break;
	case -ENOMEM:
		hugetlb_gmem_count_event(hugetlb, HUGETLB_GMEM_CONVERT_ENOMEM, 1);
		break;
	}
}

/**
 * kvm_gmem_count_convert - count a call of KVM_SET_MEMORY_ATTRIBUTES2
 * @kvm: the VM
 * @inode: the guest_memfd
 * @err: what the conversion returned
 * @error_index: with an error, the page that was in the way
 * @duration_ns: how long it took
 */
void kvm_gmem_count_convert(struct kvm *kvm, struct inode *inode, int err,
			    pgoff_t error_index, u64 duration_ns)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_state(inode)->hugetlb;

	count_for_vm(&kvm->stat.generic, err, duration_ns);
	if (hugetlb)
		count_for_file(hugetlb, err, error_index);
}

void kvm_gmem_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_state(file_inode(file))->hugetlb;

	if (hugetlb)
		hugetlb_gmem_show(m, hugetlb);
}
