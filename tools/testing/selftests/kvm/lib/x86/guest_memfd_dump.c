// SPDX-License-Identifier: GPL-2.0-only
/*
 * A dump of a guest_memfd and of what maps it, taken without touching anything:
 * folios, struct pages and counters, the leaves of stage 2, the host's page
 * tables, and the memory.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_memfd_check.h"
#include "guest_memfd_dump.h"
#include "guest_memfd_sept.h"

#define CHECKSUM_MAX	(64ul * SZ_1M)
#define PAGEMAP_BATCH	4096
#define PM_PRESENT	BIT_ULL(63)

static u64 leaf_pages(const char *size)
{
	if (!strcmp(size, "1G"))
		return SZ_1G / PAGE_SIZE;
	return strcmp(size, "2M") ? 1 : SZ_2M / PAGE_SIZE;
}

static bool read_leaf(FILE *file, struct gmem_leaf *leaf)
{
	char size[8], kind[16];

	if (fscanf(file, "%lx %7s %lu %15s", &leaf->gfn, size, &leaf->nr, kind) != 4)
		return false;

	leaf->nr_pages = leaf_pages(size);
	leaf->private = !strcmp(kind, "private");
	return true;
}

static int compare_leaves(const void *a, const void *b)
{
	const struct gmem_leaf *x = a, *y = b;

	return x->gfn < y->gfn ? -1 : x->gfn > y->gfn;
}

static void dump_leaves(struct gmem_vm *g, struct gmem_dump *dump)
{
	FILE *file = gmem_debugfs_open(g, "gmem_leaves");
	struct gmem_leaf leaf;

	while (read_leaf(file, &leaf)) {
		dump->leaves = reallocarray(dump->leaves, dump->nr_leaves + 1,
					    sizeof(leaf));
		TEST_ASSERT(dump->leaves, "No memory for leaves");
		dump->leaves[dump->nr_leaves++] = leaf;
	}
	fclose(file);
	/* Memslots come in no order. */
	qsort(dump->leaves, dump->nr_leaves, sizeof(leaf), compare_leaves);
}

/* "FIRST-LAST\n" of pages that are in the host's page tables. */
static void dump_mapped(struct gmem_vm *g, struct gmem_dump *dump)
{
	int fd = open_path_or_exit("/proc/self/pagemap", O_RDONLY);
	u64 entries[PAGEMAP_BATCH], page, nr, i, first = -1ul;
	size_t size;
	FILE *out = open_memstream(&dump->mapped, &size);

	for (page = 0; page < g->nr_pages; page += nr) {
		nr = min_t(u64, PAGEMAP_BATCH, g->nr_pages - page);
		TEST_ASSERT(pread(fd, entries, nr * 8, ((u64)g->shared / PAGE_SIZE + page) * 8) ==
			    nr * 8, "Reading pagemap, errno: %d", errno);
		for (i = 0; i < nr; i++) {
			bool present = entries[i] & PM_PRESENT;

			if (present && first == -1ul)
				first = page + i;
			if (!present && first != -1ul) {
				fprintf(out, "%lu-%lu\n", first, page + i - 1);
				first = -1ul;
			}
		}
	}
	if (first != -1ul)
		fprintf(out, "%lu-%lu\n", first, page - 1);
	fclose(out);
	close(fd);
}

static u64 add_checksum(u64 sum, const u64 *words, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++)
		sum = (sum ^ words[i]) * 0x100000001b3ull;
	return sum;
}

static u64 checksum(struct gmem_vm *g)
{
	u64 nr = gmem_page_size(g->config.order) / PAGE_SIZE, page, pfn, sum = 0;
	const u64 *words;

	if (!g->config.order || g->config.size > CHECKSUM_MAX)
		return 0;

	for (page = 0; page < g->nr_pages; page += nr) {
		pfn = gmem_extent_pfn(g->fd, page);
		if (!pfn)
			continue;
		words = gmem_map_pfn(pfn, nr);
		sum = add_checksum(sum + page, words, nr * GMEM_WORDS);
		munmap((void *)words, nr * PAGE_SIZE);
	}
	return sum;
}

void gmem_dump(struct gmem_vm *g, struct gmem_dump *dump)
{
	memset(dump, 0, sizeof(*dump));
	dump->state = gmem_check_state(g->fd);
	dump_leaves(g, dump);
	if (gmem_has_mmap(g))
		dump_mapped(g, dump);
	dump->checksum = checksum(g);
}

void gmem_dump_free(struct gmem_dump *dump)
{
	free(dump->state);
	free(dump->mapped);
	free(dump->leaves);
}

static u64 leaf_end(const struct gmem_leaf *leaf)
{
	return leaf->gfn + leaf->nr * leaf->nr_pages;
}

/* The run with @gfn, from @i on. */
static const struct gmem_leaf *find_leaf(const struct gmem_dump *dump, u64 gfn,
					 u64 *i)
{
	while (*i < dump->nr_leaves && leaf_end(&dump->leaves[*i]) <= gfn)
		(*i)++;
	if (*i == dump->nr_leaves || dump->leaves[*i].gfn > gfn)
		return NULL;
	return &dump->leaves[*i];
}

/* Is all that @run maps mapped in @dump by leaves that are no larger? */
static void assert_run_mapped(const struct gmem_leaf *run,
			      const struct gmem_dump *dump, u64 *i, const char *when)
{
	const struct gmem_leaf *leaf;
	u64 gfn;

	for (gfn = run->gfn; gfn < leaf_end(run); gfn = leaf_end(leaf)) {
		leaf = find_leaf(dump, gfn, i);
		TEST_ASSERT(leaf, "%s: gfn 0x%lx has lost its %s leaf", when, gfn,
			    run->private ? "private" : "shared");
		TEST_ASSERT(leaf->private == run->private &&
			    leaf->nr_pages <= run->nr_pages,
			    "%s: gfn 0x%lx has a %s leaf of %lu pages, had a %s one of %lu",
			    when, gfn, leaf->private ? "private" : "shared",
			    leaf->nr_pages, run->private ? "private" : "shared",
			    run->nr_pages);
	}
}

static u64 nr_mapped(const struct gmem_dump *dump)
{
	u64 i, nr = 0;

	for (i = 0; i < dump->nr_leaves; i++)
		nr += dump->leaves[i].nr * dump->leaves[i].nr_pages;
	return nr;
}

static void assert_same_leaves(const struct gmem_dump *was,
			       const struct gmem_dump *is,
			       enum gmem_dump_lost lost, const char *when)
{
	u64 i, j = 0;

	for (i = 0; i < was->nr_leaves; i++) {
		if (was->leaves[i].private || lost == GMEM_LOST_NOTHING)
			assert_run_mapped(&was->leaves[i], is, &j, when);
	}
	TEST_ASSERT(nr_mapped(is) <= nr_mapped(was),
		    "%s: %lu pages are mapped, were %lu", when, nr_mapped(is),
		    nr_mapped(was));
}

void gmem_dump_assert_same(struct gmem_vm *g, const struct gmem_dump *was,
			   enum gmem_dump_lost lost, const char *when)
{
	struct gmem_dump is;

	gmem_dump(g, &is);
	gmem_check_assert_same(was->state, is.state, when);
	assert_same_leaves(was, &is, lost, when);
	if (was->mapped && lost == GMEM_LOST_NOTHING)
		gmem_check_assert_same(was->mapped, is.mapped, when);
	TEST_ASSERT(was->checksum == is.checksum, "%s: the memory has changed", when);
	gmem_dump_free(&is);
}
