// SPDX-License-Identifier: GPL-2.0-only
/*
 * Struct pages of the HugeTLB pages that a guest_memfd holds
 *
 * A page of vmemmap holds 64 struct pages.  Of an optimized (HVO) extent each
 * folio of order 9 and above has one such page of its own, with its head and all
 * that differs from folio to folio.  The rest are mapped to one page which all
 * folios of that order in the zone share.  A small block has its 8 pages:
 *
 *	folio			order 18, whole
 *	page of vmemmap		 0    1    2    3    4  ...                  4095
 *	mapped to		own  t18  t18  t18  t18 ...                   t18
 *
 *	folios			512 of order 0   order 9       order 10
 *	page of vmemmap		 0    1  ...  7    8    9 ...   16   17  ...
 *	mapped to		own  own ... own  own  t9 ...  own  t10  ...
 *
 * So what is mapped where follows from the layout.  To split is to have a page
 * for each new head, or 8 for a small block, all written before anyone can see
 * them; then to write page-table entries, and to flush once.  To merge is to write
 * page-table entries; pages become free.  Of an extent that is not optimized, each
 * struct page has its place and is written anew.
 *
 * Nobody may write to a shared page, yet a late folio_try_get() does: its compare
 * fails, but the locked instruction takes a write fault all the same.  Hence
 * shared pages are mapped writable for as long as guest_memfd holds the extent.
 *
 * HugeTLB's own functions to remap vmemmap may fail, and sleep for the mmap lock of
 * init_mm, which commit must not.  They have split what was mapped by PMDs; what
 * is left is to write PTEs.
 *
 * See Documentation/mm/hugetlb_gmem.rst and Documentation/mm/vmemmap_dedup.rst.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/vmstat.h>

#include <asm/tlbflush.h>

#include "hugetlb_gmem.h"
#include "hugetlb_vmemmap.h"
#include "internal.h"

#define SNAPSHOT_ATTEMPTS	16000000

/* No lock: page tables of vmemmap live as long as the memory is online. */
static pte_t *vmemmap_pte(struct hugetlb_gmem_extent *extent,
			  unsigned long offset)
{
	return virt_to_kpte((unsigned long)(extent->page + offset));
}

struct page *hugetlb_gmem_vmemmap_page(struct hugetlb_gmem_extent *extent,
				       unsigned long offset)
{
	return pte_page(ptep_get(vmemmap_pte(extent, offset)));
}

/* The struct pages that folios of @order in @zone share, once they are there. */
struct page *hugetlb_gmem_vmemmap_tail(struct zone *zone, unsigned int order)
{
	return READ_ONCE(zone->vmemmap_tails[order - VMEMMAP_TAIL_MIN_ORDER]);
}

/*
 * A shared page that was set up at boot bears traces of what it was before: each
 * of its struct pages has a reference count of 1.  A late folio_try_get() would
 * succeed there, for all folios of the order in the zone at once.
 */
static void clean_tail(struct page *tail)
{
	struct page *page = page_to_virt(tail);
	unsigned int i;

	for (i = 0; i < HUGETLB_GMEM_STRUCTS; i++) {
		/*
		 * If somebody has just got hold of it, the next extent will do.
		 * No page_ref_freeze(): its tracepoint wants a page of vmemmap.
		 */
		if (page_ref_count(page + i))
			atomic_cmpxchg(&page[i]._refcount, 1, 0);
		/* Once: every extent of the zone comes by here, at any time. */
		if (READ_ONCE(page[i].lru.prev))
			WRITE_ONCE(page[i].lru.prev, NULL);
	}
}

/**
 * hugetlb_gmem_vmemmap_get_tails - have all shared pages that splits can need
 * @extent: an extent that is about to be filled
 *
 * They stay with the zone for good, as HugeTLB's own do, and are not counted.
 *
 * Return: 0 or -ENOMEM.
 */
int hugetlb_gmem_vmemmap_get_tails(struct hugetlb_gmem_extent *extent)
{
	struct zone *zone = page_zone(extent->page);
	unsigned int order;
	struct page *tail;

	if (!extent->optimized)
		return 0;

	for (order = HUGETLB_GMEM_BLOCK_ORDER; order <= extent->order; order++) {
		tail = hugetlb_gmem_should_fail() ? NULL :
		       hugetlb_vmemmap_get_tail(order, zone);
		if (!tail)
			return -ENOMEM;
		clean_tail(tail);
		hugetlb_gmem_check_tail(zone, order);
	}
	return 0;
}

