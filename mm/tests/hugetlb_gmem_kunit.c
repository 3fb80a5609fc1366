// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the life of HugeTLB pages in a guest_memfd: reservation, what is
 * stashed and given back, holes, and pages that outlive the file
 *
 * Each test ends with the question whether all that is counted is as before.
 * Every allocation is failed in turn.  The pools must have free pages of 2M and
 * of 1G; a test that finds none is skipped.
 *
 * tools/testing/gmem/run-kunit runs them.  See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/cgroup.h>
#include <linux/folio_batch.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_cgroup.h>
#include <linux/page_counter.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "hugetlb_gmem_kunit.h"
#include "../internal.h"

#define SALT	0x5a17ed0000000000

/* The longest file that the pools of a test machine are sure to hold. */
static unsigned long file_pages(unsigned int order)
{
	return order == GMEM_KUNIT_1G ? 2 : 3;
}

static void expect_subpool(struct gmem_kunit_file *file, long nr, long nr_used)
{
	struct hugepage_subpool *subpool = file->gmem->subpool;

	KUNIT_EXPECT_EQ(file->test, subpool->max_hpages, nr);
	KUNIT_EXPECT_EQ(file->test, subpool->min_hpages, nr);
	KUNIT_EXPECT_EQ(file->test, subpool->used_hpages, nr_used);
	KUNIT_EXPECT_EQ(file->test, subpool->rsv_hpages, nr - nr_used);
}

static void expect_file_books(struct gmem_kunit_file *file, unsigned long nr,
			      unsigned long nr_filled)
{
	struct gmem_kunit_books books;

	gmem_kunit_file_books(file, nr, nr_filled, &books);
	gmem_kunit_expect_books(file->test, file->hstate, &books);
}

static void reserve(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	unsigned long nr = file_pages(order);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, nr);

	KUNIT_EXPECT_TRUE(test, mapping_hugetlb_gmem(file->inode->i_mapping));
	KUNIT_EXPECT_EQ(test, file->gmem->nr_extents, nr);
	KUNIT_EXPECT_PTR_EQ(test, file->gmem->rsvd, gmem_kunit_cgroup());
	expect_subpool(file, nr, 0);
	expect_file_books(file, nr, 0);

	/* A record without memory. */
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, hugetlb_gmem_get_extent(file->gmem, 0));
	KUNIT_EXPECT_NULL(test, hugetlb_gmem_find_extent(file->gmem, 0));
	gmem_kunit_close_clean(file);
}

static void reserve_too_much(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_new_file(test, order, 1);
	struct hstate *h = file->hstate;
	loff_t free = h->free_huge_pages - h->resv_huge_pages;

	i_size_write(file->inode, (free + 1) * huge_page_size(h));
	KUNIT_EXPECT_EQ(test, gmem_kunit_reserve(file), -ENOMEM);
	KUNIT_EXPECT_FALSE(test, mapping_hugetlb_gmem(file->inode->i_mapping));
	gmem_kunit_expect_books(test, h, &file->books);

	i_size_write(file->inode, free * huge_page_size(h));
	KUNIT_EXPECT_EQ(test, gmem_kunit_reserve(file), 0);
	gmem_kunit_close_clean(file);
}

static void set_overcommit(struct hstate *h, unsigned long nr)
{
	guard(spinlock_irq)(&hugetlb_lock);
	h->nr_overcommit_huge_pages = nr;
}

static void no_overcommit(void *data)
{
	set_overcommit(data, 0);
}

/* A page beyond the pool comes with the reservation and goes with it. */
static void surplus(struct kunit *test)
{
	struct gmem_kunit_file *file = gmem_kunit_new_file(test, GMEM_KUNIT_2M, 1);
	struct hstate *h = file->hstate;
	unsigned long free = h->free_huge_pages - h->resv_huge_pages;

	set_overcommit(h, 1);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, no_overcommit, h), 0);
	i_size_write(file->inode, (loff_t)(free + 1) * huge_page_size(h));
	KUNIT_ASSERT_EQ(test, gmem_kunit_reserve(file), 0);
	KUNIT_EXPECT_EQ(test, h->surplus_huge_pages, 1);
	KUNIT_EXPECT_EQ(test, (long)h->nr_huge_pages, file->books.value[BOOK_POOL] + 1);

	/* One that is split when it leaves the pool for good. */
	gmem_kunit_share_first(test, gmem_kunit_fill(file, 0));
	gmem_kunit_expect_counters(file);
	gmem_kunit_close_clean(file);
}

