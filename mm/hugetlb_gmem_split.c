// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split and merge of the HugeTLB pages that a guest_memfd holds
 *
 * An extent changes from one layout to the next in steps.  A step is an
 * aligned region in which either the old or the new layout is a single folio:
 *
 *	old	[            order 11           ]     a split
 *	new	[4K....][ 9  ][     order 10    ]
 *
 * All that a split needs is had in prepare.  Commit freezes the folios of all
 * steps, writes the struct pages, flushes the TLB once, writes the page cache and
 * the reference counts, all with preemption off: lookups of the page cache spin on
 * a frozen folio, so whoever froze it must not sleep, nor wait for RCU.  They spin
 * with IRQs on, so the flush can reach their CPUs.
 *
 * Why freezing for a split ends.  The page cache holds one reference for each
 * page; hugetlb_gmem_relayout_pinned(), the last of the preparation that may fail,
 * froze the same folios, so there was no other then, and no folio was locked.  And
 * under the exclusive invalidate_lock no lasting one can come:
 *
 *  - the folios are on no LRU list and are not migrated;
 *  - a host mapping, and with it GUP, exists of order-0 folios of shared pages
 *    alone; what is split is not mapped; and faults map what they find before
 *    they let go of invalidate_lock, see hugetlb_gmem_map_page();
 *  - KVM holds a reference from its lookup (under invalidate_lock, shared) to
 *    the end of the same fault, and sleeps nowhere between;
 *  - mincore() asks hugetlb_gmem_resident(), which takes none;
 *  - memory_failure() and soft_offline_page() ask hugetlb_gmem first;
 *  - the rest (invalidate_mapping_pages(), walkers of pfns) takes a reference
 *    for the time of a look.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/dax.h>
#include <linux/delay.h>
#include <linux/error-injection.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include <trace/events/guest_memfd.h>

#include "hugetlb_gmem.h"
#include "internal.h"

#define COMMIT_ATTEMPTS	100
#define MERGE_ATTEMPTS	10
#define BLOCKED_RETRY	HZ

/* The page-cache nodes for one xas_split(). */
struct split_nodes {
	struct list_head	list;
	unsigned int		step;
	unsigned int		old_order;
	struct xa_state		xas;
};

static struct folio *extent_folio(struct hugetlb_gmem_extent *extent,
				  unsigned long offset)
{
	return (struct folio *)(extent->page + offset);
}

static unsigned long step_start(const struct hugetlb_gmem_step *step)
{
	return (unsigned long)step->block << HUGETLB_GMEM_BLOCK_ORDER;
}

static unsigned long step_end(const struct hugetlb_gmem_step *step)
{
	return step_start(step) + (1UL << step->order);
}

static struct hugetlb_gmem_step *
steps_end(const struct hugetlb_gmem_relayout *relayout)
{
	return relayout->steps + relayout->nr_steps;
}

static bool freeze_folio(struct folio *folio, unsigned long nr)
{
	if (!folio_ref_freeze(folio, nr))
		return false;
	/* As in hugetlb_gmem_folio_idle(); nobody can lock it now. */
	if (likely(!folio_test_locked(folio)))
		return true;

	folio_ref_unfreeze(folio, nr);
	return false;
}

/*
 * Freeze the folios of pages [start, end) of @extent, or none.  Preemption is
 * off already.
 */
bool hugetlb_gmem_freeze(struct hugetlb_gmem_extent *extent,
			 unsigned long start, unsigned long end)
{
	unsigned long i, nr;

	for (i = start; i < end; i += nr) {
		nr = layout_folio_pages(extent->layout, i);
		if (!freeze_folio(extent_folio(extent, i), nr)) {
			hugetlb_gmem_unfreeze(extent, start, i);
			return false;
		}
	}
	return true;
}

void hugetlb_gmem_unfreeze(struct hugetlb_gmem_extent *extent,
			   unsigned long start, unsigned long end)
{
	unsigned long i, nr;

	for (i = start; i < end; i += nr) {
		nr = layout_folio_pages(extent->layout, i);
		folio_ref_unfreeze(extent_folio(extent, i), nr);
	}
}

