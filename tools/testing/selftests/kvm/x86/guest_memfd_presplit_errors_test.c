// SPDX-License-Identifier: GPL-2.0-only
/*
 * Splits of stage 2 that fail, and unmappings that do: the former leave
 * everything as it was, but for leaves that may be smaller; the latter, which are
 * bugs, kill the VM and cost the pages, and nobody else notices.
 *
 * Tests called dead_... have KVM kill their VM, for which the log has warnings;
 * dead_remove loses a page of the pool.  All need CONFIG_KVM_SEPT_EMUL.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>
#include <stdlib.h>

#include "guest_memfd_faults.h"
#include "guest_memfd_stage2.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define PAGE_KB		(PAGE_SIZE / SZ_1K)
/* A page that could not be unmapped may be poisoned by a worker. */
#define NR_LOOKS	3000
#define LOOK_USEC	10000
/* Half of the attempts that KVM makes before it unmaps more than a poisoned page. */
#define NR_UNSPLIT	50
#define NR_SLOW		10

FIXTURE(guest_memfd_presplit_errors)
{
	struct gmem_stage2 s;
};

FIXTURE_VARIANT(guest_memfd_presplit_errors)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit_errors, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_presplit_errors, 1g) {
	.order = ORDER_1G,
};

/* Each test creates its own VM, as they differ in size. */
FIXTURE_SETUP(guest_memfd_presplit_errors)
{
}

FIXTURE_TEARDOWN(guest_memfd_presplit_errors)
{
	gmem_stage2_free(&self->s);
}

/* A file of which pages can be probed, where there is one. */
static u64 file_flags(void)
{
	return gmem_vm_wide_attributes() ? 0 : GUEST_MEMFD_FLAG_MMAP;
}

#define CREATE(nr_extents)						\
	gmem_stage2_create(&self->s, variant->order, nr_extents,	\
			   file_flags(), true)

struct call {
	u64 page;
	u64 nr;
	bool punch;
	/* Fail from this attempt on, that often. */
	const char *capability;
	u64 number;
	u64 times;
	/* What must come of it. */
	int ret;
	u64 error_page;
};

static int do_call(struct gmem_vm *g, const struct call *c, u64 *error_offset)
{
	if (!c->punch)
		return gmem_try_convert(g, c->page, c->nr, false, error_offset);
	return fallocate(g->fd, PUNCH, c->page * PAGE_SIZE, c->nr * PAGE_SIZE) ?
	       errno : 0;
}

static void assert_result(const struct call *c, int ret, u64 error_offset)
{
	TEST_ASSERT(ret == c->ret, "%s from %lu, %lu times: %s, wanted %s",
		    c->capability, c->number, c->times, strerror(ret), strerror(c->ret));
	if (ret && !c->punch && !gmem_vm_wide_attributes())
		TEST_ASSERT_EQ(error_offset, c->error_page * PAGE_SIZE);
}

static void call_failing(struct gmem_vm *g, const struct call *c)
{
	u64 error_offset = GMEM_UNTOUCHED, left;
	int ret;

	gmem_fail_arm(c->capability, c->number, c->times);
	ret = do_call(g, c, &error_offset);
	left = gmem_fail_disarm(c->capability);
	assert_result(c, ret, error_offset);
	TEST_ASSERT(!left, "%s: %lu of %lu failures are left", c->capability, left, c->times);
}

/* The model has the leaves that may have been split before the failure. */
static void assert_no_trace(struct gmem_stage2 *s, const struct call *c,
			    void (*split)(struct gmem_stage2 *s, u64 page))
{
	static struct gmem_snapshot before;
	struct gmem_vm *g = &s->g;

	if (gmem_in_place(g))
		gmem_snapshot(g, &before, c->page, c->nr);
	call_failing(g, c);
	if (split)
		split(s, c->page);
	gmem_stage2_assert(s, "Failed");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
	gmem_stage2_assert(s, "Failed, and the guest read all pages");
	if (gmem_in_place(g))
		gmem_assert_unchanged(g, &before, "Failed");
}

static void assert_success(struct gmem_stage2 *s, const struct call *c)
{
	TEST_ASSERT_EQ(do_call(&s->g, c, NULL), 0);
	gmem_stage2_unmap(s, c->page, c->nr);
	gmem_stage2_assert(s, "Nothing failed");
	gmem_guest_check_around(&s->g, c->page, c->nr);
	gmem_stage2_assert(s, "Nothing failed, and the guest read all other pages");
}

static struct call fail_one(struct gmem_stage2 *s, const char *capability, int ret)
{
	u64 page = gmem_stage2_middle(s);

	return (struct call){
		.page = page,
		.nr = 1,
		.capability = capability,
		.number = 1,
		.times = 1,
		.ret = ret,
		.error_page = page,
	};
}

