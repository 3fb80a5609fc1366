// SPDX-License-Identifier: GPL-2.0-only
/*
 * Conversion of guest_memfd memory between private and shared
 *
 * A conversion happens whole or not at all, and so does all else that takes
 * memory from those who have it mapped:
 *
 *	plan	which pages change, and which extents get another layout
 *	prepare	whatever may fail: foreign references, memory, the leaves of stage
 *		2 over the ends of the range, consumers, and last of all the host's
 *		mappings of what becomes private, and a freeze of what is split
 *	--- point of no return ---
 *	commit	unmap stage 2 and consumers, re-lay the extents, store the attributes
 *	abort	instead of commit: give everything back
 *
 * The order of locks is slots_lock, invalidate_lock, folio lock, i_mmap lock,
 * mmu_lock.  Under invalidate_lock nobody waits for slots_lock, mmap_lock, user
 * memory or kvm->srcu: vCPUs hold the latter while they wait for it.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/highmem.h>
#include <linux/folio_batch.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>

#include <trace/events/guest_memfd.h>

#include "gmem_convert.h"

typedef void (*trace_fn_t)(struct inode *inode, u64 start, u64 end,
			   bool to_private, int err, u64 duration_ns);

static void init_conversion(struct kvm_gmem_conversion *conv,
			    struct inode *inode)
{
	struct maple_tree *attributes = &kvm_gmem_state(inode)->attributes;

	*conv = (struct kvm_gmem_conversion){
		.inode = inode,
		.small = KVM_GMEM_NO_PAGE,
		.merge = !hugetlb_gmem_merge_delay(),
	};
	INIT_LIST_HEAD(&conv->relayouts);
	mas_init(&conv->mas, attributes, 0);
}

/* No attribute changes, but nobody may have [start, end) mapped meanwhile. */
static int set_only_range(struct kvm_gmem_conversion *conv, pgoff_t start,
			  pgoff_t end)
{
	conv->ranges = hugetlb_gmem_should_fail() ? NULL :
		       kvmalloc_obj(*conv->ranges);
	if (!conv->ranges)
		return -ENOMEM;

	*conv->ranges = (struct kvm_gmem_range){ start, end };
	conv->nr_ranges = 1;
	conv->extents = *conv->ranges;
	return 0;
}

static int prepare_attributes(struct kvm_gmem_conversion *conv)
{
	void *entry = kvm_gmem_attribute_entry(conv->to_private);
	struct ma_state *mas = &conv->mas;
	pgoff_t first = conv->start, last = conv->end - 1;

	/* Neighbours of the same attribute become one entry. */
	if (first) {
		mas_set(mas, first - 1);
		if (mas_walk(mas) == entry)
			first = mas->index;
	}
	mas_set(mas, last + 1);
	if (mas_walk(mas) == entry)
		last = mas->last;

	mas_set_range(mas, first, last);
	if (hugetlb_gmem_should_fail())
		return -ENOMEM;
	return mas_preallocate(mas, entry, GFP_KERNEL_ACCOUNT);
}

static int prepare_relayouts(struct kvm_gmem_conversion *conv,
			     pgoff_t *error_index)
{
	struct hugetlb_gmem_relayout *relayout;
	int ret;

	list_for_each_entry(relayout, &conv->relayouts, list) {
		ret = fatal_signal_pending(current) ? -EINTR :
		      hugetlb_gmem_prepare_relayout(relayout);
		if (ret) {
			*error_index = max(conv->start, relayout->extent->index);
			return ret;
		}
		cond_resched();
	}
	return 0;
}

static pgoff_t find_poison_small(struct address_space *mapping,
				 struct kvm_gmem_range *range)
{
	pgoff_t index = range->start, poison = KVM_GMEM_NO_PAGE;
	struct folio_batch fbatch;
	unsigned int i;

	folio_batch_init(&fbatch);
	while (poison == KVM_GMEM_NO_PAGE &&
	       filemap_get_folios(mapping, &index, range->end - 1, &fbatch)) {
		for (i = 0; i < folio_batch_count(&fbatch); i++) {
			if (folio_test_hwpoison(fbatch.folios[i]))
				poison = min(poison, fbatch.folios[i]->index);
		}
		folio_batch_release(&fbatch);
		cond_resched();
	}
	return poison;
}

