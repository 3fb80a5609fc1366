// SPDX-License-Identifier: GPL-2.0-only
/*
 * A conversion happens whole or not at all: one of several extents and memslots
 * meets a page that is pinned, a consumer, or fails one allocation after the other
 * until there is no more to fail, and a dump of all there is to see is what it was.
 * Then conversions and holes for which every allocation fails from the point of no
 * return on, and which succeed.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <linux/falloc.h>

#include "guest_memfd_consumer.h"
#include "guest_memfd_dump.h"
#include "guest_memfd_faults.h"
#include "guest_memfd_pins.h"
#include "guest_memfd_sept.h"
#include "kvm_test_harness.h"

#define NR_EXTENTS	3
/* Of a range that begins and ends inside extents. */
#define BEFORE		200
#define AFTER		300
/* Pages with contents around a place that is looked at. */
#define NR_NEAR		8

struct transaction {
	struct gmem_vm g;
	u64 page_size;
	u64 nr_hugepages;
	/* Pages in an extent, and a range from the first extent to the last. */
	u64 extent;
	u64 first;
	u64 nr;
	bool sept_was;
};

static void write_near(struct transaction *t, u64 page)
{
	gmem_set_tags(&t->g, page - NR_NEAR, 2 * NR_NEAR, 1);
	gmem_guest_write(&t->g, page - NR_NEAR, 2 * NR_NEAR);
}

static void check_near(struct transaction *t, u64 page)
{
	gmem_guest_check(&t->g, page - NR_NEAR, 2 * NR_NEAR, GMEM_STEP_SPREAD);
}

/* A page that is not the first of anything, in the extent in the middle. */
static u64 middle_page(struct transaction *t)
{
	return t->extent + t->extent / 2 + 7;
}

static void write_pages(struct transaction *t)
{
	write_near(t, t->first);
	write_near(t, middle_page(t));
	write_near(t, t->first + t->nr);
}

/* The guest is as it was, and goes on. */
static void check_pages(struct transaction *t)
{
	check_near(t, t->first);
	check_near(t, middle_page(t));
	check_near(t, t->first + t->nr);
	TEST_ASSERT(!gmem_sept_stat(&t->g, "sept_violations"),
		    "%lu violations of S-EPT's rules",
		    gmem_sept_stat(&t->g, "sept_violations"));
}

/* All private, mapped by leaves as large as they get. */
static void map_largest(struct transaction *t)
{
	struct gmem_vm *g = &t->g;

	gmem_convert(g, 0, g->nr_pages, false);
	gmem_convert(g, 0, g->nr_pages, true);
	TEST_ASSERT(!gmem_pre_fault(g, 0, g->nr_pages), "Pre-faulting, errno: %d", errno);
}

static void set_up(struct transaction *t, u8 order)
{
	struct gmem_config config = gmem_one_page_config(order);

	t->page_size = config.size;
	t->extent = t->page_size / PAGE_SIZE;
	t->first = t->extent - BEFORE;
	t->nr = BEFORE + t->extent + AFTER;
	/* The second slot begins inside the extent in the middle. */
	config.size *= NR_EXTENTS;
	config.second_slot = t->page_size + t->page_size / 2;
	t->nr_hugepages = hugetlb_pool_require(t->page_size, NR_EXTENTS);
	t->sept_was = gmem_sept_set(true);
	gmem_vm_create(&t->g, &config);
	write_pages(t);
	map_largest(t);
}

static void tear_down(struct transaction *t)
{
	gmem_sept_set(t->sept_was);
	gmem_vm_free(&t->g);
	hugetlb_pool_set(t->page_size, t->nr_hugepages);
}

FIXTURE(guest_memfd_transaction)
{
	struct transaction t;
};

FIXTURE_VARIANT(guest_memfd_transaction)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_transaction, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_transaction, 1g) {
	.order = ORDER_1G,
};

FIXTURE_SETUP(guest_memfd_transaction)
{
	set_up(&self->t, variant->order);
}

FIXTURE_TEARDOWN(guest_memfd_transaction)
{
	tear_down(&self->t);
}

static void assert_fails(struct transaction *t, bool to_private, int want,
			 u64 want_page, enum gmem_dump_lost lost, const char *what)
{
	u64 error_offset = 0;
	struct gmem_dump was;
	int error;

	gmem_dump(&t->g, &was);
	error = gmem_try_convert(&t->g, t->first, t->nr, to_private, &error_offset);
	TEST_ASSERT(error == want && error_offset == want_page * PAGE_SIZE,
		    "%s: %s at offset 0x%lx, wanted %s at page %lu", what,
		    strerror(error), error_offset, strerror(want), want_page);
	gmem_dump_assert_same(&t->g, &was, lost, what);
	gmem_dump_free(&was);
}

