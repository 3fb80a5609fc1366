// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files on a HugeTLB pool, guest_memfd or hugetlbfs, and the counters of all
 * pools, for the selftests of accounting.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <linux/falloc.h>

#include "cgroup_util.h"
#include "guest_memfd_pool.h"
#include "numaif.h"

#define WAIT_TRIES	600
#define WAIT_US		(50 * 1000)
/* A page of the extent to share. */
#define SHARED_PAGE	7

static void hugetlbfs_path(const struct hugetlb_file *file, char *path, size_t size)
{
	snprintf(path, size, "%s/file", file->dir);
}

static int hugetlbfs_open(struct hugetlb_file *file)
{
	u64 size = file->nr * file->page_size;
	char options[128], path[64];
	int error;

	snprintf(file->dir, sizeof(file->dir), "/tmp/hugetlbfs.XXXXXX");
	TEST_ASSERT(mkdtemp(file->dir), "mkdtemp(%s), errno: %d", file->dir, errno);
	snprintf(options, sizeof(options), "pagesize=%lu,size=%lu,min_size=%lu",
		 file->page_size, size, size);
	if (mount("none", file->dir, "hugetlbfs", 0, options)) {
		error = errno;
		rmdir(file->dir);
		return error;
	}

	hugetlbfs_path(file, path, sizeof(path));
	file->fd = open(path, O_RDWR | O_CREAT, 0600);
	TEST_ASSERT(file->fd >= 0, "Opening %s, errno: %d", path, errno);
	TEST_ASSERT(!ftruncate(file->fd, size), "ftruncate(), errno: %d", errno);
	return 0;
}

static void hugetlbfs_close(struct hugetlb_file *file)
{
	char path[64];

	hugetlbfs_path(file, path, sizeof(path));
	TEST_ASSERT(!unlink(path) && !umount(file->dir) && !rmdir(file->dir),
		    "Removing %s, errno: %d", file->dir, errno);
}

int __hugetlb_file_open(struct hugetlb_file *file, u64 nr)
{
	file->page_size = gmem_page_size(file->order);
	file->nr = nr;
	file->mem = NULL;
	if (file->hugetlbfs)
		return hugetlbfs_open(file);

	file->fd = __gmem_create(file->vm, nr * file->page_size,
				 GUEST_MEMFD_FLAG_MMAP, file->order);
	return file->fd < 0 ? errno : 0;
}

void hugetlb_file_open(struct hugetlb_file *file, u64 nr)
{
	TEST_ASSERT_EQ(__hugetlb_file_open(file, nr), 0);
}

/* With the last reference to the file gone, its pages are back on return. */
void hugetlb_file_close(struct hugetlb_file *file)
{
	if (file->mem)
		kvm_munmap(file->mem, file->nr * file->page_size);
	kvm_close(file->fd);
	if (file->hugetlbfs)
		hugetlbfs_close(file);
}

void hugetlb_file_map(struct hugetlb_file *file)
{
	file->mem = kvm_mmap(file->nr * file->page_size, PROT_READ | PROT_WRITE,
			     MAP_SHARED, file->fd);
}

/* The policy of a hugetlbfs is its mapping's. */
int hugetlb_file_allocate(struct hugetlb_file *file, u64 page)
{
	if (file->hugetlbfs && file->mem)
		return gmem_host_access(file->mem + page * file->page_size, true) ? ENOSPC : 0;

	return fallocate(file->fd, file->hugetlbfs ? 0 : FALLOC_FL_KEEP_SIZE,
			 page * file->page_size, file->page_size) ? errno : 0;
}

void hugetlb_file_punch(struct hugetlb_file *file, u64 page)
{
	kvm_fallocate(file->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		      page * file->page_size, file->page_size);
}

static void set_attributes(struct hugetlb_file *file, u64 page, u64 attributes)
{
	u64 offset = page * file->page_size + SHARED_PAGE * PAGE_SIZE;

	TEST_ASSERT_EQ(gmem_set_attributes(file->fd, offset, PAGE_SIZE, attributes, 0, NULL), 0);
}

void hugetlb_file_split(struct hugetlb_file *file, u64 page)
{
	u64 index = page << file->order, pfn, before;

	if (file->hugetlbfs)
		return;

	pfn = gmem_extent_pfn(file->fd, index);
	before = gmem_count_folios(file->fd, 0);
	set_attributes(file, page, 0);
	TEST_ASSERT_EQ(gmem_count_folios(file->fd, 0), before + 512);
	TEST_ASSERT_EQ(gmem_extent_pfn(file->fd, index), pfn);
}

/* Merging may take its time. */
void hugetlb_file_merge(struct hugetlb_file *file, u64 page)
{
	u64 index = page << file->order, pfn, before;

	if (file->hugetlbfs)
		return;

	pfn = gmem_extent_pfn(file->fd, index);
	before = gmem_count_folios(file->fd, file->order);
	set_attributes(file, page, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	gmem_wait_folios(file->fd, file->order, before + 1);
	TEST_ASSERT_EQ(gmem_extent_pfn(file->fd, index), pfn);
}

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

void hugetlb_counters_assert_eq(const struct hugetlb_counters *want)
{
	struct hugetlb_counters now;

	hugetlb_counters_read(&now);
	TEST_ASSERT(!strcmp(now.text, want->text), "Counters are\n%sand were\n%s",
		    now.text, want->text);
	hugetlb_counters_free(&now);
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
