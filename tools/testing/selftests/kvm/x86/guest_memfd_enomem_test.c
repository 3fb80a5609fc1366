// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fail each allocation for a guest_memfd in turn, by fail_hugetlb_gmem: the
 * 1st, the 2nd, ... until an operation makes fewer.  Creation, allocation,
 * conversion, holes, and accesses by the kernel that have to split a shared block
 * first, then return ENOMEM, and leave everything as it was.  A hole that only
 * cannot merge what is left is made all the same.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <linux/falloc.h>

#include "guest_memfd_check.h"
#include "guest_memfd_faults.h"
#include "guest_memfd_pins.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

FIXTURE(guest_memfd_enomem)
{
	struct gmem_vm g;
	struct hugetlb_pool pool;
	u64 page_size;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(guest_memfd_enomem)
{
	u8 order;
	u64 nr_extents;
};

FIXTURE_VARIANT_ADD(guest_memfd_enomem, 2m) {
	.order = ORDER_2M,
	.nr_extents = 3,
};

FIXTURE_VARIANT_ADD(guest_memfd_enomem, 1g) {
	.order = ORDER_1G,
	.nr_extents = 2,
};

FIXTURE_SETUP(guest_memfd_enomem)
{
	struct gmem_config config = {
		.order = variant->order,
		.size = variant->nr_extents * gmem_page_size(variant->order),
		.flags = GUEST_MEMFD_FLAG_MMAP,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};

	gmem_fault_own.set_up();
	self->page_size = gmem_page_size(variant->order);
	self->nr_hugepages = hugetlb_pool_require(self->page_size,
						  variant->nr_extents);
	hugetlb_pool_read(self->page_size, &self->pool);
	gmem_vm_create(&self->g, &config);
}

FIXTURE_TEARDOWN(guest_memfd_enomem)
{
	gmem_vm_free(&self->g);
	hugetlb_pool_assert_eq(self->page_size, &self->pool);
	hugetlb_pool_set(self->page_size, self->nr_hugepages);
}

TEST_F_TIMEOUT(guest_memfd_enomem, create, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	struct gmem_config config = g->config;
	struct hugetlb_pool pool;
	u64 number;
	int fd;

	/* Make room for a second file. */
	gmem_vm_free(g);
	g->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	hugetlb_pool_read(self->page_size, &pool);
	for (number = 1;; number = gmem_fault_next(number)) {
		gmem_fault_own.arm(number);
		fd = __gmem_create(g->vm, config.size, config.flags, config.order);
		if (!gmem_fault_own.disarm())
			break;
		TEST_ASSERT(fd < 0 && errno == ENOMEM,
			    "Allocation %lu failed: fd %d, errno: %d", number, fd, errno);
		hugetlb_pool_assert_eq(self->page_size, &pool);
	}
	TEST_ASSERT(fd >= 0, "Nothing failed, errno: %d", errno);
	TEST_ASSERT(number > 3, "Only %lu allocations", number - 1);
	kvm_close(fd);
	kvm_vm_free(g->vm);
	gmem_vm_create(g, &config);
}

static void allocate_failing(struct gmem_vm *g)
{
	u64 page_size = gmem_page_size(g->config.order), number;
	struct hugetlb_pool pool;
	int ret;

	hugetlb_pool_read(page_size, &pool);
	for (number = 1;; number = gmem_fault_next(number)) {
		gmem_fault_own.arm(number);
		ret = fallocate(g->fd, FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE);
		if (!gmem_fault_own.disarm())
			break;
		TEST_ASSERT(ret && errno == ENOMEM,
			    "Allocation %lu failed: %d, errno: %d", number, ret, errno);
		hugetlb_pool_assert_eq(page_size, &pool);
	}
	TEST_ASSERT(!ret, "Nothing failed, errno: %d", errno);
	TEST_ASSERT(number > 3, "Only %lu allocations", number - 1);
}

TEST_F_TIMEOUT(guest_memfd_enomem, allocate, GMEM_TIMEOUT)
{
	allocate_failing(&self->g);
}

/* A page that is split as soon as it is there. */
TEST_F_TIMEOUT(guest_memfd_enomem, allocate_split, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	gmem_convert(g, 3, 1, false);
	allocate_failing(g);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0), SZ_2M / PAGE_SIZE);
}

