// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaves of stage 2 are split before anything is unmapped: a conversion, a hole
 * or a memory failure unmaps its own range and nothing else.  Leaves and lines
 * of gmem_leaves are compared with a model, and the counters of the S-EPT
 * emulation as well in the variants with it.
 *
 * A test that loses pages of the pool is called poison.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>

#include "guest_memfd_stage2.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define BLOCK_PAGES	(SZ_2M / PAGE_SIZE)
/* Pages next to each end of a range that are looked at, and others in the file. */
#define NR_NEAR		600
#define NR_SPREAD	1024
/* Faults that might bring a huge leaf back. */
#define NR_FAULTS	4

FIXTURE(guest_memfd_presplit)
{
	struct gmem_stage2 s;
};

FIXTURE_VARIANT(guest_memfd_presplit)
{
	u8 order;
	u64 flags;
	bool sept;
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 2m_sept) {
	.order = ORDER_2M,
	.sept = true,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 2m_mmap_sept) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
	.sept = true,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 1g_mmap) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 1g_sept) {
	.order = ORDER_1G,
	.sept = true,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit, 1g_mmap_sept) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
	.sept = true,
};

/* Each test creates its own VM, as they differ in size. */
FIXTURE_SETUP(guest_memfd_presplit)
{
}

FIXTURE_TEARDOWN(guest_memfd_presplit)
{
	gmem_stage2_free(&self->s);
}

#define CREATE(nr_extents)						\
	gmem_stage2_create(&self->s, variant->order, nr_extents,	\
			   variant->flags, variant->sept)

