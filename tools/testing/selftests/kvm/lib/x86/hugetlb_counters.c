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

static void print_pool(FILE *out, int node, u64 page_size)
{
	fprintf(out, "node %d, %lu kB: nr %lu free %lu surplus %lu\n", node,
		page_size / SZ_1K,
		hugetlb_pool_get(node, page_size, "nr_hugepages"),
		hugetlb_pool_get(node, page_size, "free_hugepages"),
		hugetlb_pool_get(node, page_size, "surplus_hugepages"));
	if (node < 0)
		fprintf(out, "all nodes, %lu kB: resv %lu\n", page_size / SZ_1K,
			hugetlb_pool_get(node, page_size, "resv_hugepages"));
}

/* The lines of a file that begin with @prefix. */
static void print_lines(FILE *out, const char *path, const char *prefix)
{
	FILE *in = fopen(path, "r");
	char line[256];

	TEST_ASSERT(in, "Opening %s, errno: %d", path, errno);
	while (fgets(line, sizeof(line), in)) {
		if (!strncmp(line, prefix, strlen(prefix)))
			fputs(line, out);
	}
	fclose(in);
}

void hugetlb_counters_read(struct hugetlb_counters *counters)
{
	int node, last = get_max_numa_node();
	size_t size;
	FILE *out;

	out = open_memstream(&counters->text, &size);
	TEST_ASSERT(out, "open_memstream(), errno: %d", errno);
	for (node = -1; node <= last; node++) {
		print_pool(out, node, SZ_2M);
		print_pool(out, node, SZ_1G);
	}
	print_lines(out, "/proc/meminfo", "Huge");
	print_lines(out, "/proc/vmstat", "nr_hugetlb");
	fclose(out);
	counters->memmap = hugetlb_memmap_pages();
}

void hugetlb_counters_free(struct hugetlb_counters *counters)
{
	free(counters->text);
	counters->text = NULL;
}

/* A poisoned page that was replaced leaves its struct pages as they were. */
void hugetlb_counters_assert_eq_but_memmap(const struct hugetlb_counters *want)
{
	struct hugetlb_counters now;

	hugetlb_counters_read(&now);
	TEST_ASSERT(!strcmp(now.text, want->text), "Counters are\n%sand were\n%s",
		    now.text, want->text);
	hugetlb_counters_free(&now);
}

void hugetlb_counters_assert_eq(const struct hugetlb_counters *want)
{
	hugetlb_counters_assert_eq_but_memmap(want);
	hugetlb_memmap_assert_eq(want->memmap);
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
