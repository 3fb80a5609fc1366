// SPDX-License-Identifier: GPL-2.0-only
/*
 * Merges of guest_memfd memory that need not happen at once
 *
 * A conversion splits what it has to, and merges only if merge_delay_ms is 0.
 * Otherwise it leaves the extent marked as pending, and a worker merges it when
 * the delay has passed.  A page that goes to and fro costs one split that way.
 *
 * The worker also looks for blocks which the host once mapped, so that they had
 * to be small, although they are shared as a whole.  It looks less and less
 * often, as nobody says when a mapping is gone.
 *
 * The worker holds no reference to the inode: eviction stops it first.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/jiffies.h>
#include <linux/sched.h>

#include "gmem_internal.h"

#define REGROW_INTERVAL_MIN	HZ
#define REGROW_INTERVAL_MAX	(64 * HZ)

/* Have the worker run at @due or earlier; invalidate_lock held exclusively. */
static void schedule_merge(struct kvm_gmem_state *state, unsigned long due)
{
	unsigned long now = jiffies;

	if (delayed_work_pending(&state->merge_work) &&
	    !time_before(due, state->merge_due))
		return;

	state->merge_due = due;
	mod_delayed_work(system_dfl_long_wq, &state->merge_work,
			 time_after(due, now) ? due - now : 0);
}

/**
 * kvm_gmem_watch_small - look soon whether shared blocks may become big again
 * @inode: the guest_memfd, of which the host has just mapped a block
 *
 * Context: invalidate_lock held exclusively.
 */
void kvm_gmem_watch_small(struct inode *inode)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);

	state->regrow_interval = REGROW_INTERVAL_MIN;
	state->regrow_at = jiffies + REGROW_INTERVAL_MIN;
	schedule_merge(state, state->regrow_at);
}

/* Poison does not go away, so only another conversion makes an attempt. */
static bool merge_waits(struct hugetlb_gmem_extent *extent)
{
	return extent->blocked != HUGETLB_GMEM_BLOCKED_POISON;
}

/**
 * kvm_gmem_watch_extent - have the worker see to an extent, if need be
 * @inode: the guest_memfd
 * @extent: the extent, with memory, whose attributes or layout are new
 * @shared_small: it has small blocks that are shared as a whole
 *
 * Context: invalidate_lock held exclusively; or shared, and the extent is new.
 */
void kvm_gmem_watch_extent(struct inode *inode,
			   struct hugetlb_gmem_extent *extent,
			   bool shared_small)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);
	struct xarray *extents = &extent->gmem->extents;
	unsigned long i = extent->index >> extent->order;

	if (xa_get_mark(extents, i, HUGETLB_GMEM_MERGE_PENDING) &&
	    merge_waits(extent))
		schedule_merge(state, extent->merge_at);

	if (!shared_small) {
		xa_clear_mark(extents, i, HUGETLB_GMEM_SHARED_SMALL);
	} else if (!xa_get_mark(extents, i, HUGETLB_GMEM_SHARED_SMALL)) {
		xa_set_mark(extents, i, HUGETLB_GMEM_SHARED_SMALL);
		kvm_gmem_watch_small(inode);
	}
}

typedef void (*visit_fn_t)(struct kvm_gmem_state *state,
			   struct hugetlb_gmem_extent *extent);

/* Call @visit, with the invalidate_lock held, for each extent with @mark. */
static void visit_marked(struct kvm_gmem_state *state, xa_mark_t mark,
			 visit_fn_t visit)
{
	struct address_space *mapping = state->hugetlb->mapping;
	struct hugetlb_gmem_extent *extent;
	unsigned long i = 0;

	do {
		filemap_invalidate_lock(mapping);
		extent = xa_find(&state->hugetlb->extents, &i, ULONG_MAX, mark);
		if (extent)
			visit(state, extent);
		filemap_invalidate_unlock(mapping);
		i++;
		cond_resched();
	} while (extent && !mapping_exiting(mapping));
}

static void merge_if_due(struct kvm_gmem_state *state,
			 struct hugetlb_gmem_extent *extent)
{
	unsigned long i = extent->index >> extent->order;

	if (!merge_waits(extent))
		return;

	if (time_before(jiffies, extent->merge_at)) {
		schedule_merge(state, extent->merge_at);
		return;
	}

	kvm_gmem_merge_extent(state->hugetlb->mapping->host, extent, false,
			      HUGETLB_GMEM_RETRY);
	/* Without memory to plan it nobody has said when to try again. */
	if (xa_get_mark(&extent->gmem->extents, i, HUGETLB_GMEM_MERGE_PENDING) &&
	    merge_waits(extent))
		schedule_merge(state, jiffies + HZ);
}

static void regrow(struct kvm_gmem_state *state,
		   struct hugetlb_gmem_extent *extent)
{
	kvm_gmem_merge_extent(state->hugetlb->mapping->host, extent, true,
			      HUGETLB_GMEM_RETRY);
}

static void regrow_if_due(struct kvm_gmem_state *state)
{
	struct address_space *mapping = state->hugetlb->mapping;
	bool due;

	filemap_invalidate_lock(mapping);
	due = time_after_eq(jiffies, state->regrow_at);
	if (due) {
		state->regrow_interval = min(2 * state->regrow_interval,
					     REGROW_INTERVAL_MAX);
		state->regrow_at = jiffies + state->regrow_interval;
	}
	filemap_invalidate_unlock(mapping);

	if (due)
		visit_marked(state, HUGETLB_GMEM_SHARED_SMALL, regrow);

	filemap_invalidate_lock(mapping);
	if (xa_marked(&state->hugetlb->extents, HUGETLB_GMEM_SHARED_SMALL))
		schedule_merge(state, state->regrow_at);
	filemap_invalidate_unlock(mapping);
}

static void merge_workfn(struct work_struct *work)
{
	struct kvm_gmem_state *state =
		container_of(to_delayed_work(work), struct kvm_gmem_state,
			     merge_work);

	visit_marked(state, HUGETLB_GMEM_MERGE_PENDING, merge_if_due);
	regrow_if_due(state);
}

/* For a new file with HugeTLB pages. */
void kvm_gmem_init_merge(struct kvm_gmem_state *state)
{
	INIT_DELAYED_WORK(&state->merge_work, merge_workfn);
	state->regrow_interval = REGROW_INTERVAL_MIN;
}

/* Nothing is merged after this; the invalidate_lock is not held. */
void kvm_gmem_stop_merge(struct kvm_gmem_state *state)
{
	disable_delayed_work_sync(&state->merge_work);
}