TEST_F_TIMEOUT(guest_memfd_transaction, pinned, GMEM_TIMEOUT)
{
	struct transaction *t = &self->t;
	struct gmem_pin pin;

	gmem_convert(&t->g, t->first, t->nr, false);
	gmem_set_tags(&t->g, t->first, 1, 2);
	gmem_host_write(&t->g, t->first);
	check_near(t, t->first);
	gmem_pin(&t->g, middle_page(t), &pin);
	assert_fails(t, true, EAGAIN, middle_page(t), GMEM_LOST_NOTHING, "A pinned page");
	gmem_unpin(&pin);
	gmem_convert(&t->g, t->first, t->nr, true);
	check_pages(t);
}

/* Somebody takes a reference when nearly everything is prepared. */
TEST_F_TIMEOUT(guest_memfd_transaction, pinned_late, GMEM_TIMEOUT)
{
	struct transaction *t = &self->t;
	int consumer = gmem_consumer_open(t->g.fd);

	gmem_consumer_command(consumer, "hold %lu", middle_page(t));
	/* Of a large folio, which is the extent, the first page is reported. */
	assert_fails(t, false, EAGAIN, t->extent, GMEM_LOST_NOTHING,
		     "A private page held late");
	gmem_consumer_command(consumer, "hold %d", -1);
	gmem_convert(&t->g, t->first, t->nr, false);

	gmem_set_tags(&t->g, t->first, 1, 2);
	gmem_host_write(&t->g, t->first);
	check_near(t, t->first);
	gmem_consumer_command(consumer, "hold %lu", middle_page(t));
	assert_fails(t, true, EAGAIN, t->extent, GMEM_LOST_SHARED,
		     "A shared page held late");
	kvm_close(consumer);
	gmem_convert(&t->g, t->first, t->nr, true);
	check_pages(t);
}

/* Only the errno of what failed, and where, is for the caller to know. */
static void assert_failed(struct transaction *t, const struct gmem_fault *fault,
			  u64 number, int error, u64 error_offset)
{
	if (fault->copies_count && error == EFAULT)
		return;

	TEST_ASSERT(error == ENOMEM, "%s %lu: %s, wanted ENOMEM", fault->name,
		    number, strerror(error));
	TEST_ASSERT(error_offset == t->first * PAGE_SIZE ||
		    (error_offset % t->page_size == 0 &&
		     error_offset > t->first * PAGE_SIZE &&
		     error_offset < (t->first + t->nr) * PAGE_SIZE),
		    "%s %lu: offset 0x%lx, wanted the start of an extent",
		    fault->name, number, error_offset);
}

/* Return true if something failed, and the conversion with it. */
static bool convert_failing(struct transaction *t, const struct gmem_fault *fault,
			    u64 number, bool to_private)
{
	u64 error_offset = t->first * PAGE_SIZE;
	struct gmem_dump was;
	char when[64];
	bool failed;
	int error;

	snprintf(when, sizeof(when), "%s %lu", fault->name, number);
	gmem_dump(&t->g, &was);
	fault->arm(number);
	error = gmem_try_convert(&t->g, t->first, t->nr, to_private, &error_offset);
	failed = fault->disarm();
	TEST_ASSERT(failed || !error, "%s: nothing failed but %s", when, strerror(error));
	if (error) {
		assert_failed(t, fault, number, error, error_offset);
		gmem_dump_assert_same(&t->g, &was, GMEM_LOST_NOTHING, when);
	}
	gmem_dump_free(&was);
	if (!error)
		gmem_convert(&t->g, t->first, t->nr, !to_private);
	return failed;
}

/* Leaves as large as at first each time, for stage 2 to allocate as well. */
static void fail_each(struct transaction *t, const struct gmem_fault *fault)
{
	u64 number;

	fault->set_up();
	for (number = 1; convert_failing(t, fault, number, false);
	     number = gmem_fault_next(number))
		map_largest(t);
	TEST_ASSERT(number > 10, "%s: only %lu allocations", fault->name, number - 1);

	gmem_convert(&t->g, t->first, t->nr, false);
	for (number = 1; convert_failing(t, fault, number, true);
	     number = gmem_fault_next(number))
		;
	gmem_convert(&t->g, t->first, t->nr, true);
	check_pages(t);
}

