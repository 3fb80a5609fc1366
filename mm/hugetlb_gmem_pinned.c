// SPDX-License-Identifier: GPL-2.0-only
/*
 * HugeTLB pages that are still referenced when their guest_memfd is gone
 *
 * Such an extent is an orphan: out of the page cache, split or whole as it was.
 * Its folios get a page type, by which the last put of each of them ends here
 * instead of in the buddy allocator, and is counted.  With the last one a worker
 * gives the page back to the pool.
 *
 * Why no last put is missed.  Until disown_folio() puts them, the page cache's
 * references keep the count of a folio above 0.  The type is set before, so
 * whoever brings the count to 0, that put or a later one, sees it.
 *
 * Why none is counted twice.  A count of 0 stays 0: folio_try_get() fails, and
 * nobody else may take a reference without having one.  extent->held began with
 * one for each folio, and one more for the loop that disowns them, so it comes
 * to 0 once, when every folio of the extent has a count of 0 and the loop is done
 * with them.  Nothing of the extent is rebuilt or freed before.
 *
 * Why there is room for the type, which shares its place with the mapcount.  A
 * mapping in a host page table holds the file, and vm_insert_page() refuses
 * pages of a file that it cannot trust, and pages with a type.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/workqueue.h>

#include "hugetlb_gmem.h"

static LLIST_HEAD(returned_extents);

static void release_orphan(struct hugetlb_gmem_extent *extent)
{
	struct hugetlb_gmem *gmem = extent->gmem;

	hugetlb_gmem_free_record(extent);
	hugetlb_gmem_put(gmem);
}

/* All of whose folios nobody holds any more, in one batch. */
static void free_returned(void)
{
	struct llist_node *nodes = llist_del_all(&returned_extents);
	struct hugetlb_gmem_extent *extent, *next;
	LIST_HEAD(frozen);

	if (!nodes)
		return;

	llist_for_each_entry(extent, nodes, returned) {
		/* Those of a split extent go with its struct pages. */
		__folio_clear_hugetlb_gmem(page_folio(extent->page));
		list_add_tail(&extent->frozen, &frozen);
	}
	hugetlb_gmem_free_frozen(&frozen);

	llist_for_each_entry_safe(extent, next, nodes, returned)
		release_orphan(extent);
}

static void returned_workfn(struct work_struct *work)
{
	free_returned();
}

static DECLARE_WORK(returned_work, returned_workfn);

/* True for the last one; the extent then belongs to free_returned(). */
static bool put_held(struct hugetlb_gmem_extent *extent)
{
	if (!atomic_dec_and_test(&extent->held))
		return false;

	llist_add(&extent->returned, &returned_extents);
	return true;
}

/**
 * hugetlb_gmem_put_orphan - nobody holds this folio any more
 * @folio: a folio with the page type hugetlb_gmem and no reference
 *
 * Context: any but NMI, under any lock; neither sleeps nor frees.
 */
void hugetlb_gmem_put_orphan(struct folio *folio)
{
	struct hugetlb_gmem_extent *extent = find_extent_by_pfn(folio_pfn(folio));

	if (put_held(extent))
		queue_work(system_dfl_wq, &returned_work);
}

/*
 * Put the page cache's references to a folio.  One that is mapped all the same
 * keeps them, and the page is lost: better than to hand it out.
 */
static void disown_folio(struct folio *folio, unsigned long nr)
{
	const int type = (int)((unsigned int)PGTY_hugetlb_gmem << 24);
	bool typed;

	/* Who dirties the folio for a reference that he has uses its mapping. */
	folio_lock(folio);
	typed = !WARN_ON_ONCE(folio_mapped(folio)) &&
		!WARN_ON_ONCE(atomic_cmpxchg(&folio->_mapcount, -1, type) != -1);
	if (typed) {
		/* The type first: without a mapping it may look like a driver's. */
		smp_store_release(&folio->mapping, NULL);
	}
	folio_unlock(folio);

	if (typed)
		folio_put_refs(folio, nr);
}

static int count_folios(const struct hugetlb_gmem_extent *extent)
{
	unsigned int counts[HUGETLB_GMEM_MAX_ORDER + 1], order;
	int nr = 0;

	hugetlb_gmem_count_folios(extent, counts);
	for (order = 0; order <= HUGETLB_GMEM_MAX_ORDER; order++)
		nr += counts[order];
	return nr;
}

/**
 * hugetlb_gmem_orphan - let go of an extent that somebody else holds
 * @extent: the extent, out of the page cache and of the file
 *
 * Its record and what it holds of the file now belong to the last reference.  If
 * that is gone already, the memory is in the pool on return.
 *
 * Context: the inode is dying; sleeps.
 */
void hugetlb_gmem_orphan(struct hugetlb_gmem_extent *extent)
{
	unsigned long i, nr;

	hugetlb_gmem_get(extent->gmem);
	atomic_set(&extent->held, count_folios(extent) + 1);
	for (i = 0; i < extent_pages(extent); i += nr) {
		nr = layout_folio_pages(extent->layout, i);
		disown_folio((struct folio *)(extent->page + i), nr);
		if (!(i % HUGETLB_GMEM_BLOCK_PAGES))
			cond_resched();
	}

	if (put_held(extent))
		free_returned();
}