static bool extent_whole(const struct hugetlb_gmem_extent *extent)
{
	return extent->layout[0] == extent->order;
}

/*
 * One folio out of all pages of a frozen extent that left the page cache, with
 * struct pages as the pool has them.
 */
void hugetlb_gmem_make_whole(struct hugetlb_gmem_extent *extent)
{
	unsigned long end = extent_pages(extent);
	LIST_HEAD(freed);

	if (extent_whole(extent)) {
		hugetlb_gmem_vmemmap_protect(extent, PAGE_KERNEL_RO);
		return;
	}

	/* Readers of /proc/kpageflags still come here. */
	preempt_disable();
	write_seqcount_begin(&extent->seq);
	hugetlb_gmem_vmemmap_collect(extent, 0, end, &freed);
	memset(extent->layout, extent->order, extent->nr_blocks);
	hugetlb_gmem_vmemmap_relayout(extent, extent->layout, 0, end, NULL,
				      PAGE_KERNEL_RO);
	hugetlb_gmem_vmemmap_flush(extent, 0, end);
	write_seqcount_end(&extent->seq);
	preempt_enable();
	hugetlb_gmem_vmemmap_free(&freed);
}

static void store_entry(struct xa_state *xas, struct folio *folio)
{
	xas_store(xas, folio);
	WARN_ON_ONCE(xas_error(xas));
}

/* The 512 entries of a small block in a row, from one walk down the tree. */
static void store_small_block(struct hugetlb_gmem_extent *extent,
			      unsigned long offset)
{
	struct address_space *mapping = extent->gmem->mapping;
	XA_STATE(xas, &mapping->i_pages, extent->index + offset);
	unsigned long i;

	mapping_set_update(&xas, mapping);
	for (i = 0; i < HUGETLB_GMEM_BLOCK_PAGES; i++) {
		if (i)
			xas_next(&xas);
		store_entry(&xas, extent_folio(extent, offset + i));
	}
}

static void store_big_folio(struct hugetlb_gmem_extent *extent,
			    unsigned long offset, unsigned int order)
{
	struct address_space *mapping = extent->gmem->mapping;
	pgoff_t index = extent->index + offset;
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);

	mapping_set_update(&xas, mapping);
	store_entry(&xas, extent_folio(extent, offset));
}

/* Put the folios of one step into the page cache; allocates nothing. */
static void store_folios(struct hugetlb_gmem_relayout *relayout,
			 const struct hugetlb_gmem_step *step)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	struct address_space *mapping = extent->gmem->mapping;
	unsigned int nr = step - relayout->steps, order;
	struct split_nodes *nodes;
	unsigned long i;

	xa_lock_irq(&mapping->i_pages);
	list_for_each_entry(nodes, &relayout->nodes, list) {
		if (nodes->step == nr)
			xas_split(&nodes->xas,
				  extent_folio(extent, step_start(step)),
				  nodes->old_order);
	}

	for (i = step_start(step); i < step_end(step);
	     i += layout_part_pages(relayout->to, i)) {
		order = layout_order(relayout->to, i);
		if (order)
			store_big_folio(extent, i, order);
		else
			store_small_block(extent, i);
	}
	xa_unlock_irq(&mapping->i_pages);
}

/* Is a step to be done now, if it can? */
static bool step_due(const struct hugetlb_gmem_step *step, bool merge)
{
	return step->state == HUGETLB_GMEM_STEP_TODO && (step->split || merge);
}

static void unfreeze_steps(struct hugetlb_gmem_relayout *relayout)
{
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (step->state == HUGETLB_GMEM_STEP_FROZEN)
			hugetlb_gmem_unfreeze(relayout->extent, step_start(step),
					      step_end(step));
	}
}

static void set_frozen_steps(struct hugetlb_gmem_relayout *relayout,
			     enum hugetlb_gmem_step_state state)
{
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (step->state == HUGETLB_GMEM_STEP_FROZEN)
			step->state = state;
	}
}

