// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a layout and the steps between two layouts must be
 *
 * The expected layout is computed in another way than the kernel does it, top
 * down: an aligned region is one folio if all its blocks are big and of one
 * kind, otherwise look at its halves.  A check returns NULL, or what is wrong,
 * of which it prints the extents.
 *
 * The pure code gets allocations of just the right size, so that ASan sees any
 * access beyond, filled with garbage, so that nothing stays unwritten unseen.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout_check.h"

static void *garbage(size_t size)
{
	void *new = malloc(size);

	if (!new) {
		perror("malloc");
		exit(2);
	}
	return memset(new, 0xa5, size);
}

static void *copy(const void *data, size_t size)
{
	return memcpy(garbage(size), data, size);
}

/* As a comment of KTAP: each value with the length of its run. */
static void print_runs(const char *name, const u8 *values, unsigned int nr)
{
	unsigned int start, end;

	printf("# %s:", name);
	for (start = 0; start < nr; start = end) {
		for (end = start; end < nr && values[end] == values[start];)
			end++;
		printf(" %u*%u", values[start], end - start);
	}
	printf("\n");
}

static unsigned int region_order(unsigned int nr)
{
	unsigned int order = HUGETLB_GMEM_BLOCK_ORDER;

	while (nr > 1) {
		nr /= 2;
		order++;
	}
	return order;
}

static bool region_is_folio(const u8 *kinds, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (kinds[i] == GMEM_BLOCK_SMALL || kinds[i] != kinds[0])
			return false;
	}
	return true;
}

static void expect(u8 *layout, const u8 *kinds, unsigned int nr)
{
	if (region_is_folio(kinds, nr)) {
		memset(layout, region_order(nr), nr);
	} else if (nr == 1) {
		*layout = HUGETLB_GMEM_SMALL;
	} else {
		expect(layout, kinds, nr / 2);
		expect(layout + nr / 2, kinds + nr / 2, nr / 2);
	}
}

/* Naturally aligned folios that fill the extent? */
static bool is_tiled(const u8 *layout, unsigned int nr)
{
	unsigned int block, size, i;

	for (block = 0; block < nr; block += size) {
		size = 1;
		if (layout[block] == HUGETLB_GMEM_SMALL)
			continue;
		if (layout[block] < HUGETLB_GMEM_BLOCK_ORDER ||
		    layout[block] > HUGETLB_GMEM_MAX_ORDER)
			return false;
		size <<= layout[block] - HUGETLB_GMEM_BLOCK_ORDER;
		if (block % size || block + size > nr)
			return false;
		for (i = 0; i < size; i++) {
			if (layout[block + i] != layout[block])
				return false;
		}
	}
	return true;
}

static const char *compare_layout(const u8 *kinds, unsigned int nr,
				  const u8 *layout)
{
	u8 expected[HUGETLB_GMEM_MAX_BLOCKS];

	expect(expected, kinds, nr);
	if (!is_tiled(expected, nr))
		return "the expected folios do not tile the extent";
	if (!memcmp(layout, expected, nr))
		return NULL;

	print_runs("kinds", kinds, nr);
	print_runs("layout", layout, nr);
	print_runs("expected", expected, nr);
	return "the layout is not the expected one";
}

/* Build the layout of @kinds into @layout, and check it. */
const char *check_build(const u8 *kinds, unsigned int nr, u8 *layout)
{
	u8 *exact_kinds = copy(kinds, nr), *exact_layout = garbage(nr);

	gmem_layout_build(exact_layout, exact_kinds, nr);
	memcpy(layout, exact_layout, nr);
	free(exact_kinds);
	free(exact_layout);
	return compare_layout(kinds, nr, layout);
}

/* One folio before or after, and smaller ones, or small blocks, otherwise. */
static const char *check_region(const struct hugetlb_gmem_step *step,
				const u8 *from, const u8 *to, unsigned int nr)
{
	const u8 *one = step->split ? from : to, *many = step->split ? to : from;
	unsigned int size, i;

	if (step->order < HUGETLB_GMEM_BLOCK_ORDER)
		return "a step is smaller than a block";
	size = 1U << (step->order - HUGETLB_GMEM_BLOCK_ORDER);
	if (step->block % size || step->block + size > nr)
		return "a step is not an aligned region of the extent";
	for (i = step->block; i < step->block + size; i++) {
		if (one[i] != step->order)
			return "a step has no single folio of its order";
		if (many[i] >= step->order)
			return "a step does not change all of its region";
	}
	return NULL;
}

/* Do the steps, in order, lead from @from to @to by valid layouts? */
static const char *follow_steps(const struct hugetlb_gmem_step *steps,
				unsigned int count, const u8 *from,
				const u8 *to, unsigned int nr)
{
	u8 now[HUGETLB_GMEM_MAX_BLOCKS];
	unsigned int i, size, next = 0;
	const char *problem;

	memcpy(now, from, nr);
	for (i = 0; i < count; i++) {
		if (steps[i].block < next)
			return "the steps are not in order";
		problem = check_region(&steps[i], from, to, nr);
		if (problem)
			return problem;
		size = 1U << (steps[i].order - HUGETLB_GMEM_BLOCK_ORDER);
		memcpy(now + steps[i].block, to + steps[i].block, size);
		if (!is_tiled(now, nr))
			return "the folios do not tile the extent after a step";
		next = steps[i].block + size;
	}
	return memcmp(now, to, nr) ? "the steps lead elsewhere" : NULL;
}

/* As KVM does: count, allocate just that many, fill in. */
static const char *count_and_follow(const u8 *from, const u8 *to,
				    unsigned int nr)
{
	unsigned int count = gmem_layout_steps(from, to, nr, NULL);
	struct hugetlb_gmem_step *steps = garbage(count * sizeof(*steps));
	const char *problem = "the number of steps is wrong";

	if (gmem_layout_steps(from, to, nr, steps) == count)
		problem = follow_steps(steps, count, from, to, nr);
	free(steps);
	return problem;
}

const char *check_steps(const u8 *from, const u8 *to, unsigned int nr)
{
	u8 *exact_from = copy(from, nr), *exact_to = copy(to, nr);
	const char *problem = count_and_follow(exact_from, exact_to, nr);

	free(exact_from);
	free(exact_to);
	if (problem) {
		print_runs("from", from, nr);
		print_runs("to", to, nr);
	}
	return problem;
}

/* Both ways between the layouts of two extents. */
const char *check_change(const u8 *from_kinds, const u8 *to_kinds,
			 unsigned int nr)
{
	u8 from[HUGETLB_GMEM_MAX_BLOCKS], to[HUGETLB_GMEM_MAX_BLOCKS];
	const char *problem = check_build(from_kinds, nr, from);

	problem = problem ?: check_build(to_kinds, nr, to);
	problem = problem ?: check_steps(from, to, nr);
	return problem ?: check_steps(to, from, nr);
}