/* Two in a row, which the page cache does not survive. */
TEST_F_TIMEOUT(guest_memfd_enomem, allocate_twice, GMEM_TIMEOUT)
{
	int punch = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, ret;
	struct gmem_vm *g = &self->g;
	u64 bytes, nr_failed = 0;
	struct hugetlb_pool pool;

	gmem_fault_slab_twice.set_up();
	hugetlb_pool_read(self->page_size, &pool);
	for (bytes = 0;; bytes += 64) {
		gmem_fault_slab_twice.arm(bytes);
		ret = fallocate(g->fd, FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE) ? errno : 0;
		if (!gmem_fault_slab_twice.disarm())
			break;
		TEST_ASSERT(!ret || ret == ENOMEM, "After %lu bytes: %s", bytes,
			    strerror(ret));
		nr_failed += !!ret;
		/* With the record of the page, so that each time is like the first. */
		if (!ret)
			kvm_fallocate(g->fd, punch, 0, self->page_size);
		hugetlb_pool_assert_eq(self->page_size, &pool);
	}
	TEST_ASSERT(!ret && nr_failed, "%lu times, then: %s", nr_failed, strerror(ret));
}

struct range {
	u64 first;
	u64 nr;
	bool to_private;
};

/* At both ends and on both sides. */
static void assert_attributes(struct gmem_vm *g, const struct range *range,
			      enum gmem_probe inside)
{
	u64 last = range->first + range->nr - 1;

	TEST_ASSERT_EQ(gmem_probe(g, range->first), inside);
	TEST_ASSERT_EQ(gmem_probe(g, last), inside);
	TEST_ASSERT_EQ(gmem_probe(g, range->first - 1), GMEM_PRIVATE);
	TEST_ASSERT_EQ(gmem_probe(g, last + 1), GMEM_PRIVATE);
}

/* The start of the range, or of an extent in it. */
static void assert_error_offset(struct gmem_vm *g, const struct range *range,
				u64 error_offset)
{
	u64 first = range->first * PAGE_SIZE;

	TEST_ASSERT(error_offset == first ||
		    (error_offset > first &&
		     error_offset < first + range->nr * PAGE_SIZE &&
		     !(error_offset % gmem_page_size(g->config.order))),
		    "error_offset 0x%lx", error_offset);
}

/* A bit for each extent that has a page of the range. */
static u64 extents_of(struct gmem_vm *g, const struct range *range)
{
	u64 nr = gmem_page_size(g->config.order) / PAGE_SIZE;
	u64 extent, last = (range->first + range->nr - 1) / nr, extents = 0;

	for (extent = range->first / nr; extent <= last; extent++)
		extents |= BIT_ULL(extent);
	return extents;
}

/*
 * Return the number of allocations that a conversion makes.  Some are for each
 * extent, and when they fail, error_offset says for which.
 */
static u64 convert_failing(struct gmem_vm *g, const struct range *range)
{
	u64 number, error_offset, nr_failed = gmem_fdinfo(g->fd, "convert-enomem");
	static struct gmem_snapshot before;
	u64 named = 0;
	char when[64];
	int ret;

	gmem_snapshot(g, &before, range->first, range->nr);
	for (number = 1;; number = gmem_fault_next(number)) {
		error_offset = -1;
		gmem_fault_own.arm(number);
		ret = gmem_try_convert(g, range->first, range->nr,
				       range->to_private, &error_offset);
		if (!gmem_fault_own.disarm())
			break;
		TEST_ASSERT(ret == ENOMEM, "Allocation %lu failed: %s", number,
			    strerror(ret));
		assert_error_offset(g, range, error_offset);
		named |= BIT_ULL(error_offset / gmem_page_size(g->config.order));
		snprintf(when, sizeof(when), "Allocation %lu failed", number);
		gmem_assert_unchanged(g, &before, when);
		TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "convert-enomem"), ++nr_failed);
	}
	TEST_ASSERT(!ret, "Nothing failed: %s", strerror(ret));
	TEST_ASSERT(named == extents_of(g, range),
		    "error_offset was in extents 0x%lx, wanted 0x%lx", named,
		    extents_of(g, range));
	return number - 1;
}

/* From within the first extent to within the last, and back. */
TEST_F_TIMEOUT(guest_memfd_enomem, convert, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 extent = self->page_size / PAGE_SIZE, nr_to_shared, nr_to_private;
	struct range range = {
		.first = extent - 200,
		.nr = g->nr_pages - 2 * extent + 200 + 300,
	};

	gmem_set_tags(g, range.first - 1, range.nr + 2, 1);
	gmem_guest_write(g, range.first - 1, range.nr + 2);
	assert_attributes(g, &range, GMEM_PRIVATE);

	nr_to_shared = convert_failing(g, &range);
	assert_attributes(g, &range, GMEM_SHARED);
	gmem_guest_check(g, range.first - 1, range.nr + 2, GMEM_STEP_SPREAD);

	range.to_private = true;
	nr_to_private = convert_failing(g, &range);
	assert_attributes(g, &range, GMEM_PRIVATE);
	gmem_guest_check(g, range.first - 1, range.nr + 2, GMEM_STEP_SPREAD);
	ksft_print_msg("to shared %lu allocations, to private %lu\n",
		       nr_to_shared, nr_to_private);
	TEST_ASSERT(nr_to_shared > nr_to_private && nr_to_private > 3,
		    "Too few allocations");
}