/* What HugeTLB had in the folio, of which nothing may be left there. */
static void expect_stash(struct kunit *test, struct hugetlb_gmem_extent *extent,
			 const struct gmem_kunit_pool_page *page)
{
	struct hugetlb_gmem_stash *stash = &extent->stash;
	struct folio *folio = page_folio(extent->page);
	bool memcg = false;

	KUNIT_EXPECT_EQ(test, stash->private,
			page->pages[0].private & ~BIT(HPG_freed));
	KUNIT_EXPECT_FALSE(test, stash->private & BIT(HPG_restore_reserve));
	KUNIT_EXPECT_EQ(test, extent->optimized,
			!!(stash->private & BIT(HPG_vmemmap_optimized)));
	KUNIT_EXPECT_PTR_EQ(test, stash->cgroup, gmem_kunit_cgroup());
#ifdef CONFIG_MEMCG
	memcg = !mem_cgroup_disabled() &&
		cgroup_subsys_on_dfl(memory_cgrp_subsys) &&
		cgrp_dfl_root.flags & CGRP_ROOT_MEMORY_HUGETLB_ACCOUNTING;
	KUNIT_EXPECT_EQ(test, folio->memcg_data, 0);
#endif
	KUNIT_EXPECT_EQ(test, !!stash->memcg_data, memcg);
	KUNIT_EXPECT_FALSE(test, folio_test_hugetlb(folio));
	KUNIT_EXPECT_TRUE(test, list_empty(&folio->lru));
}

static void expect_file(struct gmem_kunit_file *file, unsigned long nr_filled)
{
	unsigned long pages = nr_filled << file->order;
	struct inode *inode = file->inode;

	KUNIT_EXPECT_EQ(file->test, inode->i_mapping->nrpages, pages);
	KUNIT_EXPECT_EQ(file->test, inode_get_bytes(inode),
			(loff_t)pages << PAGE_SHIFT);
	KUNIT_EXPECT_EQ(file->test, hugetlb_gmem_resident(inode->i_mapping, 0), !!pages);
	KUNIT_EXPECT_EQ(file->test, xa_empty(&inode->i_mapping->i_pages), !pages);
}

static void fill(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	unsigned long nr_file_pages = global_node_page_state(NR_FILE_PAGES);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, 1);
	unsigned int nr_blocks = 1U << (order - HUGETLB_GMEM_BLOCK_ORDER);
	struct gmem_kunit_pool_page page;
	struct hugetlb_gmem_extent *extent;
	unsigned long pfn;
	u8 *whole;

	whole = kunit_kmalloc(test, nr_blocks, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, whole);
	memset(whole, order, nr_blocks);
	gmem_kunit_next_page(test, file->hstate, &page);

	extent = gmem_kunit_fill(file, 0);
	pfn = page_to_pfn(extent->page);
	KUNIT_ASSERT_PTR_EQ(test, extent->page, &page.folio->page);
	KUNIT_EXPECT_PTR_EQ(test, hugetlb_gmem_find_extent(file->gmem, 1), extent);
	KUNIT_EXPECT_TRUE(test, hugetlb_gmem_owns_pfn(pfn));
	KUNIT_EXPECT_TRUE(test, hugetlb_gmem_owns_pfn(pfn + page.nr - 1));
	expect_stash(test, extent, &page);
	expect_subpool(file, 1, 1);
	expect_file(file, 1);
	expect_file_books(file, 1, 1);
	gmem_kunit_expect_layout(test, extent, whole);
	gmem_kunit_expect_counters(file);
	KUNIT_EXPECT_LT(test, (long)global_node_page_state(NR_FILE_PAGES),
			(long)(nr_file_pages + page.nr));

	gmem_kunit_close_clean(file);
	KUNIT_EXPECT_FALSE(test, hugetlb_gmem_owns_pfn(pfn));
	gmem_kunit_expect_page(test, &page);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* Nobody else takes it for a folio that can be split. */