static pgoff_t find_poison_huge(struct kvm_gmem_conversion *conv,
				struct kvm_gmem_range *range)
{
	pgoff_t poison, index = range->start;
	struct hugetlb_gmem_extent *extent;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index, range->end))) {
		poison = hugetlb_gmem_find_poison(extent, range->start,
						  range->end);
		if (poison != KVM_GMEM_NO_PAGE)
			return poison;
	}
	return KVM_GMEM_NO_PAGE;
}

static int check_poison(struct kvm_gmem_conversion *conv, pgoff_t *error_index)
{
	unsigned long i;

	/* A layout alone may change around a poisoned page. */
	if (conv->start == conv->end)
		return 0;

	for (i = 0; i < conv->nr_ranges; i++) {
		*error_index = kvm_gmem_hugetlb(conv->inode) ?
			       find_poison_huge(conv, &conv->ranges[i]) :
			       find_poison_small(conv->inode->i_mapping,
						 &conv->ranges[i]);
		if (*error_index != KVM_GMEM_NO_PAGE)
			return -EHWPOISON;
	}
	return 0;
}

static int prepare_stage2(struct kvm_gmem_conversion *conv,
			  pgoff_t *error_index)
{
	pgoff_t nr = 1UL << kvm_gmem_state(conv->inode)->page_order;
	struct kvm_gmem_range hull = {
		.start = conv->ranges[0].start,
		.end = conv->ranges[conv->nr_ranges - 1].end,
	};
	int ret;

	ret = kvm_gmem_prepare_stage2(conv->inode, &hull, error_index);
	if (!ret)
		conv->stage2 = hull;
	else if (ret == -ENOMEM)
		*error_index = max(hull.start, round_down(*error_index, nr));
	else
		*error_index = hull.start;
	return ret;
}

static int prepare_consumers(struct kvm_gmem_conversion *conv,
			     pgoff_t *error_index)
{
	int ret;

	/* A layout alone takes no page from anyone who knows it by its pfn. */
	if (conv->start == conv->end && !conv->punch)
		return 0;

	for (; conv->nr_agreed < conv->nr_ranges; conv->nr_agreed++) {
		*error_index = conv->ranges[conv->nr_agreed].start;
		ret = kvm_gmem_prepare_consumers(conv->inode,
						 &conv->ranges[conv->nr_agreed]);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

/* Those who have the memory mapped, and the poison that they would meet. */
static int prepare_users(struct kvm_gmem_conversion *conv,
			 pgoff_t *error_index)
{
	int ret = prepare_stage2(conv, error_index);
	pgoff_t poison;

	/* Poison comes after memory that is not there, and before the rest. */
	if (ret == -ENOMEM)
		return ret;
	if (check_poison(conv, &poison)) {
		*error_index = poison;
		return -EHWPOISON;
	}
	return ret ?: prepare_consumers(conv, error_index);
}

static int prepare(struct kvm_gmem_conversion *conv, pgoff_t *error_index)
{
	int ret;

	ret = kvm_gmem_check_unpinned(conv, false, error_index);
	if (ret)
		return ret;

	if (conv->start < conv->end) {
		*error_index = conv->start;
		ret = prepare_attributes(conv);
		if (ret)
			return ret;
	}

	ret = prepare_relayouts(conv, error_index);
	if (ret)
		return ret;

	ret = prepare_users(conv, error_index);
	if (ret)
		return ret;

	return kvm_gmem_check_unpinned(conv, true, error_index);
}

/* Shared memory elsewhere must not come back as it was when it was private. */
static bool must_zero(struct kvm_gmem_conversion *conv)
{
	u64 file_flags = kvm_gmem_state(conv->inode)->flags;

	if (conv->punch)
		return true;

	return conv->to_private ? !(file_flags & GUEST_MEMFD_FLAG_MMAP) :
	       conv->flags & KVM_SET_MEMORY_ATTRIBUTES2_ZERO;
}

static void zero_small(struct address_space *mapping,
		       struct kvm_gmem_range *range)
{
	pgoff_t index = range->start;
	struct folio_batch fbatch;
	unsigned int i;

	folio_batch_init(&fbatch);
	while (filemap_get_folios(mapping, &index, range->end - 1, &fbatch)) {
		for (i = 0; i < folio_batch_count(&fbatch); i++) {
			if (folio_test_uptodate(fbatch.folios[i]) &&
			    !folio_test_hwpoison(fbatch.folios[i]))
				clear_highpage(folio_page(fbatch.folios[i], 0));
		}
		folio_batch_release(&fbatch);
		cond_resched();
	}
}

static void zero_range(struct kvm_gmem_conversion *conv,
		       struct kvm_gmem_range *range)
{
	if (kvm_gmem_hugetlb(conv->inode))
		kvm_gmem_hugetlb_zero(conv->inode, range->start, range->end);
	else
		zero_small(conv->inode->i_mapping, range);
}

static void free_conversion(struct kvm_gmem_conversion *conv)
{
	kvfree(conv->ranges);
	mas_destroy(&conv->mas);
}

static void commit_relayouts(struct kvm_gmem_conversion *conv)
{
	struct hugetlb_gmem_relayout *relayout, *next;

	list_for_each_entry_safe(relayout, next, &conv->relayouts, list) {
		hugetlb_gmem_commit_relayout(relayout, conv->merge,
					     &conv->changes);
		cond_resched();
	}
	kvm_gmem_count_changes(conv->inode, &conv->changes);
}

/* The attributes and layouts of extents are new. */
static void note_extents(struct kvm_gmem_conversion *conv)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t index = conv->extents.start;

	if (!kvm_gmem_hugetlb(conv->inode))
		return;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index,
					      conv->extents.end))) {
		kvm_gmem_note_extent(conv->inode, extent);
		cond_resched();
	}
}