/* Where shared memory is elsewhere, it has nothing of the file's. */
static void share_one(struct gmem_stage2 *s, u64 page)
{
	struct gmem_vm *g = &s->g;

	gmem_convert(g, page, 1, false);
	gmem_stage2_unmap(s, page, 1);
	gmem_stage2_assert(s, "A page shared, not touched");
	gmem_guest_check_around(g, page, 1);
	gmem_stage2_assert(s, "The guest read all other pages");

	if (!gmem_has_mmap(g)) {
		gmem_set_tags(g, page, 1, 2);
		gmem_host_write(g, page);
	}
	gmem_guest_check(g, page, 1, GMEM_STEP_ALL);
	gmem_stage2_map(s, page, 1, PG_LEVEL_4K, true);
	gmem_stage2_assert(s, "The guest read the shared page, too");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

static void assert_sept(struct gmem_stage2 *s, u64 demotes, u64 removes)
{
	struct gmem_sept sept;

	if (!s->sept)
		return;
	gmem_sept_read(&s->g, &sept);
	TEST_ASSERT_EQ(sept.demotes, demotes);
	TEST_ASSERT_EQ(sept.removes, removes);
	TEST_ASSERT_EQ(sept.violations, 0);
}

/* The one case whose numbers are spelled out, so that the model is right. */
TEST_F_TIMEOUT(guest_memfd_presplit, share_one, GMEM_TIMEOUT)
{
	bool huge = variant->order == ORDER_1G;
	struct gmem_stage2 *s = &self->s;
	struct gmem_leaves leaves;
	u64 page;

	CREATE(1);
	page = gmem_stage2_middle(s);
	gmem_convert(&s->g, page, 1, false);
	gmem_leaves(&s->g, &leaves);
	gmem_assert_leaves(&leaves, 0, huge ? 511 : 0, 511, "A page shared");
	assert_sept(s, huge ? 2 : 1, 1);
	gmem_convert(&s->g, page, 1, true);
	gmem_stage2_unmap(s, page, 1);
	gmem_stage2_assert(s, "Taken back, and nobody touched it");
}

TEST_F_TIMEOUT(guest_memfd_presplit, share_more, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;

	CREATE(1);
	share_one(s, gmem_stage2_middle(s));
	share_one(s, 0);
	share_one(s, s->g.nr_pages - 1);
	share_one(s, gmem_stage2_middle(s) + 1);
}

static u64 add_pages(struct gmem_vm *g, u64 nr_listed, u64 page, u64 end, u64 step)
{
	for (; page < end; page += step)
		g->model->list[nr_listed++] = page;
	return nr_listed;
}

/* Pages near the range, and some of all others, but none in it. */
static void check_near(struct gmem_vm *g, u64 page, u64 nr)
{
	u64 end = page + nr, nr_listed = 0, step = g->nr_pages / NR_SPREAD | 1;
	u64 before = min_t(u64, page, NR_NEAR);
	u64 after = min_t(u64, g->nr_pages - end, NR_NEAR);

	nr_listed = add_pages(g, nr_listed, page - before, page, 1);
	nr_listed = add_pages(g, nr_listed, end, end + after, 1);
	nr_listed = add_pages(g, nr_listed, 0, page, step);
	nr_listed = add_pages(g, nr_listed, end, g->nr_pages, step);
	gmem_guest_check_list(g, nr_listed, GMEM_STEP_SPREAD);
}

/* With no hole left there are huge leaves again, as S-EPT promotes what it has. */
static void fill_range(struct gmem_stage2 *s, u64 page, u64 nr)
{
	gmem_guest_check(&s->g, page, nr, GMEM_STEP_SPREAD);
	gmem_stage2_map(s, 0, s->g.nr_pages, gmem_stage2_huge(s), false);
	gmem_stage2_assert(s, "The guest read the range");
}

/* The pages of the file were out of use if shared memory is elsewhere. */
static void take_back(struct gmem_vm *g, u64 page, u64 nr)
{
	gmem_convert(g, page, nr, true);
	if (!gmem_has_mmap(g) && !gmem_vm_wide_attributes())
		gmem_set_tags(g, page, nr, 0);
}

static void share_range(struct gmem_stage2 *s, u64 page, u64 nr)
{
	char when[64];

	snprintf(when, sizeof(when), "Pages %lu..%lu shared", page, page + nr - 1);
	gmem_convert(&s->g, page, nr, false);
	gmem_stage2_unmap(s, page, nr);
	gmem_stage2_assert(s, when);
	check_near(&s->g, page, nr);
	gmem_stage2_assert(s, when);
	take_back(&s->g, page, nr);
	gmem_stage2_assert(s, "Taken back, and nobody touched it");
	fill_range(s, page, nr);
}

/* Ends on boundaries of 1G, 2M and 4K, in one extent and in two. */
TEST_F_TIMEOUT(guest_memfd_presplit, ranges, GMEM_TIMEOUT)
{
	u64 extent = gmem_page_size(variant->order) / PAGE_SIZE;
	u64 ranges[][2] = {
		{ 0, extent / 2 },
		{ extent / 2, extent / 2 },
		{ extent / 2, extent },
		{ 0, extent },
		{ extent, extent },
		{ extent, 1 },
		{ extent - 1, 1 },
		{ extent - 1, 2 },
		{ extent - BLOCK_PAGES, BLOCK_PAGES },
		{ extent - 300, 700 },
		{ 1, 2 * extent - 2 },
		{ 0, 2 * extent },
	};
	unsigned int i;

	CREATE(2);
	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		share_range(&self->s, ranges[i][0], ranges[i][1]);
	gmem_guest_check(&self->s.g, 0, 2 * extent, GMEM_STEP_SPREAD);
}

/* Blocks of 2M inside an extent of 1G. */
TEST_F_TIMEOUT(guest_memfd_presplit, blocks, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;

	CREATE(1);
	if (variant->order != ORDER_1G)
		return;
	share_range(s, 7 * BLOCK_PAGES, BLOCK_PAGES);
	share_range(s, 7 * BLOCK_PAGES, 3 * BLOCK_PAGES + 1);
	share_range(s, 7 * BLOCK_PAGES - 1, 2);
	share_range(s, 7 * BLOCK_PAGES + 5, BLOCK_PAGES - 10);
}

static void share_and_take_back(struct gmem_stage2 *s, u64 page)
{
	u64 tag = s->g.model->tags[page];

	share_one(s, page);
	take_back(&s->g, page, 1);
	if (gmem_vm_wide_attributes() && !gmem_has_mmap(&s->g))
		s->g.model->tags[page] = tag;
	gmem_stage2_unmap(s, page, 1);
	gmem_stage2_assert(s, "Taken back");
}

static bool is_huge(struct gmem_stage2 *s)
{
	struct gmem_leaves leaves;

	gmem_leaves(&s->g, &leaves);
	return leaves.nr_1g + leaves.nr_2m == 1 && !leaves.nr_4k;
}

/* The fault that fills the last hole maps whatever is one folio. */
TEST_F_TIMEOUT(guest_memfd_presplit, grow, GMEM_TIMEOUT)
{
	u64 nr_levels = variant->order == ORDER_1G ? 2 : 1;
	struct gmem_stage2 *s = &self->s;
	struct gmem_sept sept;
	u64 page;

	CREATE(1);
	page = gmem_stage2_middle(s);
	share_and_take_back(s, page);
	gmem_guest_check(&s->g, page, 1, GMEM_STEP_ALL);
	gmem_stage2_map(s, 0, s->g.nr_pages, gmem_stage2_huge(s), false);
	gmem_stage2_assert(s, "Touched");
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
	if (variant->sept) {
		gmem_sept_read(&s->g, &sept);
		TEST_ASSERT_EQ(sept.promotes, nr_levels);
	}
}

/* Two holes: S-EPT keeps a table until the second is filled, too. */
TEST_F_TIMEOUT(guest_memfd_presplit, grow_late, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	u64 page;

	CREATE(1);
	if (!variant->sept)
		return;

	page = gmem_stage2_middle(s);
	gmem_convert(&s->g, page, 2, false);
	take_back(&s->g, page, 2);
	gmem_stage2_unmap(s, page, 2);
	gmem_guest_check(&s->g, page, 1, GMEM_STEP_ALL);
	gmem_stage2_map(s, page, 1, PG_LEVEL_4K, false);
	gmem_stage2_assert(s, "The first of two touched");
	gmem_guest_check(&s->g, page + 1, 1, GMEM_STEP_ALL);
	gmem_stage2_map(s, 0, s->g.nr_pages, gmem_stage2_huge(s), false);
	gmem_stage2_assert(s, "Both touched");
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
}

TEST_F_TIMEOUT(guest_memfd_presplit, never_grow, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct gmem_sept sept;
	unsigned int i;
	u64 page;

	CREATE(1);
	if (!variant->sept)
		return;

	gmem_sept_promote(false);
	page = gmem_stage2_middle(s);
	share_and_take_back(s, page);
	gmem_guest_check(&s->g, page, 1, GMEM_STEP_ALL);
	for (i = 0; i < NR_FAULTS && !is_huge(s); i++)
		TEST_ASSERT_EQ(gmem_pre_fault(&s->g, page, 1), 0);
	gmem_stage2_map(s, page, 1, PG_LEVEL_4K, false);
	gmem_stage2_assert(s, "Touched and pre-faulted");
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
	gmem_sept_read(&s->g, &sept);
	TEST_ASSERT_EQ(sept.promotes, 0);
}

static void punch(struct gmem_stage2 *s, u64 page, u64 nr)
{
	struct gmem_vm *g = &s->g;
	char when[64];

	snprintf(when, sizeof(when), "Pages %lu..%lu punched", page, page + nr - 1);
	kvm_fallocate(g->fd, PUNCH, page * PAGE_SIZE, nr * PAGE_SIZE);
	gmem_set_tags(g, page, nr, 0);
	gmem_stage2_unmap(s, page, nr);
	gmem_stage2_assert(s, when);
	check_near(g, page, nr);
	gmem_stage2_assert(s, when);
}

TEST_F_TIMEOUT(guest_memfd_presplit, punch_one, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;

	CREATE(1);
	punch(s, gmem_stage2_middle(s), 1);
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_ALL);
}

