// SPDX-License-Identifier: GPL-2.0-only
/*
 * Struct pages of the HugeTLB pages that a guest_memfd holds
 *
 * The vmemmap of an optimized (HVO) extent in the pool, and while whole:
 *
 *	page of vmemmap     0     1     2     3    ...   4095
 *	mapped to         own  ----------- tail -----------------
 *
 * where "tail" is one page that all HugeTLB pages of this size in the zone
 * share.  A split extent needs struct pages that can be written, so all of
 * them are brought back first, and given up again once it is whole:
 *
 *	mapped to         own   own   own   own    ...   own
 *
 * Nobody may write to "tail", yet a late folio_try_get() does: its compare
 * fails, but the locked instruction takes a write fault all the same.  Hence
 * "tail" is mapped writable for as long as guest_memfd holds the page.
 *
 * See Documentation/mm/hugetlb_gmem.rst and Documentation/mm/vmemmap_dedup.rst.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/vmstat.h>

#include <asm/tlbflush.h>

#include "hugetlb_gmem.h"
#include "internal.h"

#define SNAPSHOT_ATTEMPTS	16000000

static unsigned long vmemmap_start(struct hugetlb_gmem_extent *extent)
{
	/* The first page holds all that differs from folio to folio. */
	return (unsigned long)extent->page + PAGE_SIZE;
}

static unsigned long vmemmap_end(struct hugetlb_gmem_extent *extent)
{
	return (unsigned long)(extent->page + extent_pages(extent));
}

/*
 * No lock: the vmemmap of an optimized page is mapped by PTEs, and its page
 * tables live for as long as its memory is online and in use.
 */
static void set_vmemmap(unsigned long addr, struct page *page, pgprot_t prot)
{
	set_pte_at(&init_mm, addr, virt_to_kpte(addr), mk_pte(page, prot));
}

static struct page *get_vmemmap(unsigned long addr)
{
	return pte_page(ptep_get(virt_to_kpte(addr)));
}

static void free_vmemmap(struct list_head *pages)
{
	struct page *page, *next;
	long nr = 0;

	list_for_each_entry_safe(page, next, pages, lru) {
		__free_page(page);
		nr++;
	}
	memmap_pages_add(-nr);
}

static int alloc_vmemmap(struct list_head *pages, unsigned long nr, int nid)
{
	struct page *page;
	unsigned long i;

	for (i = 0; i < nr; i++) {
		page = hugetlb_gmem_should_fail() ? NULL :
		       alloc_pages_node(nid, GFP_KERNEL | __GFP_RETRY_MAYFAIL, 0);
		if (!page) {
			memmap_pages_add(i);
			free_vmemmap(pages);
			return -ENOMEM;
		}
		list_add(&page->lru, pages);
	}
	memmap_pages_add(nr);

	return 0;
}

/* Give every struct page of @extent memory of its own.  Invisible: a copy. */
int hugetlb_gmem_vmemmap_restore(struct hugetlb_gmem_extent *extent)
{
	unsigned long start = vmemmap_start(extent), end = vmemmap_end(extent);
	struct page *page;
	LIST_HEAD(pages);
	unsigned long addr;

	if (!extent->optimized || extent->restored)
		return 0;

	if (alloc_vmemmap(&pages, (end - start) >> PAGE_SHIFT,
			  page_to_nid(extent->page)))
		return -ENOMEM;

	extent->tail = get_vmemmap(start);
	for (addr = start; addr < end; addr += PAGE_SIZE) {
		page = list_first_entry(&pages, struct page, lru);
		list_del(&page->lru);
		copy_page(page_to_virt(page), page_to_virt(extent->tail));
		/* The contents before the mapping. */
		smp_wmb();
		set_vmemmap(addr, page, PAGE_KERNEL);
	}
	flush_tlb_kernel_range(start, end);
	extent->restored = true;

	return 0;
}

/*
 * Map the struct pages of a whole extent to the shared tail again, with @prot.
 * Invisible, too: what is mapped now is equal, byte for byte.
 */
void hugetlb_gmem_vmemmap_optimize(struct hugetlb_gmem_extent *extent,
				   pgprot_t prot)
{
	unsigned long start = vmemmap_start(extent), end = vmemmap_end(extent);
	LIST_HEAD(pages);
	unsigned long addr;

	if (!extent->restored)
		return;

	for (addr = start; addr < end; addr += PAGE_SIZE) {
		list_add(&get_vmemmap(addr)->lru, &pages);
		VM_WARN_ON_ONCE(memcmp((void *)addr, page_to_virt(extent->tail),
				       PAGE_SIZE));
		set_vmemmap(addr, extent->tail, prot);
	}
	flush_tlb_kernel_range(start, end);
	free_vmemmap(&pages);
	extent->restored = false;
}

/*
 * The shared tail of pages that were set up at boot bears traces of what it was
 * before: each of its struct pages has a reference count of 1.  A late
 * folio_try_get() would succeed there, for all HugeTLB pages of the zone at once.
 */
static void clean_tail(struct page *tail)
{
	struct page *page = page_to_virt(tail);
	unsigned int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*page); i++) {
		/* If somebody has just got hold of it, the next extent will do. */
		if (page_ref_count(page + i))
			page_ref_freeze(page + i, 1);
		page[i].lru.prev = NULL;
	}
}

/* Pages of struct pages that the extent has beyond those it has while whole. */
unsigned long hugetlb_gmem_vmemmap_extra(struct hugetlb_gmem_extent *extent)
{
	return extent->restored ?
	       (vmemmap_end(extent) - vmemmap_start(extent)) >> PAGE_SHIFT : 0;
}

/* Change how the shared tail is mapped into the struct pages of @extent. */
void hugetlb_gmem_vmemmap_protect(struct hugetlb_gmem_extent *extent,
				  pgprot_t prot)
{
	unsigned long start = vmemmap_start(extent), end = vmemmap_end(extent);
	unsigned long addr;

	if (!extent->optimized || extent->restored)
		return;

	clean_tail(get_vmemmap(start));
	for (addr = start; addr < end; addr += PAGE_SIZE)
		set_vmemmap(addr, get_vmemmap(addr), prot);
	flush_tlb_kernel_range(start, end);
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
