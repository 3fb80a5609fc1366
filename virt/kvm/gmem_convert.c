// SPDX-License-Identifier: GPL-2.0-only
/*
 * Conversion of guest_memfd memory between private and shared
 *
 * A conversion happens whole or not at all:
 *
 *	plan	which pages change, and which extents get another layout
 *	prepare	whatever may fail: foreign references, memory, and last of all
 *		the host's mappings of what becomes private
 *	--- point of no return ---
 *	commit	zap stage 2, re-lay the extents, store the attributes
 *	abort	instead of commit: give everything back
 *
 * The order of locks is slots_lock, invalidate_lock, folio lock, i_mmap lock,
 * mmu_lock.  Under invalidate_lock nobody waits for slots_lock, mmap_lock, user
 * memory or kvm->srcu: vCPUs hold the latter while they wait for it.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/folio_batch.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#include <trace/events/guest_memfd.h>

#include "gmem_internal.h"
#include "gmem_layout.h"

#define PIN_ATTEMPTS	10

/**
 * struct conversion - one change of attributes, or of a layout alone
 * @inode: the guest_memfd
 * @start: first page of the range
 * @end: page after the last; no attribute changes if equal to @start
 * @to_private: the attribute to set
 * @flags: KVM_SET_MEMORY_ATTRIBUTES2_*
 * @small: a page whose block must become small
 * @regrow: let small blocks that nobody uses become big if wholly shared
 * @merge: merge what can be merged now, not later
 * @nr_ranges: number of @ranges
 * @ranges: the parts of the range that have the other attribute
 * @extents: where the extents are that this is about
 * @relayouts: those which get another layout, struct hugetlb_gmem_relayout
 * @mas: where the attribute is stored, with the memory for it
 * @reason: what the layout changes for
 * @changes: how much the layout has changed
 */
struct conversion {
	struct inode			*inode;
	pgoff_t				start;
	pgoff_t				end;
	bool				to_private;
	u64				flags;
	pgoff_t				small;
	bool				regrow;
	bool				merge;
	unsigned long			nr_ranges;
	struct kvm_gmem_range		*ranges;
	struct kvm_gmem_range		extents;
	struct list_head		relayouts;
	struct ma_state			mas;
	enum hugetlb_gmem_reason	reason;
	struct hugetlb_gmem_changes	changes;
};

#define NO_PAGE	ULONG_MAX

typedef void (*trace_fn_t)(struct inode *inode, u64 start, u64 end,
			   bool to_private, int err, u64 duration_ns);

static void init_conversion(struct conversion *conv, struct inode *inode)
{
	struct maple_tree *attributes = &kvm_gmem_state(inode)->attributes;

	*conv = (struct conversion){
		.inode = inode,
		.small = NO_PAGE,
		.merge = !hugetlb_gmem_merge_delay(),
	};
	INIT_LIST_HEAD(&conv->relayouts);
	mas_init(&conv->mas, attributes, 0);
}

static struct hugetlb_gmem *conversion_hugetlb(struct conversion *conv)
{
	return kvm_gmem_state(conv->inode)->hugetlb;
}

/* The attribute that a page will have, and the last page of its run. */
static bool planned_private(struct conversion *conv, pgoff_t index,
			    pgoff_t *last)
{
	bool is_private;

	if (index >= conv->start && index < conv->end) {
		*last = conv->end - 1;
		return conv->to_private;
	}

	is_private = kvm_gmem_attribute_private(conv->inode, index, last);
	if (index < conv->start && conv->start < conv->end)
		*last = min(*last, conv->start - 1);
	return is_private;
}

/* As above, but runs of equal attributes on both sides of an end are one. */
static bool planned_run(struct conversion *conv, pgoff_t index, pgoff_t end,
			pgoff_t *last)
{
	bool is_private = planned_private(conv, index, last);
	pgoff_t next;

	while (*last < end - 1 &&
	       planned_private(conv, *last + 1, &next) == is_private)
		*last = next;
	return is_private;
}

static enum gmem_block
classify_block(struct conversion *conv, struct hugetlb_gmem_extent *extent,
	       unsigned int block, bool is_private, bool uniform)
{
	pgoff_t index = extent->index +
			((pgoff_t)block << HUGETLB_GMEM_BLOCK_ORDER);

	if (!uniform)
		return GMEM_BLOCK_SMALL;
	if (is_private)
		return GMEM_BLOCK_PRIVATE;
	if (round_down(conv->small, HUGETLB_GMEM_BLOCK_PAGES) == index)
		return GMEM_BLOCK_SMALL;
	/* The host may have mapped what is small; it stays until private. */
	if (extent->layout[block] == HUGETLB_GMEM_SMALL &&
	    !(conv->regrow && hugetlb_gmem_block_idle(extent, block)))
		return GMEM_BLOCK_SMALL;
	return GMEM_BLOCK_SHARED;
}

