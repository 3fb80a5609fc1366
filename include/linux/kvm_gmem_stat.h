/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Statistics of a VM on conversions of its guest_memfds, for struct
 * kvm_vm_stat_generic and its descriptors
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#ifndef __LINUX_KVM_GMEM_STAT_H
#define __LINUX_KVM_GMEM_STAT_H

#ifdef CONFIG_KVM_GUEST_MEMFD_HUGETLB
#define KVM_GMEM_HIST_COUNT	40	/* log2 of nanoseconds */

#define KVM_GMEM_VM_STATS						\
	u64 gmem_splits;						\
	u64 gmem_merges;						\
	u64 gmem_converts;						\
	u64 gmem_convert_eagain;					\
	u64 gmem_convert_enomem;					\
	u64 gmem_convert_ns[KVM_GMEM_HIST_COUNT];

#define KVM_GMEM_VM_STATS_DESC						\
	STATS_DESC_COUNTER(VM_GENERIC, gmem_splits),			\
	STATS_DESC_COUNTER(VM_GENERIC, gmem_merges),			\
	STATS_DESC_COUNTER(VM_GENERIC, gmem_converts),			\
	STATS_DESC_COUNTER(VM_GENERIC, gmem_convert_eagain),		\
	STATS_DESC_COUNTER(VM_GENERIC, gmem_convert_enomem),		\
	STATS_DESC_LOGHIST_TIME_NSEC(VM_GENERIC, gmem_convert_ns,	\
				     KVM_GMEM_HIST_COUNT),
#else
#define KVM_GMEM_VM_STATS
#define KVM_GMEM_VM_STATS_DESC
#endif

#endif /* __LINUX_KVM_GMEM_STAT_H */
