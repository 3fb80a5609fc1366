// SPDX-License-Identifier: GPL-2.0-only
/*
 * Conversions while others look at the same pages: mincore() on the mapping,
 * /proc/kpageflags over the page frames, and memory compaction, each in a loop
 * of its own on another CPU.  The count of conversions ends the test, and all
 * scanners must have made a whole round by then.
 *
 * And two threads that have the same page mapped for them at the same time.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <pthread.h>
#include <sched.h>

#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define KPAGEFLAGS	"/proc/kpageflags"
#define COMPACT_MEMORY	"/proc/sys/vm/compact_memory"
#define CHUNK		(64 * SZ_1K)
#define NR_PAGES_MAX	64

static u32 nr_conversions = 200;
static u32 seed = 1;

struct race {
	struct gmem_vm g;
	struct kvm_random_state rng;
	u64 nr_hugepages;
	u64 base_pfn;
	u64 nr_again;
	bool stop;
	u64 mincore_rounds;
	u64 kpageflags_rounds;
	u64 compact_rounds;
	u64 nr_arrived;
};

FIXTURE(guest_memfd_scan_race)
{
	struct race race;
};

FIXTURE_VARIANT(guest_memfd_scan_race)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_scan_race, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_scan_race, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_scan_race, 1g) {
	.order = ORDER_1G,
};

FIXTURE_SETUP(guest_memfd_scan_race)
{
	struct race *r = &self->race;
	struct gmem_config config = gmem_one_page_config(variant->order);

	if (variant->order)
		r->nr_hugepages = hugetlb_pool_require(config.size, 1);
	gmem_vm_create(&r->g, &config);
	r->rng = new_kvm_random_state(seed);
}

FIXTURE_TEARDOWN(guest_memfd_scan_race)
{
	struct race *r = &self->race;

	gmem_vm_free(&r->g);
	if (variant->order)
		hugetlb_pool_set(gmem_page_size(variant->order), r->nr_hugepages);
}

static bool stopped(struct race *r)
{
	return READ_ONCE(r->stop);
}

static void *scan_mincore(void *data)
{
	struct race *r = data;
	unsigned char *vec = malloc(r->g.nr_pages);

	TEST_ASSERT(vec, "Out of memory");
	while (!stopped(r)) {
		TEST_ASSERT(!mincore(r->g.shared, r->g.config.size, vec),
			    "mincore(), errno: %d", errno);
		WRITE_ONCE(r->mincore_rounds, r->mincore_rounds + 1);
	}
	free(vec);
	return NULL;
}

static void *scan_kpageflags(void *data)
{
	struct race *r = data;
	u64 start = r->base_pfn * sizeof(u64);
	u64 end = (r->base_pfn + r->g.nr_pages) * sizeof(u64);
	int fd = open_path_or_exit(KPAGEFLAGS, O_RDONLY);
	char *buffer = malloc(CHUNK);
	ssize_t len;
	u64 at;

	TEST_ASSERT(buffer, "Out of memory");
	while (!stopped(r)) {
		for (at = start; at < end && !stopped(r); at += len) {
			len = pread(fd, buffer, min_t(u64, CHUNK, end - at), at);
			TEST_ASSERT(len >= 0, "Reading %s, errno: %d", KPAGEFLAGS, errno);
			if (!len)
				break;
		}
		WRITE_ONCE(r->kpageflags_rounds, r->kpageflags_rounds + 1);
	}
	free(buffer);
	close(fd);
	return NULL;
}

static void *compact(void *data)
{
	struct race *r = data;
	int fd = open_path_or_exit(COMPACT_MEMORY, O_WRONLY);

	while (!stopped(r)) {
		TEST_ASSERT(write(fd, "1", 1) == 1, "Writing %s, errno: %d",
			    COMPACT_MEMORY, errno);
		WRITE_ONCE(r->compact_rounds, r->compact_rounds + 1);
	}
	close(fd);
	return NULL;
}

static void convert(struct race *r, u64 page, u64 nr, bool to_private)
{
	r->nr_again += gmem_convert_patiently(&r->g, page, nr, to_private);
}

/* Share some pages, let the host write one of them, and take all back. */
static void convert_some(struct race *r, u32 generation)
{
	struct gmem_vm *g = &r->g;
	u64 nr = kvm_random_u64_in_range(&r->rng, 1, NR_PAGES_MAX);
	u64 page = kvm_random_u64_in_range(&r->rng, 0, g->nr_pages - nr);
	u64 written = page + nr / 2;

	convert(r, page, nr, false);
	gmem_host_check(g, written, GMEM_STEP_ALL);
	gmem_set_tags(g, written, 1, generation);
	gmem_host_write(g, written);
	convert(r, page, nr, true);
	gmem_guest_check(g, page, nr, GMEM_STEP_ALL);
}

