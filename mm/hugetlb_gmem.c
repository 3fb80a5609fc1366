// SPDX-License-Identifier: GPL-2.0-only
/*
 * HugeTLB pages as the memory of a guest_memfd
 *
 * A guest_memfd reserves its whole size from a HugeTLB pool when it is created
 * and takes the pages one by one as they are touched.  While it holds a page,
 * an "extent", the folios of the page are not HugeTLB folios, whole or split:
 * what HugeTLB keeps in them is stashed in the extent and comes back when the
 * page returns to the pool.  The rest of mm thus sees large folios of a file,
 * and must not reclaim, migrate, truncate or split them: they are on no LRU
 * list, and hooks in mm see to the rest.
 *
 * An extent counts in NR_HUGETLB, never in NR_FILE_PAGES.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#define pr_fmt(fmt)	"hugetlb_gmem: " fmt

#include <linux/cpuset.h>
#include <linux/dax.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/memcontrol.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_cgroup.h>
#include <linux/ktime.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/page_counter.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include <trace/events/guest_memfd.h>

#include "hugetlb_gmem.h"
#include "hugetlb_internal.h"
#include "internal.h"

#define FREE_ATTEMPTS	10

DEFINE_XARRAY(hugetlb_gmem_extents);

/**
 * hugetlb_gmem_valid_order - is there a pool of huge pages of this order?
 * @order: log2 of the number of pages
 *
 * Return: true if a file can be made of pages of this order.
 */
bool hugetlb_gmem_valid_order(unsigned int order)
{
	return hugetlb_gmem_poison_ready() &&
	       order >= HUGETLB_GMEM_BLOCK_ORDER &&
	       order <= HUGETLB_GMEM_MAX_ORDER &&
	       size_to_hstate(PAGE_SIZE << order);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_valid_order, "kvm");

/**
 * hugetlb_gmem_create - reserve the memory of a file
 * @mapping: the page cache of the file
 * @order: log2 of the number of pages in a huge page; there must be a pool
 * @size: size of the file in bytes, a multiple of the huge page size
 * @poisoned: see struct hugetlb_gmem
 *
 * Return: the new object, or ERR_PTR(-ENOMEM) if the pool with its overcommit,
 * or the reservation limit of the hugetlb cgroup, does not have that much.
 */
struct hugetlb_gmem *
hugetlb_gmem_create(struct address_space *mapping, unsigned int order,
		    loff_t size,
		    void (*poisoned)(struct address_space *mapping, pgoff_t index))
{
	struct hstate *h = size_to_hstate(PAGE_SIZE << order);
	unsigned long nr_pages = size >> PAGE_SHIFT;
	struct hugetlb_gmem *gmem;

	gmem = hugetlb_gmem_should_fail() ? NULL :
	       kzalloc_flex(*gmem, node_pages, nr_node_ids, GFP_KERNEL_ACCOUNT);
	if (!gmem)
		return ERR_PTR(-ENOMEM);

	kref_init(&gmem->kref);
	gmem->mapping = mapping;
	gmem->hstate = h;
	gmem->nr_extents = nr_pages >> order;
	gmem->poisoned = poisoned;
	xa_init(&gmem->extents);
	spin_lock_init(&gmem->stat_lock);

	if (hugetlb_cgroup_charge_cgroup_rsvd(hstate_index(h), nr_pages,
					      &gmem->rsvd))
		goto err_free;

	gmem->subpool = hugetlb_gmem_should_fail() ? NULL :
			hugepage_new_subpool(h, gmem->nr_extents,
					     gmem->nr_extents);
	if (!gmem->subpool)
		goto err_uncharge;

	set_bit(AS_HUGETLB_GMEM, &mapping->flags);
	hugetlb_gmem_count_file(gmem, true);
	return gmem;

err_uncharge:
	hugetlb_cgroup_uncharge_cgroup_rsvd(hstate_index(h), nr_pages,
					    gmem->rsvd);
err_free:
	kfree(gmem);
	return ERR_PTR(-ENOMEM);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_create, "kvm");

static void free_extent_record(struct rcu_head *rcu)
{
	struct hugetlb_gmem_extent *extent =
		container_of(rcu, struct hugetlb_gmem_extent, rcu);

	bitmap_free(extent->poison);
	kfree(extent);
}

/* Free what describes an extent, which has no memory any more. */
void hugetlb_gmem_free_record(struct hugetlb_gmem_extent *extent)
{
	call_rcu(&extent->rcu, free_extent_record);
}

