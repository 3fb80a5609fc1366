// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plan of a conversion: which pages change, and which extents get which layout
 *
 * Reads attributes and layouts under the exclusive invalidate_lock, and allocates
 * the lists that the rest of the conversion works on.  The rules of layouts are
 * in gmem_layout.c.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include "gmem_convert.h"
#include "gmem_layout.h"

/* The attribute that a page will have, and the last page of its run. */
static bool planned_private(struct kvm_gmem_conversion *conv, pgoff_t index,
			    pgoff_t *last)
{
	bool is_private;

	if (index >= conv->start && index < conv->end) {
		*last = conv->end - 1;
		return conv->to_private;
	}

	is_private = kvm_gmem_attribute_private(conv->inode, index, last);
	if (index < conv->start && conv->start < conv->end)
		*last = min(*last, conv->start - 1);
	return is_private;
}

/* As above, but runs of equal attributes on both sides of an end are one. */
static bool planned_run(struct kvm_gmem_conversion *conv, pgoff_t index,
			pgoff_t end, pgoff_t *last)
{
	bool is_private = planned_private(conv, index, last);
	pgoff_t next;

	while (*last < end - 1 &&
	       planned_private(conv, *last + 1, &next) == is_private)
		*last = next;
	return is_private;
}

static enum gmem_block
classify_block(struct kvm_gmem_conversion *conv, struct hugetlb_gmem_extent *extent,
	       unsigned int block, bool is_private, bool uniform)
{
	pgoff_t index = extent->index +
			((pgoff_t)block << HUGETLB_GMEM_BLOCK_ORDER);

	if (!uniform)
		return GMEM_BLOCK_SMALL;
	if (is_private)
		return GMEM_BLOCK_PRIVATE;
	if (round_down(conv->small, HUGETLB_GMEM_BLOCK_PAGES) == index)
		return GMEM_BLOCK_SMALL;
	/* The host may have mapped what is small; it stays until private. */
	if (extent->layout[block] == HUGETLB_GMEM_SMALL &&
	    !(conv->regrow && hugetlb_gmem_block_idle(extent, block)))
		return GMEM_BLOCK_SMALL;
	return GMEM_BLOCK_SHARED;
}

static void classify_extent(struct kvm_gmem_conversion *conv,
			    struct hugetlb_gmem_extent *extent, u8 *blocks)
{
	pgoff_t start, end, last = 0;
	bool is_private = false;
	unsigned int block;

	for (block = 0; block < extent->nr_blocks; block++) {
		start = extent->index +
			((pgoff_t)block << HUGETLB_GMEM_BLOCK_ORDER);
		end = start + HUGETLB_GMEM_BLOCK_PAGES;
		if (!block || last < end - 1)
			is_private = planned_run(conv, start, end, &last);
		blocks[block] = classify_block(conv, extent, block, is_private,
					       last >= end - 1);
	}
}

static int plan_steps(struct kvm_gmem_conversion *conv,
		      struct hugetlb_gmem_relayout *relayout)
{
	struct hugetlb_gmem_extent *extent = relayout->extent;
	unsigned int nr = extent->nr_blocks;
	u8 *blocks;

	blocks = hugetlb_gmem_should_fail() ? NULL :
		 kmalloc(nr, GFP_KERNEL_ACCOUNT);
	if (!blocks)
		return -ENOMEM;

	classify_extent(conv, extent, blocks);
	if (hugetlb_gmem_plain_split() && memchr(blocks, GMEM_BLOCK_SMALL, nr))
		memset(blocks, GMEM_BLOCK_SMALL, nr);
	gmem_layout_build(relayout->to, blocks, nr);
	kfree(blocks);
	relayout->nr_steps = gmem_layout_steps(extent->layout, relayout->to,
					       nr, NULL);
	if (!relayout->nr_steps)
		return 0;

	relayout->steps = hugetlb_gmem_should_fail() ? NULL :
			  kvmalloc_array(relayout->nr_steps,
					 sizeof(*relayout->steps),
					 GFP_KERNEL_ACCOUNT);
	if (!relayout->steps)
		return -ENOMEM;
	gmem_layout_steps(extent->layout, relayout->to, nr, relayout->steps);
	return 0;
}

