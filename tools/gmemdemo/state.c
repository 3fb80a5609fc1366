// SPDX-License-Identifier: GPL-2.0-only
/*
 * What gmemdemo shows beside the HugeTLB pool: the guest_memfd's leaves in
 * stage 2, and its folios by size, from debugfs of hugetlb_gmem.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "guest_abi.h"
#include "state.h"

#define EXTENTS		"/sys/kernel/debug/hugetlb_gmem/extents"
#define NR_ORDERS	19

void read_gmem_leaves(struct vm *vm, struct leaves *leaves)
{
	u64 plain = PLAIN_SIZE / PAGE_SIZE;

	read_leaves(vm, leaves);
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
