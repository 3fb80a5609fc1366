// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts of HugeTLB pages for KUnit tests, and whether struct pages, vmemmap and
 * the page cache are as a layout says
 *
 * The layout that is expected is the test's own, not what the extent has recorded.
 * A tail of an optimized folio beyond the first page of vmemmap is not read one by
 * one: it is enough that its page of vmemmap is the one shared by the order, which
 * is looked at itself.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/vmalloc.h>

#include "hugetlb_gmem_kunit.h"
#include "../internal.h"

/* Set and cleared by whoever looks at a page. */
#define FLAGS_VOLATILE	(BIT(PG_locked) | BIT(PG_waiters) | BIT(PG_referenced) | \
			 BIT(PG_active) | (LAST_CPUPID_MASK << LAST_CPUPID_PGSHIFT))
#define FLAGS_PLACE	((ZONES_MASK << ZONES_PGSHIFT) | (NODES_MASK << NODES_PGSHIFT))

static bool block_small(const struct gmem_kunit_shape *shape, unsigned int block,
			unsigned int nr_blocks)
{
	unsigned int i;
	int small;

	for (i = 0; i < shape->nr_small; i++) {
		small = shape->small[i];
		if (block == (small < 0 ? nr_blocks + small : small))
			return true;
	}
	return false;
}

/* The region of @nr blocks is one folio, or else two halves. */
static void build_region(const struct gmem_kunit_shape *shape, u8 *layout,
			 unsigned int nr_blocks, unsigned int first,
			 unsigned int nr)
{
	unsigned int i, nr_small = 0;

	for (i = first; i < first + nr; i++)
		nr_small += block_small(shape, i, nr_blocks);

	if (!nr_small) {
		memset(layout + first, HUGETLB_GMEM_BLOCK_ORDER + ilog2(nr), nr);
	} else if (nr == 1) {
		layout[first] = HUGETLB_GMEM_SMALL;
	} else {
		build_region(shape, layout, nr_blocks, first, nr / 2);
		build_region(shape, layout, nr_blocks, first + nr / 2, nr / 2);
	}
}

void gmem_kunit_shape_layout(const struct gmem_kunit_shape *shape, u8 *layout)
{
	unsigned int nr = 1U << (shape->order - HUGETLB_GMEM_BLOCK_ORDER);

	if (shape->nr_small)
		build_region(shape, layout, nr, 0, nr);
	else
		memset(layout, shape->uniform, nr);
}

/* Of two folios that hold the same block, the larger one is a step. */
unsigned int gmem_kunit_steps(const u8 *from, const u8 *to,
			      unsigned int nr_blocks,
			      struct hugetlb_gmem_step *steps)
{
	unsigned int block, order, nr = 0;

	for (block = 0; block < nr_blocks;
	     block += 1U << (order - HUGETLB_GMEM_BLOCK_ORDER)) {
		order = max3(from[block], to[block], HUGETLB_GMEM_BLOCK_ORDER);
		if (from[block] == to[block])
			continue;
		steps[nr++] = (struct hugetlb_gmem_step){
			.block = block,
			.order = order,
			.split = from[block] > to[block],
		};
	}
	return nr;
}

/* NULL without memory. */
struct hugetlb_gmem_relayout *
gmem_kunit_new_relayout(struct hugetlb_gmem_extent *extent, const u8 *to)
{
	struct hugetlb_gmem_relayout *relayout;

	relayout = hugetlb_gmem_new_relayout(extent);
	if (!relayout)
		return NULL;

	relayout->steps = kvcalloc(extent->nr_blocks, sizeof(*relayout->steps),
				   GFP_KERNEL);
	if (!relayout->steps) {
		hugetlb_gmem_abort_relayout(relayout);
		return NULL;
	}
	memcpy(relayout->to, to, extent->nr_blocks);
	relayout->nr_steps = gmem_kunit_steps(extent->layout, to,
					      extent->nr_blocks, relayout->steps);
	return relayout;
}

static int prepare_and_commit(struct hugetlb_gmem_extent *extent, const u8 *to,
			      bool merge, struct hugetlb_gmem_changes *changes)
{
	struct hugetlb_gmem_relayout *relayout;
	int ret;

	relayout = gmem_kunit_new_relayout(extent, to);
	if (!relayout)
		return -ENOMEM;

	ret = hugetlb_gmem_prepare_relayout(relayout);
	if (!ret && hugetlb_gmem_relayout_pinned(relayout) != ULONG_MAX)
		ret = -EAGAIN;
	if (ret) {
		hugetlb_gmem_abort_relayout(relayout);
		return ret;
	}
	hugetlb_gmem_commit_relayout(relayout, merge, changes);
	gmem_kunit_count(extent);
	return 0;
}