static bool all_scanned(struct race *r)
{
	return READ_ONCE(r->mincore_rounds) && READ_ONCE(r->kpageflags_rounds) &&
	       READ_ONCE(r->compact_rounds);
}

static void find_base_pfn(struct race *r)
{
	gmem_convert(&r->g, 0, 1, false);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(&r->g, 0), true), 0);
	r->base_pfn = gmem_host_pfn(gmem_host_page(&r->g, 0));
	gmem_convert(&r->g, 0, 1, true);
}

TEST_F_TIMEOUT(guest_memfd_scan_race, convert, 4 * GMEM_TIMEOUT)
{
	struct race *r = &self->race;
	pthread_fn_t scanners[] = { scan_mincore, scan_kpageflags, compact };
	pthread_t threads[ARRAY_SIZE(scanners)];
	u32 i, n;

	gmem_set_tags(&r->g, 0, r->g.nr_pages, 1);
	gmem_guest_write(&r->g, 0, r->g.nr_pages);
	find_base_pfn(r);
	for (i = 0; i < ARRAY_SIZE(scanners); i++)
		kvm_pthread_create(&threads[i], NULL, scanners[i], r);

	for (n = 0; n < nr_conversions || !all_scanned(r); n++) {
		convert_some(r, n + 2);
		if ((n + 1) % 100 == 0)
			ksft_print_msg("seed %u: %u conversions\n", seed, 2 * (n + 1));
	}

	WRITE_ONCE(r->stop, true);
	for (i = 0; i < ARRAY_SIZE(scanners); i++)
		kvm_pthread_join(threads[i], NULL);
	ksft_print_msg("seed %u: %u conversions, %lu repeated\n", seed, 2 * n,
		       r->nr_again);
	ksft_print_msg("rounds: mincore %lu kpageflags %lu compaction %lu\n",
		       r->mincore_rounds, r->kpageflags_rounds, r->compact_rounds);
	gmem_guest_check(&r->g, 0, r->g.nr_pages, GMEM_STEP_ALL);
}

/* The other thread gets here at the same moment. */
static void meet(struct race *r, u64 nr_met)
{
	__atomic_fetch_add(&r->nr_arrived, 1, __ATOMIC_SEQ_CST);
	while (READ_ONCE(r->nr_arrived) < 2 * nr_met)
		sched_yield();
}

static void *touch_pages(void *data)
{
	struct race *r = data;
	u64 page;

	for (page = 0; page < SZ_2M / PAGE_SIZE; page++) {
		meet(r, page + 1);
		READ_ONCE(*(u8 *)gmem_host_page(&r->g, page));
	}
	return NULL;
}

/* Of two faults in a page the second finds it mapped, and keeps no reference. */
TEST_F_TIMEOUT(guest_memfd_scan_race, same_fault, GMEM_TIMEOUT)
{
	struct race *r = &self->race;
	u64 nr = SZ_2M / PAGE_SIZE;
	pthread_t other;

	gmem_convert(&r->g, 0, nr, false);
	kvm_pthread_create(&other, NULL, touch_pages, r);
	touch_pages(r);
	kvm_pthread_join(other, NULL);
	gmem_convert(&r->g, 0, nr, true);
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-n", "conversions", .number = &nr_conversions },
		{ "-s", "seed", .number = &seed },
		{}
	};

	argc = gmem_take_options(argc, argv, options);
	return test_harness_run(argc, argv);
}
