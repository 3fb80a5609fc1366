/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between guest_memfd.c and the files virt/kvm/gmem_*.c
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef __KVM_GMEM_INTERNAL_H__
#define __KVM_GMEM_INTERNAL_H__

#include <linux/cleanup.h>
#include <linux/fs.h>
#include <linux/hugetlb_gmem.h>
#include <linux/kvm_host.h>
#include <linux/maple_tree.h>
#include <linux/mempolicy.h>
#include <linux/workqueue.h>

#ifdef CONFIG_KVM_GUEST_MEMFD_HUGETLB
/**
 * struct kvm_gmem_state - what a guest_memfd inode has beyond its folios
 * @flags: GUEST_MEMFD_FLAG_* of the creation
 * @attributes: with kvm.vm_memory_attributes=0, an entry for each range of
 *	pages of one attribute; protected by the invalidate_lock, read under RCU
 * @hugetlb: the HugeTLB pages; NULL without GUEST_MEMFD_FLAG_HUGETLB
 * @page_order: log2 of the pages in a huge page; 0 without
 * @consumers: struct kvm_gmem_consumer, see gmem_invalidate.c
 * @merge_work: merges what conversions left, see gmem_merge.c
 * @merge_due: when @merge_work is to run, in jiffies
 * @regrow_interval: time between two looks at small shared blocks, in jiffies
 * @regrow_at: the next such look
 *
 * All but @attributes is constant or protected by the invalidate_lock.
 */
struct kvm_gmem_state {
	u64			flags;
	struct maple_tree	attributes;
	struct hugetlb_gmem	*hugetlb;
	unsigned int		page_order;
	struct list_head	consumers;
	struct delayed_work	merge_work;
	unsigned long		merge_due;
	unsigned long		regrow_interval;
	unsigned long		regrow_at;
};
#else
struct kvm_gmem_state {
};
#endif

/* A range of pages of a file, end exclusive. */
struct kvm_gmem_range {
	pgoff_t start;
	pgoff_t end;
};

/* Called for each memslot that has a part of a range; not 0 ends it. */
typedef int (*kvm_gmem_binding_fn_t)(struct kvm *kvm,
				     struct kvm_memory_slot *slot, void *arg);

/* guest_memfd.c */
struct kvm_gmem_state *kvm_gmem_state(struct inode *inode);
struct mempolicy *kvm_gmem_lookup_policy(struct inode *inode, pgoff_t index);
struct kvm *kvm_gmem_file_kvm(struct file *file);
struct kvm *kvm_gmem_inode_kvm(struct inode *inode);
int kvm_gmem_walk_bindings(struct inode *inode, pgoff_t start, pgoff_t end,
			   kvm_gmem_binding_fn_t fn, void *arg);

#ifdef CONFIG_KVM_GUEST_MEMFD_HUGETLB
/* gmem_attributes.c */
int kvm_gmem_init_attributes(struct inode *inode);
void kvm_gmem_destroy_attributes(struct inode *inode);
void *kvm_gmem_attribute_entry(bool to_private);
long kvm_gmem_ioctl(struct file *file, unsigned int ioctl, unsigned long arg);

/* gmem_hugetlb.c */
int kvm_gmem_check_create(const struct kvm_create_guest_memfd *args);
int kvm_gmem_init_state(struct inode *inode, u64 flags, unsigned int page_order);
void kvm_gmem_destroy_state(struct inode *inode);
void kvm_gmem_evict_inode(struct inode *inode);
void kvm_gmem_defer_error(struct folio *folio);
void kvm_gmem_drain_errors(void);
long kvm_gmem_hugetlb_fallocate(struct inode *inode, int mode, loff_t offset,
				loff_t len);
struct hugetlb_gmem_extent *kvm_gmem_next_extent(struct inode *inode,
						 pgoff_t *index, pgoff_t end);
void kvm_gmem_hugetlb_zero(struct inode *inode, pgoff_t start, pgoff_t end);
vm_fault_t kvm_gmem_hugetlb_fault(struct vm_fault *vmf);
int kvm_gmem_hugetlb_get_pfn(struct kvm_memory_slot *slot, struct inode *inode,
			     gfn_t gfn, pgoff_t index, kvm_pfn_t *pfn,
			     struct page **page, int *max_order);

/* gmem_convert.c */
int kvm_gmem_convert(struct inode *inode, pgoff_t start, pgoff_t end,
		     bool to_private, u64 flags, pgoff_t *error_index);
int kvm_gmem_punch(struct inode *inode, pgoff_t start, pgoff_t end);
int kvm_gmem_split_block(struct inode *inode, pgoff_t index);
int kvm_gmem_fit_layout(struct inode *inode, struct hugetlb_gmem_extent *extent);
void kvm_gmem_merge_extent(struct inode *inode,
			   struct hugetlb_gmem_extent *extent, bool regrow,
			   enum hugetlb_gmem_reason reason);

