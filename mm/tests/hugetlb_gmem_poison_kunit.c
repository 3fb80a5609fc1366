// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of poisoned pages in the HugeTLB pages of a guest_memfd
 *
 * A HugeTLB page with poison leaves the pool for good, so each run of these tests
 * makes the pools smaller: 6 pages of 2M and one of 1G are used up.
 *
 * tools/testing/gmem/run-kunit runs them, the last ones of all.  See
 * Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/hugetlb.h>
#include <linux/mm.h>

#include "hugetlb_gmem_kunit.h"
#include "../internal.h"

struct poison_test {
	struct gmem_kunit_file		*file;
	struct hugetlb_gmem_extent	*extent;
	unsigned long			pfn;
	long				hwpoisoned;
};

static struct poison_test new_poison_test(struct kunit *test, unsigned int order)
{
	struct poison_test t = { .file = gmem_kunit_create(test, order, 1) };

	t.extent = gmem_kunit_fill(t.file, 0);
	t.pfn = page_to_pfn(t.extent->page);
	t.hwpoisoned = atomic_long_read(&num_poisoned_pages);
	return t;
}

static void expect_poison(struct poison_test *t, unsigned long nr,
			  unsigned long nr_hwpoisoned)
{
	struct kunit *test = t->file->test;

	hugetlb_gmem_drain();
	KUNIT_EXPECT_EQ(test, t->file->gmem->stat[HUGETLB_GMEM_POISONED], nr);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&num_poisoned_pages),
			t->hwpoisoned + nr_hwpoisoned);
	gmem_kunit_expect_counters(t->file);
}

/* The pool is smaller by one page, and nothing else has changed. */
static void expect_smaller_pool(struct poison_test *t)
{
	struct folio *folio = page_folio(pfn_to_page(t->pfn));
	struct gmem_kunit_books books = t->file->books;
	struct kunit *test = t->file->test;

	books.value[BOOK_POOL]--;
	books.value[BOOK_POOL_FREE]--;
	books.value[BOOK_POOL_MAX]--;
	books.value[BOOK_NODE]--;
	books.value[BOOK_NODE_FREE]--;
	gmem_kunit_await_books(test, t->file->hstate, &books);
	KUNIT_EXPECT_FALSE(test, hugetlb_gmem_owns_pfn(t->pfn));
	KUNIT_EXPECT_TRUE(test, folio_test_hwpoison(folio));
	/* With HVO it stays a HugeTLB page, for the free ones of which others wait. */
	KUNIT_ASSERT_EQ(test, folio_ref_count(folio), 1);
	KUNIT_EXPECT_EQ(test, dissolve_free_hugetlb_folio(folio),
			folio_test_hugetlb(folio) ? -EBUSY : 0);
	KUNIT_EXPECT_EQ(test, folio_order(folio), t->file->order);
}

static void close_poisoned(struct poison_test *t)
{
	gmem_kunit_close(t->file);
	expect_smaller_pool(t);
}

/* The file is told; it keeps the page and loses it with its end. */
static void poison_whole(struct kunit *test)
{
	struct poison_test t = new_poison_test(test, gmem_kunit_order(test));
	unsigned long nr = extent_pages(t.extent);

	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_poison(t.extent, 0, nr), ULONG_MAX);
	KUNIT_EXPECT_EQ(test, memory_failure(t.pfn + nr - 2, 0), 0);
	expect_poison(&t, 1, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&t.file->nr_poisoned), 1);
	KUNIT_EXPECT_EQ(test, t.file->poisoned, nr - 2);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_poison(t.extent, 0, nr), nr - 2);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_poison(t.extent, 0, nr - 2), ULONG_MAX);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_memory_failure(t.pfn + nr - 2, 0), -EHWPOISON);
	/* The thread that runs this has no memory which it could have read there. */
	KUNIT_EXPECT_EQ(test, memory_failure(t.pfn + nr - 2, MF_ACTION_REQUIRED),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, soft_offline_page(t.pfn, 0), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, unpoison_memory(t.pfn + nr - 2), -EOPNOTSUPP);
	expect_poison(&t, 1, 1);

	gmem_kunit_punch(t.file, 0);
	KUNIT_EXPECT_NOT_NULL(test, t.extent->page);
	close_poisoned(&t);
}