static void classify_extent(struct conversion *conv,
			    struct hugetlb_gmem_extent *extent, u8 *blocks)
{
	pgoff_t start, end, last = 0;
	bool is_private = false;
	unsigned int block;

	for (block = 0; block < extent->nr_blocks; block++) {
		start = extent->index +
			((pgoff_t)block << HUGETLB_GMEM_BLOCK_ORDER);
		end = start + HUGETLB_GMEM_BLOCK_PAGES;
		if (!block || last < end - 1)
			is_private = planned_run(conv, start, end, &last);
		blocks[block] = classify_block(conv, extent, block, is_private,
					       last >= end - 1);
	}
}

static int plan_steps(struct conversion *conv,
		      struct hugetlb_gmem_relayout *relayout)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	unsigned int nr = extent->nr_blocks;
	u8 *blocks;

	blocks = hugetlb_gmem_should_fail() ? NULL :
		 kmalloc(nr, GFP_KERNEL_ACCOUNT);
	if (!blocks)
		return -ENOMEM;

	classify_extent(conv, extent, blocks);
	if (hugetlb_gmem_plain_split() && memchr(blocks, GMEM_BLOCK_SMALL, nr))
		memset(blocks, GMEM_BLOCK_SMALL, nr);
	gmem_layout_build(relayout->to, blocks, nr);
	kfree(blocks);
	relayout->nr_steps = gmem_layout_steps(extent->layout, relayout->to,
					       nr, NULL);
	if (!relayout->nr_steps)
		return 0;

	relayout->steps = hugetlb_gmem_should_fail() ? NULL :
			  kvmalloc_array(relayout->nr_steps,
					 sizeof(*relayout->steps),
					 GFP_KERNEL_ACCOUNT);
	if (!relayout->steps)
		return -ENOMEM;
	gmem_layout_steps(extent->layout, relayout->to, nr, relayout->steps);
	return 0;
}

static bool merge_pending(struct hugetlb_gmem_extent *extent)
{
	return xa_get_mark(&extent->gmem->extents, extent->index >> extent->order,
			   HUGETLB_GMEM_MERGE_PENDING);
}

/* Without a step there may still be an end to a merge that is pending. */
static int plan_extent(struct conversion *conv,
		       struct hugetlb_gmem_extent *extent)
{
	struct hugetlb_gmem_relayout *relayout;
	int ret;

	relayout = hugetlb_gmem_new_relayout(extent);
	if (!relayout)
		return -ENOMEM;

	relayout->reason = conv->reason;
	ret = plan_steps(conv, relayout);
	if (ret || (!relayout->nr_steps && !merge_pending(extent)))
		hugetlb_gmem_abort_relayout(relayout);
	else
		list_add_tail(&relayout->list, &conv->relayouts);
	return ret;
}

/* Only the host needs small folios, and without a mapping it has no access. */
static bool layout_follows(struct inode *inode)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);

	return state->hugetlb && state->flags & GUEST_MEMFD_FLAG_MMAP;
}

static int plan_extents(struct conversion *conv, pgoff_t *error_index)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t index = conv->start;
	int ret;

	if (!layout_follows(conv->inode))
		return 0;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index, conv->end))) {
		ret = plan_extent(conv, extent);
		if (ret) {
			*error_index = max(conv->start, extent->index);
			return ret;
		}
		cond_resched();
	}
	return 0;
}

/* The next part that changes, from @index, which moves past it. */
static bool next_range(struct conversion *conv, pgoff_t *index,
		       struct kvm_gmem_range *range)
{
	bool is_private;
	pgoff_t last;

	while (*index < conv->end) {
		range->start = *index;
		is_private = kvm_gmem_attribute_private(conv->inode, *index,
							&last);
		range->end = min(last, conv->end - 1) + 1;
		*index = range->end;
		if (is_private != conv->to_private)
			return true;
		cond_resched();
	}
	return false;
}

