// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of split and merge of HugeTLB pages in a guest_memfd
 *
 * Pages get layouts of many shapes, one after the other; struct pages, vmemmap,
 * page cache, counters and contents are compared with what the shape asks for.
 * Then every allocation of a split fails in turn, and folios are held that are in
 * the way.  At last layouts, pins and failures come at random, against a model:
 *
 *	echo 7 > /sys/module/hugetlb_gmem_layout_kunit/parameters/seed
 *
 * repeats the run that has printed "seed=7".
 *
 * tools/testing/gmem/run-kunit runs them.  See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/workqueue.h>

#include "hugetlb_gmem_kunit.h"
#include "../internal.h"

#define SALT	0x1a07000000000000
#define ROUNDS	40

static unsigned int seed;
module_param(seed, uint, 0644);
MODULE_PARM_DESC(seed, "of the random test; 0 takes another one each time");

static const struct gmem_kunit_shape shapes[] = {
	{ "2M small", GMEM_KUNIT_2M, .uniform = 0 },
	{ "1G first", GMEM_KUNIT_1G, .nr_small = 1, .small = { 0 } },
	{ "1G last", GMEM_KUNIT_1G, .nr_small = 1, .small = { -1 } },
	{ "1G middle", GMEM_KUNIT_1G, .nr_small = 2, .small = { 255, 256 } },
	{ "1G scattered", GMEM_KUNIT_1G, .nr_small = 6, .small = { 1, 2, 9, 64, 300, -8 } },
	{ "1G order 17", GMEM_KUNIT_1G, .uniform = 17 },
	{ "1G order 13", GMEM_KUNIT_1G, .uniform = 13 },
	{ "1G order 12", GMEM_KUNIT_1G, .uniform = 12 },
	{ "1G order 11", GMEM_KUNIT_1G, .uniform = 11 },
	{ "1G order 9", GMEM_KUNIT_1G, .uniform = 9 },
};

/* To fail one allocation after the other, a split must not make thousands. */
static const struct gmem_kunit_shape small_shapes[] = {
	{ "2M small", GMEM_KUNIT_2M, .uniform = 0 },
	{ "1G first", GMEM_KUNIT_1G, .nr_small = 1, .small = { 0 } },
	{ "1G middle", GMEM_KUNIT_1G, .nr_small = 2, .small = { 255, 256 } },
	{ "1G order 15", GMEM_KUNIT_1G, .uniform = 15 },
	{ "1G order 12", GMEM_KUNIT_1G, .uniform = 12 },
};

