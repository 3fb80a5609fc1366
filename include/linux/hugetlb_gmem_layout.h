/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How one HugeTLB page of a guest_memfd is cut into folios
 *
 * See Documentation/mm/hugetlb_gmem.rst.  Shared by the two halves of the
 * feature and by the userspace harness, hence no mm types here.
 */
#ifndef _LINUX_HUGETLB_GMEM_LAYOUT_H
#define _LINUX_HUGETLB_GMEM_LAYOUT_H

#include <linux/types.h>

/* A block is the unit of the layout: 2M, whatever the size of the extent. */
#define HUGETLB_GMEM_BLOCK_ORDER	9
#define HUGETLB_GMEM_BLOCK_PAGES	512UL
#define HUGETLB_GMEM_MAX_ORDER		18
#define HUGETLB_GMEM_MAX_BLOCKS	\
	(1UL << (HUGETLB_GMEM_MAX_ORDER - HUGETLB_GMEM_BLOCK_ORDER))

/*
 * A layout is one byte for each block: the order of the folio which holds the
 * block, or HUGETLB_GMEM_SMALL if the block is 512 folios of order 0.  Folios
 * are naturally aligned, so the orders alone tell where each one begins:
 *
 *	block	0  1  2  3   4   5   6   7
 *	order	0  9 10 10  11  11  11  11	first 4K of an order-12 extent
 */
#define HUGETLB_GMEM_SMALL		0

/* How far the change of a region has come; begins at 0. */
enum hugetlb_gmem_step_state {
	HUGETLB_GMEM_STEP_TODO,
	HUGETLB_GMEM_STEP_FROZEN,	/* being done */
	HUGETLB_GMEM_STEP_DONE,
	HUGETLB_GMEM_STEP_POISONED,	/* not to be merged */
};

/**
 * struct hugetlb_gmem_step - one region in which two layouts differ
 * @block:	first block of the region, relative to the extent
 * @order:	order of the region; one of the two layouts has a single folio
 *		of this order here
 * @split:	true: the old layout has the single folio; false: the new one
 * @state:	enum hugetlb_gmem_step_state, for who makes the change
 */
struct hugetlb_gmem_step {
	u16	block;
	u8	order;
	bool	split;
	u8	state;
};

#endif /* _LINUX_HUGETLB_GMEM_LAYOUT_H */