/*
 * Freeze the folios of all splits, or none, and of the merges that are free.
 *
 * Return: the number of steps, or -EAGAIN if a split meets a reference.
 */
static int freeze_steps(struct hugetlb_gmem_relayout *relayout, bool merge)
{
	struct hugetlb_gmem_step *step;
	int nr = 0;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (!step_due(step, merge))
			continue;
		if (hugetlb_gmem_freeze(relayout->extent, step_start(step),
					step_end(step))) {
			step->state = HUGETLB_GMEM_STEP_FROZEN;
			nr++;
		} else if (step->split) {
			unfreeze_steps(relayout);
			set_frozen_steps(relayout, HUGETLB_GMEM_STEP_TODO);
			return -EAGAIN;
		}
	}
	return nr;
}

/* New struct pages for the frozen regions, seen by all CPUs on return. */
static void relayout_struct_pages(struct hugetlb_gmem_relayout *relayout,
				  struct list_head *freed)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	unsigned long first = extent_pages(extent), last = 0;
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (step->state != HUGETLB_GMEM_STEP_FROZEN)
			continue;
		if (!step->split)
			hugetlb_gmem_vmemmap_collect(extent, step_start(step),
						     step_end(step), freed);
		hugetlb_gmem_vmemmap_relayout(extent, relayout->to,
					      step_start(step), step_end(step),
					      &relayout->pages, PAGE_KERNEL);
		first = min(first, step_start(step));
		last = step_end(step);
	}
	hugetlb_gmem_vmemmap_flush(extent, first, last);
}

static void count_step(struct hugetlb_gmem_relayout *relayout,
		       const struct hugetlb_gmem_step *step)
{
	unsigned int block, end = step_end(step) >> HUGETLB_GMEM_BLOCK_ORDER;
	u8 *from = relayout->extent->layout, *to = relayout->to;

	for (block = step->block; block < end; block++) {
		relayout->changes.splits += from[block] && !to[block];
		relayout->changes.merges += !from[block] && to[block];
	}
}

static void relayout_page_cache(struct hugetlb_gmem_relayout *relayout)
{
	u8 *layout = relayout->extent->layout;
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (step->state != HUGETLB_GMEM_STEP_FROZEN)
			continue;
		store_folios(relayout, step);
		count_step(relayout, step);
		memcpy(layout + step->block, relayout->to + step->block,
		       (1UL << step->order) >> HUGETLB_GMEM_BLOCK_ORDER);
	}
}

static void trace_step(struct hugetlb_gmem_relayout *relayout,
		       struct hugetlb_gmem_step *step, u64 duration_ns)
{
	unsigned long pfn = page_to_pfn(relayout->extent->page) + step_start(step);

	if (step->split)
		trace_gmem_split(pfn, step->order, relayout->reason, duration_ns);
	else
		trace_gmem_merge(pfn, step->order, relayout->reason, duration_ns);
}

static void finish_steps(struct hugetlb_gmem_relayout *relayout, u64 duration_ns)
{
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (step->state == HUGETLB_GMEM_STEP_FROZEN)
			trace_step(relayout, step, duration_ns);
	}
	set_frozen_steps(relayout, HUGETLB_GMEM_STEP_DONE);
}

/*
 * All steps of an extent at once, for one flush of the TLB.  The pages of vmemmap
 * that are not used any more are freed when nobody can see them.
 *
 * Return: false if a split met a reference; then nothing is done.
 */
static bool try_steps(struct hugetlb_gmem_relayout *relayout, bool merge)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	u64 start_ns = ktime_get_ns();
	LIST_HEAD(freed);
	int nr;

	preempt_disable();
	nr = freeze_steps(relayout, merge);
	if (nr > 0) {
		write_seqcount_begin(&extent->seq);
		relayout_struct_pages(relayout, &freed);
		relayout_page_cache(relayout);
		write_seqcount_end(&extent->seq);
		unfreeze_steps(relayout);
	}
	preempt_enable();

	finish_steps(relayout, ktime_get_ns() - start_ns);
	hugetlb_gmem_vmemmap_free(&freed);
	return nr >= 0;
}

