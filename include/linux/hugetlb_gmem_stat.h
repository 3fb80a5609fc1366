/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is counted of the HugeTLB pages in guest_memfds, per file and on the host
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#ifndef _LINUX_HUGETLB_GMEM_STAT_H
#define _LINUX_HUGETLB_GMEM_STAT_H

#include <linux/hugetlb_gmem_layout.h>

/* Orders that a folio may have: 0 and those of a block and more. */
#define HUGETLB_GMEM_NR_ORDERS	\
	(HUGETLB_GMEM_MAX_ORDER - HUGETLB_GMEM_BLOCK_ORDER + 2)

/* The first ones add up what the extents are like now, the last are events. */
enum hugetlb_gmem_item {
	/* in pages */
	HUGETLB_GMEM_ALLOCATED,
	HUGETLB_GMEM_PRIVATE,
	HUGETLB_GMEM_COLLATERAL,	/* private, in small blocks */
	HUGETLB_GMEM_VMEMMAP,		/* of struct pages, over the merged state */
	HUGETLB_GMEM_POISONED,
	/* in extents */
	HUGETLB_GMEM_WHOLE,
	HUGETLB_GMEM_SPLIT,
	HUGETLB_GMEM_PENDING,		/* of the split ones: could be merged */
	HUGETLB_GMEM_PENDING_PINS,
	HUGETLB_GMEM_PENDING_POISON,
	/* in folios, by descending order */
	HUGETLB_GMEM_FOLIOS,
	HUGETLB_GMEM_NR_EXTENT_ITEMS =
		HUGETLB_GMEM_FOLIOS + HUGETLB_GMEM_NR_ORDERS,

	/* blocks made small, or big */
	HUGETLB_GMEM_SPLITS = HUGETLB_GMEM_NR_EXTENT_ITEMS,
	HUGETLB_GMEM_MERGES,
	/* calls */
	HUGETLB_GMEM_CONVERTS,
	HUGETLB_GMEM_CONVERT_EAGAIN,
	HUGETLB_GMEM_CONVERT_ENOMEM,
	HUGETLB_GMEM_NR_ITEMS,

	/* not counted, but derived or constant; only to be shown */
	HUGETLB_GMEM_SIZE = HUGETLB_GMEM_NR_ITEMS,
	HUGETLB_GMEM_PAGE_SIZE,
	HUGETLB_GMEM_SHARED,
	HUGETLB_GMEM_LAST_EAGAIN,
};

/* Why an extent changes. */
enum hugetlb_gmem_reason {
	HUGETLB_GMEM_CONVERT,
	HUGETLB_GMEM_FAULT,
	HUGETLB_GMEM_PUNCH,
	HUGETLB_GMEM_POISON,
	HUGETLB_GMEM_RELEASE,
	HUGETLB_GMEM_RETRY,
};

#endif /* _LINUX_HUGETLB_GMEM_STAT_H */
