/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a change of a guest_memfd's memory consists of
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef __KVM_GMEM_CONVERT_H__
#define __KVM_GMEM_CONVERT_H__

#include "gmem_internal.h"

#define KVM_GMEM_NO_PAGE	ULONG_MAX

/**
 * struct kvm_gmem_conversion - a change of attributes, or of a layout alone
 * @inode: the guest_memfd
 * @start: first page of the range
 * @end: page after the last; no attribute changes if equal to @start
 * @to_private: the attribute to set
 * @flags: KVM_SET_MEMORY_ATTRIBUTES2_*
 * @small: a page whose block must become small
 * @regrow: let small blocks that nobody uses become big if wholly shared
 * @merge: merge what can be merged now, not later
 * @punch: the extents inside @ranges go back to the pool, the rest is zeroed
 * @nr_ranges: number of @ranges
 * @ranges: the parts that nobody may have mapped when the change is made; of a
 *	change of attributes those which have the other one
 * @stage2: @ranges and what is between; faults are turned away if not empty
 * @nr_agreed: number of @ranges that all consumers have agreed to
 * @extents: where the extents are that this is about
 * @relayouts: those which get another layout, struct hugetlb_gmem_relayout
 * @mas: where the attribute is stored, with the memory for it
 * @reason: what the layout changes for
 * @changes: how much the layout has changed
 */
struct kvm_gmem_conversion {
	struct inode			*inode;
	pgoff_t				start;
	pgoff_t				end;
	bool				to_private;
	u64				flags;
	pgoff_t				small;
	bool				regrow;
	bool				merge;
	bool				punch;
	unsigned long			nr_ranges;
	struct kvm_gmem_range		*ranges;
	struct kvm_gmem_range		stage2;
	unsigned long			nr_agreed;
	struct kvm_gmem_range		extents;
	struct list_head		relayouts;
	struct ma_state			mas;
	enum hugetlb_gmem_reason	reason;
	struct hugetlb_gmem_changes	changes;
};

/* gmem_plan.c */
int kvm_gmem_plan_extent(struct kvm_gmem_conversion *conv,
			 struct hugetlb_gmem_extent *extent);
int kvm_gmem_plan_extents(struct kvm_gmem_conversion *conv,
			  pgoff_t *error_index);
int kvm_gmem_plan_ranges(struct kvm_gmem_conversion *conv);
bool kvm_gmem_next_range(struct kvm_gmem_conversion *conv, pgoff_t *index,
			 struct kvm_gmem_range *range);
bool kvm_gmem_layout_follows(struct inode *inode);

/* gmem_pinned.c */
int kvm_gmem_check_unpinned(struct kvm_gmem_conversion *conv, bool unmap,
			    pgoff_t *error_index);

#endif /* __KVM_GMEM_CONVERT_H__ */