/* Of a poisoned page's neighbours as many as possible stay in use. */
static void skip_poisoned(struct hugetlb_gmem_relayout *relayout)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (!step->split &&
		    hugetlb_gmem_find_poison(extent,
					     extent->index + step_start(step),
					     extent->index + step_end(step)) != ULONG_MAX)
			step->state = HUGETLB_GMEM_STEP_POISONED;
	}
}

static bool steps_left(struct hugetlb_gmem_relayout *relayout, bool merge)
{
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (step_due(step, merge))
			return true;
	}
	return false;
}

/*
 * A split has to happen: wait for passing references for as long as it takes.  A
 * merge may stay undone: small folios are correct, only slower.
 */
static void do_steps(struct hugetlb_gmem_relayout *relayout, bool merge)
{
	unsigned int attempts;
	bool split_done = false;

	for (attempts = 1; steps_left(relayout, merge); attempts++) {
		split_done |= try_steps(relayout, merge);
		if (split_done && attempts >= MERGE_ATTEMPTS)
			break;
		WARN_ONCE(attempts == COMMIT_ATTEMPTS,
			  "page to be split stays referenced\n");
		if (steps_left(relayout, merge))
			usleep_range(100, 200);
	}
}

static enum hugetlb_gmem_blocked
blocked_by(struct hugetlb_gmem_relayout *relayout, bool merge)
{
	enum hugetlb_gmem_blocked blocked = HUGETLB_GMEM_NOT_BLOCKED;
	struct hugetlb_gmem_step *step;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (!merge || step->split)
			continue;
		if (step->state == HUGETLB_GMEM_STEP_POISONED)
			return HUGETLB_GMEM_BLOCKED_POISON;
		if (step->state == HUGETLB_GMEM_STEP_TODO)
			blocked = HUGETLB_GMEM_BLOCKED_PINS;
	}
	return blocked;
}

static void count_changes(struct hugetlb_gmem_relayout *relayout,
			  struct hugetlb_gmem_changes *changes)
{
	struct hugetlb_gmem *gmem = relayout->extent->gmem;
	struct hugetlb_gmem_changes *done = &relayout->changes;

	changes->splits += done->splits;
	changes->merges += done->merges;
	hugetlb_gmem_count_event(gmem, HUGETLB_GMEM_SPLITS, done->splits);
	hugetlb_gmem_count_event(gmem, HUGETLB_GMEM_MERGES, done->merges);
}

/*
 * What is left to be merged is for a worker.  One that is waiting for its time
 * keeps it, lest an extent with a page that goes to and fro is never merged.
 */
static void note_pending(struct hugetlb_gmem_relayout *relayout,
			 enum hugetlb_gmem_blocked blocked)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	struct xarray *extents = &extent->gmem->extents;
	unsigned long i = extent->index >> extent->order;

	if (!memcmp(extent->layout, relayout->to, extent->nr_blocks)) {
		extent->blocked = HUGETLB_GMEM_NOT_BLOCKED;
		xa_clear_mark(extents, i, HUGETLB_GMEM_MERGE_PENDING);
		return;
	}

	if (blocked)
		extent->merge_at = jiffies + BLOCKED_RETRY;
	else if (extent->blocked ||
		 !xa_get_mark(extents, i, HUGETLB_GMEM_MERGE_PENDING))
		extent->merge_at = jiffies + hugetlb_gmem_merge_delay();
	extent->blocked = blocked;
	xa_set_mark(extents, i, HUGETLB_GMEM_MERGE_PENDING);
}