static void release_gmem(struct kref *kref)
{
	struct hugetlb_gmem *gmem = container_of(kref, struct hugetlb_gmem, kref);
	struct hstate *h = gmem->hstate;
	unsigned long nr_pages = gmem->nr_extents << huge_page_order(h);

	hugetlb_gmem_count_file(gmem, false);
	hugepage_put_subpool(gmem->subpool);
	hugetlb_cgroup_uncharge_cgroup_rsvd(hstate_index(h), nr_pages,
					    gmem->rsvd);
	kfree(gmem);
}

/* Put what the inode, or an extent that outlives it, holds. */
void hugetlb_gmem_put(struct hugetlb_gmem *gmem)
{
	kref_put(&gmem->kref, release_gmem);
}

/**
 * hugetlb_gmem_destroy - give up the reservation of a file
 * @gmem: the file, without memory
 *
 * What is left of the reservation goes back to the pool now, or, if pages of
 * the file are still referenced, with the last of them.
 */
void hugetlb_gmem_destroy(struct hugetlb_gmem *gmem)
{
	struct hugetlb_gmem_extent *extent;
	unsigned long i;

	/* Orphans are not here any more, they go with their memory. */
	xa_for_each(&gmem->extents, i, extent)
		hugetlb_gmem_free_record(extent);
	xa_destroy(&gmem->extents);
	WRITE_ONCE(gmem->mapping, NULL);
	/* hugetlb_gmem_memory_failure() may look at @gmem under RCU. */
	synchronize_rcu_expedited();
	hugetlb_gmem_put(gmem);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_destroy, "kvm");

static struct hugetlb_gmem_extent *new_extent(struct hugetlb_gmem *gmem,
					      pgoff_t index)
{
	unsigned int order = huge_page_order(gmem->hstate);
	unsigned int nr_blocks = 1U << (order - HUGETLB_GMEM_BLOCK_ORDER);
	struct hugetlb_gmem_extent *extent;

	extent = hugetlb_gmem_should_fail() ? NULL :
		 kzalloc_flex(*extent, layout, nr_blocks, GFP_KERNEL_ACCOUNT);
	if (!extent)
		return NULL;

	extent->nr_blocks = nr_blocks;
	extent->gmem = gmem;
	extent->order = order;
	extent->index = round_down(index, 1UL << order);
	mutex_init(&extent->lock);
	seqcount_init(&extent->seq);
	INIT_LIST_HEAD(&extent->frozen);
	hugetlb_gmem_init_poison(extent);
	return extent;
}

/**
 * hugetlb_gmem_find_extent - the extent at an offset, if its memory is ready
 * @gmem: the file
 * @index: offset in the file, in pages
 *
 * Context: invalidate_lock held.
 *
 * Return: the extent, or NULL.
 */
struct hugetlb_gmem_extent *hugetlb_gmem_find_extent(struct hugetlb_gmem *gmem,
						     pgoff_t index)
{
	struct hugetlb_gmem_extent *extent;

	extent = xa_load(&gmem->extents,
			 index >> huge_page_order(gmem->hstate));
	/* Pairs with smp_store_release() by who filled the extent. */
	return extent && smp_load_acquire(&extent->ready) ? extent : NULL;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_find_extent, "kvm");

/**
 * hugetlb_gmem_get_extent - the extent at an offset, with or without memory
 * @gmem: the file
 * @index: offset in the file, in pages
 *
 * Context: invalidate_lock held.
 *
 * Return: the extent, or ERR_PTR(-ENOMEM).
 */
struct hugetlb_gmem_extent *hugetlb_gmem_get_extent(struct hugetlb_gmem *gmem,
						    pgoff_t index)
{
	unsigned long i = index >> huge_page_order(gmem->hstate);
	struct hugetlb_gmem_extent *extent = xa_load(&gmem->extents, i);
	struct hugetlb_gmem_extent *old;

	if (extent)
		return extent;

	extent = new_extent(gmem, index);
	if (!extent)
		return ERR_PTR(-ENOMEM);

	old = hugetlb_gmem_should_fail() ? xa_mk_internal(-ENOMEM) :
	      xa_cmpxchg(&gmem->extents, i, NULL, extent, GFP_KERNEL_ACCOUNT);
	if (!old)
		return extent;

	kfree(extent);
	return xa_is_err(old) ? ERR_PTR(xa_err(old)) : old;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_get_extent, "kvm");

