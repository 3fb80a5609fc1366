// SPDX-License-Identifier: GPL-2.0-only
/*
 * Read what the kernel tells about the memory of a VM: the binary statistics
 * of KVM (leaves by size), debugfs of hugetlb_gmem (folios by size) and
 * /sys/kernel/mm/hugepages (the pool).
 *
 * See Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD, and
 * Documentation/admin-guide/mm/hugetlbpage.rst.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counters.h"
#include "error.h"

#define NAME_MAX_LEN	128
#define EXTENTS		"/sys/kernel/debug/hugetlb_gmem/extents"
#define NR_ORDERS	19

static u64 read_pool_file(u64 page_size, const char *name)
{
	char path[128];
	u64 value;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/%s",
		 page_size >> 10, name);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lu", &value) != 1)
		cannot_run("%s cannot be read: the kernel has no pages of %lu MiB",
			   path, page_size >> 20);
	fclose(file);
	return value;
}

void read_pool(u64 page_size, struct pool *pool)
{
	pool->nr = read_pool_file(page_size, "nr_hugepages");
	pool->free = read_pool_file(page_size, "free_hugepages");
	pool->resv = read_pool_file(page_size, "resv_hugepages");
}

static void read_at(int fd, void *buffer, size_t len, u64 offset)
{
	if (pread(fd, buffer, len, offset) != (ssize_t)len)
		cannot_run("the statistics of the VM cannot be read");
}

static u64 read_stat(int fd, const char *name)
{
	struct {
		struct kvm_stats_desc desc;
		char name[NAME_MAX_LEN];
	} entry;
	struct kvm_stats_header header;
	u64 value;
	u32 i, len;

	read_at(fd, &header, sizeof(header), 0);
	len = sizeof(entry.desc) + header.name_size;
	if (len > sizeof(entry))
		cannot_run("the statistics of the VM have names of %u bytes",
			   header.name_size);

	for (i = 0; i < header.num_desc; i++) {
		read_at(fd, &entry, len, header.desc_offset + i * len);
		if (strncmp((char *)&entry + sizeof(entry.desc), name, header.name_size))
			continue;
		read_at(fd, &value, sizeof(value),
			header.data_offset + entry.desc.offset);
		return value;
	}
	cannot_run("KVM has no statistic '%s'", name);
}

void read_leaves(struct vm *vm, struct leaves *leaves)
{
	u64 plain = PLAIN_SIZE / PAGE_SIZE;

	leaves->nr_1g = read_stat(vm->stats_fd, "pages_1g");
	leaves->nr_2m = read_stat(vm->stats_fd, "pages_2m");
	leaves->nr_4k = read_stat(vm->stats_fd, "pages_4k");
	leaves->nr_4k -= leaves->nr_4k < plain ? leaves->nr_4k : plain;
}

/* "ORDER:COUNT,..." of one extent, added to @counts. */
static void add_extent(const char *line, u64 *counts)
{
	const char *at = strstr(line, "folios=");
	unsigned int order, count;
	int len;

	if (!at)
		return;
	at += strlen("folios=");
	while (sscanf(at, "%u:%u%n", &order, &count, &len) == 2) {
		if (order < NR_ORDERS)
			counts[order] += count;
		at += len + (at[len] == ',');
	}
}

/* A folio size the way people write it: 4K, 2M, 1G. */
static void append_folios(unsigned int order, u64 count, char *text, size_t len)
{
	u64 kib = 4ul << order;
	const char *unit = "K";
	size_t used = strlen(text);

	if (kib >= 1024) {
		kib /= 1024;
		unit = "M";
	}
	if (kib >= 1024) {
		kib /= 1024;
		unit = "G";
	}
	snprintf(text + used, len - used, "%s%lu%s:%lu", used ? " " : "", kib,
		 unit, count);
}

/* Is the line of debugfs about an extent of this file? */
static int extent_is_of(const char *line, unsigned long inode)
{
	unsigned long ino;

	return sscanf(line, "ino=%lu ", &ino) == 1 && ino == inode;
}

void read_folios(struct vm *vm, char *text, size_t len)
{
	u64 counts[NR_ORDERS] = {};
	struct stat st;
	char line[512];
	FILE *file;
	int i;

	text[0] = '\0';
	file = fopen(EXTENTS, "r");
	if (!file || fstat(vm->gmem_fd, &st))
		return;
	while (fgets(line, sizeof(line), file)) {
		if (extent_is_of(line, st.st_ino))
			add_extent(line, counts);
	}
	fclose(file);

	for (i = NR_ORDERS - 1; i >= 0; i--) {
		if (counts[i])
			append_folios(i, counts[i], text, len);
	}
}

/* Extents of the file that are to be merged, or 0 if the kernel does not tell. */
u64 read_merge_pending(struct vm *vm)
{
	char path[64], line[256];
	u64 value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", vm->gmem_fd);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "gmem-merge-pending: %lu", &value) == 1)
			break;
	}
	fclose(file);
	return value;
}
