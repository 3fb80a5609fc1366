// SPDX-License-Identifier: GPL-2.0-only
/*
 * Check the HugeTLB pages of guest_memfds: folios, struct pages, page cache
 *
 * What an extent should look like follows from its layout.  For each of its pages
 * it is checked which folio the struct page belongs to, where that folio says it
 * is, what the page cache has there, and which page of memory the struct page
 * lies in.  Pages of struct pages that folios share must not change at all: their
 * checksums are compared with what they were when first seen.
 *
 * With DEBUG_VM what a change of layout concerned is checked after each change, the
 * whole file after every 256th, and each extent when its file dies.  Reading
 * /sys/kernel/debug/hugetlb_gmem/check checks all, and prints
 *
 *	ino=1034 index=262144 pfn=1572864 vmemmap=17 sum=89abcdef
 *	tail node=0 zone=Normal order=17 sum=01234567
 *	bad=0
 *
 * "vmemmap" counts pages of struct pages that are the extent's own.  "sum" is of
 * all its struct pages without what changes though the layout does not: counts of
 * references and of mappings, and marks left by accesses, mlock and NUMA balancing.
 * What is bad is in the kernel log.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#define pr_fmt(fmt)	"hugetlb_gmem: " fmt

#include <linux/crc32.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "hugetlb_gmem.h"
#include "internal.h"

#define FULL_CHECK_INTERVAL	256
#define NR_TAIL_ORDERS		(HUGETLB_GMEM_MAX_ORDER + 1 - HUGETLB_GMEM_BLOCK_ORDER)

/* Of a folio that guest_memfd holds. */
#define FLAGS_WANTED	(BIT(PG_uptodate) | BIT(PG_dirty))
#define FLAGS_REFUSED	(BIT(PG_lru) | BIT(PG_writeback) | BIT(PG_private) | \
			 BIT(PG_swapbacked) | BIT(PG_reserved))
/* Of any page, whoever looks at it. */
#define FLAGS_VOLATILE	(BIT(PG_locked) | BIT(PG_waiters) | BIT(PG_referenced) | \
			 BIT(PG_workingset) | BIT(PG_active) | \
			 BIT(PG_mlocked) | BIT(PG_unevictable) | \
			 LRU_GEN_MASK | LRU_REFS_MASK | \
			 (LAST_CPUPID_MASK << LAST_CPUPID_PGSHIFT))

struct tail_sum {
	bool	known;
	u32	sum;
};

/* By node; a zone's and an order's in it. */
static struct tail_sum (*tail_sums)[MAX_NR_ZONES][NR_TAIL_ORDERS];
static atomic_long_t nr_bad;
static atomic_t nr_relayouts;

static void report(struct hugetlb_gmem_extent *extent, unsigned long offset,
		   const char *what)
{
	atomic_long_inc(&nr_bad);
	pr_err_ratelimited("pfn %#lx, layout %u: %s\n",
			   page_to_pfn(extent->page) + offset,
			   layout_order(extent->layout, offset), what);
	WARN_ONCE(1, "hugetlb_gmem: an extent is not what its layout says\n");
}

static void check(struct hugetlb_gmem_extent *extent, unsigned long offset,
		  bool good, const char *what)
{
	if (unlikely(!good))
		report(extent, offset, what);
}

static bool same_place(struct hugetlb_gmem_extent *extent,
		       const struct page *page)
{
	return page_to_nid(page) == page_to_nid(extent->page) &&
	       page_zonenum(page) == page_zonenum(extent->page);
}

