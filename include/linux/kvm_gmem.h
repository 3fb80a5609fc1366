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

struct kvm;
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
bool kvm_gmem_supports_hugetlb(struct kvm *kvm);
u64 kvm_gmem_supported_attributes(struct kvm *kvm);
u64 kvm_gmem_supported_content_flags(struct kvm *kvm);

/* Of the architecture. */
bool kvm_arch_supports_gmem_hugetlb(struct kvm *kvm);
bool kvm_arch_supports_gmem_attributes(struct kvm *kvm);
u8 kvm_gmem_clip_mapping_level(struct kvm *kvm,
			       const struct kvm_memory_slot *slot, u64 gfn,
			       bool is_private, u8 level);
u64 kvm_gmem_lpage_alignment(const struct kvm_memory_slot *slot);
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

static inline u8 kvm_gmem_clip_mapping_level(struct kvm *kvm,
					     const struct kvm_memory_slot *slot,
					     u64 gfn, bool is_private, u8 level)
{
	return level;
}
#endif /* CONFIG_KVM_GUEST_MEMFD_HUGETLB */

#endif /* __LINUX_KVM_GMEM_H */