TEST_F_TIMEOUT(guest_memfd_transaction, fail_own, GMEM_TIMEOUT)
{
	fail_each(&self->t, &gmem_fault_own);
}

TEST_F_TIMEOUT(guest_memfd_transaction, fail_slab, GMEM_TIMEOUT)
{
	fail_each(&self->t, &gmem_fault_slab);
}

TEST_F_TIMEOUT(guest_memfd_transaction, fail_page, GMEM_TIMEOUT)
{
	fail_each(&self->t, &gmem_fault_page);
}

/* Return the errno with the N-th split failing; as many are made before it. */
static int convert_failing_split(struct transaction *t, const char *name,
				 unsigned int number, unsigned int times)
{
	u64 demotes = gmem_sept_stat(&t->g, "sept_demotes"), error_offset;
	struct gmem_dump was;
	int error;

	gmem_dump(&t->g, &was);
	gmem_fail_arm(name, number, times);
	error = gmem_try_convert(&t->g, t->first, t->nr, false, &error_offset);
	gmem_fail_disarm(name);
	demotes = gmem_sept_stat(&t->g, "sept_demotes") - demotes;
	TEST_ASSERT(demotes == number - 1, "%s: %lu leaves were split before number %u",
		    name, demotes, number);
	if (error)
		gmem_dump_assert_same(&t->g, &was, GMEM_LOST_NOTHING, name);
	gmem_dump_free(&was);
	return error;
}

/* Each time from leaves as large as at first. */
static void fail_each_split(struct transaction *t, const char *name,
			    unsigned int times, int want)
{
	unsigned int number;
	int error;

	for (number = 1; (error = convert_failing_split(t, name, number, times)); number++) {
		TEST_ASSERT(error == want, "%s %u: %s, wanted %s", name, number,
			    strerror(error), strerror(want));
		map_largest(t);
	}
	TEST_ASSERT(number > 1, "%s: no leaf was split", name);
	gmem_convert(&t->g, t->first, t->nr, true);
	check_pages(t);
}

TEST_F_TIMEOUT(guest_memfd_transaction, fail_demote, GMEM_TIMEOUT)
{
	fail_each_split(&self->t, GMEM_FAIL_DEMOTE, 1, ENOMEM);
}

/* The retry finds it busy still. */
TEST_F_TIMEOUT(guest_memfd_transaction, fail_busy, GMEM_TIMEOUT)
{
	fail_each_split(&self->t, GMEM_FAIL_BUSY, 2, EBUSY);
}

static void convert_all_ways(struct transaction *t)
{
	struct gmem_vm *g = &t->g;

	gmem_convert(g, t->first, 1, false);
	gmem_convert(g, t->first + 2, 1, false);
	gmem_convert(g, t->first, t->nr, false);
	gmem_host_write(&t->g, t->first);
	gmem_host_write(&t->g, middle_page(t));
	gmem_convert(g, middle_page(t), 1, true);
	gmem_convert(g, t->first, t->nr, true);
	gmem_convert(g, 0, g->nr_pages, false);
	gmem_convert(g, 0, g->nr_pages, true);
	kvm_fallocate(g->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      t->first * PAGE_SIZE, t->nr * PAGE_SIZE);
}

/* Free nodes of a maple tree on this CPU, so that it has a sheaf for more of them. */
static void get_sheaf(void)
{
	kvm_munmap(kvm_mmap(PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1),
		   PAGE_SIZE);
}

/* Return how often memory was asked for after the point of no return. */
static u64 convert_failing_commit(struct transaction *t)
{
	get_sheaf();
	gmem_set_tags(&t->g, t->first, 1, 2);
	gmem_set_tags(&t->g, middle_page(t), 1, 2);
	gmem_fail_commit_arm();
	convert_all_ways(t);
	return gmem_fail_commit_disarm();
}

/*
 * SLUB asks for an empty sheaf when a node of a maple tree is freed and there
 * happens to be none; it can do without.  What conversions ask for they ask for
 * each time.
 */
TEST_F_TIMEOUT(guest_memfd_transaction, fail_commit, GMEM_TIMEOUT)
{
	struct transaction *t = &self->t;
	int tries = 4;
	u64 nr;

	pin_self_to_cpu(0);
	do
		nr = convert_failing_commit(t);
	while (nr && --tries);
	TEST_ASSERT(!nr, "Memory was asked for %lu times after the point of no return", nr);
	TEST_ASSERT(!gmem_sept_stat(&t->g, "sept_violations"), "Violations");
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SW_PROTECTED_VM));

	return test_harness_run(argc, argv);
}