static int plan_ranges(struct conversion *conv)
{
	pgoff_t index = conv->start;
	struct kvm_gmem_range range;
	unsigned long i;

	while (next_range(conv, &index, &range))
		conv->nr_ranges++;
	if (!conv->nr_ranges)
		return 0;

	conv->ranges = hugetlb_gmem_should_fail() ? NULL :
		       kvmalloc_array(conv->nr_ranges, sizeof(*conv->ranges),
				      GFP_KERNEL_ACCOUNT);
	if (!conv->ranges)
		return -ENOMEM;

	for (index = conv->start, i = 0; i < conv->nr_ranges; i++)
		next_range(conv, &index, &conv->ranges[i]);
	return 0;
}

/* With 4K pages: the first page with foreign references, and its folio. */
static pgoff_t find_pinned_small(struct address_space *mapping,
				 struct kvm_gmem_range *range,
				 struct folio **pinned)
{
	pgoff_t index = range->start;
	struct folio_batch fbatch;
	unsigned int i;

	folio_batch_init(&fbatch);
	while (filemap_get_folios(mapping, &index, range->end - 1, &fbatch)) {
		for (i = 0; i < folio_batch_count(&fbatch); i++) {
			struct folio *folio = fbatch.folios[i];

			/* Referenced by memory_failure(); see check_poison(). */
			if (folio_test_hwpoison(folio))
				continue;
			if (folio_ref_count(folio) ==
			    folio_nr_pages(folio) + folio_mapcount(folio) + 1)
				continue;
			folio_get(folio);
			*pinned = folio;
			folio_batch_release(&fbatch);
			return folio->index;
		}
		folio_batch_release(&fbatch);
		cond_resched();
	}
	return NO_PAGE;
}

static struct folio *get_extent_folio(struct hugetlb_gmem_extent *extent,
				      pgoff_t index)
{
	struct folio *folio = page_folio(extent->page + (index - extent->index));

	folio_get(folio);
	return folio;
}

static pgoff_t find_pinned_huge(struct conversion *conv,
				struct kvm_gmem_range *range,
				struct folio **pinned)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t found, index = range->start;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index, range->end))) {
		found = hugetlb_gmem_find_pinned(extent, range->start,
						 range->end);
		if (found != NO_PAGE) {
			*pinned = get_extent_folio(extent, found);
			return found;
		}
		cond_resched();
	}
	return NO_PAGE;
}

/* Also folios that reach out of the range and are to be split. */
static pgoff_t find_pinned_relayout(struct conversion *conv,
				    struct folio **pinned)
{
	struct hugetlb_gmem_relayout *relayout;
	pgoff_t index;

	list_for_each_entry(relayout, &conv->relayouts, list) {
		index = hugetlb_gmem_relayout_pinned(relayout);
		if (index != NO_PAGE) {
			*pinned = get_extent_folio(relayout->extent, index);
			return index;
		}
	}
	return NO_PAGE;
}

/* Also if there was no memory for @ranges. */
static pgoff_t find_pinned(struct conversion *conv, struct folio **pinned)
{
	pgoff_t index = conv->start, found = NO_PAGE;
	struct kvm_gmem_range range;
	unsigned long i;

	for (i = 0; i < conv->nr_ranges && found == NO_PAGE; i++) {
		if (conv->ranges)
			range = conv->ranges[i];
		else
			next_range(conv, &index, &range);
		found = conversion_hugetlb(conv) ?
			find_pinned_huge(conv, &range, pinned) :
			find_pinned_small(conv->inode->i_mapping, &range,
					  pinned);
		cond_resched();
	}

	return found;
}

/* The lower of the two, with its folio. */
static pgoff_t find_any_pinned(struct conversion *conv, struct folio **pinned)
{
	struct folio *range_folio = NULL, *split_folio = NULL;
	pgoff_t range = find_pinned(conv, &range_folio);
	pgoff_t split = find_pinned_relayout(conv, &split_folio);

	*pinned = range <= split ? range_folio : split_folio;
	if (range_folio && split_folio)
		folio_put(range <= split ? split_folio : range_folio);
	return min(range, split);
}

static void unmap_host(struct conversion *conv)
{
	unsigned long i;

	if (!conv->to_private)
		return;

	for (i = 0; i < conv->nr_ranges; i++) {
		unmap_mapping_pages(conv->inode->i_mapping,
				    conv->ranges[i].start,
				    conv->ranges[i].end - conv->ranges[i].start,
				    false);
		cond_resched();
	}
}

/*
 * See that nobody but the page cache and host page tables holds a reference.
 * What passes by itself is waited for, up to a bound: folios in a per-CPU batch
 * of mlock or the LRU, a host fault between its return and the page table entry
 * (which then has to be unmapped), a fault of KVM.
 */
