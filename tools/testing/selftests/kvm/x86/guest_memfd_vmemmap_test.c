// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for the struct pages of a guest_memfd on HugeTLB pages: splitting one
 * takes a page for each big folio and eight for each small block, on optimized
 * (HVO) pages of a pool, and nothing on others, of which a file may have both
 * kinds.  Merging gives all of it back.  When any allocation of a split fails,
 * by fault injection, all struct pages are as they were.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/falloc.h>

#include "guest_memfd_check.h"
#include "guest_memfd_faults.h"
#include "guest_memfd_layout.h"
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define PLAIN_SPLIT		"/sys/kernel/debug/hugetlb_gmem/plain_split"
#define PAGE_KB			(PAGE_SIZE / SZ_1K)
#define STRUCTS_PER_PAGE	64
/* Pages of the pool that one file takes, half of them optimized. */
#define NR_SWITCHED		8
/* A split allocates at least so many other things than struct pages. */
#define NR_OTHERS		5

static u32 seed = 1;
/* The kernel was booted with hugetlb_free_vmemmap=off. */
static u32 no_hvo;

struct vmemmap {
	struct gmem_vm g;
	struct gmem_layout layout;
	struct kvm_random_state rng;
	u64 nr_hugepages;
	/* Of the whole extent: pages that its struct pages have. */
	u64 nr_own;
	u64 memmap;
};

FIXTURE(guest_memfd_vmemmap)
{
	struct vmemmap v;
};

FIXTURE_VARIANT(guest_memfd_vmemmap)
{
	u8 order;
	/* For the first shared 4K, and for the plain way. */
	u64 nr_first;
	u64 nr_plain;
};

FIXTURE_VARIANT_ADD(guest_memfd_vmemmap, 2m) {
	.order = ORDER_2M,
	.nr_first = 7,
	.nr_plain = 7,
};

FIXTURE_VARIANT_ADD(guest_memfd_vmemmap, 1g) {
	.order = ORDER_1G,
	.nr_first = 16,
	.nr_plain = 4095,
};

static void allocate(struct gmem_vm *g)
{
	TEST_ASSERT(!fallocate(g->fd, FALLOC_FL_KEEP_SIZE, 0, g->config.size),
		    "fallocate() failed, errno: %d", errno);
}

static void assert_hvo(void)
{
	TEST_ASSERT(gmem_hvo_get() == !no_hvo,
		    "Boot with hugetlb_free_vmemmap=on, or off for -u 1");
}

FIXTURE_SETUP(guest_memfd_vmemmap)
{
	struct gmem_config config = gmem_one_page_config(variant->order);
	struct vmemmap *v = &self->v;

	assert_hvo();
	gmem_write_file(PLAIN_SPLIT, "N");
	v->nr_hugepages = hugetlb_pool_require(config.size, 1);
	gmem_vm_create(&v->g, &config);
	allocate(&v->g);
	gmem_layout_init(&v->layout, variant->order, v->g.nr_pages, !no_hvo);
	v->rng = new_kvm_random_state(seed);
	v->memmap = hugetlb_memmap_pages();
	v->nr_own = gmem_check_vmemmap(v->g.fd, 0);
	TEST_ASSERT_EQ(v->nr_own, no_hvo ? v->g.nr_pages / STRUCTS_PER_PAGE : 1);
}

FIXTURE_TEARDOWN(guest_memfd_vmemmap)
{
	struct vmemmap *v = &self->v;

	gmem_write_file(PLAIN_SPLIT, "N");
	gmem_layout_free(&v->layout);
	gmem_vm_free(&v->g);
	hugetlb_pool_set(gmem_page_size(variant->order), v->nr_hugepages);
}

/* Beyond what the whole extent has, wherever it is counted. */
static void assert_extra(struct vmemmap *v, u64 nr)
{
	nr = no_hvo ? 0 : nr;
	TEST_ASSERT_EQ(gmem_fdinfo(v->g.fd, "vmemmap"), nr * PAGE_KB);
	TEST_ASSERT_EQ(hugetlb_memmap_pages(), v->memmap + nr);
	TEST_ASSERT_EQ(gmem_check_vmemmap(v->g.fd, 0), v->nr_own + nr);
}

