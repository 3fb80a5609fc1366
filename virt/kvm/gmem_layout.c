// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which folios a huge page of a guest_memfd should consist of
 *
 * Pure functions from what is known of each 2M block to a layout, and from two
 * layouts to the steps between them.  No kernel facility is used, so that the
 * same file is compiled and tested in userspace.  See
 * Documentation/virt/kvm/guest_memfd_hugetlb.rst and struct hugetlb_gmem_step.
 */
#include "gmem_layout.h"

static unsigned int log2_floor(unsigned int n)
{
	unsigned int log = 0;

	while (n >>= 1)
		log++;
	return log;
}

/* Blocks in a folio of @order; a small block stands for itself. */
static unsigned int order_blocks(unsigned int order)
{
	return order ? 1U << (order - HUGETLB_GMEM_BLOCK_ORDER) : 1;
}

/* The largest aligned power of two that begins at @block and ends by @end. */
static unsigned int fitting_order(unsigned int block, unsigned int end)
{
	unsigned int log = log2_floor(end - block);

	while (block & ((1U << log) - 1))
		log--;
	return log + HUGETLB_GMEM_BLOCK_ORDER;
}

/**
 * gmem_layout_build - the layout for an extent
 * @layout: out, see struct hugetlb_gmem_step; @nr_blocks bytes
 * @blocks: enum gmem_block for each block of 2M
 * @nr_blocks: number of blocks, a power of two
 *
 * Neighbours of one attribute join to the largest naturally aligned folios.
 */
void gmem_layout_build(u8 *layout, const u8 *blocks, unsigned int nr_blocks)
{
	unsigned int block = 0, end, order, i;

	while (block < nr_blocks) {
		if (blocks[block] == GMEM_BLOCK_SMALL) {
			layout[block++] = HUGETLB_GMEM_SMALL;
			continue;
		}

		for (end = block; end < nr_blocks; end++) {
			if (blocks[end] != blocks[block])
				break;
		}

		while (block < end) {
			order = fitting_order(block, end);
			for (i = order_blocks(order); i; i--)
				layout[block++] = order;
		}
	}
}

/**
 * gmem_layout_steps - how to get from one layout to another
 * @from: the layout as it is
 * @to: the layout wanted
 * @nr_blocks: number of blocks of both
 * @steps: out, up to @nr_blocks steps by ascending block; NULL to count only
 *
 * Folios are aligned powers of two, so of two folios that hold the same block
 * one contains the other: each region is one folio before or one after.
 *
 * Return: the number of steps.
 */
unsigned int gmem_layout_steps(const u8 *from, const u8 *to,
			       unsigned int nr_blocks,
			       struct hugetlb_gmem_step *steps)
{
	unsigned int block, order, nr = 0;

	for (block = 0; block < nr_blocks; block += order_blocks(order)) {
		order = from[block] > to[block] ? from[block] : to[block];
		if (from[block] == to[block])
			continue;

		if (steps)
			steps[nr] = (struct hugetlb_gmem_step){
				.block = block,
				.order = order,
				.split = from[block] > to[block],
			};
		nr++;
	}
	return nr;
}