/* Take the memory from all who have it; see gmem_invalidate.c. */
static void unmap_users(struct kvm_gmem_conversion *conv)
{
	unsigned long i;

	for (i = 0; i < conv->nr_ranges; i++) {
		kvm_gmem_unmap_stage2(conv->inode, &conv->ranges[i]);
		if (i < conv->nr_agreed)
			kvm_gmem_unmap_consumers(conv->inode, &conv->ranges[i]);
		cond_resched();
	}
}

/* Extents that go are not zeroed first. */
static void commit_contents(struct kvm_gmem_conversion *conv)
{
	unsigned long i;

	if (conv->punch)
		hugetlb_gmem_free_extents(kvm_gmem_hugetlb(conv->inode),
					  conv->ranges->start,
					  conv->ranges->end);
	for (i = 0; i < conv->nr_ranges && must_zero(conv); i++)
		zero_range(conv, &conv->ranges[i]);
}

static void commit(struct kvm_gmem_conversion *conv)
{
	hugetlb_gmem_begin_commit();

	unmap_users(conv);
	commit_relayouts(conv);
	commit_contents(conv);
	if (conv->start < conv->end)
		mas_store_prealloc(&conv->mas,
				   kvm_gmem_attribute_entry(conv->to_private));
	if (conv->nr_ranges)
		kvm_gmem_finish_stage2(conv->inode, &conv->stage2);
	note_extents(conv);

	hugetlb_gmem_end_commit();
	kvm_gmem_check_stage2(conv->inode, conv->ranges, conv->nr_ranges);
	free_conversion(conv);
}

static void abort_conversion(struct kvm_gmem_conversion *conv)
{
	struct hugetlb_gmem_relayout *relayout, *next;

	while (conv->nr_agreed)
		kvm_gmem_abort_consumers(conv->inode,
					 &conv->ranges[--conv->nr_agreed]);
	if (conv->stage2.end)
		kvm_gmem_finish_stage2(conv->inode, &conv->stage2);
	list_for_each_entry_safe(relayout, next, &conv->relayouts, list)
		hugetlb_gmem_abort_relayout(relayout);
	free_conversion(conv);
}

