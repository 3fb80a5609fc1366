// SPDX-License-Identifier: GPL-2.0-only
/*
 * 900 GiB of guest_memfd in pages of 1G, all mapped by the guest's page tables,
 * of which nobody touches a byte.  A range from 4K inside the first page to 4K
 * inside the last one is converted, or is to be converted until the last thing
 * that can fail does, or is punched out.  Whatever happens to the 898 pages in
 * between happens to them as whole pages, and stage 2 is looked at in advance
 * at the two ends of the range alone.
 *
 * How long it takes is printed, and asserted nowhere.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <linux/falloc.h>

#include "cgroup_util.h"
#include "guest_memfd_faults.h"
#include "guest_memfd_sept.h"
#include "guest_memfd_trace.h"
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define NO_ZERO		"/sys/kernel/debug/hugetlb_gmem/no_zero"
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SPLIT_EVENT	"gmem_stage2_split"
#define NR_EXTENTS	900
#define NR_INTERIOR	(NR_EXTENTS - 2)
#define NR_ENDS		2
/* 1G to 2M, and 2M to 4K, at either end. */
#define NR_SPLITS	(2 * NR_ENDS)
#define GIB_KB		(SZ_1G / SZ_1K)
#define PAGE_KB		(PAGE_SIZE / SZ_1K)
/*
 * A page of struct pages for each folio from 512M down to 2M and eight for the
 * block of 4K, of which the extent had one.
 */
#define VMEMMAP_KB	((ORDER_1G - ORDER_2M + 8 - 1) * PAGE_KB)
#define NR_TRIES	8

struct terabyte {
	struct gmem_vm g;
	struct timespec lap;
	char no_zero[8];
	u64 nr_hugepages;
	/* What is neither in the first 4K nor in the last. */
	u64 first;
	u64 nr;
	bool sept;
	bool sept_was;
};

FIXTURE(guest_memfd_terabyte)
{
	struct terabyte t;
};

FIXTURE_VARIANT(guest_memfd_terabyte)
{
	bool sept;
};

FIXTURE_VARIANT_ADD(guest_memfd_terabyte, npt) {
	.sept = false,
};

FIXTURE_VARIANT_ADD(guest_memfd_terabyte, sept) {
	.sept = true,
};

static void lap(struct terabyte *t, const char *what)
{
	struct timespec taken = timespec_elapsed(t->lap);

	ksft_print_msg("%8.3f s: %s\n", timespec_to_ns(taken) / 1e9, what);
	clock_gettime(CLOCK_MONOTONIC, &t->lap);
}

static void set_up(struct terabyte *t)
{
	struct gmem_config config = gmem_one_page_config(ORDER_1G);

	clock_gettime(CLOCK_MONOTONIC, &t->lap);
	TEST_ASSERT(read_text(NO_ZERO, t->no_zero, sizeof(t->no_zero)) > 0,
		    "No " NO_ZERO ": set CONFIG_HUGETLB_GMEM_DEBUG");
	gmem_write_file(NO_ZERO, "1");
	t->nr_hugepages = hugetlb_pool_require(SZ_1G, NR_EXTENTS);

	config.size = NR_EXTENTS * (u64)SZ_1G;
	config.no_guest = true;
	gmem_vm_create(&t->g, &config);
	t->first = 1;
	t->nr = t->g.nr_pages - 2;
	gmem_fault_own.set_up();
	lap(t, "creating the VM");
}

FIXTURE_SETUP(guest_memfd_terabyte)
{
	self->t.sept = variant->sept;
	self->t.sept_was = gmem_sept_set(variant->sept);
	set_up(&self->t);
}

FIXTURE_TEARDOWN(guest_memfd_terabyte)
{
	struct terabyte *t = &self->t;

	if (t->sept)
		TEST_ASSERT_EQ(gmem_sept_stat(&t->g, "sept_violations"), 0);
	gmem_vm_free(&t->g);
	lap(t, "freeing the VM");
	hugetlb_pool_set(SZ_1G, t->nr_hugepages);
	gmem_write_file(NO_ZERO, t->no_zero);
	gmem_sept_set(t->sept_was);
}

