// SPDX-License-Identifier: GPL-2.0-only
/*
 * When guest_memfd memory becomes huge again: after merge_delay_ms, or at once
 * if that is 0 or a hole is punched; and shared memory that the host has let go.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cgroup_util.h"
#include "guest_memfd_faults.h"
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define MERGE_DELAY	"/sys/kernel/mm/hugetlb_gmem/merge_delay_ms"
#define DEFAULT_DELAY	100
/* Time enough, most likely, to prepare something for the worker. */
#define LONG_DELAY	1000
/* No test takes that long. */
#define NEVER		(3600 * 1000)
#define BLOCK_PAGES	(SZ_2M / PAGE_SIZE)

FIXTURE(guest_memfd_merge)
{
	struct gmem_vm g;
	struct hugetlb_pool pool;
	u64 page_size;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(guest_memfd_merge)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_merge, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_merge, 1g) {
	.order = ORDER_1G,
};

static unsigned int merge_delay(void)
{
	char text[16];

	TEST_ASSERT(read_text(MERGE_DELAY, text, sizeof(text)) > 0,
		    "Cannot read %s", MERGE_DELAY);
	return atoi(text);
}

FIXTURE_SETUP(guest_memfd_merge)
{
	struct gmem_config config = gmem_one_page_config(variant->order);

	config.merge_delay_ms = NEVER;
	self->page_size = gmem_page_size(variant->order);
	self->nr_hugepages = hugetlb_pool_require(self->page_size, 1);
	hugetlb_pool_read(self->page_size, &self->pool);
	gmem_vm_create(&self->g, &config);
	gmem_set_tags(&self->g, 0, self->g.nr_pages, 1);
	gmem_guest_write(&self->g, 0, self->g.nr_pages);
}

FIXTURE_TEARDOWN(guest_memfd_merge)
{
	gmem_vm_free(&self->g);
	gmem_set_merge_delay(DEFAULT_DELAY);
	hugetlb_pool_assert_eq(self->page_size, &self->pool);
	hugetlb_pool_set(self->page_size, self->nr_hugepages);
}

/* One small block, or none. */
static void assert_split(struct gmem_vm *g, bool split, const char *when)
{
	u64 small = gmem_count_folios(g->fd, 0);
	u64 whole = gmem_count_folios(g->fd, g->config.order);

	TEST_ASSERT(small == (split ? BLOCK_PAGES : 0) && whole == !split,
		    "%s: %lu small folios, %lu whole", when, small, whole);
}

static void wait_merged(struct gmem_vm *g)
{
	gmem_wait_folios(g->fd, g->config.order, 1);
	assert_split(g, false, "Merged");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

static void share_and_take_back(struct gmem_vm *g, u64 page)
{
	gmem_convert(g, page, 1, false);
	gmem_host_check(g, page, GMEM_STEP_ALL);
	gmem_convert(g, page, 1, true);
}

/* The delay counts from the conversion, not from when it is set. */
TEST_F_TIMEOUT(guest_memfd_merge, delay, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	share_and_take_back(g, 5);
	assert_split(g, true, "Taken back");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
	gmem_convert(g, 5, 1, false);
	assert_split(g, true, "Shared again");

	gmem_set_merge_delay(DEFAULT_DELAY);
	gmem_convert(g, 5, 1, true);
	wait_merged(g);
}

/* The worker finds no memory to plan the merge, and tries again later. */
TEST_F_TIMEOUT(guest_memfd_merge, no_memory, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	unsigned int delay = LONG_DELAY;

	/* It may come before the trap is set. */
	do {
		TEST_ASSERT(delay < NEVER, "No allocation failed");
		gmem_set_merge_delay(delay);
		share_and_take_back(g, 5);
		gmem_fail_arm("fail_hugetlb_gmem", 0, 1);
		wait_merged(g);
		delay *= 4;
	} while (gmem_fail_disarm("fail_hugetlb_gmem"));
}

TEST_F_TIMEOUT(guest_memfd_merge, at_once, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	share_and_take_back(g, 5);
	gmem_set_merge_delay(0);
	share_and_take_back(g, 7);
	assert_split(g, false, "Taken back without a delay");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

/* What is pending in one block does not keep another from being split. */
TEST_F_TIMEOUT(guest_memfd_merge, split_while_pending, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 last = g->nr_pages - 1;

	share_and_take_back(g, 0);
	gmem_convert(g, last, 1, false);
	gmem_host_check(g, last, GMEM_STEP_ALL);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0),
		       g->config.order == ORDER_1G ? 2 * BLOCK_PAGES : BLOCK_PAGES);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);

	gmem_set_merge_delay(0);
	gmem_convert(g, last, 1, true);
	assert_split(g, false, "Both taken back");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

/* A hole in another page of the extent is reason enough. */
TEST_F_TIMEOUT(guest_memfd_merge, punch, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	share_and_take_back(g, 5);
	kvm_fallocate(g->fd, PUNCH, 9 * PAGE_SIZE, PAGE_SIZE);
	assert_split(g, false, "Punched");
	gmem_set_tags(g, 9, 1, 0);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

/* A merge that is pending does not outlive the file. */
TEST_F_TIMEOUT(guest_memfd_merge, close, GMEM_TIMEOUT)
{
	gmem_set_merge_delay(1);
	share_and_take_back(&self->g, 5);
}

TEST_F_TIMEOUT(guest_memfd_merge, unmapped, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 nr = BLOCK_PAGES;

	gmem_convert(g, 0, nr, false);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0), 0);
	gmem_host_check(g, 5, GMEM_STEP_ALL);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0), nr);

	TEST_ASSERT(!madvise(g->shared, nr * PAGE_SIZE, MADV_DONTNEED),
		    "madvise() failed, errno: %d", errno);
	gmem_wait_folios(g->fd, 0, 0);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
	gmem_host_check(g, 6, GMEM_STEP_ALL);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0), nr);
}

/* Without contents the host's mapping is no reason to stay small. */
TEST_F_TIMEOUT(guest_memfd_merge, punch_shared, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 nr = BLOCK_PAGES;

	gmem_convert(g, 0, nr, false);
	gmem_host_check(g, 5, GMEM_STEP_ALL);
	/* The whole block, unless that is all there is. */
	if (g->config.order == ORDER_2M)
		nr--;
	kvm_fallocate(g->fd, PUNCH, 0, nr * PAGE_SIZE);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0), 0);
	gmem_set_tags(g, 0, nr, 0);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
	gmem_host_check(g, 5, GMEM_STEP_ALL);
}

TEST_F_TIMEOUT(guest_memfd_merge, bad_delay, GMEM_TIMEOUT)
{
	static char * const bad[] = { "-1", "x", "", "4294967296", "2147483648" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		TEST_ASSERT(write_text(MERGE_DELAY, bad[i], strlen(bad[i]) + 1) < 0,
			    "merge_delay_ms of '%s' is accepted", bad[i]);
		TEST_ASSERT_EQ(merge_delay(), NEVER);
	}
}

TEST_HARNESS_MAIN