TEST_F_TIMEOUT(guest_memfd_vmemmap, first_page, GMEM_TIMEOUT)
{
	struct vmemmap *v = &self->v;
	char *before, *after;

	gmem_convert(&v->g, 0, 1, false);
	assert_extra(v, variant->nr_first);
	gmem_convert(&v->g, 3, 1, false);
	assert_extra(v, variant->nr_first);
	gmem_convert(&v->g, 0, 1, true);
	assert_extra(v, variant->nr_first);
	gmem_convert(&v->g, 3, 1, true);
	assert_extra(v, 0);

	/* What the pool has left in struct pages is gone by the first merge. */
	before = gmem_check_extents(v->g.fd);
	gmem_convert(&v->g, v->g.nr_pages - 1, 1, false);
	assert_extra(v, variant->nr_first);
	gmem_convert(&v->g, v->g.nr_pages - 1, 1, true);
	assert_extra(v, 0);
	after = gmem_check_extents(v->g.fd);
	gmem_check_assert_same(before, after, "By another split");
	free(before);
	free(after);
}

/* A new extent gets its layout at once; a split one goes by a hole, or the end. */
TEST_F_TIMEOUT(guest_memfd_vmemmap, fill, GMEM_TIMEOUT)
{
	struct vmemmap *v = &self->v;
	struct gmem_vm *g = &v->g;

	gmem_convert(g, 5, 1, false);
	kvm_fallocate(g->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0,
		      g->config.size);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "vmemmap"), 0);
	TEST_ASSERT_EQ(hugetlb_memmap_pages(), v->memmap);

	allocate(g);
	assert_extra(v, variant->nr_first);
}

static void shuffle(struct vmemmap *v, u32 *items, u64 nr)
{
	u64 i, other;
	u32 item;

	for (i = nr - 1; i > 0; i--) {
		other = kvm_random_u64_in_range(&v->rng, 0, i);
		item = items[i];
		items[i] = items[other];
		items[other] = item;
	}
}

/* A random page in each of half the blocks, chosen at random as well. */
static u64 choose_pages(struct vmemmap *v, u32 *pages)
{
	u64 i, nr_blocks = v->g.nr_pages / GMEM_BLOCK_PAGES;

	for (i = 0; i < nr_blocks; i++)
		pages[i] = i * GMEM_BLOCK_PAGES +
			   kvm_random_u64_in_range(&v->rng, 0, GMEM_BLOCK_PAGES - 1);
	shuffle(v, pages, nr_blocks);
	return (nr_blocks + 1) / 2;
}

static void convert_each(struct vmemmap *v, const u32 *pages, u64 nr, bool to_private)
{
	u64 i;

	for (i = 0; i < nr; i++) {
		gmem_convert(&v->g, pages[i], 1, to_private);
		gmem_layout_convert(&v->layout, pages[i], 1, to_private);
		gmem_layout_assert(&v->layout, v->g.fd);
		TEST_ASSERT_EQ(hugetlb_memmap_pages(),
			       v->memmap + gmem_fdinfo(v->g.fd, "vmemmap") / PAGE_KB);
	}
}

TEST_F_TIMEOUT(guest_memfd_vmemmap, random_blocks, GMEM_TIMEOUT)
{
	u32 pages[BIT(ORDER_1G - ORDER_2M)];
	struct vmemmap *v = &self->v;
	u64 nr, nr_extra;

	nr = choose_pages(v, pages);
	convert_each(v, pages, nr, false);
	nr_extra = gmem_fdinfo(v->g.fd, "vmemmap") / PAGE_KB;
	ksft_print_msg("seed %u: %lu mixed blocks, %lu pages more\n", seed, nr, nr_extra);
	TEST_ASSERT(nr_extra <= 9 * nr, "More than 9 pages for a mixed block");
	assert_extra(v, nr_extra);

	shuffle(v, pages, nr);
	convert_each(v, pages, nr, true);
	assert_extra(v, 0);
}