/* The region with the page stays split; zeroing leaves the page alone. */
static void poison_split(struct kunit *test)
{
	struct poison_test t = new_poison_test(test, GMEM_KUNIT_2M);
	struct hugetlb_gmem_changes changes = {};
	u8 small = HUGETLB_GMEM_SMALL, whole = GMEM_KUNIT_2M;
	u64 *good, *bad;

	gmem_kunit_relayout(test, t.extent, &small);
	good = page_address(t.extent->page + 5);
	bad = page_address(t.extent->page + 6);
	*good = *bad = 1;
	KUNIT_EXPECT_EQ(test, memory_failure(t.pfn + 6, 0), 0);
	hugetlb_gmem_zero(t.extent, 0, HUGETLB_GMEM_BLOCK_PAGES);
	KUNIT_EXPECT_EQ(test, *good, 0);
	KUNIT_EXPECT_EQ(test, *bad, 1);

	KUNIT_EXPECT_EQ(test, gmem_kunit_try_relayout(t.extent, &whole, true,
						      &changes), 0);
	KUNIT_EXPECT_EQ(test, changes.merges, 0);
	KUNIT_EXPECT_EQ(test, (int)t.extent->blocked, HUGETLB_GMEM_BLOCKED_POISON);
	gmem_kunit_expect_layout(test, t.extent, &small);
	expect_poison(&t, 1, 1);
	close_poisoned(&t);
}

/*
 * Without memory for the record, all of the page counts as poisoned.  Which pages
 * have failed is then told of rather twice than never.
 */
static void poison_without_record(struct kunit *test)
{
	struct poison_test t = new_poison_test(test, GMEM_KUNIT_2M);
	unsigned long nr = extent_pages(t.extent);

	gmem_kunit_fail_nth(1);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_memory_failure(t.pfn + 3, 0), 0);
	if (gmem_kunit_fail_none())
		kunit_skip(test, "allocations do not fail");
	KUNIT_EXPECT_TRUE(test, t.extent->poison_all);
	expect_poison(&t, nr, 1);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_poison(t.extent, 0, nr), 0);

	gmem_kunit_fail_nth(1);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_memory_failure(t.pfn + 3, 0), -EHWPOISON);
	KUNIT_EXPECT_FALSE(test, gmem_kunit_fail_none());
	expect_poison(&t, nr, 1);

	KUNIT_EXPECT_EQ(test, hugetlb_gmem_memory_failure(t.pfn + 4, 0), 0);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_memory_failure(t.pfn + 4, 0), -EHWPOISON);
	expect_poison(&t, nr, 2);
	close_poisoned(&t);
}

/* More pages fail while the file is being told of one, and again before it is. */
static void poison_while_told(struct kunit *test)
{
	struct poison_test t = new_poison_test(test, GMEM_KUNIT_2M);
	unsigned long i;

	mutex_lock(&t.file->telling);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, hugetlb_gmem_memory_failure(t.pfn + i, 0), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t.file->nr_poisoned), 0);
	mutex_unlock(&t.file->telling);

	expect_poison(&t, 4, 4);
	KUNIT_EXPECT_GE(test, atomic_read(&t.file->nr_poisoned), 4);
	KUNIT_EXPECT_EQ(test, t.file->poisoned, 3);
	close_poisoned(&t);
}

/* Pages that somebody cannot let go; their memory is good. */
static void poison_range(struct kunit *test)
{
	struct poison_test t = new_poison_test(test, GMEM_KUNIT_2M);

	hugetlb_gmem_poison(t.file->gmem, 10, 30);
	expect_poison(&t, 20, 0);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_poison(t.extent, 0, ULONG_MAX), 10);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_poison(t.extent, 29, ULONG_MAX), 29);
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_poison(t.extent, 30, ULONG_MAX),
			ULONG_MAX);
	close_poisoned(&t);
}

/* A page that fails when its file is gone: only the pool is to know. */
static void poison_orphan(struct kunit *test)
{
	struct poison_test t = new_poison_test(test, GMEM_KUNIT_2M);
	struct folio *folio;

	gmem_kunit_share_first(test, t.extent);
	folio = page_folio(t.extent->page + 7);
	folio_get(folio);
	gmem_kunit_close(t.file);
	KUNIT_EXPECT_EQ(test, memory_failure(t.pfn + 8, 0), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t.file->nr_poisoned), 0);
	KUNIT_EXPECT_TRUE(test, hugetlb_gmem_owns_pfn(t.pfn));
	folio_put(folio);
	expect_smaller_pool(&t);
}

static struct kunit_case poison_cases[] = {
	GMEM_KUNIT_SLOW(poison_whole, gmem_kunit_orders),
	KUNIT_CASE(poison_split),
	KUNIT_CASE(poison_without_record),
	KUNIT_CASE(poison_while_told),
	KUNIT_CASE(poison_range),
	KUNIT_CASE(poison_orphan),
	{}
};

static struct kunit_suite poison_suite = {
	.name = "hugetlb_gmem_poison",
	.suite_init = gmem_kunit_suite_init,
	.suite_exit = gmem_kunit_suite_exit,
	.init = gmem_kunit_init,
	.test_cases = poison_cases,
};

kunit_test_suite(poison_suite);
