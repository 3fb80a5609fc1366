// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory failures in guest_memfd: a poisoned page is refused to whoever
 * touches it, with EHWPOISON or SIGBUS, and stands in the way of conversions,
 * while every other page of the same huge page goes on working.
 *
 * Each test of a page size loses one page of the pool, as it must: boot with
 * three 1G pages to run all.  Needs CONFIG_HWPOISON_INJECT and root.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>

#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE
#define PRESERVE	KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE
/* A memory failure may be carried out by a worker: look again this often. */
#define NR_LOOKS	3000
#define LOOK_USEC	10000

FIXTURE(guest_memfd_hwpoison)
{
	struct gmem_vm g;
};

FIXTURE_VARIANT(guest_memfd_hwpoison)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_hwpoison, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_hwpoison, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_hwpoison, 1g) {
	.order = ORDER_1G,
};

static int convert(struct gmem_vm *g, u64 page, u64 nr, bool to_private,
		   u64 *error_offset)
{
	*error_offset = -1ull;
	return gmem_set_attributes(g->fd, page * PAGE_SIZE, nr * PAGE_SIZE,
				   to_private ? PRIVATE : 0, PRESERVE,
				   error_offset);
}

FIXTURE_SETUP(guest_memfd_hwpoison)
{
	struct gmem_config config = gmem_one_page_config(variant->order);

	if (variant->order)
		hugetlb_pool_require(config.size, 1);
	gmem_vm_create(&self->g, &config);
	kvm_fallocate(self->g.fd, FALLOC_FL_KEEP_SIZE, 0, config.size);
}

FIXTURE_TEARDOWN(guest_memfd_hwpoison)
{
	/* The page with the failures is lost, and nothing else is. */
	gmem_vm_free(&self->g);
}

/* The guest's access must fail, and say which page and how it was accessed. */
static void assert_guest_refused(struct gmem_vm *g, u64 page, bool private)
{
	struct kvm_run *run = g->vcpu->run;
	int ret, i;

	for (i = 0; i < NR_LOOKS; i++) {
		ret = gmem_guest_run(g, GMEM_TOUCH, page, 1, 0);
		if (ret)
			break;
		usleep(LOOK_USEC);
	}

	TEST_ASSERT(ret == EHWPOISON, "Guest access to poisoned page %lu: %s",
		    page, strerror(ret));
	TEST_ASSERT_KVM_EXIT_REASON(g->vcpu, KVM_EXIT_MEMORY_FAULT);
	TEST_ASSERT_EQ((u64)run->memory_fault.gpa, GMEM_GPA + page * PAGE_SIZE);
	TEST_ASSERT_EQ((u64)run->memory_fault.flags,
		       private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0);
	TEST_ASSERT_EQ(gmem_pre_fault(g, page, 1), EHWPOISON);
}

static void assert_host_refused(struct gmem_vm *g, u64 page)
{
	int code, i;

	for (i = 0; i < NR_LOOKS; i++) {
		code = gmem_host_access(gmem_host_page(g, page), false);
		if (code)
			break;
		usleep(LOOK_USEC);
	}
	TEST_ASSERT(code == BUS_MCEERR_AR || code == BUS_MCEERR_AO,
		    "Host access to poisoned page %lu: si_code %d", page, code);
}

static void assert_conversion_refused(struct gmem_vm *g, u64 page, u64 nr,
				      bool to_private, u64 poisoned)
{
	u64 error_offset;
	int ret = convert(g, page, nr, to_private, &error_offset);

	TEST_ASSERT(ret == EHWPOISON, "Conversion over poisoned page %lu: %s",
		    poisoned, strerror(ret));
	TEST_ASSERT_EQ(error_offset, poisoned * PAGE_SIZE);
}

/* All pages but the poisoned ones, which are in ascending order. */
static void check_others(struct gmem_vm *g, const u64 *poisoned, int nr)
{
	u64 start = 0;
	int i;

	for (i = 0; i < nr; i++) {
		gmem_guest_check(g, start, poisoned[i] - start, GMEM_STEP_SPREAD);
		start = poisoned[i] + 1;
	}
	gmem_guest_check(g, start, g->nr_pages - start, GMEM_STEP_SPREAD);
}

static void fill(struct gmem_vm *g, u64 page, u64 nr)
{
	gmem_set_tags(g, page, nr, 1);
	gmem_guest_write(g, page, nr);
}

/* Share one page, write to it, and take it back: all of this must work. */
static void convert_neighbour(struct gmem_vm *g, u64 page)
{
	gmem_convert(g, page, 1, false);
	gmem_host_check(g, page, GMEM_STEP_ALL);
	gmem_set_tags(g, page, 1, 2);
	gmem_host_write(g, page);
	gmem_guest_check(g, page, 1, GMEM_STEP_ALL);
	gmem_convert(g, page, 1, true);
	gmem_guest_check(g, page, 1, GMEM_STEP_ALL);
}

