// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages of a guest_memfd, mapped by way of the guest's own page tables
 *
 * KVM then maps no more at once than the guest does, however large the folio is.
 * Boot with kvm_amd.npt=0; what an L1 maps for its L2 with nested paging goes the
 * same way.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>

#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
/* More than a block of 2M, at each end of the file. */
#define NR_PAGES	600

FIXTURE(guest_memfd_shadow)
{
	struct gmem_vm g;
};

FIXTURE_VARIANT(guest_memfd_shadow)
{
	u8 order;
	u64 nr_extents;
	bool guest_maps_4k;
};

FIXTURE_VARIANT_ADD(guest_memfd_shadow, 2m_by_2m) {
	.order = ORDER_2M,
	.nr_extents = 3,
};

FIXTURE_VARIANT_ADD(guest_memfd_shadow, 2m_by_4k) {
	.order = ORDER_2M,
	.nr_extents = 3,
	.guest_maps_4k = true,
};

FIXTURE_VARIANT_ADD(guest_memfd_shadow, 1g_by_2m) {
	.order = ORDER_1G,
	.nr_extents = 1,
};

FIXTURE_SETUP(guest_memfd_shadow)
{
	struct gmem_config config = {
		.order = variant->order,
		.size = variant->nr_extents * gmem_page_size(variant->order),
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
		.vm_type = KVM_X86_DEFAULT_VM,
		.guest_maps_4k = variant->guest_maps_4k,
	};

	TEST_REQUIRE(!kvm_is_tdp_enabled());
	hugetlb_pool_require(gmem_page_size(variant->order), variant->nr_extents);
	gmem_vm_create(&self->g, &config);
}

FIXTURE_TEARDOWN(guest_memfd_shadow)
{
	gmem_vm_free(&self->g);
}

static void write_both_ends(struct gmem_vm *g, u32 generation)
{
	u64 last = g->nr_pages - NR_PAGES;

	gmem_set_tags(g, 0, NR_PAGES, generation);
	gmem_set_tags(g, last, NR_PAGES, generation);
	gmem_guest_write(g, 0, NR_PAGES);
	gmem_guest_write(g, last, NR_PAGES);
}

static void check_both_ends(struct gmem_vm *g)
{
	gmem_guest_check(g, 0, NR_PAGES, GMEM_STEP_SPREAD);
	gmem_guest_check(g, g->nr_pages - NR_PAGES, NR_PAGES, GMEM_STEP_SPREAD);
}

/* Nothing but what the guest wrote is to be found, by whoever looks. */
TEST_F_TIMEOUT(guest_memfd_shadow, access, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page;

	write_both_ends(g, 1);
	check_both_ends(g);
	for (page = 0; page < NR_PAGES; page += 7)
		gmem_host_check(g, page, GMEM_STEP_ALL);
	check_both_ends(g);
	write_both_ends(g, 2);
	check_both_ends(g);
}

/* What is punched is unmapped, and zero when it is back. */
TEST_F_TIMEOUT(guest_memfd_shadow, punch, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	write_both_ends(g, 1);
	TEST_ASSERT(!fallocate(g->fd, PUNCH, 5 * PAGE_SIZE, 530 * PAGE_SIZE),
		    "Punching, errno: %d", errno);
	gmem_set_tags(g, 5, 530, 0);
	check_both_ends(g);
	TEST_ASSERT(!fallocate(g->fd, PUNCH, 0, g->config.size), "Punching all, errno: %d",
		    errno);
	gmem_set_tags(g, 0, g->nr_pages, 0);
	check_both_ends(g);
}

TEST_HARNESS_MAIN