static void check_head(struct hugetlb_gmem_extent *extent, unsigned long offset,
		       unsigned int order)
{
	struct page *page = extent->page + offset;
	struct folio *folio = (struct folio *)page;
	unsigned long flags = READ_ONCE(page->flags.f);

	check(extent, offset, !PageTail(page), "a head is a tail");
	check(extent, offset, PageHead(page) == !!order, "PG_head is wrong");
	check(extent, offset, folio_order(folio) == order, "order is wrong");
	check(extent, offset, folio_nr_pages(folio) == 1UL << order,
	      "number of pages is wrong");
	check(extent, offset, folio->mapping == extent->gmem->mapping,
	      "mapping is wrong");
	check(extent, offset, folio->index == extent->index + offset,
	      "index is wrong");
	check(extent, offset, folio_ref_count(folio) >= 1 << order,
	      "the page cache's references are missing");
	check(extent, offset, (flags & FLAGS_WANTED) == FLAGS_WANTED,
	      "flags are missing");
	check(extent, offset, !(flags & FLAGS_REFUSED), "flags are wrong");
	check(extent, offset, same_place(extent, page), "node or zone is wrong");
	if (!order)
		return;

	check(extent, offset, folio_mapcount(folio) == 0, "a big folio is mapped");
	check(extent, offset, list_empty(&folio->_deferred_list),
	      "the deferred list is wrong");
}

static void check_tail_page(struct hugetlb_gmem_extent *extent,
			    unsigned long offset, unsigned long first)
{
	struct page *page = extent->page + offset;

	check(extent, offset, PageTail(page), "a tail is none");
	check(extent, offset, compound_head(page) == extent->page + first,
	      "head of a tail is wrong");
	check(extent, offset, !page_ref_count(page), "a tail is referenced");
	check(extent, offset, same_place(extent, page), "node or zone is wrong");
}

static void check_cached(struct hugetlb_gmem_extent *extent,
			 unsigned long offset, unsigned long first)
{
	struct address_space *mapping = extent->gmem->mapping;

	check(extent, offset, xa_load(&mapping->i_pages, extent->index + offset) ==
			      extent->page + first, "page cache is wrong");
}

/* One folio, or base page, with all its struct pages. */
static void check_folio(struct hugetlb_gmem_extent *extent, unsigned long offset,
			unsigned int order)
{
	unsigned long i, last = offset + (1UL << order) - 1;

	check_head(extent, offset, order);
	for (i = offset + 1; i <= last; i++)
		check_tail_page(extent, i, offset);

	check_cached(extent, offset, offset);
	check_cached(extent, last, offset);
}

/* Does a struct page lie in memory that is its folio's alone? */
static bool struct_page_own(struct hugetlb_gmem_extent *extent,
			    unsigned long offset)
{
	unsigned int order = layout_order(extent->layout, offset);

	return !extent->optimized || !order ||
	       IS_ALIGNED(offset, 1UL << order);
}

static bool is_tail(struct hugetlb_gmem_extent *extent, struct page *page)
{
	unsigned int order;

	for (order = HUGETLB_GMEM_BLOCK_ORDER; order <= extent->order; order++) {
		if (page == hugetlb_gmem_vmemmap_tail(page_zone(extent->page), order))
			return true;
	}
	return false;
}

/* The first page of vmemmap is the extent's from the beginning. */
static bool page_is_own(struct hugetlb_gmem_extent *extent, unsigned long offset,
			struct page *page)
{
	if (!extent->optimized || !offset)
		return !is_tail(extent, page);
	return page_private(page) == (unsigned long)(extent->page + offset);
}

static void check_vmemmap(struct hugetlb_gmem_extent *extent,
			  unsigned long offset)
{
	unsigned int order = layout_order(extent->layout, offset);
	unsigned long addr = (unsigned long)(extent->page + offset);
	struct page *page = hugetlb_gmem_vmemmap_page(extent, offset);
	struct zone *zone = page_zone(extent->page);

	if (struct_page_own(extent, offset))
		check(extent, offset, page_is_own(extent, offset, page),
		      "struct pages are not its own");
	else
		check(extent, offset,
		      page == hugetlb_gmem_vmemmap_tail(zone, order),
		      "struct pages are of another order");
	check(extent, offset, pte_write(ptep_get(virt_to_kpte(addr))),
	      "struct pages are read-only");
}

/* Pages [start, end) of an extent, whole folios. */
static void check_range(struct hugetlb_gmem_extent *extent, unsigned long start,
			unsigned long end)
{
	unsigned long i, nr;

	for (i = start; i < end; i += nr) {
		nr = layout_folio_pages(extent->layout, i);
		check_folio(extent, i, ilog2(nr));
		if (!(i % HUGETLB_GMEM_BLOCK_PAGES))
			cond_resched();
	}

	for (i = start; extent->optimized && i < end; i += HUGETLB_GMEM_STRUCTS)
		check_vmemmap(extent, i);
}

