// SPDX-License-Identifier: GPL-2.0-only
/*
 * HugeTLB pools that change while a guest_memfd takes pages from them, whole
 * and split: pages of boot time and of run time, shrinking and growing,
 * surplus and overcommit, and gigantic pages from CMA.  Each test runs on
 * hugetlbfs, too: its numbers are hugetlbfs's own.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cgroup_util.h"
#include "guest_memfd_pins.h"
#include "guest_memfd_pool.h"
#include "kvm_test_harness.h"

/* Pages in the pool, and in the file. */
#define NR_PAGES	2
#define WAIT_TRIES	300
/* What might not end may not be interrupted either, except by a signal that kills. */
#define PIN_TIMEOUT	300

struct pool_test {
	struct hugetlb_file file;
	u64 page_size;
	u64 nr_hugepages;
	u64 overcommit;
	struct hugetlb_counters counters;
};

FIXTURE(guest_memfd_pool)
{
	struct pool_test t;
};

FIXTURE_VARIANT(guest_memfd_pool)
{
	u8 order;
	bool hugetlbfs;
};

FIXTURE_VARIANT_ADD(guest_memfd_pool, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_pool, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_pool, hugetlbfs_2m) {
	.order = ORDER_2M,
	.hugetlbfs = true,
};

FIXTURE_VARIANT_ADD(guest_memfd_pool, hugetlbfs_1g) {
	.order = ORDER_1G,
	.hugetlbfs = true,
};

static void expect(u64 page_size, u64 nr, u64 free, u64 resv, u64 surplus)
{
	struct hugetlb_pool pool = {
		.nr = nr,
		.free = free,
		.resv = resv,
		.surplus = surplus,
	};

	hugetlb_pool_assert_eq(page_size, &pool);
}

static void set_overcommit(u64 page_size, u64 nr)
{
	hugetlb_pool_put(-1, page_size, "nr_overcommit_hugepages", nr);
}

/* A pool of NR_PAGES pages that nobody uses. */
static void set_up(struct pool_test *t, u8 order, bool hugetlbfs)
{
	t->page_size = gmem_page_size(order);
	t->file.order = order;
	t->file.hugetlbfs = hugetlbfs;
	t->file.vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	t->nr_hugepages = hugetlb_pool_get(-1, t->page_size, "nr_hugepages");
	t->overcommit = hugetlb_pool_get(-1, t->page_size, "nr_overcommit_hugepages");
	set_overcommit(t->page_size, 0);
	hugetlb_pool_set(t->page_size, NR_PAGES);
	expect(t->page_size, NR_PAGES, NR_PAGES, 0, 0);
	hugetlb_counters_read(&t->counters);
}

static void tear_down(struct pool_test *t)
{
	kvm_vm_free(t->file.vm);
	hugetlb_pool_set(t->page_size, t->nr_hugepages);
	set_overcommit(t->page_size, t->overcommit);
	expect(t->page_size, t->nr_hugepages, t->nr_hugepages, 0, 0);
	hugetlb_counters_free(&t->counters);
}

FIXTURE_SETUP(guest_memfd_pool)
{
	set_up(&self->t, variant->order, variant->hugetlbfs);
}

FIXTURE_TEARDOWN(guest_memfd_pool)
{
	tear_down(&self->t);
}

static void allocate(struct hugetlb_file *file, u64 page)
{
	TEST_ASSERT_EQ(hugetlb_file_allocate(file, page), 0);
}

/* Use @nr pages of the file, and leave nothing behind.  The last is split. */
static void use(struct hugetlb_file *file, u64 nr, const struct hugetlb_counters *counters)
{
	u64 page;

	hugetlb_file_open(file, NR_PAGES);
	for (page = 0; page < nr; page++) {
		allocate(file, page);
		hugetlb_file_split(file, page);
		hugetlb_file_merge(file, page);
	}
	expect(file->page_size, NR_PAGES, NR_PAGES - nr, NR_PAGES - nr, 0);
	hugetlb_file_split(file, nr - 1);
	hugetlb_file_close(file);
	hugetlb_counters_assert_eq(counters);
}

/* What a page gives up of its struct pages while it is in the pool. */
static u64 optimized_pages(u64 page_size)
{
	char text[8];

	TEST_ASSERT(read_text("/proc/sys/vm/hugetlb_optimize_vmemmap", text, sizeof(text)) > 0,
		    "Set CONFIG_HUGETLB_PAGE_OPTIMIZE_VMEMMAP");
	/* 64 bytes for each struct page; one page of them stays. */
	return atoi(text) ? page_size / PAGE_SIZE * 64 / PAGE_SIZE - 1 : 0;
}

/*
 * Pages of the pool, since boot if this test comes first, leave it after they
 * were split, and pages of run time take their place.
 */