/* Returns -ENOMEM, -EAGAIN if a folio to be split is referenced, or 0. */
int gmem_kunit_try_relayout(struct hugetlb_gmem_extent *extent, const u8 *to,
			    bool merge, struct hugetlb_gmem_changes *changes)
{
	struct address_space *mapping = extent->gmem->mapping;
	int ret;

	filemap_invalidate_lock(mapping);
	ret = prepare_and_commit(extent, to, merge, changes);
	filemap_invalidate_unlock(mapping);
	return ret;
}

/* All of it, with the number of blocks that changed. */
void gmem_kunit_relayout(struct kunit *test, struct hugetlb_gmem_extent *extent,
			 const u8 *to)
{
	struct hugetlb_gmem_changes changes = {}, expected = {};
	unsigned int i;

	for (i = 0; i < extent->nr_blocks; i++) {
		expected.splits += extent->layout[i] && !to[i];
		expected.merges += !extent->layout[i] && to[i];
	}
	KUNIT_ASSERT_EQ(test, gmem_kunit_try_relayout(extent, to, true, &changes), 0);
	KUNIT_EXPECT_EQ(test, changes.splits, expected.splits);
	KUNIT_EXPECT_EQ(test, changes.merges, expected.merges);
	KUNIT_EXPECT_MEMEQ(test, extent->layout, to, extent->nr_blocks);
}

/* As if the first 4K were shared. */
void gmem_kunit_share_first(struct kunit *test,
			    struct hugetlb_gmem_extent *extent)
{
	struct gmem_kunit_shape first = { .order = extent->order, .nr_small = 1 };
	u8 *layout = kunit_kzalloc(test, extent->nr_blocks, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, layout);
	gmem_kunit_shape_layout(&first, layout);
	gmem_kunit_relayout(test, extent, layout);
}

static unsigned long page_flags(const struct page *page)
{
	return page->flags.f & (BIT(__NR_PAGEFLAGS) - 1) & ~FLAGS_VOLATILE;
}

static bool same_place(const struct page *a, const struct page *b)
{
	return !((a->flags.f ^ b->flags.f) & FLAGS_PLACE);
}

/* What is wrong with the head of a folio, or with a page that is one? */
static const char *head_problem(struct hugetlb_gmem_extent *extent,
				unsigned long offset, unsigned int order)
{
	struct page *page = extent->page + offset;
	struct folio *folio = (struct folio *)page;
	unsigned long flags = BIT(PG_uptodate) | BIT(PG_dirty);

	if (order)
		flags |= BIT(PG_head);
	if (PageTail(page))
		return "a head is a tail";
	if (page_flags(page) != flags)
		return "flags of a head";
	if (folio_order(folio) != order || folio_nr_pages(folio) != 1UL << order)
		return "order";
	if (folio_ref_count(folio) != 1 << order)
		return "reference count";
	if (folio_mapcount(folio) || folio_test_hugetlb(folio))
		return "mapcount or type";
	if (folio->mapping != extent->gmem->mapping ||
	    folio->index != extent->index + offset)
		return "mapping or index";
	if (folio->private)
		return "private";
#ifdef CONFIG_MEMCG
	if (folio->memcg_data)
		return "memcg";
#endif
	if (order && !list_empty(&folio->_deferred_list))
		return "deferred list";
	return same_place(page, extent->page) ? NULL : "node or zone of a head";
}

static const char *tail_problem(struct hugetlb_gmem_extent *extent,
				unsigned long offset, unsigned long first)
{
	struct page *page = extent->page + offset;

	if (!PageTail(page) || compound_head(page) != extent->page + first)
		return "head of a tail";
	if (page_ref_count(page))
		return "a tail is referenced";
	/* The first tails hold fields of the folio, order among the flags. */
	if (offset - first > 3 && page_flags(page))
		return "flags of a tail";
	return same_place(page, extent->page) ? NULL : "node or zone of a tail";
}

static const char *cache_problem(struct hugetlb_gmem_extent *extent,
				 unsigned long offset, unsigned long first)
{
	struct address_space *mapping = extent->gmem->mapping;

	return xa_load(&mapping->i_pages, extent->index + offset) ==
	       extent->page + first ? NULL : "page cache";
}