static void not_splittable(struct kunit *test)
{
	struct gmem_kunit_file *file = gmem_kunit_create(test, GMEM_KUNIT_2M, 1);
	struct folio *folio = page_folio(gmem_kunit_fill(file, 0)->page);

	folio_lock(folio);
	KUNIT_EXPECT_EQ(test, folio_check_splittable(folio, 0, SPLIT_TYPE_UNIFORM),
			-EINVAL);
	folio_unlock(folio);
	gmem_kunit_close_clean(file);
}
#endif

/* The next tenant of a page finds zeroes, whole or split when it was left. */
static void zeroed(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, 1);
	struct hugetlb_gmem_extent *extent = gmem_kunit_fill(file, 0);
	struct page *page = extent->page;

	gmem_kunit_write(extent, SALT);
	gmem_kunit_share_first(test, extent);
	gmem_kunit_close_clean(file);

	file = gmem_kunit_create(test, order, 1);
	extent = gmem_kunit_fill(file, 0);
	KUNIT_ASSERT_PTR_EQ(test, extent->page, page);
	gmem_kunit_expect_zeroes(test, extent);
	gmem_kunit_close_clean(file);
}

/* A hole gives the page back, whole or split, and keeps the reservation. */
static void punch(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, 1);
	struct hugetlb_gmem_extent *extent;
	struct gmem_kunit_pool_page page;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		gmem_kunit_next_page(test, file->hstate, &page);
		extent = gmem_kunit_fill(file, 0);
		expect_file(file, 1);
		if (i)
			gmem_kunit_share_first(test, extent);
		gmem_kunit_punch(file, 0);
		KUNIT_EXPECT_NULL(test, extent->page);
		KUNIT_EXPECT_NULL(test, hugetlb_gmem_find_extent(file->gmem, 0));
		KUNIT_EXPECT_NULL(test, extent->stash.cgroup);
		expect_file(file, 0);
		expect_subpool(file, 1, 0);
		expect_file_books(file, 1, 0);
		gmem_kunit_expect_counters(file);
		gmem_kunit_expect_page(test, &page);
	}
	gmem_kunit_close_clean(file);
}

/* A file that lives keeps a page that somebody holds. */
static void expect_punch_blocked(struct kunit *test, const struct gmem_kunit_hold *hold)
{
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, 1);
	struct hugetlb_gmem_extent *extent = gmem_kunit_fill(file, 0);
	struct folio *folio;

	gmem_kunit_share_first(test, extent);
	folio = page_folio(extent->page + extent_pages(extent) - 1);
	hold->take(folio);
	gmem_kunit_punch(file, 0);
	KUNIT_EXPECT_NOT_NULL(test, hugetlb_gmem_find_extent(file->gmem, 0));
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), folio_nr_pages(folio) + hold->nr_refs);
	KUNIT_EXPECT_EQ(test, page_ref_count(extent->page), 1);
	expect_file(file, 1);
	gmem_kunit_expect_counters(file);

	hold->drop(folio);
	gmem_kunit_punch(file, 0);
	expect_file(file, 0);
	expect_file_books(file, 1, 0);
	gmem_kunit_close_clean(file);
}

static void punch_pinned(struct kunit *test)
{
	expect_punch_blocked(test, &gmem_kunit_reference);
}

static void punch_locked(struct kunit *test)
{
	expect_punch_blocked(test, &gmem_kunit_lock);
}

/* Close, and see that the folio which is held stays what it was. */
static void expect_orphan(struct gmem_kunit_file *file,
			  struct hugetlb_gmem_extent *extent, int nr_held)
{
	struct kunit *test = file->test;
	unsigned int order = file->order;
	struct hugetlb_gmem *gmem = file->gmem;
	unsigned int nr_splits = extent->layout[0] ? 0 : 1;