static u32 tail_sum_now(struct zone *zone, unsigned int order)
{
	struct page *tail = hugetlb_gmem_vmemmap_tail(zone, order);

	return crc32_le(~0, page_to_virt(tail), PAGE_SIZE);
}

/* Somebody may look at what was set up at boot, see clean_tail(). */
static bool tail_referenced(struct zone *zone, unsigned int order)
{
	struct page *page = page_to_virt(hugetlb_gmem_vmemmap_tail(zone, order));
	unsigned int i;

	for (i = 0; i < HUGETLB_GMEM_STRUCTS; i++) {
		if (page_ref_count(page + i))
			return true;
	}
	return false;
}

static struct tail_sum *tail_sum(struct zone *zone, unsigned int order)
{
	return &tail_sums[zone_to_nid(zone)][zone_idx(zone)]
			 [order - HUGETLB_GMEM_BLOCK_ORDER];
}

/**
 * hugetlb_gmem_check_tail - note a page of shared struct pages, or check it
 * @zone: where the folios are that share it
 * @order: of these folios
 */
void hugetlb_gmem_check_tail(struct zone *zone, unsigned int order)
{
	struct tail_sum *sum = tail_sum(zone, order);
	u32 now = tail_sum_now(zone, order);

	if (!READ_ONCE(sum->known) && tail_referenced(zone, order))
		return;

	/* Pairs with the release below. */
	if (!smp_load_acquire(&sum->known)) {
		sum->sum = now;
		/* All who come first see the same page. */
		smp_store_release(&sum->known, true);
	}
	if (sum->sum != now) {
		atomic_long_inc(&nr_bad);
		WARN_ONCE(1, "hugetlb_gmem: struct pages shared at order %u have changed\n",
			  order);
	}
}

static void check_tails(struct hugetlb_gmem_extent *extent)
{
	unsigned int order;

	if (!extent->optimized)
		return;

	for (order = HUGETLB_GMEM_BLOCK_ORDER; order <= extent->order; order++)
		hugetlb_gmem_check_tail(page_zone(extent->page), order);
}

static void check_extent(struct hugetlb_gmem_extent *extent)
{
	check_range(extent, 0, extent_pages(extent));
	check_tails(extent);
}

static void check_file(struct hugetlb_gmem *gmem)
{
	struct hugetlb_gmem_extent *extent;
	unsigned long i;

	xa_for_each(&gmem->extents, i, extent) {
		/* Pairs with smp_store_release() by who filled the extent. */
		if (smp_load_acquire(&extent->ready))
			check_extent(extent);
	}
}

/**
 * hugetlb_gmem_check_relayout - check what a change of layout has done
 * @relayout: the change, as far as it went
 *
 * Context: invalidate_lock held, as for the change.
 */
void hugetlb_gmem_check_relayout(struct hugetlb_gmem_relayout *relayout)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	struct hugetlb_gmem_step *step = relayout->steps;
	unsigned long start;

	if (!IS_ENABLED(CONFIG_DEBUG_VM))
		return;

	for (; step < relayout->steps + relayout->nr_steps; step++) {
		start = (unsigned long)step->block << HUGETLB_GMEM_BLOCK_ORDER;
		if (step->state == HUGETLB_GMEM_STEP_DONE)
			check_range(extent, start, start + (1UL << step->order));
	}

	if (!(atomic_inc_return(&nr_relayouts) % FULL_CHECK_INTERVAL))
		check_file(extent->gmem);
}

/**
 * hugetlb_gmem_check_release - check an extent that is to leave its file
 * @extent: the extent, in the page cache
 */
void hugetlb_gmem_check_release(struct hugetlb_gmem_extent *extent)
{
	if (IS_ENABLED(CONFIG_DEBUG_VM))
		check_extent(extent);
}