#ifdef CONFIG_NUMA
static int interleave_node(struct mempolicy *policy, unsigned long nr)
{
	nodemask_t nodes = policy->nodes;
	int nid;

	if (nodes_empty(nodes))
		return numa_node_id();

	nid = first_node(nodes);
	for (nr %= nodes_weight(nodes); nr; nr--)
		nid = next_node(nid, nodes);
	return nid;
}

/*
 * The policy of the file, else of the task.  Weights of a weighted interleave
 * count as equal.
 */
static struct mempolicy_interpreted
interpret_policy(struct mempolicy *policy, unsigned long nr)
{
	struct mempolicy_interpreted mpoli = { .nid = numa_node_id() };

	policy = policy ?: get_task_policy(current);
	mpoli.mode = policy->mode;
	switch (policy->mode) {
	case MPOL_BIND:
	case MPOL_PREFERRED_MANY:
		/* As elsewhere, a binding is void if the cpuset allows no node of it. */
		if (policy->mode == MPOL_PREFERRED_MANY ||
		    cpuset_nodemask_valid_mems_allowed(&policy->nodes))
			mpoli.nodemask = &policy->nodes;
		if (policy->home_node != NUMA_NO_NODE)
			mpoli.nid = policy->home_node;
		break;
	case MPOL_PREFERRED:
		mpoli.nid = first_node(policy->nodes);
		break;
	case MPOL_INTERLEAVE:
	case MPOL_WEIGHTED_INTERLEAVE:
		mpoli.nid = interleave_node(policy, nr);
		break;
	}
	return mpoli;
}
#else
static struct mempolicy_interpreted
interpret_policy(struct mempolicy *policy, unsigned long nr)
{
	return (struct mempolicy_interpreted){ .nid = numa_node_id() };
}
#endif /* CONFIG_NUMA */

static struct folio *alloc_folio(struct hugetlb_gmem_extent *extent,
				 struct mempolicy *policy)
{
	struct hugetlb_gmem *gmem = extent->gmem;
	struct mempolicy_interpreted mpoli =
		interpret_policy(policy, extent->index >> extent->order);
	unsigned int pin = current->flags & PF_MEMALLOC_PIN;
	struct folio *folio;

	/*
	 * The reservation covers the file, and an extent is allocated once.  But
	 * a page that was poisoned while it was punched took its part along.
	 */
	if (hugepage_subpool_get_pages(gmem->subpool, 1))
		return ERR_PTR(-ENOSPC);

	/* Wherever the page is, it does not move: who is to pin it may have it. */
	current->flags &= ~PF_MEMALLOC_PIN;
	folio = hugetlb_alloc_folio(gmem->hstate, &mpoli, current->mm,
				    HUGETLB_ALLOC_USE_GLOBAL_RESERVATIONS);
	current->flags |= pin;
	if (IS_ERR(folio)) {
		hugepage_subpool_put_pages(gmem->subpool, 1);
		return folio;
	}
	folio_clear_hugetlb_restore_reserve(folio);
	return folio;
}

/* Zero pages [start, start + nr), which nobody else can reach. */
static void zero_pages(struct page *page, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		clear_highpage(page + i);
		if (!(i % HUGETLB_GMEM_BLOCK_PAGES))
			cond_resched();
	}
}

/**
 * hugetlb_gmem_zero - zero pages of an extent
 * @extent: the extent, with memory
 * @start: first offset in the file, in pages
 * @end: offset to stop at, in pages; both are clipped to the extent
 *
 * Poisoned pages stay as they are.
 */
void hugetlb_gmem_zero(struct hugetlb_gmem_extent *extent, pgoff_t start,
		       pgoff_t end)
{
	pgoff_t stop;

	start = max(start, extent->index);
	end = min(end, extent->index + extent_pages(extent));
	while (start < end) {
		stop = min(hugetlb_gmem_find_poison(extent, start, end), end);
		zero_pages(extent->page + (start - extent->index), stop - start);
		start = stop + 1;
	}
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_zero, "kvm");