static void describe_shape(const struct gmem_kunit_shape *shape, char *desc)
{
	strscpy(desc, shape->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(shape, shapes, describe_shape);
KUNIT_ARRAY_PARAM(small_shape, small_shapes, describe_shape);

/* A file with memory for its second huge page, and what the test wants of it. */
struct layout_test {
	struct kunit			*test;
	struct gmem_kunit_file		*file;
	struct hugetlb_gmem_extent	*extent;
	struct gmem_kunit_pool_page	page;
	struct gmem_kunit_books		whole_books;
	u8				*whole;
	u8				*to;
};

static struct layout_test *new_layout_test(struct kunit *test, unsigned int order)
{
	unsigned int nr_blocks = 1U << (order - HUGETLB_GMEM_BLOCK_ORDER);
	struct layout_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->test = test;
	t->file = gmem_kunit_create(test, order, 2);
	t->whole = kunit_kzalloc(test, nr_blocks, GFP_KERNEL);
	t->to = kunit_kzalloc(test, nr_blocks, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->whole);
	KUNIT_ASSERT_NOT_NULL(test, t->to);
	memset(t->whole, order, nr_blocks);
	gmem_kunit_next_page(test, t->file->hstate, &t->page);
	t->extent = gmem_kunit_fill(t->file, 1);
	gmem_kunit_read_books(test, t->file->hstate, &t->whole_books);
	return t;
}

/* The shape of the parameter is the layout to get to. */
static struct layout_test *new_shape_test(struct kunit *test)
{
	const struct gmem_kunit_shape *shape = test->param_value;
	struct layout_test *t = new_layout_test(test, shape->order);

	gmem_kunit_shape_layout(shape, t->to);
	return t;
}

/* Everything is as with the whole page, before anything was tried. */
static void expect_whole(struct layout_test *t)
{
	gmem_kunit_expect_layout(t->test, t->extent, t->whole);
	gmem_kunit_expect_counters(t->file);
	gmem_kunit_expect_books(t->test, t->file->hstate, &t->whole_books);
}

static void finish(struct layout_test *t)
{
	gmem_kunit_close_clean(t->file);
	gmem_kunit_expect_page(t->test, &t->page);
}

/* One for each folio, and 8 for the folios of a small block. */
static unsigned long own_vmemmap(const struct layout_test *t, const u8 *layout)
{
	unsigned long offset, nr = 0;

	if (!t->extent->optimized)
		return extent_pages(t->extent) / HUGETLB_GMEM_STRUCTS;

	for (offset = 0; offset < extent_pages(t->extent);
	     offset += layout_part_pages(layout, offset))
		nr += layout_order(layout, offset) ? 1 : 8;
	return nr;
}

/* Struct pages, counters, memory for struct pages. */
static void expect_layout(struct layout_test *t, const u8 *layout)
{
	struct gmem_kunit_books books;

	gmem_kunit_expect_layout(t->test, t->extent, layout);
	gmem_kunit_expect_counters(t->file);
	KUNIT_EXPECT_EQ(t->test, gmem_kunit_own_vmemmap(t->extent),
			own_vmemmap(t, layout));
	gmem_kunit_read_books(t->test, t->file->hstate, &books);
	KUNIT_EXPECT_EQ(t->test, books.value[BOOK_NR_MEMMAP] -
			t->whole_books.value[BOOK_NR_MEMMAP],
			(long)(own_vmemmap(t, layout) - own_vmemmap(t, t->whole)));
	KUNIT_EXPECT_EQ(t->test, books.value[BOOK_NR_HUGETLB],
			t->whole_books.value[BOOK_NR_HUGETLB]);
}

static bool merge_pending(const struct layout_test *t)
{
	return xa_get_mark(&t->file->gmem->extents, 1, HUGETLB_GMEM_MERGE_PENDING);
}

/* Split, merge, split again, and leave it to the pool to be merged. */
static void split_and_merge(struct kunit *test)
{
	struct layout_test *t = new_shape_test(test);

	gmem_kunit_write(t->extent, SALT);
	gmem_kunit_relayout(test, t->extent, t->to);
	expect_layout(t, t->to);
	gmem_kunit_expect_contents(test, t->extent, SALT);

	gmem_kunit_relayout(test, t->extent, t->whole);
	expect_whole(t);
	gmem_kunit_expect_contents(test, t->extent, SALT);

	gmem_kunit_relayout(test, t->extent, t->to);
	expect_layout(t, t->to);
	finish(t);
}

/* The most folios and struct pages that there can be; once, as it takes long. */
static void split_all(struct kunit *test)
{
	struct layout_test *t = new_layout_test(test, GMEM_KUNIT_1G);

	memset(t->to, HUGETLB_GMEM_SMALL, t->extent->nr_blocks);
	gmem_kunit_relayout(test, t->extent, t->to);
	expect_layout(t, t->to);
	finish(t);
}

static const struct gmem_kunit_shape *next_shape(const struct gmem_kunit_shape *shape)
{
	const struct gmem_kunit_shape *next = shape;

	do {
		if (++next == shapes + ARRAY_SIZE(shapes))
			next = shapes;
	} while (next->order != shape->order);
	return next;
}

/* From one split layout to another, with splits and merges at once. */
static void change_shape(struct kunit *test)
{
	struct layout_test *t = new_shape_test(test);
	u8 *next = kunit_kzalloc(test, t->extent->nr_blocks, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, next);
	gmem_kunit_shape_layout(next_shape(test->param_value), next);
	gmem_kunit_relayout(test, t->extent, t->to);
	gmem_kunit_relayout(test, t->extent, next);
	expect_layout(t, next);
	gmem_kunit_relayout(test, t->extent, t->to);
	expect_layout(t, t->to);
	finish(t);
}

/* A merge that is not to be done now is noted. */
static void merge_later(struct kunit *test)
{
	struct layout_test *t = new_shape_test(test);
	struct hugetlb_gmem_changes changes = {};

	gmem_kunit_relayout(test, t->extent, t->to);
	KUNIT_EXPECT_FALSE(test, merge_pending(t));
	KUNIT_EXPECT_EQ(test, gmem_kunit_try_relayout(t->extent, t->whole, false,
						      &changes), 0);
	KUNIT_EXPECT_EQ(test, changes.merges, 0);
	KUNIT_EXPECT_TRUE(test, merge_pending(t));
	KUNIT_EXPECT_EQ(test, (int)t->extent->blocked, HUGETLB_GMEM_NOT_BLOCKED);
	expect_layout(t, t->to);

	gmem_kunit_relayout(test, t->extent, t->whole);
	KUNIT_EXPECT_FALSE(test, merge_pending(t));
	expect_whole(t);
	finish(t);
}

/* A folio that somebody holds keeps its region split, and no other. */
static void expect_merge_blocked(struct kunit *test, const struct gmem_kunit_hold *hold)
{
	unsigned int order = gmem_kunit_order(test), i;
	struct layout_test *t = new_layout_test(test, order);
	struct hugetlb_gmem_changes changes = {};
	unsigned int nr = t->extent->nr_blocks, pinned = nr / 2;
	struct folio *folio;

	/* Small all over; then pairs of blocks, or the one there is. */
	memset(t->to, HUGETLB_GMEM_SMALL, nr);
	gmem_kunit_relayout(test, t->extent, t->to);
	memset(t->to, min(order, 10), nr);
	folio = page_folio(t->extent->page + pinned * HUGETLB_GMEM_BLOCK_PAGES + 3);
	hold->take(folio);
	KUNIT_EXPECT_FALSE(test, hugetlb_gmem_block_idle(t->extent, pinned));
	KUNIT_EXPECT_EQ(test, gmem_kunit_try_relayout(t->extent, t->to, true,
						      &changes), 0);
	KUNIT_EXPECT_EQ(test, folio_ref_count(folio), 1 + hold->nr_refs);
	hold->drop(folio);
	KUNIT_EXPECT_TRUE(test, hugetlb_gmem_block_idle(t->extent, pinned));
	KUNIT_EXPECT_TRUE(test, merge_pending(t));
	KUNIT_EXPECT_EQ(test, (int)t->extent->blocked, HUGETLB_GMEM_BLOCKED_PINS);
	for (i = pinned; i < min(nr, pinned + 2); i++)
		t->to[i] = HUGETLB_GMEM_SMALL;
	expect_layout(t, t->to);

	gmem_kunit_relayout(test, t->extent, t->whole);
	KUNIT_EXPECT_EQ(test, (int)t->extent->blocked, HUGETLB_GMEM_NOT_BLOCKED);
	expect_whole(t);
	finish(t);
}

static void merge_pinned(struct kunit *test)
{
	expect_merge_blocked(test, &gmem_kunit_reference);
}

static void merge_locked(struct kunit *test)
{
	expect_merge_blocked(test, &gmem_kunit_lock);
}

/* A relayout that has all its memory. */
static struct hugetlb_gmem_relayout *new_prepared(struct layout_test *t)
{
	struct hugetlb_gmem_relayout *relayout;

	relayout = gmem_kunit_new_relayout(t->extent, t->to);
	KUNIT_ASSERT_NOT_NULL(t->test, relayout);
	KUNIT_EXPECT_EQ(t->test, hugetlb_gmem_prepare_relayout(relayout), 0);
	return relayout;
}

/* Prepared and given up: nobody has seen it, and nothing is left. */
static void abort_prepared(struct kunit *test)
{
	struct layout_test *t = new_shape_test(test);
	struct hugetlb_gmem_relayout *relayout = new_prepared(t);
	struct gmem_kunit_books books;

	gmem_kunit_expect_layout(test, t->extent, t->whole);
	gmem_kunit_read_books(test, t->file->hstate, &books);
	KUNIT_EXPECT_EQ(test, books.value[BOOK_NR_MEMMAP] -
			t->whole_books.value[BOOK_NR_MEMMAP],
			(long)(own_vmemmap(t, t->to) - own_vmemmap(t, t->whole)));
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_relayout_pinned(relayout), ULONG_MAX);
	hugetlb_gmem_abort_relayout(relayout);
	expect_whole(t);
	finish(t);
}

/* Who holds a folio that is to be split is found; the others are left alone. */
static void expect_pinned(struct layout_test *t, const struct gmem_kunit_hold *hold,
			  unsigned long offset)
{
	struct hugetlb_gmem_relayout *relayout = new_prepared(t);
	struct folio *folio = page_folio(t->extent->page + offset);
	unsigned long nr = folio_nr_pages(folio);

	hold->take(folio);
	KUNIT_EXPECT_EQ(t->test, hugetlb_gmem_relayout_pinned(relayout),
			t->extent->index + round_down(offset, nr));
	KUNIT_EXPECT_EQ(t->test, hugetlb_gmem_find_pinned(t->extent, 0, ULONG_MAX),
			t->extent->index + round_down(offset, nr));
	KUNIT_EXPECT_EQ(t->test, folio_ref_count(folio), nr + hold->nr_refs);
	hold->drop(folio);
	KUNIT_EXPECT_EQ(t->test, hugetlb_gmem_relayout_pinned(relayout), ULONG_MAX);
	hugetlb_gmem_abort_relayout(relayout);
}

static void expect_split_blocked(struct kunit *test, const struct gmem_kunit_hold *hold)
{
	unsigned int order = gmem_kunit_order(test), i;
	struct layout_test *t = new_layout_test(test, order);
	unsigned int nr_blocks = t->extent->nr_blocks;
	u8 *from = kunit_kzalloc(test, nr_blocks, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, from);
	/* Four folios, or the one there is, each in turn. */
	memset(from, order == GMEM_KUNIT_1G ? 16 : order, nr_blocks);
	memset(t->to, order == GMEM_KUNIT_1G ? 15 : HUGETLB_GMEM_SMALL, nr_blocks);
	gmem_kunit_relayout(test, t->extent, from);
	for (i = 0; i < nr_blocks; i += DIV_ROUND_UP(nr_blocks, 4)) {
		expect_pinned(t, hold, i * HUGETLB_GMEM_BLOCK_PAGES + 17);
		expect_layout(t, from);
	}
	KUNIT_EXPECT_EQ(test, hugetlb_gmem_find_pinned(t->extent, 0, ULONG_MAX),
			ULONG_MAX);
	finish(t);
}

static void split_pinned(struct kunit *test)
{
	expect_split_blocked(test, &gmem_kunit_reference);
}

static void split_locked(struct kunit *test)
{
	expect_split_blocked(test, &gmem_kunit_lock);
}

struct late_put {
	struct delayed_work	work;
	struct folio		*folio;
};

static void late_put_workfn(struct work_struct *work)
{
	folio_put(container_of(work, struct late_put, work.work)->folio);
}

/* Commit waits for a reference that came after the last question. */
static void commit_waits(struct kunit *test)
{
	struct layout_test *t = new_layout_test(test, gmem_kunit_order(test));
	struct late_put put = { .folio = page_folio(t->extent->page) };
	struct hugetlb_gmem_changes changes = {};
	struct hugetlb_gmem_relayout *relayout;

	t->to[0] = HUGETLB_GMEM_SMALL;
	memset(t->to + 1, HUGETLB_GMEM_BLOCK_ORDER, t->extent->nr_blocks - 1);
	relayout = new_prepared(t);
	INIT_DELAYED_WORK_ONSTACK(&put.work, late_put_workfn);
	folio_get(put.folio);
	schedule_delayed_work(&put.work, 2);
	hugetlb_gmem_commit_relayout(relayout, true, &changes);
	gmem_kunit_count(t->extent);
	flush_delayed_work(&put.work);
	destroy_delayed_work_on_stack(&put.work);

	KUNIT_EXPECT_EQ(test, changes.splits, 1);
	expect_layout(t, t->to);
	finish(t);
}

static int run_relayout(void *data)
{
	struct hugetlb_gmem_changes changes = {};
	struct layout_test *t = data;

	return gmem_kunit_try_relayout(t->extent, t->to, true, &changes);
}

static void check_relayout(struct kunit *test, void *data)
{
	expect_whole(data);
}

static void undo_relayout(void *data)
{
	struct layout_test *t = data;

	gmem_kunit_relayout(t->test, t->extent, t->whole);
}

/* The page cache has nodes for the orders up to 5, 11 and 17. */
static unsigned int nr_node_splits(const struct layout_test *t)
{
	unsigned int i, below_12 = 0, below_9 = 0, nr = t->extent->nr_blocks;

	for (i = 0; i < nr; i++) {
		below_12 += !(i % 8) && t->to[i] < 12 && nr >= 8;
		below_9 += !t->to[i];
	}
	return (nr > 8) + below_12 + below_9;
}

static void relayout_errors(struct kunit *test)
{
	static const struct gmem_kunit_fallible relayout = {
		run_relayout, check_relayout, undo_relayout
	};
	struct layout_test *t = new_shape_test(test);

	/* The relayout, two for each split of a node, pages of struct pages. */
	gmem_kunit_fail_each(test, &relayout, t, 1 + 2 * nr_node_splits(t) +
			     own_vmemmap(t, t->to) - own_vmemmap(t, t->whole));
	expect_layout(t, t->to);
	finish(t);
}

/* What comes at random: each folio is cut in halves, or not. */
static void random_layout(struct rnd_state *rnd, u8 *layout, unsigned int order,
			  unsigned int first)
{
	unsigned int half = (1U << (order - HUGETLB_GMEM_BLOCK_ORDER)) / 2;

	if (prandom_u32_state(rnd) % 4 == 0) {
		memset(layout + first, order, max(2 * half, 1));
	} else if (order == HUGETLB_GMEM_BLOCK_ORDER) {
		layout[first] = HUGETLB_GMEM_SMALL;
	} else {
		random_layout(rnd, layout, order - 1, first);
		random_layout(rnd, layout, order - 1, first + half);
	}
}

static void copy_step(u8 *model, const u8 *to, const struct hugetlb_gmem_step *step)
{
	memcpy(model + step->block, to + step->block,
	       1U << (step->order - HUGETLB_GMEM_BLOCK_ORDER));
}

static bool in_step(const struct hugetlb_gmem_step *step, unsigned long offset)
{
	unsigned long start = (unsigned long)step->block * HUGETLB_GMEM_BLOCK_PAGES;

	return offset >= start && offset < start + (1UL << step->order);
}

/*
 * What a relayout does to the model.  A folio held at @pinned stops it as a whole
 * if it is to be split, or else its merge.
 */
static int model_relayout(u8 *model, const u8 *to, unsigned int nr_blocks,
			  struct hugetlb_gmem_step *steps, bool merge,
			  unsigned long pinned)
{
	unsigned int i, nr = gmem_kunit_steps(model, to, nr_blocks, steps);

	for (i = 0; i < nr; i++) {
		if (steps[i].split && in_step(&steps[i], pinned))
			return -EAGAIN;
	}
	for (i = 0; i < nr; i++) {
		if (steps[i].split || (merge && !in_step(&steps[i], pinned)))
			copy_step(model, to, &steps[i]);
	}
	return 0;
}

struct random_test {
	struct layout_test		*t;
	struct rnd_state		rnd;
	struct hugetlb_gmem_step	*steps;
	u8				*model;
};

static void random_round(struct random_test *r)
{
	unsigned long pages = extent_pages(r->t->extent), pinned = ULONG_MAX;
	bool merge = prandom_u32_state(&r->rnd) % 3;
	struct hugetlb_gmem_changes changes = {};
	struct folio *folio = NULL;
	unsigned int left;
	int ret, expected;

	random_layout(&r->rnd, r->t->to, r->t->extent->order, 0);
	if (prandom_u32_state(&r->rnd) % 3 == 0) {
		pinned = prandom_u32_state(&r->rnd) % pages;
		folio = page_folio(r->t->extent->page + pinned);
		folio_get(folio);
	}
	if (prandom_u32_state(&r->rnd) % 4 == 0)
		gmem_kunit_fail_nth(1 + prandom_u32_state(&r->rnd) % 1000);
	ret = gmem_kunit_try_relayout(r->t->extent, r->t->to, merge, &changes);
	left = gmem_kunit_fail_none();
	if (folio)
		folio_put(folio);

	if (ret == -ENOMEM) {
		KUNIT_EXPECT_EQ(r->t->test, left, 0);
		return;
	}
	expected = model_relayout(r->model, r->t->to, r->t->extent->nr_blocks,
				  r->steps, merge, pinned);
	KUNIT_EXPECT_EQ(r->t->test, ret, expected);
}

static void random(struct kunit *test)
{
	unsigned int this_seed = seed ?: get_random_u32() | 1, i;
	struct random_test r = {
		.t = new_layout_test(test, gmem_kunit_order(test)),
	};
	unsigned int nr_blocks = r.t->extent->nr_blocks;

	kunit_info(test, "seed=%u\n", this_seed);
	prandom_seed_state(&r.rnd, this_seed);
	r.model = kunit_kzalloc(test, nr_blocks, GFP_KERNEL);
	r.steps = kunit_kcalloc(test, nr_blocks, sizeof(*r.steps), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.model);
	KUNIT_ASSERT_NOT_NULL(test, r.steps);
	memcpy(r.model, r.t->whole, nr_blocks);
	gmem_kunit_write(r.t->extent, SALT);

	for (i = 0; i < ROUNDS; i++) {
		random_round(&r);
		expect_layout(r.t, r.model);
	}
	gmem_kunit_expect_contents(test, r.t->extent, SALT);
	finish(r.t);
}

static struct kunit_case layout_cases[] = {
	GMEM_KUNIT_SLOW(split_and_merge, shape_gen_params),
	KUNIT_CASE_SLOW(split_all),
	GMEM_KUNIT_SLOW(change_shape, shape_gen_params),
	GMEM_KUNIT_SLOW(merge_later, small_shape_gen_params),
	GMEM_KUNIT_SLOW(merge_pinned, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(merge_locked, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(abort_prepared, shape_gen_params),
	GMEM_KUNIT_SLOW(split_pinned, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(split_locked, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(commit_waits, gmem_kunit_orders),
	GMEM_KUNIT_SLOW(relayout_errors, small_shape_gen_params),
	GMEM_KUNIT_SLOW(random, gmem_kunit_orders),
	{}
};

static struct kunit_suite layout_suite = {
	.name = "hugetlb_gmem_layout",
	.suite_init = gmem_kunit_suite_init,
	.suite_exit = gmem_kunit_suite_exit,
	.init = gmem_kunit_init,
	.test_cases = layout_cases,
};

kunit_test_suite(layout_suite);
