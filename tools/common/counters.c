// SPDX-License-Identifier: GPL-2.0-only
/*
 * Read what the kernel tells about the memory of a VM: the binary statistics
 * of KVM (leaves by size), fdinfo of the guest_memfd and
 * /sys/kernel/mm/hugepages (the pool).
 *
 * See Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD, and
 * Documentation/admin-guide/mm/hugetlbpage.rst.
 */
#include <string.h>
#include <unistd.h>

#include "counters.h"
#include "error.h"

#define NAME_MAX_LEN	128

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

void check_pool(u64 page_size, u64 need)
{
	const char *name = page_size == SIZE_1G ? "1G" : "2M";
	struct pool pool;
	u64 unreserved;

	read_pool(page_size, &pool);
	unreserved = pool.free - pool.resv;
	if (unreserved >= need)
		return;
	cannot_run("%lu free pages of %s wanted, there are %lu: hugeadm --pool-pages-min %s:%lu",
		   need, name, unreserved, name, pool.nr + need - unreserved);
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
	leaves->nr_1g = read_stat(vm->stats_fd, "pages_1g");
	leaves->nr_2m = read_stat(vm->stats_fd, "pages_2m");
	leaves->nr_4k = read_stat(vm->stats_fd, "pages_4k");
}

u64 read_fdinfo(struct vm *vm, const char *key)
{
	char path[64], line[256];
	size_t len = strlen(key);
	u64 value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", vm->gmem_fd);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, len) && line[len] == ':') {
			value = strtoull(line + len + 1, NULL, 10);
			break;
		}
	}
	fclose(file);
	return value;
}