static u64 mapped_pages(const struct gmem_leaves *leaves)
{
	return leaves->nr_4k + (leaves->nr_2m << ORDER_2M) + (leaves->nr_1g << ORDER_1G);
}

static void pre_fault(struct terabyte *t)
{
	struct gmem_leaves leaves;

	TEST_ASSERT_EQ(gmem_pre_fault(&t->g, 0, t->g.nr_pages), 0);
	lap(t, "pre-faulting");
	gmem_leaves_raw(&t->g, &leaves);
	TEST_ASSERT_EQ(mapped_pages(&leaves), t->g.nr_pages);
	/* Entries of an S-EPT that were split may stay so. */
	if (!t->sept)
		gmem_assert_leaves(&leaves, NR_EXTENTS, 0, 0, "Pre-faulted");
}

/* Look at stage 2 at no more than the ends. */
static void assert_few_splits(char *trace, const char *what)
{
	u64 nr = gmem_trace_count(trace, SPLIT_EVENT, "");

	TEST_ASSERT(nr <= NR_SPLITS, "%s looked at %lu entries of stage 2, not %u:\n%s",
		    what, nr, NR_SPLITS, trace);
	ksft_print_msg("%s looked at %lu entries of stage 2\n", what, nr);
	free(trace);
}

static u64 demotions(struct terabyte *t)
{
	return t->sept ? gmem_sept_stat(&t->g, "sept_demotes") : 0;
}

static int convert(struct terabyte *t, bool to_private, u64 *error_offset,
		   const char *what)
{
	u64 before = demotions(t);
	char *trace;
	int ret;

	gmem_trace_begin("/" SPLIT_EVENT);
	clock_gettime(CLOCK_MONOTONIC, &t->lap);
	ret = gmem_try_convert(&t->g, t->first, t->nr, to_private, error_offset);
	lap(t, what);
	trace = gmem_trace_end("/" SPLIT_EVENT);
	assert_few_splits(trace, what);
	TEST_ASSERT(demotions(t) - before <= NR_SPLITS, "%s made %lu demotions",
		    what, demotions(t) - before);
	return ret;
}

static void assert_value(struct terabyte *t, const char *key, u64 want, const char *when)
{
	u64 value = gmem_fdinfo(t->g.fd, key);

	TEST_ASSERT(value == want, "%s, gmem-%s is %lu, not %lu", when, key, value, want);
}

static void assert_all_private(struct terabyte *t, const char *when)
{
	assert_value(t, "allocated", NR_EXTENTS * GIB_KB, when);
	assert_value(t, "private", NR_EXTENTS * GIB_KB, when);
	assert_value(t, "shared", 0, when);
	assert_value(t, "whole", NR_EXTENTS, when);
	assert_value(t, "split", 0, when);
	assert_value(t, "folios-1G", NR_EXTENTS, when);
	assert_value(t, "vmemmap", 0, when);
}

static void assert_shared(struct terabyte *t)
{
	const char *when = "Shared";

	assert_value(t, "allocated", NR_EXTENTS * GIB_KB, when);
	assert_value(t, "private", NR_ENDS * PAGE_KB, when);
	assert_value(t, "shared", t->nr * PAGE_KB, when);
	assert_value(t, "whole", NR_INTERIOR, when);
	assert_value(t, "split", NR_ENDS, when);
	assert_value(t, "folios-1G", NR_INTERIOR, when);
	assert_value(t, "folios-4K", NR_ENDS << ORDER_2M, when);
	assert_value(t, "vmemmap", NR_ENDS * VMEMMAP_KB, when);
}

/* What is left of two leaves of 1G is the first 4K and the last. */
static void assert_ends_mapped(struct terabyte *t, const char *when)
{
	struct gmem_leaves leaves;

	gmem_leaves_raw(&t->g, &leaves);
	gmem_assert_leaves(&leaves, 0, 0, NR_ENDS, when);
}

/* Return the number of allocations that might have failed. */
static u64 share(struct terabyte *t)
{
	u64 nr;

	gmem_fault_own.arm(GMEM_FAULT_COUNT);
	TEST_ASSERT_EQ(convert(t, false, NULL, "sharing"), 0);
	gmem_fault_own.disarm();
	nr = gmem_fault_own_counted();
	ksft_print_msg("sharing made %lu allocations\n", nr);
	assert_shared(t);
	assert_ends_mapped(t, "Shared");
	return nr;
}

