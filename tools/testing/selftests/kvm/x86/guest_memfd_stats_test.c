// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an operator can see of guest_memfd memory: fdinfo of the file, sysfs for
 * the host, statistics of the VM and tracepoints.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cgroup_util.h"
#include "guest_memfd_pins.h"
#include "guest_memfd_state.h"
#include "guest_memfd_trace.h"
#include "kvm_test_harness.h"

#define COMMIT_DELAY	"/sys/kernel/debug/hugetlb_gmem/delay_after_prepare_ms"
#define SYSFS		"/sys/kernel/mm/hugetlb_gmem/"
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define NEVER		(3600 * 1000)
#define NR_AT_ONCE	2000
#define BLOCK_PAGES	(SZ_2M / PAGE_SIZE)
#define PAGE_KB		(PAGE_SIZE / SZ_1K)
#define BLOCK_KB	(SZ_2M / SZ_1K)
#define NR_READS	1000

static u32 nr_flips = 10000;
static u32 nr_flips_1g = 200;

FIXTURE(guest_memfd_stats)
{
	struct gmem_vm g;
	struct hugetlb_pool pool;
	u64 page_size;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(guest_memfd_stats)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_stats, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_stats, 1g) {
	.order = ORDER_1G,
};

FIXTURE_SETUP(guest_memfd_stats)
{
	struct gmem_config config = gmem_one_page_config(variant->order);

	config.size *= 2;
	config.merge_delay_ms = NEVER;
	self->page_size = gmem_page_size(variant->order);
	self->nr_hugepages = hugetlb_pool_require(self->page_size, 2);
	hugetlb_pool_read(self->page_size, &self->pool);
	gmem_vm_create(&self->g, &config);
}

static const char * const sizes[] = {
	"1G", "512M", "256M", "128M", "64M", "32M", "16M", "8M", "4M", "2M",
};

/* Keys that say what memory is like now, in kB or in numbers. */
static const char * const kb_keys[] = {
	"size", "allocated", "private", "shared", "collateral", "vmemmap",
	"poisoned", "node0",
};

static const char * const number_keys[] = {
	"whole", "split", "merge-pending", "blocked-pins", "blocked-poison",
	"folios-1G", "folios-512M", "folios-256M", "folios-128M", "folios-64M",
	"folios-32M", "folios-16M", "folios-8M", "folios-4M", "folios-2M",
	"folios-4K",
};

static const char * const event_keys[] = {
	"splits", "merges", "converts", "convert-eagain", "convert-enomem",
};

static u64 sysfs_value(const char *key, bool kb)
{
	char path[128], text[32];
	char *at;

	snprintf(path, sizeof(path), SYSFS "%s%s", key, kb ? "_kb" : "");
	for (at = path + strlen(SYSFS); *at; at++) {
		if (*at == '-')
			*at = '_';
	}
	TEST_ASSERT(read_text(path, text, sizeof(text)) > 0, "No %s", path);
	return strtoul(text, NULL, 10);
}

FIXTURE_TEARDOWN(guest_memfd_stats)
{
	unsigned int i;

	gmem_vm_free(&self->g);
	hugetlb_pool_assert_eq(self->page_size, &self->pool);
	hugetlb_pool_set(self->page_size, self->nr_hugepages);
	for (i = 0; i < ARRAY_SIZE(kb_keys); i++)
		TEST_ASSERT(!sysfs_value(kb_keys[i], true), "%s remains", kb_keys[i]);
	for (i = 0; i < ARRAY_SIZE(number_keys); i++)
		TEST_ASSERT(!sysfs_value(number_keys[i], false), "%s remains",
			    number_keys[i]);
}

static void assert_value(const char *text, const char *key, u64 want)
{
	u64 value = gmem_fdinfo_value(text, key);

	TEST_ASSERT(value == want, "gmem-%s is %lu, not %lu, in:\n%s", key,
		    value, want, text);
}

static void assert_map(const char *text, const char *want)
{
	const char *at = strstr(text, "\ngmem-map:\t");

	TEST_ASSERT(at && !strncmp(at + strlen("\ngmem-map:\t"), want, strlen(want)) &&
		    at[strlen("\ngmem-map:\t") + strlen(want)] == '\n',
		    "gmem-map is not '%s' in:\n%s", want, text);
}