TEST_F_TIMEOUT(guest_memfd_presplit_errors, demote, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct call c;

	CREATE(1);
	c = fail_one(s, GMEM_FAIL_DEMOTE, ENOMEM);
	assert_no_trace(s, &c, NULL);
	TEST_ASSERT_EQ(s->demotes, 0);
	assert_success(s, &c);
}

TEST_F_TIMEOUT(guest_memfd_presplit_errors, demote_punch, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct call c;

	CREATE(1);
	c = fail_one(s, GMEM_FAIL_DEMOTE, ENOMEM);
	c.punch = true;
	assert_no_trace(s, &c, NULL);
	assert_success(s, &c);
}

/* 1G is split to 2M, of which none is then split to 4K. */
TEST_F_TIMEOUT(guest_memfd_presplit_errors, demote_second, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct call c;

	CREATE(1);
	if (variant->order != ORDER_1G)
		return;

	gmem_sept_promote(false);
	c = fail_one(s, GMEM_FAIL_DEMOTE, ENOMEM);
	c.number = 2;
	assert_no_trace(s, &c, gmem_stage2_split_once);
	TEST_ASSERT_EQ(s->demotes, 1);
	assert_success(s, &c);
}

/* The start is split, and then the end, in another extent, is not. */
TEST_F_TIMEOUT(guest_memfd_presplit_errors, demote_second_extent, GMEM_TIMEOUT)
{
	u64 extent = gmem_page_size(variant->order) / PAGE_SIZE;
	struct gmem_stage2 *s = &self->s;
	struct call c = {
		.page = extent - 300,
		.nr = 700,
		.capability = GMEM_FAIL_DEMOTE,
		.number = variant->order == ORDER_1G ? 3 : 2,
		.times = 1,
		.ret = ENOMEM,
		.error_page = extent,
	};

	CREATE(2);
	gmem_sept_promote(false);
	assert_no_trace(s, &c, gmem_stage2_split);
	assert_success(s, &c);
}

TEST_F_TIMEOUT(guest_memfd_presplit_errors, busy_once, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct call c;

	CREATE(1);
	c = fail_one(s, GMEM_FAIL_BUSY, 0);
	call_failing(&s->g, &c);
	gmem_stage2_unmap(s, c.page, c.nr);
	gmem_stage2_assert(s, "Busy once");
	gmem_guest_check_around(&s->g, c.page, c.nr);
}

TEST_F_TIMEOUT(guest_memfd_presplit_errors, busy_twice, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct call c;

	CREATE(1);
	c = fail_one(s, GMEM_FAIL_BUSY, EBUSY);
	c.times = 2;
	assert_no_trace(s, &c, NULL);
	assert_success(s, &c);
}

/* A fault is simply repeated. */
TEST_F_TIMEOUT(guest_memfd_presplit_errors, busy_fault, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct gmem_sept sept;

	gmem_stage2_create_empty(s, variant->order, 1, file_flags(), true);
	gmem_fail_arm(GMEM_FAIL_BUSY, 1, 5);
	gmem_stage2_fill(s);
	TEST_ASSERT_EQ(gmem_fail_disarm(GMEM_FAIL_BUSY), 0);
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
	gmem_sept_read(&s->g, &sept);
	TEST_ASSERT_EQ(sept.augs, 1);
}

/*
 * As long as the leaf with a poisoned page cannot be split, a fault which needs but a
 * page of it leaves it alone.  Return how many splits were still to fail: if none,
 * there may have been no such leaf.
 */
static u64 fault_beside_poison(struct gmem_stage2 *s, u64 page)
{
	gmem_fail_arm(GMEM_FAIL_DEMOTE, 1, NR_UNSPLIT);
	gmem_poison(&s->g, page);
	TEST_ASSERT_EQ(gmem_pre_fault(&s->g, page + 1, 1), 0);
	return gmem_fail_disarm(GMEM_FAIL_DEMOTE);
}

TEST_F_TIMEOUT(guest_memfd_presplit_errors, poison, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	u64 page, left;
	int i;

	CREATE(1);
	/* Poison goes to a page that the host knows; and 1G are too many to lose. */
	if (!gmem_in_place(&s->g) || variant->order != ORDER_2M)
		return;

	page = gmem_stage2_middle(s);
	left = fault_beside_poison(s, page);
	for (i = 0; !left && i < NR_SLOW; i++) {
		gmem_stage2_free(s);
		CREATE(1);
		left = fault_beside_poison(s, page);
	}
	TEST_ASSERT(left, "The leaf was never seen while it could not be split");

	gmem_stage2_unmap(s, page, 1);
	gmem_stage2_wait(s, "A page is poisoned");
	TEST_ASSERT_EQ(s->demotes, 1);
	gmem_guest_check_around(&s->g, page, 1);
	gmem_stage2_assert(s, "The guest read all other pages");
}