/* A page that is referenced comes first, even if there is no memory to plan. */
TEST_F_TIMEOUT(guest_memfd_enomem, pinned, GMEM_TIMEOUT)
{
	u64 page = self->page_size / PAGE_SIZE, number, error_offset;
	struct gmem_vm *g = &self->g;
	struct gmem_pin pin;

	gmem_convert(g, page - 3, 6, false);
	gmem_pin(g, page + 1, &pin);
	for (number = 1; number <= 3; number++) {
		error_offset = -1;
		gmem_fault_own.arm(number);
		TEST_ASSERT_EQ(gmem_try_convert(g, page - 3, 6, true,
						&error_offset), EAGAIN);
		TEST_ASSERT(gmem_fault_own.disarm(), "Allocation %lu did not fail", number);
		TEST_ASSERT_EQ(error_offset, (page + 1) * PAGE_SIZE);
	}
	gmem_unpin(&pin);
	gmem_convert(g, page - 3, 6, true);
}

/* Return true if an allocation has failed; only merging can do without. */
static bool punch_failing(struct gmem_vm *g, u64 first, u64 nr, u64 number)
{
	int mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, ret;
	static struct gmem_snapshot before;
	bool failed;

	gmem_set_tags(g, first - 1, nr + 2, number);
	gmem_guest_write(g, first - 1, nr + 2);
	gmem_snapshot(g, &before, first, nr);
	gmem_fault_own.arm(number);
	ret = fallocate(g->fd, mode, first * PAGE_SIZE, nr * PAGE_SIZE);
	ret = ret ? errno : 0;
	failed = gmem_fault_own.disarm();
	if (ret) {
		TEST_ASSERT(failed && ret == ENOMEM, "Allocation %lu: %s", number,
			    strerror(ret));
		gmem_assert_unchanged(g, &before, "ENOMEM");
	} else {
		gmem_set_tags(g, first, nr, 0);
		gmem_guest_check(g, first - 1, nr + 2, GMEM_STEP_ALL);
	}
	return failed;
}

TEST_F_TIMEOUT(guest_memfd_enomem, punch, GMEM_TIMEOUT)
{
	u64 first = self->page_size / PAGE_SIZE - 5, nr = 10, number = 1;
	struct gmem_vm *g = &self->g;

	gmem_convert(g, first, nr / 2, false);
	while (punch_failing(g, first, nr, number))
		number = gmem_fault_next(number);
}

/* The kernel's own access to a page says what the fault said. */
static int splice_page(struct gmem_vm *g, u64 page, struct gmem_pin *pin)
{
	struct iovec iov = { .iov_base = gmem_host_page(g, page), .iov_len = PAGE_SIZE };

	return vmsplice(pin->fds[1], &iov, 1, 0) == PAGE_SIZE ? 0 : errno;
}

/* The first one in a block that is shared as a whole must split it. */
TEST_F_TIMEOUT(guest_memfd_enomem, host_fault, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page = g->nr_pages / 2, number;
	char *before, *after;
	struct gmem_pin pin;
	int ret;

	gmem_convert(g, 0, g->nr_pages, false);
	kvm_fallocate(g->fd, FALLOC_FL_KEEP_SIZE, 0, g->config.size);
	gmem_pin_open(&pin, &gmem_in_pipe);
	before = gmem_check_extents(g->fd);
	for (number = 1;; number = gmem_fault_next(number)) {
		gmem_fault_own.arm(number);
		ret = splice_page(g, page, &pin);
		if (!gmem_fault_own.disarm())
			break;
		TEST_ASSERT(ret == ENOMEM, "Allocation %lu failed: %s", number, strerror(ret));
		after = gmem_check_extents(g->fd);
		gmem_check_assert_same(before, after, "A fault of the host failed");
		free(after);
	}
	TEST_ASSERT(!ret, "Nothing failed: %s", strerror(ret));
	TEST_ASSERT(number > 3, "Only %lu allocations", number - 1);
	TEST_ASSERT_EQ(gmem_count_folios(g->fd, 0), SZ_2M / PAGE_SIZE);
	gmem_unpin(&pin);
	free(before);
}

TEST_HARNESS_MAIN
