// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared guest_memfd memory stays huge for as long as only the guest uses it:
 * a block of 2M is split when the host touches it, and only that block.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>

#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define NR_EXTENTS	2
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

FIXTURE(guest_memfd_init_shared)
{
	struct gmem_vm g;
	struct hugetlb_pool pool;
	u64 page_size;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(guest_memfd_init_shared)
{
	u8 order;
	unsigned long vm_type;
};

FIXTURE_VARIANT_ADD(guest_memfd_init_shared, default_2m) {
	.order = ORDER_2M,
	.vm_type = KVM_X86_DEFAULT_VM,
};

FIXTURE_VARIANT_ADD(guest_memfd_init_shared, default_1g) {
	.order = ORDER_1G,
	.vm_type = KVM_X86_DEFAULT_VM,
};

FIXTURE_VARIANT_ADD(guest_memfd_init_shared, sw_protected_2m) {
	.order = ORDER_2M,
	.vm_type = KVM_X86_SW_PROTECTED_VM,
};

FIXTURE_VARIANT_ADD(guest_memfd_init_shared, sw_protected_1g) {
	.order = ORDER_1G,
	.vm_type = KVM_X86_SW_PROTECTED_VM,
};

FIXTURE_SETUP(guest_memfd_init_shared)
{
	struct gmem_config config = {
		.order = variant->order,
		.size = NR_EXTENTS * gmem_page_size(variant->order),
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
		.vm_type = variant->vm_type,
	};

	self->page_size = gmem_page_size(variant->order);
	self->nr_hugepages = hugetlb_pool_require(self->page_size, NR_EXTENTS);
	hugetlb_pool_read(self->page_size, &self->pool);
	gmem_vm_create(&self->g, &config);
}

FIXTURE_TEARDOWN(guest_memfd_init_shared)
{
	gmem_vm_free(&self->g);
	hugetlb_pool_assert_eq(self->page_size, &self->pool);
	hugetlb_pool_set(self->page_size, self->nr_hugepages);
}

/* Folios if @nr_small blocks of one extent are small, at most one. */
static void assert_folios(struct gmem_vm *g, unsigned int nr_small,
			  const char *when)
{
	unsigned int order, whole = g->config.order;
	u64 nr, want;

	for (order = 0; order <= whole; order++) {
		want = order == whole ? NR_EXTENTS - nr_small :
		       !order ? nr_small * 512 :
		       order >= ORDER_2M ? nr_small : 0;
		nr = gmem_count_folios(g->fd, order);
		TEST_ASSERT(nr == want, "%s: %lu folios of order %u, wanted %lu",
			    when, nr, order, want);
	}
}

static void assert_leaves(struct gmem_vm *g, unsigned int nr_small,
			  const char *when)
{
	struct gmem_leaves leaves;
	u64 nr_whole = NR_EXTENTS - nr_small;
	int ret = gmem_pre_fault(g, 0, g->nr_pages);

	TEST_ASSERT(!ret, "%s: pre-faulting: %s", when, strerror(ret));
	gmem_leaves(g, &leaves);
	if (g->config.order == ORDER_1G)
		gmem_assert_leaves(&leaves, nr_whole, nr_small * 511,
				   nr_small * 512, when);
	else
		gmem_assert_leaves(&leaves, 0, nr_whole, nr_small * 512, when);
}

/* Of what the guest had mapped only the block is gone that the host touched. */
static void assert_rest_mapped(struct gmem_vm *g)
{
	bool huge = g->config.order == ORDER_1G;
	struct gmem_leaves leaves;

	gmem_leaves(g, &leaves);
	gmem_assert_leaves(&leaves, huge ? NR_EXTENTS - 1 : 0,
			   huge ? 511 : NR_EXTENTS - 1, 0, "One block unmapped");
}

/* Pre-faulting allocates what is missing. */
static void assert_layout(struct gmem_vm *g, unsigned int nr_small,
			  const char *when)
{
	assert_leaves(g, nr_small, when);
	assert_folios(g, nr_small, when);
}

/* The host's first touch of each page is a fault. */
TEST_F_TIMEOUT(guest_memfd_init_shared, host_touch, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page = g->nr_pages - 300, first = g->nr_pages - 1024;

	assert_layout(g, 0, "Nothing touched");
	gmem_set_tags(g, first, 1024, 1);
	gmem_guest_write(g, first, 1024);
	assert_layout(g, 0, "Touched by the guest");

	gmem_host_check(g, page, GMEM_STEP_ALL);
	assert_rest_mapped(g);
	assert_layout(g, 1, "One page touched by the host");
	gmem_host_check(g, page - 1, GMEM_STEP_ALL);
	gmem_host_check(g, g->nr_pages - 1, GMEM_STEP_ALL);
	assert_layout(g, 1, "Other pages of the block touched");

	gmem_set_tags(g, page, 1, 2);
	gmem_host_write(g, page);
	gmem_guest_check(g, first, 1024, GMEM_STEP_SPREAD);
}

/* A hole where the whole extent is lets go of the small folios, too. */
TEST_F_TIMEOUT(guest_memfd_init_shared, punch, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 nr = self->page_size / PAGE_SIZE;

	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, nr + 5), true), 0);
	assert_layout(g, 1, "One page touched by the host");
	kvm_fallocate(g->fd, PUNCH, self->page_size, self->page_size);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0), 0);
	assert_layout(g, 0, "Punched");
	gmem_guest_check(g, nr, nr, GMEM_STEP_SPREAD);
}

/* Shared and taken back without a touch of the host, an extent stays whole. */
TEST_F_TIMEOUT(guest_memfd_init_shared, convert_untouched, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 nr = self->page_size / PAGE_SIZE;

	if (variant->vm_type == KVM_X86_DEFAULT_VM) {
		TEST_ASSERT_EQ(gmem_set_attributes(g->fd, 0, PAGE_SIZE, 0, 0, NULL),
			       gmem_vm_wide_attributes() ? ENOTTY : EINVAL);
		return;
	}

	gmem_set_tags(g, 0, g->nr_pages, 1);
	gmem_guest_write(g, 0, g->nr_pages);
	assert_layout(g, 0, "Touched by the guest");
	gmem_convert(g, nr, nr, true);
	assert_layout(g, 0, "One extent private");
	gmem_convert(g, nr, nr, false);
	assert_layout(g, 0, "Shared again");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);

	/* Touched, the block is small until it is private. */
	gmem_host_check(g, nr, GMEM_STEP_ALL);
	assert_layout(g, 1, "One page touched by the host");
	gmem_convert(g, nr, 512, true);
	gmem_convert(g, nr, 512, false);
	assert_layout(g, 0, "The block taken back and shared again");
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

TEST_HARNESS_MAIN