/* Pages of vmemmap that each folio of @order has of its own, or a small block. */
static unsigned long nr_own(unsigned int order)
{
	return order ? 1 : HUGETLB_GMEM_BLOCK_PAGES / HUGETLB_GMEM_STRUCTS;
}

/* Pages of struct pages that the extent has beyond those it has while whole. */
unsigned long hugetlb_gmem_vmemmap_extra(struct hugetlb_gmem_extent *extent)
{
	const u8 *layout = extent->layout;
	unsigned long offset, nr = 0;

	if (!extent->optimized)
		return 0;

	for (offset = 0; offset < extent_pages(extent);
	     offset += layout_part_pages(layout, offset))
		nr += nr_own(layout_order(layout, offset));
	return nr - 1;
}

/* Keep what says where the page is, drop the rest. */
static void reset_page(struct page *page)
{
	page->flags.f &= ~PAGE_FLAGS_CHECK_AT_PREP;
	page->lru.next = NULL;
	page->lru.prev = NULL;
	page->mapping = NULL;
	page->__folio_index = 0;
	page->private = 0;
	page_cpupid_reset_last(page);
	atomic_set(&page->_mapcount, -1);
	/* No set_page_count(): its tracepoint wants a page of vmemmap. */
	atomic_set(&page->_refcount, 0);
#ifdef CONFIG_MEMCG
	page->memcg_data = 0;
#endif
}

/* Write at @page the head of the folio that begins at @offset of @extent. */
static void write_head(struct hugetlb_gmem_extent *extent, unsigned long offset,
		       unsigned int order, struct page *page)
{
	struct folio *folio = (struct folio *)page;
	struct folio *home = (struct folio *)(extent->page + offset);

	if (order) {
		page->flags.f |= BIT(PG_head);
		prep_compound_head(page, order);
		/* A list leads to where the folio is, not where it is written. */
		folio->_deferred_list.next = &home->_deferred_list;
		folio->_deferred_list.prev = &home->_deferred_list;
	}
	folio->mapping = extent->gmem->mapping;
	folio->index = extent->index + offset;
	/* Dirty: mapping_evict_folio() must not take the folio for clean cache. */
	folio->flags.f |= BIT(PG_uptodate) | BIT(PG_dirty);
}

/*
 * Write at @page the struct pages [offset, offset + nr) of @extent, all of one
 * folio of @order, or each a folio of its own.  Nobody holds any.
 */
static void write_struct_pages(struct hugetlb_gmem_extent *extent,
			       unsigned long offset, unsigned long nr,
			       unsigned int order, struct page *page)
{
	unsigned long first = round_down(offset, 1UL << order), i;

	for (i = 0; i < nr; i++)
		reset_page(page + i);

	for (i = 0; i < nr; i++) {
		if (order && offset + i != first)
			prep_compound_tail(page + i, extent->page + first, order);
		else if (!order)
			write_head(extent, offset + i, 0, page + i);
	}
	/* It reaches into the tails. */
	if (order && offset == first)
		write_head(extent, offset, order, page);
}

void hugetlb_gmem_vmemmap_free(struct list_head *pages)
{
	struct page *page, *next;
	long nr = 0;

	list_for_each_entry_safe(page, next, pages, lru) {
		list_del(&page->lru);
		__free_page(page);
		nr++;
	}
	if (nr)
		memmap_pages_add(-nr);
}

/* Pages for the struct pages of one part of a new layout, written. */
static int prepare_part(struct hugetlb_gmem_extent *extent,
			unsigned long offset, unsigned int order,
			unsigned long start, struct list_head *pages)
{
	unsigned long end = offset + nr_own(order) * HUGETLB_GMEM_STRUCTS;
	int nid = page_to_nid(extent->page);
	struct page *page;

	for (; offset < end; offset += HUGETLB_GMEM_STRUCTS) {
		/* The first page of the region stays. */
		if (offset == start)
			continue;
		page = hugetlb_gmem_should_fail() ? NULL :
		       alloc_pages_node(nid, GFP_KERNEL | __GFP_RETRY_MAYFAIL, 0);
		if (!page)
			return -ENOMEM;
		memmap_pages_add(1);
		/* For hugetlb_gmem_check.c: where it belongs. */
		set_page_private(page, (unsigned long)(extent->page + offset));
		list_add_tail(&page->lru, pages);
		copy_page(page_to_virt(page), extent->page + offset);
		write_struct_pages(extent, offset, HUGETLB_GMEM_STRUCTS, order,
				   page_to_virt(page));
	}
	return 0;
}

