/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stage 2 of memory from a guest_memfd, for the TDP MMU
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef __KVM_X86_MMU_GMEM_STAGE2_H
#define __KVM_X86_MMU_GMEM_STAGE2_H

#include <linux/kvm_host.h>

#include "tdp_iter.h"

struct kvm_page_fault;

#ifdef CONFIG_KVM_GUEST_MEMFD_HUGETLB
void kvm_gmem_adjust_level(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault,
			   const struct tdp_iter *iter);
bool kvm_gmem_keep_leaf(struct kvm *kvm, const struct kvm_gfn_range *range,
			const struct tdp_iter *iter);
#else
static inline void kvm_gmem_adjust_level(struct kvm_vcpu *vcpu,
					 struct kvm_page_fault *fault,
					 const struct tdp_iter *iter)
{
}

static inline bool kvm_gmem_keep_leaf(struct kvm *kvm,
				      const struct kvm_gfn_range *range,
				      const struct tdp_iter *iter)
{
	return false;
}
#endif /* CONFIG_KVM_GUEST_MEMFD_HUGETLB */

#endif /* __KVM_X86_MMU_GMEM_STAGE2_H */