static void trace(struct kvm_gmem_conversion *conv, trace_fn_t trace_event,
		  int err, u64 start_ns)
{
	trace_event(conv->inode, (u64)conv->extents.start << PAGE_SHIFT,
		    (u64)conv->extents.end << PAGE_SHIFT, conv->to_private, err,
		    ktime_get_ns() - start_ns);
}

static int finish_conversion(struct kvm_gmem_conversion *conv, int ret,
			     pgoff_t *error_index)
{
	u64 start_ns = ktime_get_ns();

	/* A page that is in the way comes before memory that is not there. */
	if (ret == -ENOMEM && kvm_gmem_check_unpinned(conv, false, error_index))
		ret = -EAGAIN;

	if (!ret) {
		ret = prepare(conv, error_index);
		trace(conv, trace_gmem_prepare, ret, start_ns);
		start_ns = ktime_get_ns();
	}

	if (ret) {
		abort_conversion(conv);
		trace(conv, trace_gmem_abort, ret, start_ns);
	} else {
		commit(conv);
		trace(conv, trace_gmem_commit, 0, start_ns);
	}
	return ret;
}

/**
 * kvm_gmem_convert - set the attribute of a range of a guest_memfd
 * @inode: the guest_memfd
 * @start: first page
 * @end: page after the last, at most the size of the file
 * @to_private: private or shared
 * @flags: KVM_SET_MEMORY_ATTRIBUTES2_*, checked
 * @error_index: out with an error, the page that is in the way
 *
 * Return: 0 if the whole range has the attribute; an error if nothing has
 * changed, see KVM_SET_MEMORY_ATTRIBUTES2.
 */
int kvm_gmem_convert(struct inode *inode, pgoff_t start, pgoff_t end,
		     bool to_private, u64 flags, pgoff_t *error_index)
{
	struct kvm_gmem_conversion conv;
	int ret;

	init_conversion(&conv, inode);
	conv.start = start;
	conv.end = end;
	conv.to_private = to_private;
	conv.flags = flags;
	conv.extents = (struct kvm_gmem_range){ start, end };
	*error_index = start;

	filemap_invalidate_lock(inode->i_mapping);

	ret = kvm_gmem_plan_ranges(&conv);
	if (!ret && !conv.nr_ranges) {
		free_conversion(&conv);
	} else {
		ret = ret ?: kvm_gmem_plan_extents(&conv, error_index);
		ret = finish_conversion(&conv, ret, error_index);
	}

	filemap_invalidate_unlock(inode->i_mapping);
	return ret;
}

/* Blocks without contents need not be small for the host any longer. */
static void merge_punched(struct inode *inode, pgoff_t start, pgoff_t end)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t index = start;

	while ((extent = kvm_gmem_next_extent(inode, &index, end))) {
		kvm_gmem_merge_extent(inode, extent, true, HUGETLB_GMEM_PUNCH);
		cond_resched();
	}
}

/**
 * kvm_gmem_punch - take a range out of a file with HugeTLB pages
 * @inode: the guest_memfd
 * @start: first page
 * @end: page after the last
 *
 * Extents wholly in the range go back to the pool, unless a page of them is
 * poisoned.  Of others the range loses its contents, pinned or not.
 *
 * Return: 0; -EAGAIN if an extent to be returned has pinned pages; -ENOMEM or
 * -EBUSY of stage 2; what a consumer says.
 */
int kvm_gmem_punch(struct inode *inode, pgoff_t start, pgoff_t end)
{
	struct kvm_gmem_conversion conv;
	pgoff_t error_index;
	int ret;

	init_conversion(&conv, inode);
	conv.punch = true;
	conv.reason = HUGETLB_GMEM_PUNCH;
	ret = set_only_range(&conv, start, end);
	if (ret)
		return ret;

	filemap_invalidate_lock(inode->i_mapping);
	ret = finish_conversion(&conv, 0, &error_index);
	if (!ret)
		merge_punched(inode, start, end);
	filemap_invalidate_unlock(inode->i_mapping);
	return ret;
}