/* Make @extent known by its pfns, or forget it, which cannot fail. */
static int store_pfns(struct hugetlb_gmem_extent *extent, void *entry)
{
	unsigned long pfn = page_to_pfn(extent->page);
	unsigned long index = pfn >> HUGETLB_GMEM_BLOCK_ORDER;
	unsigned int order = ilog2(extent->nr_blocks);
	XA_STATE_ORDER(xas, &hugetlb_gmem_extents, index, order);

	if (entry && hugetlb_gmem_should_fail())
		return -ENOMEM;

	do {
		xas_lock(&xas);
		xas_store(&xas, entry);
		xas_unlock(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));

	return xas_error(&xas);
}

/* Turn a HugeTLB folio into a plain large folio. */
static void take_stash(struct hugetlb_gmem_extent *extent, struct folio *folio)
{
	struct hugetlb_gmem_stash *stash = &extent->stash;

	spin_lock_irq(&hugetlb_lock);
	list_del_init(&folio->lru);
	stash->private = (unsigned long)folio->private;
	stash->cgroup = hugetlb_cgroup_from_folio(folio);
	set_hugetlb_cgroup(folio, NULL);
	/* Which page it is stays with the folio; trust none. */
	if (folio_test_hwpoison(folio))
		extent->poison_all = true;
	__folio_clear_hugetlb(folio);
	folio->private = NULL;
	spin_unlock_irq(&hugetlb_lock);

#ifdef CONFIG_MEMCG
	stash->memcg_data = folio->memcg_data;
	folio->memcg_data = 0;
#endif
}

/* The reverse, for a frozen folio that is in no page cache. */
static void return_stash(struct hugetlb_gmem_extent *extent, struct folio *folio)
{
	struct hugetlb_gmem_stash *stash = &extent->stash;
	struct hstate *h = extent->gmem->hstate;

	folio->flags.f &= ~PAGE_FLAGS_CHECK_AT_PREP;
	folio->flags.f |= BIT(PG_head);
	folio->mapping = NULL;
#ifdef CONFIG_MEMCG
	folio->memcg_data = stash->memcg_data;
#endif
	spin_lock_irq(&hugetlb_lock);
	folio->private = (void *)stash->private;
	__folio_set_hugetlb(folio);
	hugetlb_set_folio_subpool(folio, extent->gmem->subpool);
	set_hugetlb_cgroup(folio, stash->cgroup);
	set_hugetlb_cgroup_rsvd(folio, NULL);
	folio->_hugetlb_hwpoison = NULL;
	list_add(&folio->lru, &h->hugepage_activelist);
	/* Now hugetlb_cgroup_css_offline() finds the charge on the list. */
	stash->cgroup = NULL;
	spin_unlock_irq(&hugetlb_lock);
}

/*
 * Not __filemap_add_folio(), which counts in NR_FILE_PAGES.  Takes the page
 * cache's references, one for each page.
 */
static int add_to_page_cache(struct hugetlb_gmem_extent *extent,
			     struct folio *folio)
{
	struct address_space *mapping = extent->gmem->mapping;
	unsigned long nr = extent_pages(extent);
	XA_STATE_ORDER(xas, &mapping->i_pages, extent->index, extent->order);

	if (hugetlb_gmem_should_fail())
		return -ENOMEM;

	mapping_set_update(&xas, mapping);
	folio_ref_add(folio, nr);
	folio->mapping = mapping;
	folio->index = extent->index;
	do {
		xas_lock_irq(&xas);
		xas_store(&xas, folio);
		if (!xas_error(&xas))
			mapping->nrpages += nr;
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));

	if (xas_error(&xas)) {
		folio->mapping = NULL;
		folio_ref_sub(folio, nr);
	}
	return xas_error(&xas);
}

static void remove_from_page_cache(struct hugetlb_gmem_extent *extent)
{
	struct address_space *mapping = extent->gmem->mapping;
	XA_STATE_ORDER(xas, &mapping->i_pages, extent->index, extent->order);

	mapping_set_update(&xas, mapping);
	xas_lock_irq(&xas);
	xas_store(&xas, NULL);
	mapping->nrpages -= extent_pages(extent);
	xas_unlock_irq(&xas);
	inode_sub_bytes(mapping->host, huge_page_size(extent->gmem->hstate));
}

/*
 * The page leaves the pool for good, with what it was charged: like
 * free_huge_folio(), but nobody may get it again.
 */
