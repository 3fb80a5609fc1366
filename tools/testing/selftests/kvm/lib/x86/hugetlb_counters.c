// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of the HugeTLB pools, for the selftests of guest_memfd on HugeTLB
 * pages: everything there is, to be compared, and single numbers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/sizes.h>

#include "cgroup_util.h"
#include "hugetlb_counters.h"
#include "numaif.h"
#include "test_util.h"

#define WAIT_TRIES	600
#define WAIT_US		(50 * 1000)

static void pool_path(char *path, size_t size, int node, u64 page_size, const char *name)
{
	char dir[64] = "/sys/kernel/mm";

	if (node >= 0)
		snprintf(dir, sizeof(dir), "/sys/devices/system/node/node%d", node);
	snprintf(path, size, "%s/hugepages/hugepages-%lukB/%s", dir,
		 page_size / SZ_1K, name);
}

u64 hugetlb_pool_get(int node, u64 page_size, const char *name)
{
	char path[128], text[32];

	pool_path(path, sizeof(path), node, page_size, name);
	TEST_ASSERT(read_text(path, text, sizeof(text)) > 0, "Reading %s", path);
	return strtoul(text, NULL, 10);
}

void hugetlb_pool_put(int node, u64 page_size, const char *name, u64 value)
{
	char path[128], text[32];
	int len = snprintf(text, sizeof(text), "%lu", value);

	pool_path(path, sizeof(path), node, page_size, name);
	TEST_ASSERT(write_text(path, text, len) == len, "Writing %s to %s", text, path);
}

/* Pages that a pool has lost since then, to be counted as if they were there. */
struct loss {
	const struct hugetlb_counters *since;
	u64 page_size;
	u64 nr;
};

static void pool_key(char *key, size_t size, int node, u64 page_size)
{
	snprintf(key, size, "node %d, %lu kB: nr ", node, page_size / SZ_1K);
}

/* Which node lost a page is not said: its part of the pool is smaller. */
static u64 lost_pages(const struct loss *loss, int node, u64 page_size)
{
	char key[64], *at;

	if (page_size != loss->page_size || !loss->nr)
		return 0;
	if (node < 0)
		return loss->nr;

	pool_key(key, sizeof(key), node, page_size);
	at = strstr(loss->since->text, key);
	TEST_ASSERT(at, "No '%s' in\n%s", key, loss->since->text);
	return strtoul(at + strlen(key), NULL, 10) -
	       hugetlb_pool_get(node, page_size, "nr_hugepages");
}

static void print_pool(FILE *out, const struct loss *loss, int node, u64 page_size)
{
	u64 lost = lost_pages(loss, node, page_size);
	char key[64];

	pool_key(key, sizeof(key), node, page_size);
	fprintf(out, "%s%lu free %lu surplus %lu\n", key,
		hugetlb_pool_get(node, page_size, "nr_hugepages") + lost,
		hugetlb_pool_get(node, page_size, "free_hugepages") + lost,
		hugetlb_pool_get(node, page_size, "surplus_hugepages"));
	if (node < 0)
		fprintf(out, "all nodes, %lu kB: resv %lu\n", page_size / SZ_1K,
			hugetlb_pool_get(node, page_size, "resv_hugepages"));
}

static void print_value(FILE *out, const char *file, const char *key, u64 lost)
{
	long value = cg_read_key_long("/proc", file, key);

	TEST_ASSERT(value >= 0, "No '%s' in /proc/%s", key, file);
	fprintf(out, "%s %lu\n", key, value + lost);
}

static void print_meminfo(FILE *out, const struct loss *loss)
{
	u64 kb = loss->page_size / SZ_1K, lost = loss->nr;
	bool is_default = cg_read_key_long("/proc", "meminfo", "Hugepagesize:") == kb;

	print_value(out, "meminfo", "HugePages_Total:", is_default ? lost : 0);
	print_value(out, "meminfo", "HugePages_Free:", is_default ? lost : 0);
	print_value(out, "meminfo", "HugePages_Rsvd:", 0);
	print_value(out, "meminfo", "HugePages_Surp:", 0);
	print_value(out, "meminfo", "Hugetlb:", lost * kb);
}

static void read_counters(struct hugetlb_counters *counters, const struct loss *loss)
{
	int node, last = get_max_numa_node();
	size_t size;
	FILE *out;

	out = open_memstream(&counters->text, &size);
	TEST_ASSERT(out, "open_memstream(), errno: %d", errno);
	for (node = -1; node <= last; node++) {
		print_pool(out, loss, node, SZ_2M);
		print_pool(out, loss, node, SZ_1G);
	}
	print_meminfo(out, loss);
	print_value(out, "vmstat", "nr_hugetlb", 0);
	fclose(out);
	counters->memmap = hugetlb_memmap_pages();
}

void hugetlb_counters_read(struct hugetlb_counters *counters)
{
	struct loss none = {};

	read_counters(counters, &none);
}

void hugetlb_counters_free(struct hugetlb_counters *counters)
{
	free(counters->text);
	counters->text = NULL;
}

/* Read until they are as @want, but not more than @tries times more. */
static bool read_until_eq(struct hugetlb_counters *now, const struct hugetlb_counters *want,
			  const struct loss *loss, unsigned int tries)
{
	read_counters(now, loss);
	for (; tries && strcmp(now->text, want->text); tries--) {
		hugetlb_counters_free(now);
		usleep(WAIT_US);
		read_counters(now, loss);
	}
	return !strcmp(now->text, want->text);
}

bool hugetlb_counters_wait_eq(const struct hugetlb_counters *want,
			      struct hugetlb_counters *now)
{
	struct loss none = {};

	return read_until_eq(now, want, &none, WAIT_TRIES);
}

/*
 * Pages that are lost leave their struct pages as they were.  The worker that
 * tells the file of a poisoned page has a reference to the file for so long.
 */
void hugetlb_counters_assert_lost(const struct hugetlb_counters *want,
				  u64 page_size, u64 nr)
{
	struct loss loss = { .since = want, .page_size = page_size, .nr = nr };
	struct hugetlb_counters now;

	TEST_ASSERT(read_until_eq(&now, want, &loss, nr ? WAIT_TRIES : 0),
		    "Counters, with %lu pages of %lu kB lost, are\n%sand were\n%s",
		    nr, page_size / SZ_1K, now.text, want->text);
	hugetlb_counters_free(&now);
	hugetlb_memmap_assert_eq(want->memmap);
}

void hugetlb_counters_assert_eq(const struct hugetlb_counters *want)
{
	hugetlb_counters_assert_lost(want, 0, 0);
}

u64 hugetlb_memmap_pages(void)
{
	return cg_read_key_long("/proc", "vmstat", "nr_memmap_pages ") +
	       cg_read_key_long("/proc", "vmstat", "nr_memmap_boot_pages ");
}

/* Surplus pages leave with a worker that brings back their struct pages. */
void hugetlb_memmap_assert_eq(u64 pages)
{
	unsigned int tries;

	for (tries = 0; tries < WAIT_TRIES && hugetlb_memmap_pages() != pages; tries++)
		usleep(WAIT_US);
	TEST_ASSERT_EQ(hugetlb_memmap_pages(), pages);
}