static int add_nodes(struct hugetlb_gmem_relayout *relayout, unsigned int step,
		     unsigned long offset, unsigned int old_order,
		     unsigned int order)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	struct address_space *mapping = extent->gmem->mapping;
	struct split_nodes *nodes;

	nodes = hugetlb_gmem_should_fail() ? NULL : kzalloc_obj(*nodes);
	if (!nodes)
		return -ENOMEM;

	nodes->step = step;
	nodes->old_order = old_order;
	nodes->xas = (struct xa_state)
		__XA_STATE(&mapping->i_pages, extent->index + offset, 0, 0);
	xas_set_order(&nodes->xas, extent->index + offset, order);
	mapping_set_update(&nodes->xas, mapping);
	list_add_tail(&nodes->list, &relayout->nodes);

	if (hugetlb_gmem_should_fail())
		return -ENOMEM;

	xas_split_alloc(&nodes->xas, extent_folio(extent, offset), old_order,
			GFP_KERNEL);
	return xas_error(&nodes->xas);
}

/* Does @layout have a folio below @order in the aligned region at @offset? */
static bool layout_below(const u8 *layout, unsigned long offset,
			 unsigned int order)
{
	return layout_order(layout, offset) < order;
}

/*
 * One xas_split() goes down one level of the tree at most.  The levels hold
 * entries of orders 12..17, 6..11 and 0..5, so the path from order 18 to 4K is
 * 18 -> 12 -> 9 -> 0, the latter two only where the new layout has it.
 */
static int add_split(struct hugetlb_gmem_relayout *relayout, unsigned int nr)
{
	const struct hugetlb_gmem_step *step = &relayout->steps[nr];
	const unsigned int mid = 2 * XA_CHUNK_SHIFT;
	unsigned int order = step->order;
	unsigned long i;
	int ret;

	if (order > mid) {
		ret = add_nodes(relayout, nr, step_start(step), order, mid);
		if (ret)
			return ret;
		order = mid;
	}

	for (i = step_start(step); i < step_end(step); i += 1UL << order) {
		if (order == HUGETLB_GMEM_BLOCK_ORDER ||
		    !layout_below(relayout->to, i, order))
			continue;
		ret = add_nodes(relayout, nr, i, order, HUGETLB_GMEM_BLOCK_ORDER);
		if (ret)
			return ret;
	}

	for (i = step_start(step); i < step_end(step);
	     i += HUGETLB_GMEM_BLOCK_PAGES) {
		if (!layout_below(relayout->to, i, HUGETLB_GMEM_BLOCK_ORDER))
			continue;
		ret = add_nodes(relayout, nr, i, HUGETLB_GMEM_BLOCK_ORDER, 0);
		if (ret)
			return ret;
	}
	return 0;
}

static void free_nodes(struct hugetlb_gmem_relayout *relayout)
{
	struct split_nodes *nodes, *next;

	list_for_each_entry_safe(nodes, next, &relayout->nodes, list) {
		xas_destroy(&nodes->xas);
		kfree(nodes);
	}
}

static void free_relayout(struct hugetlb_gmem_relayout *relayout)
{
	free_nodes(relayout);
	hugetlb_gmem_vmemmap_free(&relayout->pages);
	kvfree(relayout->steps);
	kfree(relayout);
}

/**
 * hugetlb_gmem_new_relayout - start a change of layout
 * @extent: the extent, with memory
 *
 * Return: the new object, to be filled by the caller, or NULL without memory.
 */
struct hugetlb_gmem_relayout *
hugetlb_gmem_new_relayout(struct hugetlb_gmem_extent *extent)
{
	struct hugetlb_gmem_relayout *relayout;

	relayout = hugetlb_gmem_should_fail() ? NULL :
		   kzalloc_flex(*relayout, to, extent->nr_blocks);
	if (!relayout)
		return NULL;

	relayout->extent = extent;
	INIT_LIST_HEAD(&relayout->list);
	INIT_LIST_HEAD(&relayout->nodes);
	INIT_LIST_HEAD(&relayout->pages);
	return relayout;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_new_relayout, "kvm");

/**
 * hugetlb_gmem_prepare_relayout - get all that a change of layout needs
 * @relayout: the change, with its steps
 *
 * Context: invalidate_lock held as for writing the extent; sleeps.
 *
 * Return: 0, or -ENOMEM; the caller then calls hugetlb_gmem_abort_relayout().
 * Nothing that anyone could see has changed in either case.
 */