/* gmem_invalidate.c */
int kvm_gmem_prepare_stage2(struct inode *inode, struct kvm_gmem_range *range,
			    pgoff_t *error_index);
void kvm_gmem_finish_stage2(struct inode *inode, struct kvm_gmem_range *range);
void kvm_gmem_unmap_stage2(struct inode *inode, struct kvm_gmem_range *range);
void kvm_gmem_check_stage2(struct inode *inode,
			   const struct kvm_gmem_range *ranges,
			   unsigned long nr);
void kvm_gmem_force_unmap(struct inode *inode, struct kvm_gmem_range *range);
int kvm_gmem_prepare_consumers(struct inode *inode,
			       const struct kvm_gmem_range *range);
void kvm_gmem_abort_consumers(struct inode *inode,
			      const struct kvm_gmem_range *range);
void kvm_gmem_unmap_consumers(struct inode *inode,
			      const struct kvm_gmem_range *range);

/* gmem_merge.c */
void kvm_gmem_init_merge(struct kvm_gmem_state *state);
void kvm_gmem_stop_merge(struct kvm_gmem_state *state);
void kvm_gmem_watch_small(struct inode *inode);
void kvm_gmem_watch_extent(struct inode *inode,
			   struct hugetlb_gmem_extent *extent,
			   bool shared_small);

/* gmem_stat.c */
void kvm_gmem_note_extent(struct inode *inode,
			  struct hugetlb_gmem_extent *extent);
void kvm_gmem_count_changes(struct inode *inode,
			    const struct hugetlb_gmem_changes *changes);
void kvm_gmem_count_convert(struct kvm *kvm, struct inode *inode, int err,
			    pgoff_t error_index, u64 duration_ns);
void kvm_gmem_show_fdinfo(struct seq_file *m, struct file *file);

static inline bool kvm_gmem_is_hugetlb(struct inode *inode)
{
	return kvm_gmem_state(inode)->page_order;
}

static inline bool kvm_gmem_has_attributes(void)
{
	return !vm_memory_attributes;
}

/* Faults of the host must not see an attribute that is about to change. */
static inline void kvm_gmem_hold_attributes(struct inode *inode)
{
	if (kvm_gmem_has_attributes())
		filemap_invalidate_lock_shared(inode->i_mapping);
}

static inline void kvm_gmem_release_attributes(struct inode *inode)
{
	if (kvm_gmem_has_attributes())
		filemap_invalidate_unlock_shared(inode->i_mapping);
}
#else
#define kvm_gmem_ioctl NULL
#define kvm_gmem_show_fdinfo NULL
#define kvm_gmem_evict_inode NULL

static inline int kvm_gmem_check_create(const struct kvm_create_guest_memfd *args)
{
	return 0;
}

static inline int kvm_gmem_init_state(struct inode *inode, u64 flags,
				      unsigned int page_order)
{
	return 0;
}

static inline void kvm_gmem_destroy_state(struct inode *inode)
{
}

static inline void kvm_gmem_defer_error(struct folio *folio)
{
}

static inline void kvm_gmem_drain_errors(void)
{
}

static inline bool kvm_gmem_attribute_private(struct inode *inode, pgoff_t index,
					      pgoff_t *last)
{
	return false;
}

static inline long kvm_gmem_hugetlb_fallocate(struct inode *inode, int mode,
					      loff_t offset, loff_t len)
{
	return -EOPNOTSUPP;
}

static inline vm_fault_t kvm_gmem_hugetlb_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static inline int
kvm_gmem_hugetlb_get_pfn(struct kvm_memory_slot *slot, struct inode *inode,
			 gfn_t gfn, pgoff_t index, kvm_pfn_t *pfn,
			 struct page **page, int *max_order)
{
	return -EFAULT;
}

static inline bool kvm_gmem_is_hugetlb(struct inode *inode)
{
	return false;
}

static inline bool kvm_gmem_has_attributes(void)
{
	return false;
}

static inline void kvm_gmem_hold_attributes(struct inode *inode)
{
}

static inline void kvm_gmem_release_attributes(struct inode *inode)
{
}
#endif /* CONFIG_KVM_GUEST_MEMFD_HUGETLB */

DEFINE_GUARD(kvm_gmem_exclusive, struct address_space *,
	     filemap_invalidate_lock(_T), filemap_invalidate_unlock(_T))

DEFINE_LOCK_GUARD_1(kvm_gmem_attributes, struct inode,
		    kvm_gmem_hold_attributes(_T->lock),
		    kvm_gmem_release_attributes(_T->lock))

#endif /* __KVM_GMEM_INTERNAL_H__ */