TEST_F_TIMEOUT(guest_memfd_presplit, punch_more, GMEM_TIMEOUT)
{
	u64 nr_pages = gmem_page_size(variant->order) / PAGE_SIZE;
	u64 holes[][2] = {
		{ 0, 1 },
		{ nr_pages - 5, 5 },
		{ nr_pages / 2 + 131, 4 },
	};
	struct gmem_stage2 *s = &self->s;
	unsigned int i;

	CREATE(1);
	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		punch(s, holes[i][0], holes[i][1]);
		fill_range(s, holes[i][0], holes[i][1]);
	}
}

/* Extents that are gone as a whole need no split. */
TEST_F_TIMEOUT(guest_memfd_presplit, punch_extents, GMEM_TIMEOUT)
{
	u64 extent = gmem_page_size(variant->order) / PAGE_SIZE;
	u64 nr = variant->order == ORDER_1G ? 2 : 4;
	struct gmem_stage2 *s = &self->s;

	CREATE(nr);
	punch(s, extent, (nr - 1) * extent - (nr > 2 ? extent : 0));
	TEST_ASSERT_EQ(s->demotes, 0);
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
	gmem_stage2_map(s, 0, s->g.nr_pages, gmem_stage2_huge(s), false);
	gmem_stage2_assert(s, "The guest read the holes");
}

/* From one extent into another, with whole ones between if there are any. */
TEST_F_TIMEOUT(guest_memfd_presplit, punch_across, GMEM_TIMEOUT)
{
	u64 extent = gmem_page_size(variant->order) / PAGE_SIZE;
	u64 nr = variant->order == ORDER_1G ? 2 : 4;
	struct gmem_stage2 *s = &self->s;

	CREATE(nr);
	punch(s, extent - 1, (nr - 2) * extent + 2);
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
}

/* A memory failure takes the leaf of its page, and the guest runs on. */
TEST_F_TIMEOUT(guest_memfd_presplit, poison, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	u64 page;

	CREATE(1);
	page = gmem_stage2_middle(s);
	gmem_poison(&s->g, page);
	gmem_stage2_unmap(s, page, 1);
	gmem_stage2_wait(s, "A page poisoned");
	gmem_guest_check_around(&s->g, page, 1);
	gmem_stage2_assert(s, "The guest read all other pages");
	TEST_ASSERT_EQ(gmem_guest_run(&s->g, GMEM_TOUCH, page, 1, 0), EHWPOISON);
	gmem_guest_check_around(&s->g, page, 1);
	gmem_stage2_assert(s, "The guest met the poisoned page");
}

TEST_HARNESS_MAIN
