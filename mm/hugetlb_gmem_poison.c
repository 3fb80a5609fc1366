// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory failure in HugeTLB pages that a guest_memfd holds
 *
 * The struct pages of such a page cannot say that it is poisoned: most of them
 * are one page shared by the whole zone, and they change with the layout.  So
 * the extent keeps the record.  memory_failure() hands over the pfn, a worker
 * tells the owner to take the mappings away, and whoever touches the page next
 * gets an error.  The worker, not memory_failure(), because the latter holds
 * mf_mutex, which must not wait for an invalidate_lock.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "hugetlb_gmem.h"
#include "internal.h"

static struct workqueue_struct *poison_wq;

/* Called with the inode of @work's extent referenced. */
static void poison_workfn(struct work_struct *work)
{
	struct hugetlb_gmem_extent *extent =
		container_of(work, struct hugetlb_gmem_extent, poison_work);
	struct hugetlb_gmem *gmem = extent->gmem;
	struct address_space *mapping = gmem->mapping;
	unsigned long start = extent->index;
	unsigned long end = start + extent_pages(extent);
	pgoff_t index;

	for (index = hugetlb_gmem_find_poison(extent, start, end);
	     index != ULONG_MAX;
	     index = hugetlb_gmem_find_poison(extent, index + 1, end))
		gmem->poisoned(mapping, index);

	iput(mapping->host);
}

/* Without the worker no file can be made. */
bool hugetlb_gmem_poison_ready(void)
{
	return poison_wq;
}

void hugetlb_gmem_init_poison(struct hugetlb_gmem_extent *extent)
{
	INIT_WORK(&extent->poison_work, poison_workfn);
}

/**
 * hugetlb_gmem_find_poison - look for a poisoned page
 * @extent: the extent
 * @start: first offset in the file to look at, in pages
 * @end: offset to stop at, in pages; both are clipped to the extent
 *
 * Return: offset in the file, in pages, of the first poisoned page, or ULONG_MAX.
 */
pgoff_t hugetlb_gmem_find_poison(struct hugetlb_gmem_extent *extent,
				 pgoff_t start, pgoff_t end)
{
	unsigned long *poison, bit;

	start = max(start, extent->index);
	end = min(end, extent->index + extent_pages(extent));
	if (start >= end)
		return ULONG_MAX;
	if (READ_ONCE(extent->poison_all))
		return start;

	/* The worker looks while the page may be on its way out of the pool. */
	guard(rcu)();
	poison = READ_ONCE(extent->poison);
	if (!poison)
		return ULONG_MAX;

	bit = find_next_bit(poison, end - extent->index, start - extent->index);
	return bit < end - extent->index ? extent->index + bit : ULONG_MAX;
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_find_poison, "kvm");

/**
 * hugetlb_gmem_owns_pfn - is this page part of a HugeTLB page in a guest_memfd?
 * @pfn: any page frame number
 *
 * Return: true if so.  Its struct page must then not be written, nor its folio
 * split or migrated.
 */
bool hugetlb_gmem_owns_pfn(unsigned long pfn)
{
	return find_extent_by_pfn(pfn);
}

/* Have the owner told; @surplus is an inode reference that nobody needs. */
static void queue_poison(struct hugetlb_gmem_extent *extent,
			 struct inode **surplus)
{
	struct address_space *mapping = READ_ONCE(extent->gmem->mapping);
	struct inode *inode = mapping ? igrab(mapping->host) : NULL;

	/* Who finds the inode dying looks at the record when it frees. */
	if (inode && !queue_work(poison_wq, &extent->poison_work))
		*surplus = inode;
}

/*
 * Is there a record of single pages, by *@bitmap or from before?  If not, all of
 * the extent counts as poisoned.  Under RCU, or else @extent stays.
 */
static bool have_record(struct hugetlb_gmem_extent *extent,
			unsigned long **bitmap)
{
	if (*bitmap && !cmpxchg(&extent->poison, NULL, *bitmap))
		*bitmap = NULL;
	if (READ_ONCE(extent->poison))
		return true;

	WRITE_ONCE(extent->poison_all, true);
	return false;
}