TEST_F_TIMEOUT(guest_memfd_pool, regrow, GMEM_TIMEOUT)
{
	/* It takes time to zero gigantic pages. */
	bool gigantic = variant->order == ORDER_1G;
	unsigned int i, nr_rounds = gigantic ? 1 : 10;
	u64 nr = gigantic ? 1 : NR_PAGES;
	u64 memmap = hugetlb_memmap_pages();

	use(&self->t.file, nr, &self->t.counters);
	for (i = 0; i < nr_rounds; i++) {
		hugetlb_pool_set(self->t.page_size, 0);
		expect(self->t.page_size, 0, 0, 0, 0);
		hugetlb_memmap_assert_eq(memmap + NR_PAGES * optimized_pages(self->t.page_size));

		hugetlb_pool_set(self->t.page_size, NR_PAGES);
		expect(self->t.page_size, NR_PAGES, NR_PAGES, 0, 0);
		hugetlb_memmap_assert_eq(memmap);
		use(&self->t.file, nr, &self->t.counters);
	}
}

/* Pages in use or reserved become surplus if the pool shrinks below them. */
TEST_F_TIMEOUT(guest_memfd_pool, resize_in_use, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;
	u64 page_size = self->t.page_size;

	hugetlb_file_open(file, NR_PAGES);
	expect(page_size, 2, 2, 2, 0);
	allocate(file, 0);
	hugetlb_file_split(file, 0);
	expect(page_size, 2, 1, 1, 0);

	hugetlb_pool_set(page_size, 3);
	expect(page_size, 3, 2, 1, 0);
	hugetlb_pool_set(page_size, 1);
	expect(page_size, 2, 1, 1, 1);
	hugetlb_file_merge(file, 0);
	hugetlb_file_split(file, 0);
	expect(page_size, 2, 1, 1, 1);

	allocate(file, 1);
	expect(page_size, 2, 0, 0, 1);
	hugetlb_pool_set(page_size, 0);
	expect(page_size, 2, 0, 0, 2);

	/* A hole in what is surplus is the file's no more. */
	hugetlb_file_punch(file, 0);
	expect(page_size, 1, 0, 1, 1);
	TEST_ASSERT_EQ(hugetlb_file_allocate(file, 0), ENOSPC);
	expect(page_size, 1, 0, 1, 1);

	hugetlb_pool_set(page_size, 1);
	expect(page_size, 1, 0, 1, 0);
	hugetlb_pool_set(page_size, NR_PAGES);
	expect(page_size, 2, 1, 1, 0);
	allocate(file, 0);
	expect(page_size, 2, 0, 0, 0);
	hugetlb_file_close(file);
	hugetlb_counters_assert_eq(&self->t.counters);
}

/* The pool is to be empty, and is so as soon as the file is gone. */
TEST_F_TIMEOUT(guest_memfd_pool, close_shrunk, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;
	u64 page_size = self->t.page_size;

	hugetlb_file_open(file, NR_PAGES);
	allocate(file, 1);
	hugetlb_file_split(file, 1);
	hugetlb_pool_set(page_size, 0);
	expect(page_size, 2, 1, 1, 2);
	hugetlb_file_close(file);
	expect(page_size, 0, 0, 0, 0);

	/* Wait for the worker that frees them. */
	hugetlb_pool_set(page_size, 0);
	hugetlb_pool_set(page_size, NR_PAGES);
	expect(page_size, 2, 2, 0, 0);
	hugetlb_counters_assert_eq(&self->t.counters);
}

/* Gigantic pages can be had at any time from CMA alone, see below. */
FIXTURE(guest_memfd_overcommit)
{
	struct pool_test t;
};

FIXTURE_VARIANT(guest_memfd_overcommit)
{
	bool hugetlbfs;
};

FIXTURE_VARIANT_ADD(guest_memfd_overcommit, 2m) {
};

FIXTURE_VARIANT_ADD(guest_memfd_overcommit, hugetlbfs_2m) {
	.hugetlbfs = true,
};

FIXTURE_SETUP(guest_memfd_overcommit)
{
	set_up(&self->t, ORDER_2M, variant->hugetlbfs);
}

FIXTURE_TEARDOWN(guest_memfd_overcommit)
{
	tear_down(&self->t);
}

/* A file beyond the pool, as far as the overcommit goes. */
TEST_F_TIMEOUT(guest_memfd_overcommit, beyond_pool, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file, other = *file;
	u64 page_size = self->t.page_size;
	struct hugetlb_counters empty;

	hugetlb_pool_set(page_size, 0);
	expect(page_size, 0, 0, 0, 0);
	TEST_ASSERT_EQ(__hugetlb_file_open(file, NR_PAGES), ENOMEM);
	expect(page_size, 0, 0, 0, 0);
	hugetlb_counters_read(&empty);

	set_overcommit(page_size, NR_PAGES);
	hugetlb_file_open(file, NR_PAGES);
	expect(page_size, 2, 2, 2, 2);
	TEST_ASSERT_EQ(__hugetlb_file_open(&other, 1), ENOMEM);
	expect(page_size, 2, 2, 2, 2);

	allocate(file, 0);
	hugetlb_file_split(file, 0);
	expect(page_size, 2, 1, 1, 2);
	hugetlb_file_punch(file, 0);
	expect(page_size, 1, 1, 2, 1);
	/* Split from the start: a hole changes no attributes. */
	allocate(file, 0);
	expect(page_size, 1, 0, 1, 1);
	allocate(file, 1);
	expect(page_size, 2, 0, 0, 2);

	hugetlb_file_split(file, 1);
	hugetlb_file_merge(file, 1);
	expect(page_size, 2, 0, 0, 2);
	hugetlb_file_close(file);
	hugetlb_counters_assert_eq(&empty);
	hugetlb_counters_free(&empty);
	set_overcommit(page_size, 0);
}