/**
 * kvm_gmem_split_block - make a shared block small, for the host to map it
 * @inode: the guest_memfd
 * @index: a page of the block
 *
 * Return: 0, also if there is nothing to do; -ENOMEM; -EAGAIN if the block is
 * referenced and stays so.
 */
int kvm_gmem_split_block(struct inode *inode, pgoff_t index)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_state(inode)->hugetlb;
	struct hugetlb_gmem_extent *extent;
	struct kvm_gmem_conversion conv;
	pgoff_t error_index, start;
	int ret = 0;

	init_conversion(&conv, inode);
	conv.small = index;
	conv.reason = HUGETLB_GMEM_FAULT;

	filemap_invalidate_lock(inode->i_mapping);

	/* Somebody else may have split the block, or converted it, meanwhile. */
	extent = hugetlb_gmem_find_extent(hugetlb, index);
	if (!extent || kvm_gmem_attribute_private(inode, index, NULL) ||
	    hugetlb_gmem_order(extent, index) == HUGETLB_GMEM_SMALL)
		goto out;

	/* Stage 2 must not keep the large mapping. */
	start = round_down(index, HUGETLB_GMEM_BLOCK_PAGES);
	ret = set_only_range(&conv, start, start + HUGETLB_GMEM_BLOCK_PAGES);
	if (ret)
		goto out;

	ret = kvm_gmem_plan_extent(&conv, extent);
	ret = finish_conversion(&conv, ret, &error_index);
	if (!ret)
		kvm_gmem_watch_small(inode);
out:
	filemap_invalidate_unlock(inode->i_mapping);
	return ret;
}

/**
 * kvm_gmem_fit_layout - give a new extent the layout of its attributes
 * @inode: the guest_memfd
 * @extent: the extent, not ready yet
 *
 * Context: invalidate_lock held shared, and the extent's lock.
 *
 * Return: 0 or -ENOMEM.
 */
int kvm_gmem_fit_layout(struct inode *inode, struct hugetlb_gmem_extent *extent)
{
	struct hugetlb_gmem_relayout *relayout, *next;
	struct kvm_gmem_conversion conv;
	int ret;

	if (!kvm_gmem_layout_follows(inode))
		return 0;

	init_conversion(&conv, inode);
	conv.reason = HUGETLB_GMEM_FAULT;
	ret = kvm_gmem_plan_extent(&conv, extent);
	list_for_each_entry_safe(relayout, next, &conv.relayouts, list) {
		ret = hugetlb_gmem_prepare_relayout(relayout);
		if (ret)
			hugetlb_gmem_abort_relayout(relayout);
		else
			hugetlb_gmem_commit_relayout(relayout, false,
						     &conv.changes);
	}
	kvm_gmem_count_changes(inode, &conv.changes);
	return ret;
}

/**
 * kvm_gmem_merge_extent - merge an extent as far as its attributes allow
 * @inode: the guest_memfd
 * @extent: the extent, with memory
 * @regrow: also small blocks that are shared as a whole, if nobody uses them
 * @reason: what for
 *
 * Takes nothing from anyone: leaves of stage 2 stay as they are, until a fault
 * finds room for a larger one.  What cannot be merged stays pending.
 *
 * Context: invalidate_lock held exclusively; sleeps.
 */
void kvm_gmem_merge_extent(struct inode *inode,
			   struct hugetlb_gmem_extent *extent, bool regrow,
			   enum hugetlb_gmem_reason reason)
{
	struct kvm_gmem_conversion conv;
	pgoff_t error_index;
	int ret;

	lockdep_assert_held_write(&inode->i_mapping->invalidate_lock);
	if (!kvm_gmem_layout_follows(inode))
		return;

	init_conversion(&conv, inode);
	conv.reason = reason;
	conv.regrow = regrow;
	conv.merge = true;
	conv.extents.start = extent->index;
	conv.extents.end = extent->index + (1UL << extent->order);

	ret = kvm_gmem_plan_extent(&conv, extent) ?:
	      prepare_relayouts(&conv, &error_index);
	if (ret)
		abort_conversion(&conv);
	else
		commit(&conv);
}