static void take_back(struct terabyte *t)
{
	TEST_ASSERT_EQ(convert(t, true, NULL, "taking back"), 0);
	assert_all_private(t, "Private again");
}

/* Leaves may be smaller in the two ends, but all memory stays mapped. */
static void assert_nothing_changed(struct terabyte *t, const struct hugetlb_pool *pool,
				   const char *when)
{
	struct gmem_leaves leaves;

	hugetlb_pool_assert_eq(SZ_1G, pool);
	assert_all_private(t, when);
	gmem_leaves_raw(&t->g, &leaves);
	ksft_print_msg("leaves: %lu of 1G, %lu of 2M, %lu of 4K\n", leaves.nr_1g,
		       leaves.nr_2m, leaves.nr_4k);
	TEST_ASSERT_EQ(mapped_pages(&leaves), t->g.nr_pages);
	TEST_ASSERT(leaves.nr_1g >= NR_INTERIOR, "%s, leaves of 1G became smaller", when);
}

/* Return false if there is nothing that would have failed. */
static bool share_failing(struct terabyte *t, const struct gmem_fault *fault,
			  u64 number)
{
	u64 error_offset = -1ul;
	struct hugetlb_pool pool;
	char when[64];
	int ret;

	snprintf(when, sizeof(when), "failing %s number %lu", fault->name, number);
	hugetlb_pool_read(SZ_1G, &pool);
	fault->arm(number);
	ret = convert(t, false, &error_offset, when);
	if (!fault->disarm()) {
		TEST_ASSERT_EQ(ret, 0);
		take_back(t);
		return false;
	}

	TEST_ASSERT_EQ(ret, ENOMEM);
	/* The last thing to be prepared is the end of the range. */
	TEST_ASSERT_EQ(error_offset, (NR_EXTENTS - 1) * (u64)SZ_1G);
	assert_nothing_changed(t, &pool, when);
	return true;
}

static void fail_last_allocation(struct terabyte *t, u64 nr_allocations)
{
	u64 number = nr_allocations;

	/* Splits that are there already need none. */
	while (!share_failing(t, &gmem_fault_own, number)) {
		pre_fault(t);
		TEST_ASSERT(number > nr_allocations - NR_TRIES,
			    "Of %lu allocations the last ones are never made",
			    nr_allocations);
		number--;
	}
}

static void punch(struct terabyte *t)
{
	struct hugetlb_pool before, after;
	char *trace;

	hugetlb_pool_read(SZ_1G, &before);
	gmem_trace_begin("/" SPLIT_EVENT);
	clock_gettime(CLOCK_MONOTONIC, &t->lap);
	kvm_fallocate(t->g.fd, PUNCH, t->first * PAGE_SIZE, t->nr * PAGE_SIZE);
	lap(t, "punching");
	trace = gmem_trace_end("/" SPLIT_EVENT);
	assert_few_splits(trace, "punching");

	hugetlb_pool_read(SZ_1G, &after);
	TEST_ASSERT_EQ(after.free, before.free + NR_INTERIOR);
	TEST_ASSERT_EQ(after.resv, before.resv + NR_INTERIOR);
	assert_value(t, "allocated", NR_ENDS * GIB_KB, "Punched");
	assert_value(t, "private", NR_ENDS * GIB_KB, "Punched");
	assert_value(t, "whole", NR_ENDS, "Punched");
	assert_ends_mapped(t, "Punched");
}

TEST_F_TIMEOUT(guest_memfd_terabyte, range, GMEM_TIMEOUT)
{
	struct terabyte *t = &self->t;
	u64 nr_allocations;

	pre_fault(t);
	assert_all_private(t, "Pre-faulted");
	/* While all leaves are of 1G, as those of an S-EPT may be only once. */
	if (t->sept) {
		gmem_fault_demote.set_up();
		TEST_ASSERT(share_failing(t, &gmem_fault_demote, NR_SPLITS),
			    "Less than %u demotions", NR_SPLITS);
	}

	nr_allocations = share(t);
	take_back(t);
	pre_fault(t);
	fail_last_allocation(t, nr_allocations);
	punch(t);
}

TEST_HARNESS_MAIN
