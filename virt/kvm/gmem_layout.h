/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __KVM_GMEM_LAYOUT_H__
#define __KVM_GMEM_LAYOUT_H__

#include <linux/hugetlb_gmem_layout.h>

/* What decides the layout: is a 2M block of one attribute, and which? */
enum gmem_block {
	GMEM_BLOCK_SMALL,	/* mixed, or shared and touched by the host */
	GMEM_BLOCK_PRIVATE,
	GMEM_BLOCK_SHARED,
};

void gmem_layout_build(u8 *layout, const u8 *blocks, unsigned int nr_blocks);
unsigned int gmem_layout_steps(const u8 *from, const u8 *to,
			       unsigned int nr_blocks,
			       struct hugetlb_gmem_step *steps);

#endif /* __KVM_GMEM_LAYOUT_H__ */