	gmem_kunit_close(file);
	KUNIT_ASSERT_PTR_EQ(test, find_extent_by_pfn(page_to_pfn(extent->page)), extent);
	KUNIT_EXPECT_EQ(test, atomic_read(&extent->held), nr_held);
	KUNIT_EXPECT_NULL(test, gmem->mapping);
	KUNIT_EXPECT_EQ(test, gmem->stat[HUGETLB_GMEM_ALLOCATED], 1UL << order);
	KUNIT_EXPECT_EQ(test, gmem->stat[HUGETLB_GMEM_SPLIT], nr_splits);
	KUNIT_EXPECT_EQ(test, (long)file->hstate->free_huge_pages,
			file->books.value[BOOK_POOL_FREE] - 1);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_host_value(HUGETLB_GMEM_SIZE),
			file->books.value[BOOK_HOST_SIZE] + (1L << order));
}

static void expect_held(struct kunit *test, struct folio *folio)
{
	KUNIT_EXPECT_TRUE(test, folio_test_hugetlb_gmem(folio));
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_NULL(test, folio->mapping);
}

static DEFINE_SPINLOCK(last_put_lock);

static void orphan_whole(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, 1);
	struct gmem_kunit_books books;
	struct hugetlb_gmem_extent *extent;
	struct gmem_kunit_pool_page page;

	gmem_kunit_next_page(test, file->hstate, &page);
	extent = gmem_kunit_fill(file, 0);
	gmem_kunit_write(extent, SALT);
	gmem_kunit_file_books(file, 1, 1, &books);
	folio_get(page.folio);
	expect_orphan(file, extent, 1);
	expect_held(test, page.folio);
	gmem_kunit_expect_contents(test, extent, SALT);
	gmem_kunit_expect_books(test, file->hstate, &books);

	/* The last put must not sleep. */
	scoped_guard(spinlock_irqsave, &last_put_lock)
		folio_put(page.folio);
	gmem_kunit_await_books(test, file->hstate, &file->books);
	gmem_kunit_expect_page(test, &page);
}

static void orphan_split(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, 1);
	struct hugetlb_gmem_extent *extent;
	struct gmem_kunit_pool_page page;
	struct folio *folios[3];
	struct folio_batch batch;
	unsigned int i;

	gmem_kunit_next_page(test, file->hstate, &page);
	extent = gmem_kunit_fill(file, 0);
	gmem_kunit_share_first(test, extent);
	folios[0] = page_folio(extent->page);
	folios[1] = page_folio(extent->page + 5);
	folios[2] = page_folio(extent->page + page.nr - 1);
	for (i = 0; i < ARRAY_SIZE(folios); i++)
		folio_get(folios[i]);

	expect_orphan(file, extent, ARRAY_SIZE(folios));
	for (i = 0; i < ARRAY_SIZE(folios); i++)
		expect_held(test, folios[i]);

	folio_put(folios[1]);
	KUNIT_EXPECT_EQ(test, atomic_read(&extent->held), 2);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folios[1]), 0);
	folio_batch_init(&batch);
	folio_batch_add(&batch, folios[0]);
	folios_put(&batch);
	KUNIT_EXPECT_EQ(test, atomic_read(&extent->held), 1);
	expect_held(test, folios[2]);

	folio_put(folios[2]);
	gmem_kunit_await_books(test, file->hstate, &file->books);
	gmem_kunit_expect_page(test, &page);
}

static int run_create(void *data)
{
	return gmem_kunit_reserve(data);
}

static void check_create(struct kunit *test, void *data)
{
	struct gmem_kunit_file *file = data;

	KUNIT_EXPECT_FALSE(test, mapping_hugetlb_gmem(file->inode->i_mapping));
	gmem_kunit_expect_books(test, file->hstate, &file->books);
}

static void undo_create(void *data)
{
	struct gmem_kunit_file *file = data;

	hugetlb_gmem_destroy(file->gmem);
	file->gmem = NULL;
	clear_bit(AS_HUGETLB_GMEM, &file->inode->i_mapping->flags);
}