static bool merge_pending(struct hugetlb_gmem_extent *extent)
{
	return xa_get_mark(&extent->gmem->extents, extent->index >> extent->order,
			   HUGETLB_GMEM_MERGE_PENDING);
}

/**
 * kvm_gmem_plan_extent - plan the layout of one extent
 * @conv: the conversion, with what changes; gets another relayout, if any
 * @extent: the extent, with memory
 *
 * Without a step there may still be an end to a merge that is pending.
 *
 * Return: 0 or -ENOMEM.
 */
int kvm_gmem_plan_extent(struct kvm_gmem_conversion *conv,
			 struct hugetlb_gmem_extent *extent)
{
	struct hugetlb_gmem_relayout *relayout;
	int ret;

	relayout = hugetlb_gmem_new_relayout(extent);
	if (!relayout)
		return -ENOMEM;

	relayout->reason = conv->reason;
	ret = plan_steps(conv, relayout);
	if (ret || (!relayout->nr_steps && !merge_pending(extent)))
		hugetlb_gmem_abort_relayout(relayout);
	else
		list_add_tail(&relayout->list, &conv->relayouts);
	return ret;
}

/**
 * kvm_gmem_layout_follows - do layouts follow attributes?
 * @inode: the guest_memfd
 *
 * Only the host needs small folios, and without a mapping it has no access.
 *
 * Return: true if so.
 */
bool kvm_gmem_layout_follows(struct inode *inode)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);

	return state->hugetlb && state->flags & GUEST_MEMFD_FLAG_MMAP;
}

/**
 * kvm_gmem_plan_extents - plan the layouts of all extents in the range
 * @conv: the conversion, with what changes; gets its relayouts
 * @error_index: out with an error, the start of the extent, clipped to the range
 *
 * Return: 0 or -ENOMEM.
 */
int kvm_gmem_plan_extents(struct kvm_gmem_conversion *conv, pgoff_t *error_index)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t index = conv->start;
	int ret;

	if (!kvm_gmem_layout_follows(conv->inode))
		return 0;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index, conv->end))) {
		ret = kvm_gmem_plan_extent(conv, extent);
		if (ret) {
			*error_index = max(conv->start, extent->index);
			return ret;
		}
		cond_resched();
	}
	return 0;
}

/**
 * kvm_gmem_next_range - step through the parts that change
 * @conv: the conversion
 * @index: in, where to look from; out, the end of the part
 * @range: out, the part
 *
 * Return: false after the last.
 */
bool kvm_gmem_next_range(struct kvm_gmem_conversion *conv, pgoff_t *index,
			 struct kvm_gmem_range *range)
{
	bool is_private;
	pgoff_t last;

	while (*index < conv->end) {
		range->start = *index;
		is_private = kvm_gmem_attribute_private(conv->inode, *index,
							&last);
		range->end = min(last, conv->end - 1) + 1;
		*index = range->end;
		if (is_private != conv->to_private)
			return true;
		cond_resched();
	}
	return false;
}

/**
 * kvm_gmem_plan_ranges - list the parts that change
 * @conv: the conversion; gets its ranges, or with -ENOMEM only their number
 *
 * Return: 0 or -ENOMEM.
 */
int kvm_gmem_plan_ranges(struct kvm_gmem_conversion *conv)
{
	pgoff_t index = conv->start;
	struct kvm_gmem_range range;
	unsigned long i;

	while (kvm_gmem_next_range(conv, &index, &range))
		conv->nr_ranges++;
	if (!conv->nr_ranges)
		return 0;

	conv->ranges = hugetlb_gmem_should_fail() ? NULL :
		       kvmalloc_array(conv->nr_ranges, sizeof(*conv->ranges),
				      GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!conv->ranges)
		return -ENOMEM;

	for (index = conv->start, i = 0; i < conv->nr_ranges; i++)
		kvm_gmem_next_range(conv, &index, &conv->ranges[i]);
	return 0;
}
