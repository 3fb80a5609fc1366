// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a layout and the steps between two layouts must be
 *
 * The expected layout is computed in another way than the kernel does it, top
 * down: an aligned region is one folio if all its blocks are big and of one
 * kind, otherwise look at its halves.  A check returns NULL, or what is wrong.
 */
#include <string.h>

#include "layout_check.h"

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

/* Build the layout of @kinds into @layout, and check it. */
const char *check_build(const u8 *kinds, unsigned int nr, u8 *layout)
{
	u8 expected[HUGETLB_GMEM_MAX_BLOCKS];

	gmem_layout_build(layout, kinds, nr);
	expect(expected, kinds, nr);
	if (memcmp(layout, expected, nr))
		return "the layout is not the expected one";
	return is_tiled(layout, nr) ? NULL : "the folios do not tile the extent";
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
const char *check_steps(const u8 *from, const u8 *to, unsigned int nr)
{
	struct hugetlb_gmem_step steps[HUGETLB_GMEM_MAX_BLOCKS];
	unsigned int count, i, size, next = 0;
	u8 now[HUGETLB_GMEM_MAX_BLOCKS];
	const char *problem;

	count = gmem_layout_steps(from, to, nr, NULL);
	if (count > nr || gmem_layout_steps(from, to, nr, steps) != count)
		return "the number of steps is wrong";

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