static void assert_dead(struct gmem_vm *g, u64 page)
{
	g->dead = true;
	TEST_ASSERT(__vcpu_run(g->vcpu) < 0 && errno == EIO,
		    "KVM_RUN of a dead VM, errno: %d", errno);
	TEST_ASSERT(__vm_ioctl(g->vm, KVM_CHECK_EXTENSION, NULL) < 0 && errno == EIO,
		    "ioctl() on a dead VM, errno: %d", errno);
	TEST_ASSERT_EQ(gmem_pre_fault(g, 0, 1), EIO);
	TEST_ASSERT_EQ(gmem_try_convert(g, page, 1, true, NULL), EIO);
}

/* What the tests of this file would find if leaves were not split first. */
TEST_F_TIMEOUT(guest_memfd_presplit_errors, dead_skip_presplit, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct gmem_vm *g = &s->g;
	struct gmem_sept sept;
	u64 page;
	char *text;

	CREATE(1);
	page = gmem_stage2_middle(s);
	gmem_skip_presplit(true);
	gmem_convert(g, page, 1, false);
	text = gmem_leaves_text(g, "");
	TEST_ASSERT(!*text, "Leaves that reached out of the range are left:\n%s", text);
	free(text);
	gmem_sept_read(g, &sept);
	TEST_ASSERT(sept.violations, "The emulation has not noticed");

	/* The first touch kills the VM, and any after that finds it dead. */
	TEST_ASSERT_EQ(gmem_guest_run(g, GMEM_TOUCH, page + 1, 1, 0), EIO);
	assert_dead(g, page + 1);
}

static void wait_poisoned(struct gmem_vm *g, u64 page)
{
	unsigned int i;

	g->poisoned |= BIT_ULL(page >> g->config.order);
	for (i = 0; i < NR_LOOKS && !gmem_fdinfo(g->fd, "poisoned"); i++)
		usleep(LOOK_USEC);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "poisoned"), PAGE_KB);
	if (gmem_in_place(g))
		TEST_ASSERT(gmem_host_access(gmem_host_page(g, page), false),
			    "The host reads a page that the guest may still have");
}

static void use(struct gmem_vm *g, bool fill)
{
	if (fill) {
		gmem_set_tags(g, 0, g->nr_pages, 1);
		gmem_guest_write(g, 0, g->nr_pages);
	}
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_ALL);
	gmem_convert(g, 7, 1, false);
	gmem_guest_check_around(g, 7, 1);
	gmem_convert(g, 7, 1, true);
	gmem_guest_check_around(g, 7, 1);
}

/* Teardown asserts that the pool has lost the extent. */
TEST_F_TIMEOUT(guest_memfd_presplit_errors, dead_remove, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct gmem_config config;
	struct gmem_vm other;
	struct call c;
	int ret;

	CREATE(1);
	config = s->g.config;
	config.order = ORDER_2M;
	config.size = SZ_2M;
	/* The pool is about to lose a page, which teardown looks at. */
	config.keeps_pages = true;
	hugetlb_pool_require(SZ_2M, 1);
	gmem_vm_create(&other, &config);
	use(&other, true);

	c = fail_one(s, GMEM_FAIL_REMOVE, 0);
	gmem_fail_arm(c.capability, c.number, c.times);
	ret = do_call(&s->g, &c, NULL);
	TEST_ASSERT(!ret || ret == EIO, "Removal failed: %s", strerror(ret));
	TEST_ASSERT_EQ(gmem_fail_disarm(c.capability), 0);
	wait_poisoned(&s->g, c.page);
	assert_dead(&s->g, c.page);

	use(&other, false);
	gmem_vm_free(&other);
}

/* The same with base pages, which the pool has no part in. */
TEST_F_TIMEOUT(guest_memfd_presplit_errors, dead_remove_base, GMEM_TIMEOUT)
{
	struct gmem_config config = {
		.size = SZ_2M,
		.flags = file_flags(),
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};
	struct gmem_vm base;
	int ret;

	CREATE(1);
	gmem_vm_create(&base, &config);
	gmem_set_tags(&base, 0, 16, 1);
	gmem_guest_write(&base, 0, 16);

	gmem_fail_arm(GMEM_FAIL_REMOVE, 0, 1);
	ret = gmem_try_convert(&base, 7, 1, false, NULL);
	TEST_ASSERT(!ret || ret == EIO, "Removal failed: %s", strerror(ret));
	TEST_ASSERT_EQ(gmem_fail_disarm(GMEM_FAIL_REMOVE), 0);
	if (gmem_in_place(&base))
		TEST_ASSERT(gmem_host_access(gmem_host_page(&base, 7), false),
			    "The host reads a page that the guest may still have");
	assert_dead(&base, 7);
	gmem_vm_free(&base);
}

TEST_HARNESS_MAIN