static void quarantine(struct hugetlb_gmem_extent *extent, struct folio *folio)
{
	struct hugepage_subpool *subpool = extent->gmem->subpool;
	struct hstate *h = extent->gmem->hstate;
	unsigned long nr = pages_per_huge_page(h);
	bool surplus;

	/* The reservation shrinks with the pool. */
	spin_lock_irq(&subpool->lock);
	subpool->used_hpages--;
	subpool->max_hpages--;
	subpool->min_hpages--;
	spin_unlock_irq(&subpool->lock);
	hugetlb_set_folio_subpool(folio, NULL);

	spin_lock_irq(&hugetlb_lock);
	hugetlb_cgroup_uncharge_folio(hstate_index(h), nr, folio);
	lruvec_stat_mod_folio(folio, NR_HUGETLB, -nr);
	mem_cgroup_uncharge(folio);
	folio_set_hwpoison(folio);
	surplus = h->surplus_huge_pages_node[folio_nid(folio)];
	remove_hugetlb_folio(h, folio, surplus);
	if (!surplus)
		h->max_huge_pages--;
	spin_unlock_irq(&hugetlb_lock);

	/* Without a reference it looks like one that is about to be free. */
	folio_ref_unfreeze(folio, 1);
	kvfree_rcu_mightsleep(xchg(&extent->poison, NULL));
	WRITE_ONCE(extent->poison_all, false);
	pr_warn("%lu kB at pfn %#lx are poisoned and leave the pool\n",
		huge_page_size(h) / SZ_1K, folio_pfn(folio));
}

/*
 * A page goes back to the pool in three stages, with an RCU grace period after
 * the first two, so that a batch of pages waits for two grace periods.
 *
 * 1. Out of the page cache, and frozen.  Then all lookups have finished, and
 *    with them late attempts to write to a shared tail struct page.
 * 2. A HugeTLB folio, and memory_failure() no longer asks us.  In between it
 *    would take the folio for what it is not.  Then the record of poison is
 *    complete.
 * 3. Free, or out of the pool if poisoned.
 */
static void restore_folio(struct hugetlb_gmem_extent *extent)
{
	hugetlb_gmem_make_whole(extent);
	return_stash(extent, page_folio(extent->page));
	store_pfns(extent, NULL);
}

/* Nothing to merge any more. */
static void forget_pending(struct hugetlb_gmem_extent *extent)
{
	struct xarray *extents = &extent->gmem->extents;
	unsigned long i = extent->index >> extent->order;

	/* An extent that outlived its file is not in there; no harm done. */
	xa_clear_mark(extents, i, HUGETLB_GMEM_MERGE_PENDING);
	xa_clear_mark(extents, i, HUGETLB_GMEM_SHARED_SMALL);
	extent->blocked = HUGETLB_GMEM_NOT_BLOCKED;
}

static enum hugetlb_gmem_reason free_reason(struct hugetlb_gmem_extent *extent)
{
	struct address_space *mapping;

	if (extent_poisoned(extent))
		return HUGETLB_GMEM_POISON;

	/* The inode of an orphan may be about to be freed, after a grace period. */
	guard(rcu)();
	mapping = READ_ONCE(extent->gmem->mapping);
	if (!mapping)
		return HUGETLB_GMEM_RETRY;
	return mapping_exiting(mapping) ? HUGETLB_GMEM_RELEASE :
					  HUGETLB_GMEM_PUNCH;
}

static void free_folio(struct hugetlb_gmem_extent *extent, u64 start_ns)
{
	struct folio *folio = page_folio(extent->page);
	enum hugetlb_gmem_reason reason = free_reason(extent);
	unsigned long pfn = folio_pfn(folio);

	hugetlb_gmem_uncount_extent(extent);
	forget_pending(extent);
	extent->ready = false;
	extent->page = NULL;
	if (extent_poisoned(extent))
		quarantine(extent, folio);
	else
		free_huge_folio(folio);
	trace_gmem_free(pfn, extent->order, reason, ktime_get_ns() - start_ns);
}

/* The extents are frozen and out of the page cache. */
void hugetlb_gmem_free_frozen(struct list_head *frozen)
{
	struct hugetlb_gmem_extent *extent, *next;
	u64 start_ns = ktime_get_ns();

	synchronize_rcu_expedited();
	list_for_each_entry(extent, frozen, frozen) {
		restore_folio(extent);
		cond_resched();
	}

	synchronize_rcu_expedited();
	list_for_each_entry_safe(extent, next, frozen, frozen) {
		list_del_init(&extent->frozen);
		free_folio(extent, start_ns);
		cond_resched();
	}
}