static pte_t vmemmap_pte(struct hugetlb_gmem_extent *extent,
			 unsigned long offset)
{
	return ptep_get(virt_to_kpte((unsigned long)(extent->page + offset)));
}

/* The struct pages which folios of @order share, or NULL for those of order 0. */
static struct page *shared_page(struct hugetlb_gmem_extent *extent,
				unsigned int order)
{
	return order ? hugetlb_gmem_vmemmap_tail(page_zone(extent->page), order) :
		       NULL;
}

static bool page_shared(struct hugetlb_gmem_extent *extent, struct page *page)
{
	unsigned int order;

	for (order = HUGETLB_GMEM_BLOCK_ORDER; order <= extent->order; order++) {
		if (page == shared_page(extent, order))
			return true;
	}
	return false;
}

/* Pages of vmemmap that hold struct pages of the extent and of no other. */
unsigned long gmem_kunit_own_vmemmap(struct hugetlb_gmem_extent *extent)
{
	unsigned long i, nr = 0;

	if (!extent->optimized)
		return extent_pages(extent) / HUGETLB_GMEM_STRUCTS;

	for (i = 0; i < extent_pages(extent); i += HUGETLB_GMEM_STRUCTS)
		nr += !page_shared(extent, pte_page(vmemmap_pte(extent, i)));
	return nr;
}

static const char *vmemmap_problem(struct hugetlb_gmem_extent *extent,
				   unsigned long offset, unsigned int order)
{
	unsigned long i, end = offset + (1UL << order);
	struct page *page;
	pte_t pte;

	for (i = offset; i < end; i += HUGETLB_GMEM_STRUCTS) {
		pte = vmemmap_pte(extent, i);
		page = pte_page(pte);
		if (!pte_present(pte) || !pte_write(pte))
			return "struct pages are not mapped writable";
		if (i == offset || !order ? page_shared(extent, page) :
					    page != shared_page(extent, order))
			return "struct pages are of another folio or order";
	}
	return NULL;
}

/* Tails of the first and the last page of vmemmap, or all that are not shared. */
static const char *tails_problem(struct hugetlb_gmem_extent *extent,
				 unsigned long offset, unsigned int order)
{
	unsigned long i, nr = 1UL << order;
	const char *problem = NULL;

	for (i = 1; i < nr && !problem; i++) {
		problem = tail_problem(extent, offset + i, offset);
		if (extent->optimized && i + 1 == 2 * HUGETLB_GMEM_STRUCTS)
			i = max(i, nr - HUGETLB_GMEM_STRUCTS - 1);
	}
	return problem;
}

/* A folio of order 9 or more, or the 512 of a small block. */
static const char *part_problem(struct hugetlb_gmem_extent *extent,
				unsigned long offset, unsigned int order)
{
	unsigned long i, last = offset + (1UL << order) - 1;
	const char *problem = NULL;

	if (order)
		return head_problem(extent, offset, order) ?:
		       tails_problem(extent, offset, order) ?:
		       cache_problem(extent, offset, offset) ?:
		       cache_problem(extent, (offset + last) / 2, offset) ?:
		       cache_problem(extent, last, offset);

	for (i = offset; i < offset + HUGETLB_GMEM_BLOCK_PAGES && !problem; i++)
		problem = head_problem(extent, i, 0) ?:
			  cache_problem(extent, i, i);
	return problem;
}

void gmem_kunit_expect_layout(struct kunit *test,
			      struct hugetlb_gmem_extent *extent,
			      const u8 *layout)
{
	unsigned long offset, i;
	const char *problem;
	unsigned int order;

	for (offset = 0; offset < extent_pages(extent);
	     offset += layout_part_pages(layout, offset)) {
		order = layout_order(layout, offset);
		problem = part_problem(extent, offset, order);
		for (i = 0; extent->optimized && !problem &&
		     i < layout_part_pages(layout, offset);
		     i += order ? 1UL << order : HUGETLB_GMEM_STRUCTS)
			problem = vmemmap_problem(extent, offset + i, order);
		if (problem)
			KUNIT_FAIL_AND_ABORT(test, "offset %lu, order %u: %s",
					     offset, order, problem);
		cond_resched();
	}
	KUNIT_EXPECT_MEMEQ(test, extent->layout, layout, extent->nr_blocks);
}