/* Of all struct pages of an extent, without what changes by itself. */
static u32 struct_pages_sum(struct hugetlb_gmem_extent *extent)
{
	unsigned long i, nr = extent_pages(extent);
	u32 sum = ~0;

	for (i = 0; i < nr; i++) {
		struct page page = extent->page[i];

		page.flags.f &= ~FLAGS_VOLATILE;
		atomic_set(&page._refcount, 0);
		atomic_set(&page._mapcount, -1);
		sum = crc32_le(sum, (u8 *)&page, sizeof(page));
		if (!(i % HUGETLB_GMEM_BLOCK_PAGES))
			cond_resched();
	}
	return sum;
}

static unsigned long count_own(struct hugetlb_gmem_extent *extent)
{
	unsigned long i, nr = 0;

	for (i = 0; i < extent_pages(extent); i += HUGETLB_GMEM_STRUCTS)
		nr += struct_page_own(extent, i);
	return nr;
}

static void show_extent(struct seq_file *m, struct hugetlb_gmem_extent *extent)
{
	check_extent(extent);
	seq_printf(m, "ino=%lu index=%lu pfn=%lu vmemmap=%lu sum=%08x\n",
		   (unsigned long)extent->gmem->mapping->host->i_ino,
		   extent->index, page_to_pfn(extent->page), count_own(extent),
		   struct_pages_sum(extent));
}

static void show_tails(struct seq_file *m)
{
	unsigned int order;
	struct zone *zone;

	for_each_populated_zone(zone) {
		for (order = HUGETLB_GMEM_BLOCK_ORDER;
		     order <= HUGETLB_GMEM_MAX_ORDER; order++) {
			/* Pairs with the release by who has seen it first. */
			if (!smp_load_acquire(&tail_sum(zone, order)->known))
				continue;
			hugetlb_gmem_check_tail(zone, order);
			seq_printf(m, "tail node=%d zone=%s order=%u sum=%08x\n",
				   zone_to_nid(zone), zone->name, order,
				   tail_sum_now(zone, order));
		}
	}
}

/* The file that has the next extent from block @i of memory on, held. */
static struct hugetlb_gmem *next_file(unsigned long *i, pgoff_t *index)
{
	struct hugetlb_gmem_extent *extent;
	struct address_space *mapping;

	guard(rcu)();
	while ((extent = xa_find(&hugetlb_gmem_extents, i, ULONG_MAX,
				 XA_PRESENT))) {
		*i = (*i | (extent->nr_blocks - 1)) + 1;
		*index = extent->index;
		/* Without a file it is an orphan, which changes no more. */
		mapping = READ_ONCE(extent->gmem->mapping);
		if (mapping && igrab(mapping->host))
			return extent->gmem;
	}
	return NULL;
}

/* While a file is held here, kvm.ko must stay. */
static DEFINE_MUTEX(check_lock);

/* Wait until no file is held; there are no others. */
void hugetlb_gmem_check_drain(void)
{
	guard(mutex)(&check_lock);
}

static int check_show(struct seq_file *m, void *unused)
{
	long before = atomic_long_read(&nr_bad);
	struct hugetlb_gmem_extent *extent;
	struct hugetlb_gmem *gmem;
	struct inode *inode;
	unsigned long i = 0;
	pgoff_t index;

	guard(mutex)(&check_lock);
	while ((gmem = next_file(&i, &index))) {
		inode = gmem->mapping->host;
		filemap_invalidate_lock_shared(inode->i_mapping);
		extent = hugetlb_gmem_find_extent(gmem, index);
		if (extent)
			show_extent(m, extent);
		filemap_invalidate_unlock_shared(inode->i_mapping);
		iput(inode);
		cond_resched();
	}
	show_tails(m);
	seq_printf(m, "bad=%ld\n", atomic_long_read(&nr_bad) - before);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(check);

static int __init hugetlb_gmem_check_init(void)
{
	struct dentry *dir = debugfs_lookup("hugetlb_gmem", NULL);

	tail_sums = kcalloc(nr_node_ids, sizeof(*tail_sums),
			    GFP_KERNEL | __GFP_NOFAIL);
	debugfs_create_file("check", 0400, dir, NULL, &check_fops);
	dput(dir);
	return 0;
}
late_initcall(hugetlb_gmem_check_init);