/* Under RCU: an extent found is not freed, nor is its memory in the pool. */
static int record_poison(unsigned long pfn, unsigned long **bitmap,
			 unsigned long nr, struct inode **surplus)
{
	struct hugetlb_gmem_extent *extent = find_extent_by_pfn(pfn);
	unsigned long *none = NULL;
	bool known;

	if (!extent)
		return -ENOENT;

	known = READ_ONCE(extent->poison_all);
	/* What a record cannot say of pages before it counts twice, not never. */
	if (have_record(extent, nr == extent_pages(extent) ? bitmap : &none))
		known = test_and_set_bit(pfn - page_to_pfn(extent->page),
					 extent->poison);
	hugetlb_gmem_count_poison(extent);
	/* Again if known: whoever consumed it now had it mapped still. */
	queue_poison(extent, surplus);
	return known ? -EHWPOISON : 0;
}

static unsigned long *alloc_bitmap(unsigned long pfn, unsigned long *nr)
{
	struct hugetlb_gmem_extent *extent;

	*nr = 0;
	scoped_guard(rcu) {
		extent = find_extent_by_pfn(pfn);
		if (extent && !READ_ONCE(extent->poison))
			*nr = extent_pages(extent);
	}
	return *nr && !hugetlb_gmem_should_fail() ?
	       bitmap_zalloc(*nr, GFP_KERNEL) : NULL;
}

/**
 * hugetlb_gmem_memory_failure - take a poisoned page from a guest_memfd
 * @pfn: the page
 * @flags: as for memory_failure()
 *
 * Context: process; mf_mutex held.  A reference on the page stays the caller's.
 *
 * Return: 0; -EHWPOISON if the page was poisoned before; -ENOENT if it is not
 * ours.
 */
int hugetlb_gmem_memory_failure(unsigned long pfn, int flags)
{
	struct inode *surplus = NULL;
	unsigned long *bitmap, nr;
	int ret;

	bitmap = alloc_bitmap(pfn, &nr);
	scoped_guard(rcu)
		ret = record_poison(pfn, &bitmap, nr, &surplus);

	iput(surplus);
	bitmap_free(bitmap);
	if (ret)
		return ret;

	num_poisoned_pages_inc(pfn);
	pr_err("Memory failure: %#lx: recovery action for guest_memfd page: Delayed\n",
	       pfn);
	return 0;
}

/* The one allocation in what cannot fail, for a bug of somebody else. */
static void poison_part(struct hugetlb_gmem_extent *extent, pgoff_t start,
			pgoff_t end)
{
	unsigned long *bitmap = NULL;

	if (!READ_ONCE(extent->poison))
		bitmap = bitmap_zalloc(extent_pages(extent), GFP_NOWAIT);
	if (have_record(extent, &bitmap)) {
		for (; start < end; start++)
			set_bit(start - extent->index, extent->poison);
	}
	hugetlb_gmem_count_poison(extent);
	bitmap_free(bitmap);
}

/**
 * hugetlb_gmem_poison - take pages out of use that somebody cannot let go
 * @gmem: the file
 * @start: offset of the first page in the file, in pages
 * @end: offset to stop at, in pages
 *
 * Their memory is good, so that it does not count as HardwareCorrupted.
 *
 * Context: the extents stay; does not sleep.
 */
void hugetlb_gmem_poison(struct hugetlb_gmem *gmem, pgoff_t start, pgoff_t end)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t stop;

	for (; start < end; start = stop) {
		stop = min(end, round_up(start + 1, 1UL << huge_page_order(gmem->hstate)));
		extent = hugetlb_gmem_find_extent(gmem, start);
		if (extent)
			poison_part(extent, start, stop);
	}
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_poison, "kvm");

/**
 * hugetlb_gmem_drain - wait until nobody here is going to need an owner
 *
 * Nor to hold a file.  The owner has none any more, and is about to go.
 */
void hugetlb_gmem_drain(void)
{
	if (poison_wq)
		flush_workqueue(poison_wq);
	hugetlb_gmem_check_drain();
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_drain, "kvm");

static int __init hugetlb_gmem_poison_init(void)
{
	poison_wq = alloc_workqueue("hugetlb_gmem", WQ_UNBOUND, 0);
	return poison_wq ? 0 : -ENOMEM;
}
subsys_initcall(hugetlb_gmem_poison_init);