#define CMA_DIR		"/sys/kernel/debug/cma/hugetlb0"

FIXTURE(guest_memfd_cma)
{
	struct hugetlb_file file;
};

FIXTURE_VARIANT(guest_memfd_cma)
{
	bool hugetlbfs;
};

FIXTURE_VARIANT_ADD(guest_memfd_cma, 1g) {
};

FIXTURE_VARIANT_ADD(guest_memfd_cma, hugetlbfs_1g) {
	.hugetlbfs = true,
};

/* A worker frees surplus pages, with their struct pages restored. */
static void expect_cma(u64 nr_huge)
{
	long pages = nr_huge * (SZ_1G / PAGE_SIZE);
	unsigned int tries;

	for (tries = 0; tries < WAIT_TRIES && cg_read_long(CMA_DIR, "used") != pages; tries++)
		usleep(DEFAULT_WAIT_INTERVAL_US);
	TEST_ASSERT_EQ(cg_read_long(CMA_DIR, "used"), pages);
}

FIXTURE_SETUP(guest_memfd_cma)
{
	TEST_ASSERT(cg_read_long(CMA_DIR, "count") >= (long)(NR_PAGES * (SZ_1G / PAGE_SIZE)),
		    "No CMA area for huge pages: boot with hugetlb_cma=2G, and debugfs");
	self->file.order = ORDER_1G;
	self->file.hugetlbfs = variant->hugetlbfs;
	self->file.vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	expect(SZ_1G, 0, 0, 0, 0);
	expect_cma(0);
}

FIXTURE_TEARDOWN(guest_memfd_cma)
{
	kvm_vm_free(self->file.vm);
	expect(SZ_1G, 0, 0, 0, 0);
	expect_cma(0);
}

/* Pages that come from CMA go back there, whatever was done with them. */
TEST_F_TIMEOUT(guest_memfd_cma, use, GMEM_TIMEOUT)
{
	struct hugetlb_counters counters;

	hugetlb_pool_set(SZ_1G, NR_PAGES);
	expect(SZ_1G, NR_PAGES, NR_PAGES, 0, 0);
	expect_cma(NR_PAGES);
	hugetlb_counters_read(&counters);
	use(&self->file, 1, &counters);
	expect_cma(NR_PAGES);
	hugetlb_pool_set(SZ_1G, 0);
	hugetlb_counters_free(&counters);
}

/* They do not move, so that a long-term pin can have them; the first touch is its. */
TEST_F_TIMEOUT(guest_memfd_cma, pin, PIN_TIMEOUT)
{
	struct gmem_config config = {
		.order = ORDER_1G,
		.size = SZ_1G,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
		.vm_type = KVM_X86_DEFAULT_VM,
		.no_guest = true,
		.keeps_pages = true,
	};
	struct hugetlb_pool all_free = { .nr = 1, .free = 1 };
	struct gmem_pin pin = {};
	struct gmem_vm g;

	if (variant->hugetlbfs)
		return;

	hugetlb_pool_set(SZ_1G, 1);
	expect_cma(1);
	gmem_vm_create(&g, &config);
	gmem_pin_open(&pin, &gmem_in_ring);
	pin.ops->take(&pin, gmem_host_page(&g, 3));
	gmem_pin_check(&pin);
	pin.ops->drop(&pin);
	gmem_vm_free(&g);
	/* A worker closes the ring. */
	hugetlb_pool_wait_eq(SZ_1G, &all_free);
	hugetlb_pool_set(SZ_1G, 0);
}

/* As surplus, they do so without a stay in the pool. */
TEST_F_TIMEOUT(guest_memfd_cma, surplus, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->file;

	hugetlb_pool_set(SZ_1G, 1);
	set_overcommit(SZ_1G, 1);
	hugetlb_file_open(file, NR_PAGES);
	expect(SZ_1G, 2, 2, 2, 1);
	expect_cma(NR_PAGES);
	allocate(file, 0);
	allocate(file, 1);
	hugetlb_file_split(file, 0);
	hugetlb_pool_set(SZ_1G, 0);
	expect(SZ_1G, 2, 0, 0, 2);
	hugetlb_file_punch(file, 0);
	expect(SZ_1G, 1, 0, 1, 1);
	expect_cma(1);
	hugetlb_file_split(file, 1);
	hugetlb_file_close(file);
	set_overcommit(SZ_1G, 0);
}

TEST_HARNESS_MAIN