int hugetlb_gmem_prepare_relayout(struct hugetlb_gmem_relayout *relayout)
{
	struct hugetlb_gmem_step *step;
	int ret;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		if (!step->split)
			continue;
		ret = add_split(relayout, step - relayout->steps);
		if (ret)
			return ret;
		ret = hugetlb_gmem_vmemmap_prepare(relayout->extent, relayout->to,
						   step_start(step),
						   step_end(step),
						   &relayout->pages);
		if (ret)
			return ret;
	}
	return 0;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_prepare_relayout, "kvm");
ALLOW_ERROR_INJECTION(hugetlb_gmem_prepare_relayout, ERRNO);

/* Is there a moment in which all folios of a split can be frozen?  Now? */
static bool can_freeze(struct hugetlb_gmem_extent *extent,
		       const struct hugetlb_gmem_step *step)
{
	bool frozen;

	guard(preempt)();
	frozen = hugetlb_gmem_freeze(extent, step_start(step), step_end(step));
	if (frozen)
		hugetlb_gmem_unfreeze(extent, step_start(step), step_end(step));
	return frozen;
}

/**
 * hugetlb_gmem_relayout_pinned - try whether what is to be split can be frozen
 * @relayout: the change
 *
 * Return: offset in the file, in pages, of the first folio to be split which is
 * locked, or referenced by more than the page cache; ULONG_MAX if none is.
 */
pgoff_t hugetlb_gmem_relayout_pinned(struct hugetlb_gmem_relayout *relayout)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	struct hugetlb_gmem_step *step;
	pgoff_t start, pinned;

	for (step = relayout->steps; step < steps_end(relayout); step++) {
		/* A merge may stay undone. */
		if (!step->split || can_freeze(extent, step))
			continue;

		start = extent->index + step_start(step);
		pinned = hugetlb_gmem_find_pinned(extent, start,
						  extent->index + step_end(step));
		/* Whoever was in the way may be gone. */
		return pinned == ULONG_MAX ? start : pinned;
	}
	return ULONG_MAX;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_relayout_pinned, "kvm");

/**
 * hugetlb_gmem_commit_relayout - change the layout
 * @relayout: the change, prepared; freed here
 * @merge: merge now; otherwise only split
 * @changes: how many blocks became small or big is added here
 *
 * Allocates nothing and cannot fail.  What was not merged, because it was not to
 * be, or because of a reference which does not go away, or of poison, leaves the
 * extent marked with HUGETLB_GMEM_MERGE_PENDING.
 *
 * Context: as for preparing; sleeps.
 */
void hugetlb_gmem_commit_relayout(struct hugetlb_gmem_relayout *relayout,
				  bool merge,
				  struct hugetlb_gmem_changes *changes)
{
	if (merge)
		skip_poisoned(relayout);
	do_steps(relayout, merge);
	VM_WARN_ON_ONCE(!list_empty(&relayout->pages));
	count_changes(relayout, changes);
	note_pending(relayout, blocked_by(relayout, merge));
	hugetlb_gmem_check_relayout(relayout);
	free_relayout(relayout);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_commit_relayout, "kvm");

/**
 * hugetlb_gmem_abort_relayout - give back what a change of layout has got
 * @relayout: the change, prepared or not; freed here
 */
void hugetlb_gmem_abort_relayout(struct hugetlb_gmem_relayout *relayout)
{
	free_relayout(relayout);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_abort_relayout, "kvm");

/**
 * hugetlb_gmem_block_idle - has nobody but the page cache a small block?
 * @extent: the extent
 * @block: number of the block in it, small
 *
 * Return: true if no page is mapped by the host, otherwise referenced, or locked.
 */
bool hugetlb_gmem_block_idle(struct hugetlb_gmem_extent *extent,
			     unsigned int block)
{
	unsigned long start = (unsigned long)block << HUGETLB_GMEM_BLOCK_ORDER;
	unsigned long i;

	for (i = start; i < start + HUGETLB_GMEM_BLOCK_PAGES; i++) {
		if (!hugetlb_gmem_folio_idle(extent_folio(extent, i), 1))
			return false;
	}
	return true;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_block_idle, "kvm");