static void read_checked(struct gmem_vm *g, char *text)
{
	gmem_read_fdinfo(g->fd, text, GMEM_FDINFO_SIZE);
	assert_value(text, "size", g->config.size / SZ_1K);
	assert_value(text, "page-size", gmem_page_size(g->config.order) / SZ_1K);
	gmem_assert_sums(text);
}

/* One file is all there is, so the host's numbers are the same. */
static void assert_host(const char *text)
{
	unsigned int i;

	TEST_ASSERT_EQ(sysfs_value("page-size", true),
		       gmem_fdinfo_value(text, "page-size"));
	for (i = 0; i < ARRAY_SIZE(kb_keys); i++)
		TEST_ASSERT_EQ(sysfs_value(kb_keys[i], true),
			       gmem_fdinfo_value(text, kb_keys[i]));
	for (i = 0; i < ARRAY_SIZE(number_keys); i++)
		TEST_ASSERT_EQ(sysfs_value(number_keys[i], false),
			       gmem_fdinfo_value(text, number_keys[i]));
}

/*
 * One page of struct pages for each big folio, one of each size down to 2M, and
 * eight for the small block; the first page of them is always there.
 */
static u64 hvo_pages(u8 order)
{
	return order - ORDER_2M + 8 - 1;
}

static void assert_split(struct gmem_vm *g, const char *text, u64 nr_shared)
{
	u64 total_kb = g->config.size / SZ_1K;
	unsigned int i, first = 10 - (g->config.order - ORDER_2M);
	char key[16];

	assert_value(text, "allocated", total_kb);
	assert_value(text, "shared", nr_shared * PAGE_KB);
	assert_value(text, "collateral", BLOCK_KB - nr_shared * PAGE_KB);
	assert_value(text, "vmemmap", hvo_pages(g->config.order) * PAGE_KB);
	assert_value(text, "whole", 1);
	assert_value(text, "split", 1);
	assert_value(text, "folios-4K", BLOCK_PAGES);
	for (i = first; i < 10; i++) {
		snprintf(key, sizeof(key), "folios-%s", sizes[i]);
		assert_value(text, key, 1);
	}
}

TEST_F_TIMEOUT(guest_memfd_stats, life, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 nr = self->page_size / PAGE_SIZE;
	char text[GMEM_FDINFO_SIZE];

	read_checked(g, text);
	assert_value(text, "allocated", 0);
	assert_map(text, ".2");
	assert_host(text);

	gmem_guest_write(g, nr, 1);
	read_checked(g, text);
	assert_value(text, "private", self->page_size / SZ_1K);
	assert_value(text, "whole", 1);
	assert_value(text, "vmemmap", 0);
	assert_map(text, ".1 W1");

	gmem_guest_write(g, 0, 1);
	gmem_convert(g, 7, 1, false);
	read_checked(g, text);
	assert_split(g, text, 1);
	assert_value(text, "merge-pending", 0);
	assert_value(text, "splits", 1);
	assert_value(text, "merges", 0);
	assert_map(text, "S1 W1");
	assert_host(text);

	gmem_convert(g, 7, 1, true);
	read_checked(g, text);
	assert_split(g, text, 0);
	assert_value(text, "merge-pending", 1);
	assert_map(text, "M1 W1");
	assert_host(text);

	kvm_fallocate(g->fd, PUNCH, 0, PAGE_SIZE);
	read_checked(g, text);
	assert_value(text, "whole", 2);
	assert_value(text, "merges", 1);
	assert_value(text, "converts", 2);
	assert_value(text, "vmemmap", 0);
	assert_map(text, "W2");

	kvm_fallocate(g->fd, PUNCH, 0, self->page_size);
	read_checked(g, text);
	assert_value(text, "allocated", self->page_size / SZ_1K);
	assert_map(text, ".1 W1");
	assert_host(text);
}

/* Shared blocks that the host touches. */
TEST_F_TIMEOUT(guest_memfd_stats, host_touch, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	char text[GMEM_FDINFO_SIZE];

	gmem_convert(g, 0, g->nr_pages, false);
	gmem_host_check(g, 3, GMEM_STEP_ALL);
	read_checked(g, text);
	assert_value(text, "shared", self->page_size / SZ_1K);
	assert_value(text, "collateral", 0);
	assert_value(text, "splits", 1);
	assert_value(text, "merge-pending", 0);
	assert_map(text, "S1 .1");
}