/* All blocks small, and all struct pages the extent's own: as without sharing. */
TEST_F_TIMEOUT(guest_memfd_vmemmap, plain, GMEM_TIMEOUT)
{
	struct vmemmap *v = &self->v;
	struct gmem_vm *g = &v->g;

	gmem_write_file(PLAIN_SPLIT, "Y");
	assert_extra(v, 0);
	gmem_convert(g, 0, 1, false);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "folios-4K"), g->nr_pages);
	assert_extra(v, variant->nr_plain);
	gmem_convert(g, 0, 1, true);
	assert_extra(v, 0);

	/* What was split the plain way may change back any time. */
	gmem_convert(g, 0, 1, false);
	gmem_write_file(PLAIN_SPLIT, "N");
	gmem_convert(g, 1, 1, false);
	assert_extra(v, variant->nr_first);
	gmem_convert(g, 0, 2, true);
	assert_extra(v, 0);
}

struct failures {
	const struct gmem_fault *fault;
	u64 nr_failed;
	u64 nr_tolerated;
};

/* The first count of fail-nth is the copy of the ioctl's argument. */
static void assert_error(const struct gmem_fault *fault, u64 number, int error)
{
	int want = fault->copies_count && number == 1 ? EFAULT : ENOMEM;

	TEST_ASSERT(error == want, "%s %lu: %s, wanted %s", fault->name, number,
		    strerror(error), strerror(want));
}

static void assert_state(struct vmemmap *v, const char *before,
			 const struct failures *f, u64 number)
{
	char *now = gmem_check_state(v->g.fd), when[64];

	snprintf(when, sizeof(when), "Before %s %lu", f->fault->name, number);
	gmem_check_assert_same(before, now, when);
	free(now);
}

/* Convert a page while one allocation after another fails. */
static void convert_failing(struct vmemmap *v, struct failures *f, u64 page,
			    bool to_private)
{
	char *before = gmem_check_state(v->g.fd);
	u64 number, error_offset;
	int error;

	for (number = 1;; number = gmem_fault_next(number)) {
		f->fault->arm(number);
		error = gmem_try_convert(&v->g, page, 1, to_private, &error_offset);
		if (!f->fault->disarm())
			break;
		if (error) {
			f->nr_failed++;
			assert_error(f->fault, number, error);
			assert_state(v, before, f, number);
			continue;
		}
		/* Somebody does without the allocation. */
		f->nr_tolerated++;
		gmem_convert(&v->g, page, 1, !to_private);
		free(before);
		before = gmem_check_state(v->g.fd);
	}
	TEST_ASSERT(!error, "Nothing failed: %s", strerror(error));
	free(before);
}

/* To split the whole extent and a part of it, and to merge. */
static void fail_all(struct vmemmap *v, const struct gmem_fault *fault, u64 nr_first,
		     u64 nr_least)
{
	u64 last = v->g.nr_pages - 1;
	struct failures f = { .fault = fault };

	fault->set_up();
	convert_failing(v, &f, 0, false);
	assert_extra(v, nr_first);
	ksft_print_msg("%s: splitting failed %lu times, %lu failures tolerated\n",
		       fault->name, f.nr_failed, f.nr_tolerated);
	TEST_ASSERT(f.nr_failed >= nr_least, "Fewer than there are allocations");
	convert_failing(v, &f, last, false);
	convert_failing(v, &f, last, true);
	convert_failing(v, &f, 0, true);
	assert_extra(v, 0);
}

TEST_F_TIMEOUT(guest_memfd_vmemmap, fail_own, GMEM_TIMEOUT)
{
	fail_all(&self->v, &gmem_fault_own, variant->nr_first,
		 NR_OTHERS + (no_hvo ? 0 : variant->nr_first));
}

TEST_F_TIMEOUT(guest_memfd_vmemmap, fail_slab, GMEM_TIMEOUT)
{
	fail_all(&self->v, &gmem_fault_slab, variant->nr_first, NR_OTHERS);
}

TEST_F_TIMEOUT(guest_memfd_vmemmap, fail_page, GMEM_TIMEOUT)
{
	fail_all(&self->v, &gmem_fault_page, variant->nr_first,
		 no_hvo ? 1 : variant->nr_first);
}

FIXTURE(guest_memfd_vmemmap_switched)
{
	struct gmem_vm g;
	u64 nr_hugepages;
	u64 memmap;
	bool hvo;
};