/* A private page, and one nobody ever touched, of a page that is whole. */
TEST_F_TIMEOUT(guest_memfd_hwpoison, whole_private, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 bad[] = { g->nr_pages / 4 + 1, g->nr_pages / 2 + 3 };

	fill(g, 0, bad[1] - 1);
	gmem_poison(g, bad[0]);
	assert_guest_refused(g, bad[0], true);
	gmem_poison(g, bad[1]);
	assert_guest_refused(g, bad[1], true);
	check_others(g, bad, ARRAY_SIZE(bad));

	assert_conversion_refused(g, bad[0], 1, false, bad[0]);
	assert_conversion_refused(g, 0, g->nr_pages, false, bad[0]);
	assert_conversion_refused(g, bad[0] + 1, g->nr_pages - bad[0] - 1, false,
				  bad[1]);
	convert_neighbour(g, bad[0] - 1);
	convert_neighbour(g, g->nr_pages - 1);
	check_others(g, bad, ARRAY_SIZE(bad));
	assert_guest_refused(g, bad[0], true);
	assert_guest_refused(g, bad[1], true);
}

/* Private, untouched and shared pages of a page that is split. */
TEST_F_TIMEOUT(guest_memfd_hwpoison, split, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 shared = g->nr_pages / 2;
	u64 bad[] = { shared - 2, shared, shared + 1, shared + 9 };
	u64 error_offset;

	fill(g, 0, shared + 5);
	gmem_convert(g, shared, 3, false);
	gmem_host_check(g, shared, GMEM_STEP_ALL);
	gmem_host_check(g, shared + 1, GMEM_STEP_ALL);

	gmem_poison(g, bad[0]);
	assert_guest_refused(g, bad[0], true);
	gmem_poison_mapped(g, bad[1]);
	assert_host_refused(g, bad[1]);
	assert_guest_refused(g, bad[1], false);
	gmem_poison(g, bad[2]);
	assert_host_refused(g, bad[2]);
	assert_guest_refused(g, bad[2], false);
	gmem_poison(g, bad[3]);
	assert_guest_refused(g, bad[3], true);

	check_others(g, bad, ARRAY_SIZE(bad));
	gmem_host_check(g, shared + 2, GMEM_STEP_ALL);
	assert_conversion_refused(g, shared, 3, true, bad[1]);
	assert_conversion_refused(g, bad[2], 2, true, bad[2]);
	TEST_ASSERT_EQ(convert(g, shared + 2, 1, true, &error_offset), 0);
	convert_neighbour(g, shared - 1);
	check_others(g, bad, ARRAY_SIZE(bad));
}

/* A shared page that the host never touched, of a page that is all shared. */
TEST_F_TIMEOUT(guest_memfd_hwpoison, whole_shared, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 bad[] = { g->nr_pages / 3 };
	u64 host = g->nr_pages - 1, pfn;

	fill(g, 0, g->nr_pages);
	pfn = gmem_pfn(g, bad[0]);
	gmem_convert(g, 0, g->nr_pages, false);
	gmem_poison_pfn(g, bad[0], pfn);
	assert_guest_refused(g, bad[0], false);
	assert_host_refused(g, bad[0]);

	check_others(g, bad, ARRAY_SIZE(bad));
	gmem_host_check(g, host, GMEM_STEP_ALL);
	gmem_host_check(g, bad[0] + 1, GMEM_STEP_ALL);
	assert_conversion_refused(g, 0, g->nr_pages, true, bad[0]);
	gmem_convert(g, host, 1, true);
	gmem_guest_check(g, host, 1, GMEM_STEP_ALL);
	check_others(g, bad, ARRAY_SIZE(bad));
}

/* A block with a poisoned page is not merged, and fdinfo says why. */
TEST_F_TIMEOUT(guest_memfd_hwpoison, blocks_merge, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 small = gmem_page_size(ORDER_2M) / PAGE_SIZE;

	if (!variant->order)
		return;

	gmem_convert(g, 3, 1, false);
	gmem_poison(g, 5);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "poisoned"), PAGE_SIZE / SZ_1K);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "merge-pending"), 0);

	gmem_convert(g, 3, 1, true);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "merge-pending"), 1);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "blocked-poison"), 1);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "blocked-pins"), 0);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "folios-4K"), small);

	/* Sharing the page again leaves nothing to be merged. */
	gmem_convert(g, 3, 1, false);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "merge-pending"), 0);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "blocked-poison"), 0);
}

TEST_HARNESS_MAIN