static void undo_alloc(struct hugetlb_gmem_extent *extent, struct folio *folio)
{
	LIST_HEAD(frozen);

	while (!folio_ref_freeze(folio, 1))
		cond_resched();
	list_add(&extent->frozen, &frozen);
	hugetlb_gmem_free_frozen(&frozen);
}

/**
 * hugetlb_gmem_alloc_extent - get memory for an extent
 * @extent: the extent, without memory
 * @policy: NUMA policy of the file at this offset, NULL for the task's
 *
 * The memory is zeroed and whole.  The caller gives it the layout it wants and
 * then sets extent->ready, so that hugetlb_gmem_find_extent() finds it.
 *
 * Context: invalidate_lock and the extent's lock held; sleeps.
 *
 * Return: 0; -ENOSPC if the cgroup's limit or the policy leaves no page to
 * take; -ENOMEM.
 */
int hugetlb_gmem_alloc_extent(struct hugetlb_gmem_extent *extent,
			      struct mempolicy *policy)
{
	struct folio *folio;
	int ret;

	lockdep_assert_held(&extent->lock);

	folio = alloc_folio(extent, policy);
	if (IS_ERR(folio))
		return PTR_ERR(folio);

	extent->optimized = folio_test_hugetlb_vmemmap_optimized(folio);
	memset(extent->layout, extent->order, extent->nr_blocks);
	extent->page = &folio->page;

	/* Before it ceases to be a HugeTLB folio, for memory_failure(). */
	ret = hugetlb_gmem_vmemmap_get_tails(extent) ?:
	      store_pfns(extent, extent);
	if (ret) {
		extent->page = NULL;
		hugetlb_set_folio_subpool(folio, extent->gmem->subpool);
		folio_put(folio);
		return ret;
	}

	take_stash(extent, folio);
	hugetlb_gmem_vmemmap_protect(extent, PAGE_KERNEL);
	if (!hugetlb_gmem_no_zero())
		hugetlb_gmem_zero(extent, extent->index,
				  extent->index + extent_pages(extent));
	folio_mark_uptodate(folio);
	folio_set_dirty(folio);

	ret = add_to_page_cache(extent, folio);
	if (ret) {
		undo_alloc(extent, folio);
		return ret;
	}

	inode_add_bytes(extent->gmem->mapping->host,
			huge_page_size(extent->gmem->hstate));
	folio_put(folio);
	return 0;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_alloc_extent, "kvm");

/**
 * hugetlb_gmem_find_pinned - look for references that are in the way
 * @extent: the extent, with memory
 * @start: first offset in the file to look at, in pages
 * @end: offset to stop at, in pages; both are clipped to the extent
 *
 * Return: offset in the file, in pages, of the first folio in the range which
 * is locked, or referenced by more than the page cache and host mappings, or of
 * the range if the folio begins before it; ULONG_MAX if none is.
 */
pgoff_t hugetlb_gmem_find_pinned(struct hugetlb_gmem_extent *extent,
				 pgoff_t start, pgoff_t end)
{
	unsigned long i, nr, first;
	struct folio *folio;

	start = max(start, extent->index) - extent->index;
	end = min(end - extent->index, extent_pages(extent));
	for (i = start; i < end; i = first + nr) {
		nr = layout_folio_pages(extent->layout, i);
		first = round_down(i, nr);
		folio = (struct folio *)(extent->page + first);
		if (!hugetlb_gmem_folio_idle(folio, nr + folio_mapcount(folio)))
			return extent->index + i;
	}
	return ULONG_MAX;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_find_pinned, "kvm");

/**
 * hugetlb_gmem_map_page - map a page for the host
 * @vmf: the fault
 * @page: a folio of its own
 *
 * A fault that returns with the folio locked unlocks it when the page is mapped,
 * and may be unmapped again: then it has no reference to what it writes to, which
 * may be part of a larger folio by then.  So map the page before the caller lets
 * go of what keeps it, and lock nothing.
 *
 * Context: invalidate_lock held, shared; sleeps.
 *
 * Return: VM_FAULT_NOPAGE, or an error.
 */
vm_fault_t hugetlb_gmem_map_page(struct vm_fault *vmf, struct page *page)
{
	vm_fault_t ret;

	get_page(page);
	vmf->page = page;
	/* The reference becomes that of the page table entry. */
	ret = finish_fault(vmf);
	vmf->page = NULL;
	if (ret)
		put_page(page);
	return ret & VM_FAULT_ERROR ? ret : VM_FAULT_NOPAGE;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_map_page, "kvm");