/* Free to differ between two times in the pool: what HugeTLB leaves as it was. */
static struct page without_traces(const struct page *from, unsigned long i,
				  bool shared)
{
	struct page page = *from;

	page.flags.f &= ~FLAGS_VOLATILE;
	/* The index of the last file. */
	if (!i)
		page.__folio_index = 0;
	/* Of tails that hold no field of the folio: what the memory was at boot. */
	if (i >= sizeof(struct folio) / sizeof(page))
		page.lru.prev = NULL;
	/* Shared ones set up at boot are referenced until the first split. */
	if (shared)
		atomic_set(&page._refcount, 0);
	return page;
}

static struct page pool_struct(struct folio *folio, unsigned long i)
{
	bool shared = folio_test_hugetlb_vmemmap_optimized(folio) &&
		      i >= HUGETLB_GMEM_STRUCTS;

	return without_traces(&folio->page + i, i, shared);
}

static void free_copy(void *copy)
{
	vfree(copy);
}

static void *new_copy(struct kunit *test, size_t size)
{
	void *copy = vzalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, copy);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_copy, copy), 0);
	return copy;
}

/* Not optimized, struct pages may be mapped by a PMD, which nobody changes. */
static u64 vmemmap_entry(struct folio *folio, unsigned long i)
{
	pte_t pte;

	if (!folio_test_hugetlb_vmemmap_optimized(folio))
		return 0;
	pte = ptep_get(virt_to_kpte((unsigned long)(&folio->page + i)));
	return pte_val(pte_mkold(pte_mkclean(pte)));
}

/* The page that the pool will give away next. */
void gmem_kunit_next_page(struct kunit *test, struct hstate *h,
			  struct gmem_kunit_pool_page *page)
{
	unsigned long i;

	page->nr = pages_per_huge_page(h);
	page->pages = new_copy(test, page->nr * sizeof(struct page));
	page->entries = new_copy(test, page->nr / HUGETLB_GMEM_STRUCTS * sizeof(u64));

	scoped_guard(spinlock_irq, &hugetlb_lock)
		page->folio = list_first_entry_or_null(&h->hugepage_freelists[numa_node_id()],
						       struct folio, lru);
	KUNIT_ASSERT_NOT_NULL(test, page->folio);

	for (i = 0; i < page->nr; i++) {
		page->pages[i] = pool_struct(page->folio, i);
		if (!(i % HUGETLB_GMEM_STRUCTS))
			page->entries[i / HUGETLB_GMEM_STRUCTS] =
				vmemmap_entry(page->folio, i);
	}
}

/* Is it in the pool again as it was, all of its struct pages? */
void gmem_kunit_expect_page(struct kunit *test,
			    const struct gmem_kunit_pool_page *page)
{
	struct page copy;
	unsigned long i;

	for (i = 0; i < page->nr; i++) {
		copy = pool_struct(page->folio, i);
		if (memcmp(&copy, page->pages + i, sizeof(copy))) {
			KUNIT_EXPECT_MEMEQ_MSG(test, &copy, page->pages + i,
					       sizeof(copy), "struct page %lu", i);
			break;
		}
		if (!(i % HUGETLB_GMEM_STRUCTS) &&
		    vmemmap_entry(page->folio, i) != page->entries[i / HUGETLB_GMEM_STRUCTS]) {
			KUNIT_FAIL(test, "struct page %lu is mapped otherwise", i);
			break;
		}
	}
}

static u64 *first_word(struct hugetlb_gmem_extent *extent, unsigned long i)
{
	return page_address(extent->page + i);
}

static u64 *last_word(struct hugetlb_gmem_extent *extent, unsigned long i)
{
	return first_word(extent, i) + PAGE_SIZE / sizeof(u64) - 1;
}

void gmem_kunit_write(struct hugetlb_gmem_extent *extent, u64 salt)
{
	unsigned long i;

	for (i = 0; i < extent_pages(extent); i++) {
		*first_word(extent, i) = salt + i;
		*last_word(extent, i) = salt - i;
	}
}

void gmem_kunit_expect_contents(struct kunit *test,
				struct hugetlb_gmem_extent *extent, u64 salt)
{
	unsigned long i;

	for (i = 0; i < extent_pages(extent); i++) {
		if (*first_word(extent, i) != salt + i ||
		    *last_word(extent, i) != salt - i)
			KUNIT_FAIL_AND_ABORT(test, "contents of page %lu", i);
	}
}

void gmem_kunit_expect_zeroes(struct kunit *test,
			      struct hugetlb_gmem_extent *extent)
{
	unsigned long i;

	for (i = 0; i < extent_pages(extent); i++) {
		if (*first_word(extent, i) || *last_word(extent, i))
			KUNIT_FAIL_AND_ABORT(test, "page %lu is not zeroed", i);
	}
}