static void create_errors(struct kunit *test)
{
	static const struct gmem_kunit_fallible create = {
		run_create, check_create, undo_create
	};
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_new_file(test, order, 1);

	gmem_kunit_fail_each(test, &create, file, 2);
	expect_subpool(file, 1, 0);
	expect_file_books(file, 1, 0);
	gmem_kunit_close_clean(file);
}

static int run_get_extent(void *data)
{
	struct gmem_kunit_file *file = data;

	return PTR_ERR_OR_ZERO(hugetlb_gmem_get_extent(file->gmem, 0));
}

static void check_get_extent(struct kunit *test, void *data)
{
	struct gmem_kunit_file *file = data;

	KUNIT_EXPECT_TRUE(test, xa_empty(&file->gmem->extents));
	expect_file_books(file, 1, 0);
}

static void undo_get_extent(void *data)
{
	struct gmem_kunit_file *file = data;

	hugetlb_gmem_free_record(xa_erase(&file->gmem->extents, 0));
}

static void get_extent_errors(struct kunit *test)
{
	static const struct gmem_kunit_fallible get_extent = {
		run_get_extent, check_get_extent, undo_get_extent
	};
	unsigned int order = gmem_kunit_order(test);
	struct gmem_kunit_file *file = gmem_kunit_create(test, order, 1);

	gmem_kunit_fail_each(test, &get_extent, file, 2);
	gmem_kunit_fill(file, 0);
	gmem_kunit_close_clean(file);
}

struct alloc_test {
	struct gmem_kunit_file		*file;
	struct hugetlb_gmem_extent	*extent;
	struct gmem_kunit_pool_page	page;
};

static int run_alloc(void *data)
{
	struct alloc_test *alloc = data;

	return gmem_kunit_alloc(alloc->extent);
}

static void check_alloc(struct kunit *test, void *data)
{
	struct alloc_test *alloc = data;

	KUNIT_EXPECT_NULL(test, alloc->extent->page);
	KUNIT_EXPECT_FALSE(test, alloc->extent->ready);
	expect_file(alloc->file, 0);
	expect_subpool(alloc->file, 1, 0);
	expect_file_books(alloc->file, 1, 0);
	gmem_kunit_expect_page(test, &alloc->page);
}

static void undo_alloc(void *data)
{
	struct alloc_test *alloc = data;

	gmem_kunit_punch(alloc->file, 0);
}

static void alloc_errors(struct kunit *test)
{
	static const struct gmem_kunit_fallible alloc_extent = {
		run_alloc, check_alloc, undo_alloc
	};
	unsigned int order = gmem_kunit_order(test);
	struct alloc_test alloc = { .file = gmem_kunit_create(test, order, 1) };
	unsigned int nr_tails = order - HUGETLB_GMEM_BLOCK_ORDER + 1;

	gmem_kunit_next_page(test, alloc.file->hstate, &alloc.page);
	alloc.extent = hugetlb_gmem_get_extent(alloc.file->gmem, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, alloc.extent);
	if (!folio_test_hugetlb_vmemmap_optimized(alloc.page.folio))
		nr_tails = 0;

	/* Shared tails, the table of pfns, the page cache. */
	gmem_kunit_fail_each(test, &alloc_extent, &alloc, nr_tails + 2);
	expect_file(alloc.file, 1);
	expect_file_books(alloc.file, 1, 1);
	gmem_kunit_close_clean(alloc.file);
	gmem_kunit_expect_page(test, &alloc.page);
}

