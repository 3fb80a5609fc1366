/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest_memfd for the rest of KVM: attributes that live in the file
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef __LINUX_KVM_GMEM_H
#define __LINUX_KVM_GMEM_H

#include <linux/kvm_gmem_stat.h>
#include <linux/types.h>

struct file;
struct hugetlb_gmem;
struct inode;
struct kvm;
struct kvm_gmem_consumer;
struct kvm_memory_slot;

#ifdef CONFIG_KVM_GUEST_MEMFD_HUGETLB
/* kvm.vm_memory_attributes: are attributes a matter of the VM, or of the file? */
extern bool vm_memory_attributes;

unsigned long kvm_gmem_get_memory_attributes(struct kvm *kvm, u64 gfn);
bool kvm_gmem_range_has_memory_attributes(struct kvm *kvm, u64 start, u64 end,
					  unsigned long attributes);
bool kvm_gmem_range_is_uniform(const struct kvm_memory_slot *slot, u64 gfn,
			       unsigned long nr_pages);
bool kvm_gmem_slot_is_hugetlb(const struct kvm_memory_slot *slot);
bool kvm_gmem_slot_is_open(const struct kvm_memory_slot *slot);
bool kvm_gmem_slot_is_private(const struct kvm_memory_slot *slot, u64 gfn);
bool kvm_gmem_slot_unmap_failed(const struct kvm_memory_slot *slot, u64 gfn,
				unsigned long nr_pages);
bool kvm_gmem_supports_hugetlb(struct kvm *kvm);
u64 kvm_gmem_supported_attributes(struct kvm *kvm);
u64 kvm_gmem_supported_content_flags(struct kvm *kvm);

int kvm_gmem_prepare_vm_attributes(struct kvm *kvm, u64 start, u64 end);
void kvm_gmem_finish_vm_attributes(struct kvm *kvm, u64 start, u64 end);

/**
 * struct kvm_gmem_consumer_ops - what a user of a guest_memfd's memory does
 * @prepare_invalidate: agree to lose pages [start, end) of the file, or return
 *	an error; in the former case take no page of them from then on
 * @abort_invalidate: nothing happens to what was agreed to
 * @invalidate: let go of pages that were agreed to; a page which cannot be let go
 *	is reported by kvm_gmem_unmap_failed()
 *
 * All are called with the invalidate_lock held exclusively and may sleep, but not
 * wait for slots_lock, mmap_lock, user memory, or kvm->srcu.  Nothing may be
 * allocated by @invalidate.  When it has returned and the invalidate_lock is
 * free, pages can be looked up again.
 */
struct kvm_gmem_consumer_ops {
	int (*prepare_invalidate)(struct kvm_gmem_consumer *consumer,
				  pgoff_t start, pgoff_t end);
	void (*abort_invalidate)(struct kvm_gmem_consumer *consumer,
				 pgoff_t start, pgoff_t end);
	void (*invalidate)(struct kvm_gmem_consumer *consumer, pgoff_t start,
			   pgoff_t end);
};

/**
 * struct kvm_gmem_consumer - a user of a guest_memfd's memory, other than KVM
 * @ops: what it does
 * @inode: of the guest_memfd, while registered
 * @list: of all consumers of @inode
 */
struct kvm_gmem_consumer {
	const struct kvm_gmem_consumer_ops *ops;
	struct inode			*inode;
	struct list_head		list;
};

int kvm_gmem_register_consumer(struct file *file,
			       struct kvm_gmem_consumer *consumer);
void kvm_gmem_unregister_consumer(struct kvm_gmem_consumer *consumer);
void kvm_gmem_unmap_failed(struct inode *inode, pgoff_t start, pgoff_t end);

bool kvm_gmem_attribute_private(struct inode *inode, pgoff_t index,
				pgoff_t *last);
struct hugetlb_gmem *kvm_gmem_hugetlb(struct inode *inode);

/* Of the architecture. */
int kvm_arch_gmem_split(struct kvm *kvm, const struct kvm_memory_slot *slot,
			u64 gfn);
void kvm_arch_gmem_check(struct kvm *kvm, const struct kvm_memory_slot *slot,
			 struct inode *inode, u64 start, u64 end);
bool kvm_arch_supports_gmem_hugetlb(struct kvm *kvm);
bool kvm_arch_supports_gmem_attributes(struct kvm *kvm);
u8 kvm_gmem_clip_mapping_level(struct kvm *kvm,
			       const struct kvm_memory_slot *slot, u64 gfn,
			       bool is_private, u8 level);
u64 kvm_gmem_lpage_alignment(const struct kvm_memory_slot *slot);
bool kvm_gmem_slot_changed(struct kvm *kvm, const struct kvm_memory_slot *slot,
			   u64 gfn);
#else
#define vm_memory_attributes true
#define kvm_gmem_lpage_alignment(slot) ((slot)->userspace_addr >> PAGE_SHIFT)

static inline unsigned long kvm_gmem_get_memory_attributes(struct kvm *kvm,
							   u64 gfn)
{
	return 0;
}

static inline bool
kvm_gmem_range_has_memory_attributes(struct kvm *kvm, u64 start, u64 end,
				     unsigned long attributes)
{
	return false;
}

static inline bool kvm_gmem_slot_changed(struct kvm *kvm,
					 const struct kvm_memory_slot *slot,
					 u64 gfn)
{
	return false;
}

static inline u64 kvm_gmem_supported_attributes(struct kvm *kvm)
{
	return 0;
}

static inline u64 kvm_gmem_supported_content_flags(struct kvm *kvm)
{
	return 0;
}

static inline bool kvm_gmem_supports_hugetlb(struct kvm *kvm)
{
	return false;
}

static inline int kvm_gmem_prepare_vm_attributes(struct kvm *kvm, u64 start,
						 u64 end)
{
	return 0;
}

static inline void kvm_gmem_finish_vm_attributes(struct kvm *kvm, u64 start,
						 u64 end)
{
}

static inline u8 kvm_gmem_clip_mapping_level(struct kvm *kvm,
					     const struct kvm_memory_slot *slot,
					     u64 gfn, bool is_private, u8 level)
{
	return level;
}
#endif /* CONFIG_KVM_GUEST_MEMFD_HUGETLB */

#ifdef CONFIG_KVM_GUEST_MEMFD_HUGETLB_DEBUG
void kvm_gmem_create_vm_debugfs(struct kvm *kvm);
#else
static inline void kvm_gmem_create_vm_debugfs(struct kvm *kvm)
{
}
#endif

#endif /* __LINUX_KVM_GMEM_H */
