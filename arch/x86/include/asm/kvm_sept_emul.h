/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules of TDX's S-EPT, held in software: hooks for the rest of KVM
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef _ASM_X86_KVM_SEPT_EMUL_H
#define _ASM_X86_KVM_SEPT_EMUL_H

#include <linux/atomic.h>
#include <linux/jump_label.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct kvm;
struct kvm_gfn_range;
struct kvm_memory_slot;
struct kvm_page_fault;
struct kvm_vcpu;
struct tdp_iter;

#ifdef CONFIG_KVM_SEPT_EMUL
enum kvm_sept_emul_counter {
	KVM_SEPT_EMUL_DEMOTES,
	KVM_SEPT_EMUL_REMOVES,
	KVM_SEPT_EMUL_AUGS,
	KVM_SEPT_EMUL_PROMOTES,
	KVM_SEPT_EMUL_VIOLATIONS,
	KVM_SEPT_EMUL_NR_COUNTERS,
};

/**
 * struct kvm_sept_emul - S-EPT of a VM
 * @enabled: is there one? Constant
 * @lost: has any gfn ever been lost?
 * @lock: protects @lost and the state of all memslots
 * @counters: of the VM, by enum kvm_sept_emul_counter
 */
struct kvm_sept_emul {
	bool		enabled;
	bool		lost;
	spinlock_t	lock;	/* nests in mmu_lock */
	atomic64_t	counters[KVM_SEPT_EMUL_NR_COUNTERS];
};

/**
 * struct kvm_sept_emul_slot - S-EPT of a memslot
 * @state: a byte for each gfn, see sept_emul.c; NULL if there is no S-EPT
 */
struct kvm_sept_emul_slot {
	u8		*state;
};

DECLARE_STATIC_KEY_FALSE(kvm_sept_emul_key);

void kvm_sept_emul_module_init(void);
void kvm_sept_emul_module_exit(void);
void kvm_sept_emul_init_vm(struct kvm *kvm);
void kvm_sept_emul_destroy_vm(struct kvm *kvm);
void kvm_sept_emul_create_debugfs(struct kvm *kvm);
int kvm_sept_emul_create_memslot(struct kvm *kvm, struct kvm_memory_slot *slot);
void kvm_sept_emul_free_memslot(struct kvm_memory_slot *slot);
bool kvm_sept_emul_has_slot(const struct kvm_memory_slot *slot);

void __kvm_sept_emul_changed_spte(struct kvm *kvm, u64 gfn, u64 old_spte,
				  u64 new_spte, int level);
bool __kvm_sept_emul_aug_busy(struct kvm *kvm, const struct tdp_iter *iter,
			      u64 new_spte);
int __kvm_sept_emul_demote(struct kvm *kvm, const struct tdp_iter *iter,
			   bool shared);
bool __kvm_sept_emul_remove(struct kvm *kvm, const struct kvm_gfn_range *range,
			    const struct tdp_iter *iter);
void __kvm_sept_emul_unmapped(struct kvm *kvm,
			      const struct kvm_gfn_range *range);
void __kvm_sept_emul_adjust_level(struct kvm *kvm, struct kvm_page_fault *fault,
				  const struct tdp_iter *iter);
int __kvm_sept_emul_check_access(struct kvm_vcpu *vcpu,
				 const struct kvm_page_fault *fault);

static inline void kvm_sept_emul_changed_spte(struct kvm *kvm, u64 gfn,
					      u64 old_spte, u64 new_spte,
					      int level)
{
	if (static_branch_unlikely(&kvm_sept_emul_key))
		__kvm_sept_emul_changed_spte(kvm, gfn, old_spte, new_spte,
					     level);
}

static inline bool kvm_sept_emul_aug_busy(struct kvm *kvm,
					  const struct tdp_iter *iter,
					  u64 new_spte)
{
	return static_branch_unlikely(&kvm_sept_emul_key) &&
	       __kvm_sept_emul_aug_busy(kvm, iter, new_spte);
}

static inline int kvm_sept_emul_demote(struct kvm *kvm,
				       const struct tdp_iter *iter, bool shared)
{
	return static_branch_unlikely(&kvm_sept_emul_key) ?
	       __kvm_sept_emul_demote(kvm, iter, shared) : 0;
}

static inline bool kvm_sept_emul_remove(struct kvm *kvm,
					const struct kvm_gfn_range *range,
					const struct tdp_iter *iter)
{
	return static_branch_unlikely(&kvm_sept_emul_key) &&
	       __kvm_sept_emul_remove(kvm, range, iter);
}

static inline void kvm_sept_emul_unmapped(struct kvm *kvm,
					  const struct kvm_gfn_range *range)
{
	if (static_branch_unlikely(&kvm_sept_emul_key))
		__kvm_sept_emul_unmapped(kvm, range);
}

static inline void kvm_sept_emul_adjust_level(struct kvm *kvm,
					      struct kvm_page_fault *fault,
					      const struct tdp_iter *iter)
{
	if (static_branch_unlikely(&kvm_sept_emul_key))
		__kvm_sept_emul_adjust_level(kvm, fault, iter);
}

static inline int kvm_sept_emul_check_access(struct kvm_vcpu *vcpu,
					     const struct kvm_page_fault *fault)
{
	return static_branch_unlikely(&kvm_sept_emul_key) ?
	       __kvm_sept_emul_check_access(vcpu, fault) : 0;
}
#else
struct kvm_sept_emul {
};

struct kvm_sept_emul_slot {
};

static inline void kvm_sept_emul_module_init(void)
{
}

static inline void kvm_sept_emul_module_exit(void)
{
}

static inline void kvm_sept_emul_init_vm(struct kvm *kvm)
{
}

static inline void kvm_sept_emul_destroy_vm(struct kvm *kvm)
{
}

static inline void kvm_sept_emul_create_debugfs(struct kvm *kvm)
{
}

static inline int kvm_sept_emul_create_memslot(struct kvm *kvm,
					       struct kvm_memory_slot *slot)
{
	return 0;
}

static inline void kvm_sept_emul_free_memslot(struct kvm_memory_slot *slot)
{
}

static inline bool kvm_sept_emul_has_slot(const struct kvm_memory_slot *slot)
{
	return false;
}

static inline void kvm_sept_emul_changed_spte(struct kvm *kvm, u64 gfn,
					      u64 old_spte, u64 new_spte,
					      int level)
{
}

static inline bool kvm_sept_emul_aug_busy(struct kvm *kvm,
					  const struct tdp_iter *iter,
					  u64 new_spte)
{
	return false;
}

static inline int kvm_sept_emul_demote(struct kvm *kvm,
				       const struct tdp_iter *iter, bool shared)
{
	return 0;
}

static inline bool kvm_sept_emul_remove(struct kvm *kvm,
					const struct kvm_gfn_range *range,
					const struct tdp_iter *iter)
{
	return false;
}

static inline void kvm_sept_emul_unmapped(struct kvm *kvm,
					  const struct kvm_gfn_range *range)
{
}

static inline void kvm_sept_emul_adjust_level(struct kvm *kvm,
					      struct kvm_page_fault *fault,
					      const struct tdp_iter *iter)
{
}

static inline int kvm_sept_emul_check_access(struct kvm_vcpu *vcpu,
					     const struct kvm_page_fault *fault)
{
	return 0;
}
#endif /* CONFIG_KVM_SEPT_EMUL */

#endif /* _ASM_X86_KVM_SEPT_EMUL_H */