/**
 * hugetlb_gmem_vmemmap_prepare - get the struct pages for a split
 * @extent: the extent
 * @to: the layout wanted
 * @start: first page of the region, one folio now
 * @end: page after the last
 * @pages: the new pages are appended, in the order in which they are needed
 *
 * Return: 0, or -ENOMEM with some pages on the list.
 */
int hugetlb_gmem_vmemmap_prepare(struct hugetlb_gmem_extent *extent,
				 const u8 *to, unsigned long start,
				 unsigned long end, struct list_head *pages)
{
	unsigned long offset;
	int ret;

	if (!extent->optimized)
		return 0;

	for (offset = start; offset < end; offset += layout_part_pages(to, offset)) {
		ret = prepare_part(extent, offset, layout_order(to, offset), start,
				   pages);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

/* Map the struct pages from @offset, @nr pages of vmemmap, to one page. */
static void map_vmemmap(struct hugetlb_gmem_extent *extent,
			unsigned long offset, unsigned long nr,
			struct page *page, pgprot_t prot)
{
	unsigned long addr = (unsigned long)(extent->page + offset);
	pte_t entry = mk_pte(page, prot), *pte = NULL;

	for (; nr; nr--, addr += PAGE_SIZE, pte++) {
		if (!pte || IS_ALIGNED(addr, PMD_SIZE))
			pte = virt_to_kpte(addr);
		set_pte_at(&init_mm, addr, pte, entry);
	}
}

/* Map what the folio of @order at @offset shares. */
static void map_tails(struct hugetlb_gmem_extent *extent, unsigned long offset,
		      unsigned int order, pgprot_t prot)
{
	if (order)
		map_vmemmap(extent, offset + HUGETLB_GMEM_STRUCTS,
			    (1UL << order) / HUGETLB_GMEM_STRUCTS - 1,
			    hugetlb_gmem_vmemmap_tail(page_zone(extent->page),
						      order), prot);
}

static void relayout_part(struct hugetlb_gmem_extent *extent,
			  unsigned long offset, unsigned int order,
			  unsigned long start, struct list_head *pages,
			  pgprot_t prot)
{
	unsigned long i, end = offset + nr_own(order) * HUGETLB_GMEM_STRUCTS;
	struct page *page;

	for (i = offset; i < end; i += HUGETLB_GMEM_STRUCTS) {
		if (i == start) {
			write_struct_pages(extent, i, HUGETLB_GMEM_STRUCTS,
					   order, extent->page + i);
			continue;
		}
		VM_WARN_ON_ONCE(list_empty(pages));
		page = list_first_entry(pages, struct page, lru);
		list_del(&page->lru);
		/* The contents before the mapping. */
		smp_wmb();
		map_vmemmap(extent, i, 1, page, PAGE_KERNEL);
	}
	map_tails(extent, offset, order, prot);
}

/**
 * hugetlb_gmem_vmemmap_relayout - change the struct pages of a region
 * @extent: the extent, whose folios in the region are frozen
 * @to: the layout wanted
 * @start: first page of the region, the first of a folio now and then
 * @end: page after the last
 * @pages: from hugetlb_gmem_vmemmap_prepare(), for a split; used up
 * @prot: how to map shared pages
 *
 * Neither sleeps nor fails.  The caller has taken what is unused by now with
 * hugetlb_gmem_vmemmap_collect(), and goes on with hugetlb_gmem_vmemmap_flush().
 */
void hugetlb_gmem_vmemmap_relayout(struct hugetlb_gmem_extent *extent,
				   const u8 *to, unsigned long start,
				   unsigned long end, struct list_head *pages,
				   pgprot_t prot)
{
	unsigned long offset;
	unsigned int order;

	for (offset = start; offset < end; offset += layout_part_pages(to, offset)) {
		order = layout_order(to, offset);
		if (extent->optimized)
			relayout_part(extent, offset, order, start, pages, prot);
		else
			write_struct_pages(extent, offset, layout_part_pages(to, offset),
					   order, extent->page + offset);
	}
}

/**
 * hugetlb_gmem_vmemmap_collect - what a merge leaves without use
 * @extent: the extent, with the layout before the merge
 * @start: first page of the region that becomes one folio
 * @end: page after the last
 * @freed: the pages of vmemmap, to be freed when they are mapped no more
 */
void hugetlb_gmem_vmemmap_collect(struct hugetlb_gmem_extent *extent,
				  unsigned long start, unsigned long end,
				  struct list_head *freed)
{
	const u8 *layout = extent->layout;
	unsigned long offset, i, nr;

	if (!extent->optimized)
		return;

	for (offset = start; offset < end; offset += layout_part_pages(layout, offset)) {
		nr = nr_own(layout_order(layout, offset));
		for (i = offset; i < offset + nr * HUGETLB_GMEM_STRUCTS;
		     i += HUGETLB_GMEM_STRUCTS) {
			if (i != start)
				list_add(&hugetlb_gmem_vmemmap_page(extent, i)->lru,
					 freed);
		}
	}
}

/* Let all CPUs see how the struct pages of [start, end) are mapped; IRQs are on. */
void hugetlb_gmem_vmemmap_flush(struct hugetlb_gmem_extent *extent,
				unsigned long start, unsigned long end)
{
	if (extent->optimized)
		flush_tlb_kernel_range((unsigned long)(extent->page + start),
				       (unsigned long)(extent->page + end));
}

/*
 * Change how the shared page is mapped into the struct pages of a whole extent.
 * The TLB is not flushed: whoever finds less access there than the PTE gives has a
 * spurious fault; whoever finds more can do no harm, for the page is the same.
 */
void hugetlb_gmem_vmemmap_protect(struct hugetlb_gmem_extent *extent,
				  pgprot_t prot)
{
	if (extent->optimized)
		map_tails(extent, 0, extent->order, prot);
}

/* A consistent copy of a page and its folio, or false while they change. */
static bool try_snapshot(struct hugetlb_gmem_extent *extent,
			 struct page_snapshot *ps, const struct page *page)
{
	unsigned long offset = page - extent->page, nr, first;
	unsigned int seq = raw_read_seqcount(&extent->seq);

	if (seq & 1)
		return false;

	nr = layout_folio_pages(extent->layout, offset);
	first = round_down(offset, nr);
	memcpy(&ps->page_snapshot, page, sizeof(*page));
	memset(&ps->folio_snapshot, 0, sizeof(ps->folio_snapshot));
	memcpy(&ps->folio_snapshot, extent->page + first,
	       min(nr, 3UL) * sizeof(*page));
	ps->idx = offset - first;
	ps->flags = PAGE_SNAPSHOT_FAITHFUL;
	return !read_seqcount_retry(&extent->seq, seq);
}

/**
 * hugetlb_gmem_snapshot_page - snapshot_page() of a page in a guest_memfd
 * @ps: out
 * @page: any page
 *
 * The generic way looks at flags of a folio that may have ceased to be one.
 *
 * Return: true if @ps is filled; false if the page is not ours.
 */
bool hugetlb_gmem_snapshot_page(struct page_snapshot *ps,
				const struct page *page)
{
	struct hugetlb_gmem_extent *extent;
	unsigned int attempts;

	guard(rcu)();
	extent = find_extent_by_pfn(page_to_pfn(page));
	if (!extent)
		return false;

	ps->pfn = page_to_pfn(page);
	for (attempts = 0; attempts < SNAPSHOT_ATTEMPTS; attempts++) {
		if (try_snapshot(extent, ps, page))
			return true;
		cpu_relax();
	}

	/* Called from within a change, by a check that failed: no folio. */
	memcpy(&ps->page_snapshot, page, sizeof(*page));
	clear_compound_head(&ps->page_snapshot);
	memset(&ps->folio_snapshot, 0, sizeof(ps->folio_snapshot));
	memcpy(&ps->folio_snapshot, &ps->page_snapshot, sizeof(*page));
	ps->idx = 0;
	ps->flags = 0;
	return true;
}
