// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of attributes, and what follows from them: the folios by size, and
 * the memory for struct pages.  Written from the rules, not from the kernel:
 *
 *  - a block of 2M is small if it is mixed, or if it is shared as a whole and
 *    was small before or is mapped by the host;
 *  - other blocks join to the largest aligned powers of two of one attribute;
 *  - a page of struct pages belongs to an extent for each folio from 2M on,
 *    and 8 for a small block.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest_memfd_layout.h"
#include "guest_memfd_util.h"

#define PAGE_KB			(PAGE_SIZE / SZ_1K)
#define SMALL_VMEMMAP		8
#define WAIT_MS			600000

/* fdinfo has folios of these orders. */
static const struct {
	u8 order;
	const char *key;
} sizes[] = {
	{ 18, "folios-1G" }, { 17, "folios-512M" }, { 16, "folios-256M" },
	{ 15, "folios-128M" }, { 14, "folios-64M" }, { 13, "folios-32M" },
	{ 12, "folios-16M" }, { 11, "folios-8M" }, { 10, "folios-4M" },
	{ 9, "folios-2M" }, { 0, "folios-4K" },
};

/* Numbers of a file, by the names of fdinfo. */
struct totals {
	u64 folios[ORDER_1G + 1];
	u64 vmemmap;
	u64 private;
	u64 collateral;
};

void gmem_layout_init(struct gmem_layout *l, u8 order, u64 nr_pages, bool hvo)
{
	u64 i, nr_blocks = nr_pages / GMEM_BLOCK_PAGES;

	*l = (struct gmem_layout){
		.order = order,
		.hvo = hvo,
		.nr_pages = nr_pages,
		.private = malloc(nr_pages * sizeof(*l->private)),
		.nr_private = calloc(nr_blocks, sizeof(*l->nr_private)),
		.blocks = calloc(nr_blocks, sizeof(*l->blocks)),
	};
	TEST_ASSERT(l->private && l->nr_private && l->blocks, "Out of memory");
	memset(l->private, true, nr_pages * sizeof(*l->private));
	for (i = 0; i < nr_blocks; i++)
		l->nr_private[i] = GMEM_BLOCK_PAGES;
}

void gmem_layout_free(struct gmem_layout *l)
{
	free(l->private);
	free(l->nr_private);
	free(l->blocks);
}

void gmem_layout_convert(struct gmem_layout *l, u64 page, u64 nr, bool to_private)
{
	u64 first = page / GMEM_BLOCK_PAGES, end = page + nr, block;

	for (; page < end; page++) {
		l->nr_private[page / GMEM_BLOCK_PAGES] += to_private - l->private[page];
		l->private[page] = to_private;
	}

	for (block = first; block <= (end - 1) / GMEM_BLOCK_PAGES; block++) {
		if (l->nr_private[block] == GMEM_BLOCK_PAGES)
			l->blocks[block] = GMEM_BLOCK_PRIVATE;
		else if (l->nr_private[block])
			l->blocks[block] = GMEM_BLOCK_SMALL;
		else if (l->blocks[block] == GMEM_BLOCK_PRIVATE)
			l->blocks[block] = GMEM_BLOCK_SHARED;
	}
}

void gmem_layout_map(struct gmem_layout *l, u64 page)
{
	l->blocks[page / GMEM_BLOCK_PAGES] = GMEM_BLOCK_SMALL;
}

bool gmem_layout_shared_small(const struct gmem_layout *l, u64 page)
{
	u64 block = page / GMEM_BLOCK_PAGES;

	return l->blocks[block] == GMEM_BLOCK_SMALL && !l->nr_private[block];
}

/* The folios of an aligned region of 2^order pages. */
static void count_folios(const struct gmem_layout *l, u64 block, u8 order, u64 *folios)
{
	u64 i, nr = BIT_ULL(order - ORDER_2M);

	for (i = 1; i < nr; i++) {
		if (l->blocks[block + i] != l->blocks[block])
			break;
	}

	if (i == nr && l->blocks[block] != GMEM_BLOCK_SMALL) {
		folios[order]++;
	} else if (nr == 1) {
		folios[0] += GMEM_BLOCK_PAGES;
	} else {
		count_folios(l, block, order - 1, folios);
		count_folios(l, block + nr / 2, order - 1, folios);
	}
}

static void count_struct_pages(const struct gmem_layout *l, struct totals *t)
{
	u64 order;

	if (!l->hvo)
		return;

	t->vmemmap = t->folios[0] / GMEM_BLOCK_PAGES * SMALL_VMEMMAP;
	for (order = ORDER_2M; order <= ORDER_1G; order++)
		t->vmemmap += t->folios[order];
	/* One page is what a whole extent has. */
	t->vmemmap -= l->nr_pages >> l->order;
	t->vmemmap *= PAGE_KB;
}

static void model_totals(const struct gmem_layout *l, struct totals *t)
{
	u64 block, nr_blocks = l->nr_pages / GMEM_BLOCK_PAGES;

	memset(t, 0, sizeof(*t));
	for (block = 0; block < nr_blocks; block += BIT_ULL(l->order - ORDER_2M))
		count_folios(l, block, l->order, t->folios);
	count_struct_pages(l, t);
	for (block = 0; block < nr_blocks; block++) {
		t->private += l->nr_private[block] * PAGE_KB;
		if (l->blocks[block] == GMEM_BLOCK_SMALL)
			t->collateral += l->nr_private[block] * PAGE_KB;
	}
}

static void fdinfo_totals(const char *text, struct totals *t)
{
	unsigned int i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		t->folios[sizes[i].order] = gmem_fdinfo_value(text, sizes[i].key);
	t->vmemmap = gmem_fdinfo_value(text, "vmemmap");
	t->private = gmem_fdinfo_value(text, "private");
	t->collateral = gmem_fdinfo_value(text, "collateral");
}

static void print_totals(const struct totals *t, const char *whose)
{
	unsigned int i;

	printf("# %s: vmemmap %lu private %lu collateral %lu kB,", whose,
	       t->vmemmap, t->private, t->collateral);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		printf(" %s %lu", sizes[i].key, t->folios[sizes[i].order]);
	printf("\n");
}

/* A merge that a passing reference has kept from happening comes later. */
void gmem_layout_assert(const struct gmem_layout *l, int fd)
{
	char text[GMEM_FDINFO_SIZE];
	struct totals want, is;
	unsigned int i;

	model_totals(l, &want);
	for (i = 0; i < WAIT_MS; i++) {
		gmem_read_fdinfo(fd, text, sizeof(text));
		fdinfo_totals(text, &is);
		if (!memcmp(&is, &want, sizeof(is)))
			return;
		if (!gmem_fdinfo_value(text, "merge-pending"))
			break;
		usleep(1000);
	}

	print_totals(&want, "model");
	print_totals(&is, "fdinfo");
	TEST_FAIL("Folios are not those of the model:\n%s", text);
}