static void flip(struct gmem_vm *g, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		gmem_convert(g, 5, 1, i & 1);
}

/* The delay is there for a page that goes to and fro, and longer than any stall. */
TEST_F_TIMEOUT(guest_memfd_stats, flips_delayed, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 splits;

	gmem_guest_write(g, 5, 1);
	gmem_set_merge_delay(2000);
	flip(g, nr_flips);
	splits = gmem_fdinfo(g->fd, "splits");
	ksft_print_msg("%u flips, %lu splits\n", nr_flips, splits);
	TEST_ASSERT(splits && splits <= nr_flips / 100, "%lu splits", splits);
	gmem_wait_folios(g->fd, 0, 0);
}

TEST_F_TIMEOUT(guest_memfd_stats, flips_at_once, 8 * GMEM_TIMEOUT)
{
	u32 nr = variant->order == ORDER_1G ? nr_flips_1g : nr_flips;
	struct gmem_vm *g = &self->g;

	gmem_guest_write(g, 5, 1);
	gmem_set_merge_delay(0);
	flip(g, nr);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "splits"), nr / 2);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "merges"), nr / 2);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "converts"), nr);
}

/* The folios are there a moment before the counts. */
static void wait_merges(struct gmem_vm *g)
{
	while (gmem_fdinfo(g->fd, "merge-pending"))
		usleep(1000);
}

struct converter {
	struct gmem_vm *g;
	bool stop;
	u64 nr;
};

static void *convert_on(void *data)
{
	struct converter *c = data;
	struct kvm_random_state rng = new_kvm_random_state(1);
	u64 page, nr;

	while (!READ_ONCE(c->stop)) {
		gmem_set_merge_delay(kvm_random_bool(&rng) ? 1 : 0);
		nr = kvm_random_u64_in_range(&rng, 1, 2 * BLOCK_PAGES);
		page = kvm_random_u64_in_range(&rng, 0, c->g->nr_pages - nr);
		gmem_convert(c->g, page, nr, kvm_random_bool(&rng));
		WRITE_ONCE(c->nr, c->nr + 1);
	}
	return NULL;
}

TEST_F_TIMEOUT(guest_memfd_stats, sums, GMEM_TIMEOUT)
{
	struct converter c = { .g = &self->g };
	char text[GMEM_FDINFO_SIZE];
	pthread_t thread;
	unsigned int i;

	self->g.config.size = min_t(u64, self->g.config.size, SZ_2G);
	gmem_pre_fault(&self->g, 0, self->g.nr_pages);
	kvm_pthread_create(&thread, NULL, convert_on, &c);
	for (i = 0; i < NR_READS || READ_ONCE(c.nr) < 100; i++)
		read_checked(&self->g, text);
	WRITE_ONCE(c.stop, true);
	kvm_pthread_join(thread, NULL);
	ksft_print_msg("%u reads during %lu conversions\n", i, c.nr);

	/*
	 * At rest the layout is what the attributes ask for.  What has been private
	 * before this still waits for its merge.
	 */
	gmem_set_merge_delay(0);
	gmem_convert(&self->g, 0, self->g.nr_pages, true);
	wait_merges(&self->g);
	read_checked(&self->g, text);
	assert_value(text, "whole", 2);
	assert_value(text, "splits", gmem_fdinfo_value(text, "merges"));
	assert_host(text);
}

/* A page in a pipe is in the way of a conversion. */
TEST_F_TIMEOUT(guest_memfd_stats, eagain, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	char text[GMEM_FDINFO_SIZE];
	struct gmem_pin pin;

	gmem_convert(g, 8, 4, false);
	gmem_host_check(g, 9, GMEM_STEP_ALL);
	gmem_pin(g, 9, &pin);
	TEST_ASSERT_EQ(gmem_try_convert(g, 8, 4, true, NULL), EAGAIN);
	read_checked(g, text);
	assert_value(text, "converts", 1);
	assert_value(text, "convert-eagain", 1);
	assert_value(text, "last-eagain", 9 * PAGE_SIZE);
	TEST_ASSERT_EQ(sysfs_value("last-eagain", false), 9 * PAGE_SIZE);

	gmem_unpin(&pin);
	gmem_convert(g, 8, 4, true);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "converts"), 2);
}