static int check_unpinned(struct conversion *conv, bool unmap,
			  pgoff_t *error_index)
{
	struct folio *folio;
	unsigned int i;
	pgoff_t index;

	for (i = 0; i < PIN_ATTEMPTS; i++) {
		if (unmap)
			unmap_host(conv);
		index = find_any_pinned(conv, &folio);
		if (index == NO_PAGE)
			return 0;

		lru_cache_drain_for_folio(folio, 1, NULL);
		folio_put(folio);
		/* Not folio_lock(): memory_failure() has it and waits for us. */
		if (i)
			usleep_range(1000, 2000);
	}

	*error_index = clamp(index, conv->start, conv->end - 1);
	return -EAGAIN;
}

static int prepare_attributes(struct conversion *conv)
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

static int prepare_relayouts(struct conversion *conv, pgoff_t *error_index)
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
	pgoff_t index = range->start, poison = NO_PAGE;
	struct folio_batch fbatch;
	unsigned int i;

	folio_batch_init(&fbatch);
	while (poison == NO_PAGE &&
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

static pgoff_t find_poison_huge(struct conversion *conv,
				struct kvm_gmem_range *range)
{
	pgoff_t poison, index = range->start;
	struct hugetlb_gmem_extent *extent;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index, range->end))) {
		poison = hugetlb_gmem_find_poison(extent, range->start,
						  range->end);
		if (poison != NO_PAGE)
			return poison;
	}
	return NO_PAGE;
}

static int check_poison(struct conversion *conv, pgoff_t *error_index)
{
	unsigned long i;

	/* A layout alone may change around a poisoned page. */
	if (conv->start == conv->end)
		return 0;

	for (i = 0; i < conv->nr_ranges; i++) {
		*error_index = conversion_hugetlb(conv) ?
			       find_poison_huge(conv, &conv->ranges[i]) :
			       find_poison_small(conv->inode->i_mapping,
						 &conv->ranges[i]);
		if (*error_index != NO_PAGE)
			return -EHWPOISON;
	}
	return 0;
}

static int prepare(struct conversion *conv, pgoff_t *error_index)
{
	int ret;

	ret = check_unpinned(conv, false, error_index);
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

	ret = check_poison(conv, error_index);
	if (ret)
		return ret;

	return check_unpinned(conv, true, error_index);
}

/* Shared memory elsewhere must not come back as it was when it was private. */
static bool must_zero(struct conversion *conv)
{
	u64 file_flags = kvm_gmem_state(conv->inode)->flags;

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
			if (folio_test_uptodate(fbatch.folios[i]))
				clear_highpage(folio_page(fbatch.folios[i], 0));
		}
		folio_batch_release(&fbatch);
		cond_resched();
	}
}

static void zero_range(struct conversion *conv, struct kvm_gmem_range *range)
{
	if (conversion_hugetlb(conv))
		kvm_gmem_hugetlb_zero(conv->inode, range->start, range->end);
	else
		zero_small(conv->inode->i_mapping, range);
}

static void free_conversion(struct conversion *conv)
{
	kvfree(conv->ranges);
	mas_destroy(&conv->mas);
}

static void commit_relayouts(struct conversion *conv)
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
static void note_extents(struct conversion *conv)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t index = conv->extents.start;

	if (!conversion_hugetlb(conv))
		return;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index,
					      conv->extents.end))) {
		kvm_gmem_note_extent(conv->inode, extent);
		cond_resched();
	}
}

static void commit(struct conversion *conv)
{
	unsigned long i;

	for (i = 0; i < conv->nr_ranges; i++) {
		kvm_gmem_invalidate_start(conv->inode, conv->ranges[i].start,
					  conv->ranges[i].end);
		cond_resched();
	}

	commit_relayouts(conv);

	for (i = 0; i < conv->nr_ranges && must_zero(conv); i++)
		zero_range(conv, &conv->ranges[i]);

	if (conv->start < conv->end)
		mas_store_prealloc(&conv->mas,
				   kvm_gmem_attribute_entry(conv->to_private));

	for (i = 0; i < conv->nr_ranges; i++) {
		kvm_gmem_invalidate_end(conv->inode, conv->ranges[i].start,
					conv->ranges[i].end);
		cond_resched();
	}
	note_extents(conv);
	free_conversion(conv);
}

static void abort_conversion(struct conversion *conv)
{
	struct hugetlb_gmem_relayout *relayout, *next;

	list_for_each_entry_safe(relayout, next, &conv->relayouts, list)
		hugetlb_gmem_abort_relayout(relayout);
	free_conversion(conv);
}