#ifdef CONFIG_CGROUP_HUGETLB
/* A cgroup that goes away leaves its charge to its parent. */
static void move_cgroup(struct kunit *test)
{
	unsigned int order = gmem_kunit_order(test);
	struct hugetlb_cgroup *from = gmem_kunit_cgroup(), *to;
	struct gmem_kunit_file *file;
	struct hugetlb_gmem_extent *extent;
	long nr = 1L << order, before, before_node;
	unsigned long *node;
	int i;

	if (!from->css.parent)
		kunit_skip(test, "a cgroup below the root is needed");
	to = container_of(from->css.parent, struct hugetlb_cgroup, css);
	file = gmem_kunit_create(test, order, 1);
	i = hstate_index(file->hstate);
	node = &to->nodeinfo[numa_node_id()]->usage[i];
	before = page_counter_read(&to->hugepage[i]);
	before_node = *node;
	extent = gmem_kunit_fill(file, 0);

	hugetlb_gmem_move_cgroup(from, to);
	KUNIT_EXPECT_PTR_EQ(test, extent->stash.cgroup, to);
	KUNIT_EXPECT_EQ(test, (long)page_counter_read(&from->hugepage[i]),
			file->books.value[BOOK_CGROUP]);
	KUNIT_EXPECT_EQ(test, (long)page_counter_read(&to->hugepage[i]), before + nr);
	KUNIT_EXPECT_EQ(test, (long)*node, before_node + nr);

	gmem_kunit_close_clean(file);
	KUNIT_EXPECT_EQ(test, (long)page_counter_read(&to->hugepage[i]), before);
	KUNIT_EXPECT_EQ(test, (long)*node, before_node);
}
#endif

static void expect_line(struct kunit *test, const char *text, const char *line)
{
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, line), "no %s in\n%s", line, text);
}

/* What fdinfo says of a file with a split, a whole and no page. */
static void show(struct kunit *test)
{
	struct gmem_kunit_file *file = gmem_kunit_create(test, GMEM_KUNIT_2M, 3);
	struct seq_file m = { .size = SZ_4K };
	struct hugetlb_gmem_extent *extent;

	m.buf = kunit_kzalloc(test, m.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m.buf);
	extent = gmem_kunit_fill(file, 0);
	gmem_kunit_share_first(test, extent);
	gmem_kunit_fill(file, 1);
	gmem_kunit_expect_counters(file);

	hugetlb_gmem_show(&m, file->gmem);
	KUNIT_ASSERT_FALSE(test, seq_has_overflowed(&m));
	expect_line(test, m.buf, "gmem-size:\t6144 kB\n");
	expect_line(test, m.buf, "gmem-allocated:\t4096 kB\n");
	expect_line(test, m.buf, "gmem-collateral:\t2048 kB\n");
	expect_line(test, m.buf, extent->optimized ? "gmem-vmemmap:\t28 kB\n" :
						     "gmem-vmemmap:\t0 kB\n");
	expect_line(test, m.buf, "gmem-whole:\t1\ngmem-split:\t1\n");
	expect_line(test, m.buf, "gmem-folios-2M:\t1\ngmem-folios-4K:\t512\n");
	expect_line(test, m.buf, "gmem-map:\tS1 W1 .1\n");
	gmem_kunit_close_clean(file);
}

/* Without it, the errors of the other tests are few. */
static void failslab_is_open(struct kunit *test)
{
	if (!gmem_kunit_all_allocations_fail())
		kunit_skip(test, "failslab/ignore-gfp-wait in debugfs is Y");
}

static struct kunit_case life_cases[] = {
	KUNIT_CASE(failslab_is_open),
	GMEM_KUNIT_SLOW(reserve, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(reserve_too_much, gmem_kunit_orders),
	KUNIT_CASE(surplus),
	GMEM_KUNIT_SLOW(fill, gmem_kunit_orders),
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	KUNIT_CASE(not_splittable),
#endif
	GMEM_KUNIT_SLOW(zeroed, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(punch, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(punch_pinned, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(punch_locked, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(orphan_whole, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(orphan_split, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(create_errors, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(get_extent_errors, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(alloc_errors, gmem_kunit_orders),
#ifdef CONFIG_CGROUP_HUGETLB
	GMEM_KUNIT_SLOW(move_cgroup, gmem_kunit_orders),
#endif
	KUNIT_CASE(show),
	{}
};

static struct kunit_suite life_suite = {
	.name = "hugetlb_gmem",
	.suite_init = gmem_kunit_suite_init,
	.suite_exit = gmem_kunit_suite_exit,
	.init = gmem_kunit_init,
	.test_cases = life_cases,
};

kunit_test_suite(life_suite);