TEST_F_TIMEOUT(guest_memfd_stats, vm_stats, GMEM_TIMEOUT)
{
	static const char * const names[] = {
		"gmem_splits", "gmem_merges", "gmem_converts",
		"gmem_convert_eagain", "gmem_convert_enomem",
	};
	struct gmem_vm *g = &self->g;
	u64 hist[40] = {}, sum = 0, value;
	unsigned int i;

	gmem_guest_write(g, 5, 1);
	gmem_set_merge_delay(0);
	flip(g, 10);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		kvm_get_stat(&g->vm->stats, names[i], &value, 1);
		TEST_ASSERT_EQ(value, gmem_fdinfo(g->fd, event_keys[i]));
	}

	kvm_get_stat(&g->vm->stats, "gmem_convert_ns", hist, ARRAY_SIZE(hist));
	for (i = 0; i < ARRAY_SIZE(hist); i++)
		sum += hist[i];
	TEST_ASSERT_EQ(sum, 10);
}

static void *convert_often(void *data)
{
	int fd = *(int *)data;
	u64 i, offset;

	for (i = 0; i < NR_AT_ONCE; i++)
		TEST_ASSERT(!gmem_set_attributes(fd, 0, PAGE_SIZE,
						 i % 2 ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0, 0,
						 &offset), "Conversion %lu failed", i);
	return NULL;
}

/* Files of one VM share its counters, and no lock of their own. */
TEST_F_TIMEOUT(guest_memfd_stats, vm_stats_of_two, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	pthread_t thread;
	u64 value;
	int other;

	other = gmem_create(g->vm, SZ_2M, g->config.flags, 0);
	kvm_pthread_create(&thread, NULL, convert_often, &other);
	convert_often(&g->fd);
	kvm_pthread_join(thread, NULL);
	kvm_close(other);
	kvm_get_stat(&g->vm->stats, "gmem_converts", &value, 1);
	TEST_ASSERT_EQ(value, 2 * NR_AT_ONCE);
}

static void set_commit_delay(unsigned int ms)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", ms);
	gmem_write_file(COMMIT_DELAY, text);
}

/* What is between preparation and commit counts, too. */
TEST_F_TIMEOUT(guest_memfd_stats, slow_convert, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 hist[40] = {}, nr_slow = 0;
	/* Bucket N has what is below 2^N. */
	unsigned int i = 29, ms = 300;

	gmem_convert(g, 5, 1, false);
	set_commit_delay(ms);
	gmem_convert(g, 5, 1, true);
	set_commit_delay(0);

	kvm_get_stat(&g->vm->stats, "gmem_convert_ns", hist, ARRAY_SIZE(hist));
	for (; i < ARRAY_SIZE(hist); i++)
		nr_slow += hist[i];
	TEST_ASSERT(nr_slow, "No conversion took %u ms", ms);
}

static void assert_events(const char *trace, const char *event,
			  const char *with, u64 want)
{
	u64 nr = gmem_trace_count(trace, event, with);

	TEST_ASSERT(nr == want, "%lu of %s with '%s', not %lu, in:\n%s", nr,
		    event, with, want, trace);
}

TEST_F_TIMEOUT(guest_memfd_stats, tracepoints, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	char order[16];
	char *trace;

	snprintf(order, sizeof(order), "order=%u ", g->config.order);
	gmem_guest_write(g, 5, 1);
	gmem_trace_begin("");
	gmem_set_merge_delay(0);
	flip(g, 2);
	kvm_fallocate(g->fd, PUNCH, 0, self->page_size);
	trace = gmem_trace_end("");

	assert_events(trace, "gmem_prepare",
		      "start=0x5000 end=0x6000 to_private=0 err=0", 1);
	assert_events(trace, "gmem_prepare",
		      "start=0x5000 end=0x6000 to_private=1 err=0", 1);
	assert_events(trace, "gmem_commit", "start=0x5000 end=0x6000", 2);
	assert_events(trace, "gmem_abort", "", 0);
	assert_events(trace, "gmem_split", order, 1);
	assert_events(trace, "gmem_split", "reason=convert", 1);
	assert_events(trace, "gmem_merge", order, 1);
	assert_events(trace, "gmem_free", order, 1);
	assert_events(trace, "gmem_free", "reason=punch", 1);
	free(trace);
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-n", "flips", .number = &nr_flips },
		{ "-N", "flips of 1G", .number = &nr_flips_1g },
		{}
	};

	argc = gmem_take_options(argc, argv, options);
	return test_harness_run(argc, argv);
}