/* All that the pool has, so that the file gets both kinds of pages. */
FIXTURE_SETUP(guest_memfd_vmemmap_switched)
{
	assert_hvo();
	self->nr_hugepages = hugetlb_pool_get(-1, SZ_2M, "nr_hugepages");
	self->memmap = hugetlb_memmap_pages();
	self->hvo = gmem_hvo_get();
	hugetlb_pool_set(SZ_2M, 0);
	gmem_hvo_set(true);
	hugetlb_pool_set(SZ_2M, NR_SWITCHED / 2);
	gmem_hvo_set(false);
	hugetlb_pool_set(SZ_2M, NR_SWITCHED);
	TEST_ASSERT_EQ(hugetlb_pool_get(-1, SZ_2M, "free_hugepages"), NR_SWITCHED);
}

FIXTURE_TEARDOWN(guest_memfd_vmemmap_switched)
{
	hugetlb_pool_set(SZ_2M, 0);
	gmem_hvo_set(self->hvo);
	hugetlb_pool_set(SZ_2M, self->nr_hugepages);
	hugetlb_memmap_assert_eq(self->memmap);
}

/* Split an extent and merge it; return how many pages it took. */
static u64 split_and_merge(struct gmem_vm *g, u64 extent)
{
	u64 memmap = hugetlb_memmap_pages(), nr_own, nr;

	nr_own = gmem_check_vmemmap(g->fd, extent);
	gmem_convert(g, extent + 7, 1, false);
	nr = hugetlb_memmap_pages() - memmap;
	TEST_ASSERT(nr_own + nr == 8 && (nr == 0 || nr == 7),
		    "A split takes %lu pages of an extent with %lu", nr, nr_own);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "vmemmap"), nr * PAGE_KB);
	TEST_ASSERT_EQ(gmem_check_vmemmap(g->fd, extent), nr_own + nr);

	gmem_convert(g, extent + 7, 1, true);
	TEST_ASSERT_EQ(hugetlb_memmap_pages(), memmap);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "vmemmap"), 0);
	return nr;
}

struct optimized {
	u64 pfn[NR_SWITCHED];
	u64 nr;
};

static void find_optimized(struct gmem_vm *g, struct optimized *o)
{
	u64 i, extent;

	o->nr = 0;
	for (i = 0; i < NR_SWITCHED; i++) {
		extent = i * GMEM_BLOCK_PAGES;
		if (split_and_merge(g, extent))
			o->pfn[o->nr++] = gmem_extent_pfn(g->fd, extent);
	}
}

static int compare_pfns(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Use the whole pool, and return its pages split. */
static void use_pool(struct gmem_vm *g, struct optimized *o)
{
	struct gmem_config config = gmem_one_page_config(ORDER_2M);
	u64 extent;

	config.size = NR_SWITCHED * SZ_2M;
	gmem_vm_create(g, &config);
	allocate(g);
	find_optimized(g, o);
	qsort(o->pfn, o->nr, sizeof(o->pfn[0]), compare_pfns);
	for (extent = 0; extent < g->nr_pages; extent += GMEM_BLOCK_PAGES)
		gmem_convert(g, extent, 1, false);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "vmemmap"), o->nr * 7 * PAGE_KB);
	gmem_vm_free(g);
}

/* Optimized is what entered the pool so, whatever the switch says since then. */
TEST_F_TIMEOUT(guest_memfd_vmemmap_switched, both_kinds, GMEM_TIMEOUT)
{
	struct optimized first, second;

	use_pool(&self->g, &first);
	TEST_ASSERT_EQ(first.nr, NR_SWITCHED / 2);
	gmem_hvo_set(true);
	use_pool(&self->g, &second);
	TEST_ASSERT(second.nr == first.nr &&
		    !memcmp(second.pfn, first.pfn, first.nr * sizeof(first.pfn[0])),
		    "Other pages of the pool are optimized now");
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-s", "seed", .number = &seed },
		{ "-u", "1 if booted with hugetlb_free_vmemmap=off", .number = &no_hvo },
		{}
	};

	argc = gmem_take_options(argc, argv, options);
	return test_harness_run(argc, argv);
}