static void trace(struct conversion *conv, trace_fn_t trace_event, int err,
		  u64 start_ns)
{
	trace_event(conv->inode, (u64)conv->extents.start << PAGE_SHIFT,
		    (u64)conv->extents.end << PAGE_SHIFT, conv->to_private, err,
		    ktime_get_ns() - start_ns);
}

static int finish_conversion(struct conversion *conv, int ret,
			     pgoff_t *error_index)
{
	u64 start_ns = ktime_get_ns();

	/* A page that is in the way comes before memory that is not there. */
	if (ret == -ENOMEM && check_unpinned(conv, false, error_index))
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
 * Return: 0 if the whole range has the attribute.  -EAGAIN, -ENOMEM, -EHWPOISON
 * or -EINTR if nothing has changed, see KVM_SET_MEMORY_ATTRIBUTES2.
 */
int kvm_gmem_convert(struct inode *inode, pgoff_t start, pgoff_t end,
		     bool to_private, u64 flags, pgoff_t *error_index)
{
	struct conversion conv;
	int ret;

	init_conversion(&conv, inode);
	conv.start = start;
	conv.end = end;
	conv.to_private = to_private;
	conv.flags = flags;
	conv.extents = (struct kvm_gmem_range){ start, end };
	*error_index = start;

	filemap_invalidate_lock(inode->i_mapping);

	ret = plan_ranges(&conv);
	if (!ret && !conv.nr_ranges) {
		free_conversion(&conv);
	} else {
		ret = ret ?: plan_extents(&conv, error_index);
		ret = finish_conversion(&conv, ret, error_index);
	}

	filemap_invalidate_unlock(inode->i_mapping);
	return ret;
}

/**
 * kvm_gmem_wait_unpinned - unmap a range from the host, see it unreferenced
 * @inode: the guest_memfd
 * @start: first page
 * @end: page after the last
 *
 * Context: invalidate_lock held exclusively.
 *
 * Return: 0, or -EAGAIN if a page is still referenced after some time.  What is
 * referenced from the beginning is not unmapped.
 */
int kvm_gmem_wait_unpinned(struct inode *inode, pgoff_t start, pgoff_t end)
{
	struct kvm_gmem_range range = { start, end };
	struct conversion conv;
	pgoff_t error_index;

	init_conversion(&conv, inode);
	conv.to_private = true;
	conv.start = start;
	conv.end = end;
	conv.ranges = &range;
	conv.nr_ranges = 1;
	return check_unpinned(&conv, false, &error_index) ?:
	       check_unpinned(&conv, true, &error_index);
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
	struct kvm_gmem_range *block;
	struct conversion conv;
	pgoff_t error_index;
	int ret = 0;

	init_conversion(&conv, inode);
	conv.small = index;
	conv.reason = HUGETLB_GMEM_FAULT;

	filemap_invalidate_lock(inode->i_mapping);

	/* Somebody else may have split the block, or converted it, meanwhile. */
	extent = hugetlb_gmem_find_extent(hugetlb, index);
	if (!extent || kvm_gmem_attribute_private(inode, index, NULL) ||
	    extent->layout[(index - extent->index) >>
			   HUGETLB_GMEM_BLOCK_ORDER] == HUGETLB_GMEM_SMALL)
		goto out;

	/* No attribute changes, but stage 2 must not keep the large mapping. */
	block = hugetlb_gmem_should_fail() ? NULL : kvmalloc_obj(*block);
	if (!block) {
		ret = -ENOMEM;
		goto out;
	}
	block->start = round_down(index, HUGETLB_GMEM_BLOCK_PAGES);
	block->end = block->start + HUGETLB_GMEM_BLOCK_PAGES;
	conv.ranges = block;
	conv.nr_ranges = 1;
	conv.extents = *block;

	ret = plan_extent(&conv, extent);
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
	struct conversion conv;
	int ret;

	if (!layout_follows(inode))
		return 0;

	init_conversion(&conv, inode);
	conv.reason = HUGETLB_GMEM_FAULT;
	ret = plan_extent(&conv, extent);
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
	struct conversion conv;
	pgoff_t error_index;
	int ret;

	if (!layout_follows(inode))
		return;

	init_conversion(&conv, inode);
	conv.reason = reason;
	conv.regrow = regrow;
	conv.merge = true;
	conv.extents.start = extent->index;
	conv.extents.end = extent->index + (1UL << extent->order);

	ret = plan_extent(&conv, extent) ?:
	      prepare_relayouts(&conv, &error_index);
	if (ret)
		abort_conversion(&conv);
	else
		commit(&conv);
}
