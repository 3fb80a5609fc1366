// SPDX-License-Identifier: GPL-2.0-only
/*
 * Share one 4K page of a huge page of guest_memfd and take it back: stage 2
 * maps the neighbours by the largest leaves that remain, and one huge leaf
 * afterwards, and no byte of any other page changes on the way.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

FIXTURE(guest_memfd_split)
{
	struct gmem_vm g;
	struct hugetlb_pool pool;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(guest_memfd_split)
{
	u8 order;
	u64 flags;
};

FIXTURE_VARIANT_ADD(guest_memfd_split, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_split, 4k_mmap) {
	.order = 0,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_split, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_split, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_split, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_split, 1g_mmap) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_SETUP(guest_memfd_split)
{
	struct gmem_config config = {
		.order = variant->order,
		.size = variant->order ? gmem_page_size(variant->order) : SZ_2M,
		.flags = variant->flags,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};

	if (variant->order) {
		self->nr_hugepages = hugetlb_pool_require(config.size, 1);
		hugetlb_pool_read(config.size, &self->pool);
	}
	gmem_vm_create(&self->g, &config);
}

FIXTURE_TEARDOWN(guest_memfd_split)
{
	u64 size = self->g.config.size;

	gmem_vm_free(&self->g);
	if (variant->order) {
		hugetlb_pool_assert_eq(size, &self->pool);
		hugetlb_pool_set(size, self->nr_hugepages);
	}
}

static void assert_whole(struct gmem_vm *g, const struct gmem_leaves *leaves,
			 const char *when)
{
	gmem_assert_leaves(leaves, g->config.order == ORDER_1G,
			   g->config.order == ORDER_2M,
			   g->config.order ? 0 : 512, when);
}

static void assert_split(struct gmem_vm *g, const struct gmem_leaves *leaves,
			 u64 nr_4k, const char *when)
{
	gmem_assert_leaves(leaves, 0, g->config.order == ORDER_1G ? 511 : 0,
			   nr_4k, when);
}

static void pre_fault(struct gmem_vm *g, u64 page, u64 nr)
{
	int ret = gmem_pre_fault(g, page, nr);

	TEST_ASSERT(!ret, "Pre-faulting pages %lu..%lu: %s", page,
		    page + nr - 1, strerror(ret));
}

static void pre_fault_all_but(struct gmem_vm *g, u64 page)
{
	if (page)
		pre_fault(g, 0, page);
	if (page + 1 < g->nr_pages)
		pre_fault(g, page + 1, g->nr_pages - page - 1);
}

static void share_and_take_back(struct gmem_vm *g, u64 page)
{
	struct gmem_leaves leaves;

	gmem_convert(g, page, 1, false);
	pre_fault_all_but(g, page);
	gmem_leaves_raw(g, &leaves);
	assert_split(g, &leaves, 511, "One page shared, the rest pre-faulted");

	pre_fault(g, page, 1);
	gmem_leaves_raw(g, &leaves);
	assert_split(g, &leaves, 512, "The shared page pre-faulted");

	gmem_convert(g, page, 1, true);
	pre_fault(g, page, 1);
	gmem_leaves_raw(g, &leaves);
	assert_whole(g, &leaves, "The page private again and pre-faulted");
}

/* The guest never runs, so that every leaf of the VM is guest_memfd's. */
TEST_F_TIMEOUT(guest_memfd_split, leaves, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 pages[] = { 0, 3, g->nr_pages / 2, g->nr_pages - 1 };
	struct gmem_leaves leaves;
	int i;

	pre_fault(g, 0, g->nr_pages);
	gmem_leaves_raw(g, &leaves);
	assert_whole(g, &leaves, "All private");

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		share_and_take_back(g, pages[i]);
}

/* A range of pages that ends inside huge pages splits at its ends only. */
TEST_F_TIMEOUT(guest_memfd_split, range_leaves, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	struct gmem_leaves leaves;
	u64 first = 5, nr = g->nr_pages / 2;
	u64 blocks = g->nr_pages / 512;
	u64 big = g->config.order ? blocks - (blocks > 1 ? 2 : 1) : 0;

	/* Shared memory that is not the file's own is mapped 4K by 4K. */
	if (!gmem_has_mmap(g))
		big -= blocks > 1 ? (nr - 512) / 512 : 0;

	pre_fault(g, 0, g->nr_pages);
	gmem_convert(g, first, nr, false);
	pre_fault(g, 0, g->nr_pages);
	gmem_leaves_raw(g, &leaves);
	gmem_assert_leaves(&leaves, 0, big, g->nr_pages - big * 512,
			   "A range of pages shared");

	gmem_convert(g, first, nr, true);
	pre_fault(g, 0, g->nr_pages);
	gmem_leaves_raw(g, &leaves);
	assert_whole(g, &leaves, "The range private again");
}

/* Have both sides use the shared page, and only then take it back. */
static void exchange(struct gmem_vm *g, u64 page)
{
	if (!gmem_host_reaches(g)) {
		gmem_guest_check(g, page, 1, GMEM_STEP_ALL);
		return;
	}

	if (gmem_in_place(g))
		gmem_host_check(g, page, GMEM_STEP_ALL);
	gmem_set_tags(g, page, 1, 2);
	gmem_host_write(g, page);
	gmem_guest_check(g, page, 1, GMEM_STEP_ALL);
	gmem_set_tags(g, page, 1, 3);
	gmem_guest_write(g, page, 1);
	gmem_host_check(g, page, GMEM_STEP_ALL);
}

static void share_exchange_take_back(struct gmem_vm *g, u64 page)
{
	u64 private_tag = g->model->tags[page];
	struct gmem_leaves leaves;

	gmem_convert(g, page, 1, false);
	exchange(g, page);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_ALL);
	gmem_leaves(g, &leaves);
	assert_split(g, &leaves, 512, "The guest touched everything");

	gmem_convert(g, page, 1, true);
	if (!gmem_has_mmap(g))
		g->model->tags[page] = gmem_vm_wide_attributes() ? private_tag : 0;
	gmem_guest_check(g, page, 1, GMEM_STEP_ALL);
	gmem_leaves(g, &leaves);
	assert_whole(g, &leaves, "The guest touched the page taken back");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_ALL);
}

TEST_F_TIMEOUT(guest_memfd_split, contents, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	struct gmem_leaves leaves;

	gmem_set_tags(g, 0, g->nr_pages, 1);
	gmem_guest_write(g, 0, g->nr_pages);
	gmem_leaves(g, &leaves);
	assert_whole(g, &leaves, "The guest wrote every page");

	share_exchange_take_back(g, g->nr_pages / 3);
	share_exchange_take_back(g, g->nr_pages - 1);
}

TEST_HARNESS_MAIN