static bool freeze_extent(struct hugetlb_gmem_extent *extent)
{
	unsigned int attempts;
	bool frozen = false;

	for (attempts = 0; !frozen && attempts < FREE_ATTEMPTS; attempts++) {
		if (attempts) {
			lru_add_drain_all();
			/* Whoever else looks at a page is done soon. */
			usleep_range(100, 200);
		}
		preempt_disable();
		frozen = hugetlb_gmem_freeze(extent, 0, extent_pages(extent));
		/* Out of the page cache nobody spins on a frozen folio. */
		if (frozen)
			remove_from_page_cache(extent);
		preempt_enable();
	}
	return frozen;
}

static void orphan_extent(struct hugetlb_gmem_extent *extent)
{
	remove_from_page_cache(extent);
	xa_erase(&extent->gmem->extents, extent->index >> extent->order);
	hugetlb_gmem_orphan(extent);
}

/**
 * hugetlb_gmem_free_extents - return memory to the pool
 * @gmem: the file
 * @start: first offset in the file, in pages
 * @end: offset to stop at, in pages; extents wholly in between are freed
 *
 * Nothing may be mapped any more.  The memory is in the pool on return, except
 * for extents that are poisoned or have foreign references.  A file that lives
 * keeps them.  If it dies, the former leave the pool, and the latter follow when
 * the last reference is gone.
 *
 * Context: invalidate_lock held exclusively, or the inode is dying; sleeps.
 */
void hugetlb_gmem_free_extents(struct hugetlb_gmem *gmem, pgoff_t start,
			       pgoff_t end)
{
	unsigned int order = huge_page_order(gmem->hstate);
	unsigned long first = round_up(start, 1UL << order) >> order;
	bool exiting = mapping_exiting(gmem->mapping);
	unsigned long i, last = end >> order;
	struct hugetlb_gmem_extent *extent;
	LIST_HEAD(frozen);

	if (first >= last)
		return;

	xa_for_each_range(&gmem->extents, i, extent, first, last - 1) {
		if (!extent->page)
			continue;
		if (exiting)
			hugetlb_gmem_check_release(extent);
		/* A file that lives keeps what is poisoned or referenced. */
		if (extent_poisoned(extent) && !exiting)
			continue;
		if (!(exiting && hugetlb_gmem_orphan_all()) &&
		    freeze_extent(extent))
			list_add_tail(&extent->frozen, &frozen);
		else if (exiting)
			orphan_extent(extent);
		cond_resched();
	}

	if (!list_empty(&frozen))
		hugetlb_gmem_free_frozen(&frozen);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_free_extents, "kvm");

/**
 * hugetlb_gmem_resident - does a file have memory at an offset?
 * @mapping: a mapping with AS_HUGETLB_GMEM
 * @index: offset in the file, in pages
 *
 * Takes no reference: a conversion must not fail because of mincore().
 *
 * Return: true if the page is in memory.
 */
bool hugetlb_gmem_resident(struct address_space *mapping, pgoff_t index)
{
	return xa_load(&mapping->i_pages, index);
}

#ifdef CONFIG_CGROUP_HUGETLB
/**
 * hugetlb_gmem_move_cgroup - charge a dying cgroup's pages to its parent
 * @from: the cgroup that goes offline
 * @to: its parent
 */
void hugetlb_gmem_move_cgroup(struct hugetlb_cgroup *from,
			      struct hugetlb_cgroup *to)
{
	struct hugetlb_gmem_extent *extent;
	unsigned long i, nr;
	int idx, nid;

	guard(rcu)();
	xa_for_each(&hugetlb_gmem_extents, i, extent) {
		guard(spinlock_irq)(&hugetlb_lock);
		if (extent->stash.cgroup != from)
			continue;
		nr = extent_pages(extent);
		idx = hstate_index(extent->gmem->hstate);
		nid = page_to_nid(extent->page);
		page_counter_cancel(&from->hugepage[idx], nr);
		WRITE_ONCE(from->nodeinfo[nid]->usage[idx],
			   from->nodeinfo[nid]->usage[idx] - nr);
		WRITE_ONCE(to->nodeinfo[nid]->usage[idx],
			   to->nodeinfo[nid]->usage[idx] + nr);
		extent->stash.cgroup = to;
	}
}
#endif /* CONFIG_CGROUP_HUGETLB */
