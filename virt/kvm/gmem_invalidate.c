// SPDX-License-Identifier: GPL-2.0-only
/*
 * Those who map or use memory of a guest_memfd, and how it is taken from them
 *
 * The VM that the file is bound to is one of them, and other users in the kernel
 * register as consumers.  Memory changes hands in two steps:
 *
 *	prepare	may fail: KVM turns away faults in all extents concerned and splits
 *		the leaves of stage 2 over the ends of the range; each consumer
 *		agrees, and takes nothing from then on
 *	unmap	cannot fail: the range, and not a page more, is taken away
 *
 * followed by the end of what prepare began.  A prepare that fails, here or
 * elsewhere, has the same end, without unmapping anything.
 *
 * Who cannot do what it promised, because of a bug in the kernel or in firmware
 * that owns stage 2, reports the pages.  Those are poisoned and not used again.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/pagemap.h>

#include "gmem_internal.h"
#include "kvm_mm.h"

static gfn_t slot_gfn(const struct kvm_memory_slot *slot, pgoff_t index)
{
	return slot->base_gfn + index - slot->gmem.pgoff;
}

/* The part of @range that is in @slot; never empty. */
static struct kvm_gmem_range clip_to_slot(const struct kvm_memory_slot *slot,
					  const struct kvm_gmem_range *range)
{
	return (struct kvm_gmem_range){
		.start = max(range->start, slot->gmem.pgoff),
		.end = min(range->end, slot->gmem.pgoff + slot->npages),
	};
}

/*
 * KVM chose the size of a mapping before it took mmu_lock.  Turn away every
 * fault in an extent of which a part changes, not just in that part.
 */
static void begin_gfns(struct kvm *kvm, gfn_t start, gfn_t end)
{
	gfn_t nr = 1UL << HUGETLB_GMEM_MAX_ORDER;

	KVM_MMU_LOCK(kvm);
	kvm_mmu_invalidate_start(kvm);
	kvm_mmu_invalidate_range_add(kvm, round_down(start, nr),
				     round_up(end, nr));
	KVM_MMU_UNLOCK(kvm);
}

static void end_gfns(struct kvm *kvm)
{
	KVM_MMU_LOCK(kvm);
	kvm_mmu_invalidate_end(kvm);
	KVM_MMU_UNLOCK(kvm);
}

static int begin_slot(struct kvm *kvm, struct kvm_memory_slot *slot, void *arg)
{
	struct kvm_gmem_range part = clip_to_slot(slot, arg);

	begin_gfns(kvm, slot_gfn(slot, part.start), slot_gfn(slot, part.end));
	return 0;
}

static int end_slot(struct kvm *kvm, struct kvm_memory_slot *slot, void *arg)
{
	end_gfns(kvm);
	return 0;
}

/* Bindings are stable while the invalidate_lock is held. */
static void turn_faults_away(struct inode *inode, struct kvm_gmem_range *range)
{
	kvm_gmem_walk_bindings(inode, range->start, range->end, begin_slot,
			       range);
}

/**
 * kvm_gmem_finish_stage2 - let KVM map the range again
 * @inode: the guest_memfd
 * @range: as for kvm_gmem_prepare_stage2()
 */
void kvm_gmem_finish_stage2(struct inode *inode, struct kvm_gmem_range *range)
{
	kvm_gmem_walk_bindings(inode, range->start, range->end, end_slot,
			       range);
}

/* @arg is the index in the file; at an end of the slot there is no leaf. */
static int split_slot(struct kvm *kvm, struct kvm_memory_slot *slot, void *arg)
{
	pgoff_t index = *(pgoff_t *)arg;

	return index == slot->gmem.pgoff ? 0 :
	       kvm_arch_gmem_split(kvm, slot, slot_gfn(slot, index));
}

static int split_at(struct inode *inode, pgoff_t index)
{
	if (index == i_size_read(inode) >> PAGE_SHIFT)
		return 0;

	return kvm_gmem_walk_bindings(inode, index, index + 1, split_slot,
				      &index);
}

/**
 * kvm_gmem_prepare_stage2 - have KVM ready for a range to be unmapped
 * @inode: the guest_memfd
 * @range: the range
 * @error_index: out with an error, the page at whose side a leaf is too large
 *
 * Only the two ends are looked at, however large the range is.
 *
 * Context: invalidate_lock held exclusively until kvm_gmem_finish_stage2().
 *
 * Return: 0; or -ENOMEM or -EBUSY, when nothing is left to be finished.
 */
int kvm_gmem_prepare_stage2(struct inode *inode, struct kvm_gmem_range *range,
			    pgoff_t *error_index)
{
	int ret;

	turn_faults_away(inode, range);

	*error_index = range->start;
	ret = split_at(inode, range->start);
	if (!ret) {
		*error_index = range->end - 1;
		ret = split_at(inode, range->end);
	}

	if (ret)
		kvm_gmem_finish_stage2(inode, range);
	return ret;
}

static int unmap_slot(struct kvm *kvm, struct kvm_memory_slot *slot, void *arg)
{
	struct kvm_gmem_range part = clip_to_slot(slot, arg);
	struct kvm_gfn_range gfns = {
		.slot = slot,
		.start = slot_gfn(slot, part.start),
		.end = slot_gfn(slot, part.end),
		.attr_filter = KVM_FILTER_SHARED | KVM_FILTER_PRIVATE,
		.may_block = true,
	};

	KVM_MMU_LOCK(kvm);
	if (kvm_mmu_unmap_gfn_range(kvm, &gfns))
		kvm_flush_remote_tlbs(kvm);
	KVM_MMU_UNLOCK(kvm);
	return 0;
}

/**
 * kvm_gmem_unmap_stage2 - unmap a part of what is prepared
 * @inode: the guest_memfd
 * @range: the part, which ends where leaves end, see kvm_gmem_prepare_stage2()
 */
void kvm_gmem_unmap_stage2(struct inode *inode, struct kvm_gmem_range *range)
{
	kvm_gmem_walk_bindings(inode, range->start, range->end, unmap_slot,
			       range);
}

#if defined(CONFIG_KVM_GUEST_MEMFD_HUGETLB_DEBUG) && defined(CONFIG_DEBUG_VM)
#define FULL_CHECK_INTERVAL	256

struct stage2_check {
	struct inode		*inode;
	struct kvm_gmem_range	range;
};

static int check_slot(struct kvm *kvm, struct kvm_memory_slot *slot, void *arg)
{
	struct stage2_check *check = arg;
	struct kvm_gmem_range part = clip_to_slot(slot, &check->range);

	kvm_arch_gmem_check(kvm, slot, check->inode, slot_gfn(slot, part.start),
			    slot_gfn(slot, part.end));
	return 0;
}

static void check_range(struct inode *inode, pgoff_t start, pgoff_t end)
{
	struct stage2_check check = { inode, { start, end } };

	kvm_gmem_walk_bindings(inode, start, end, check_slot, &check);
	cond_resched();
}

/**
 * kvm_gmem_check_stage2 - check stage 2 after a conversion
 * @inode: the guest_memfd
 * @ranges: what the conversion concerned
 * @nr: number of @ranges
 *
 * Now and then all of the file is checked.
 */
void kvm_gmem_check_stage2(struct inode *inode,
			   const struct kvm_gmem_range *ranges,
			   unsigned long nr)
{
	static atomic_t nr_checks;
	unsigned long i;

	for (i = 0; i < nr; i++)
		check_range(inode,
			    round_down(ranges[i].start,
				       HUGETLB_GMEM_BLOCK_PAGES),
			    round_up(ranges[i].end, HUGETLB_GMEM_BLOCK_PAGES));
	if (!(atomic_inc_return(&nr_checks) % FULL_CHECK_INTERVAL))
		check_range(inode, 0, i_size_read(inode) >> PAGE_SHIFT);
}
#else
void kvm_gmem_check_stage2(struct inode *inode,
			   const struct kvm_gmem_range *ranges,
			   unsigned long nr)
{
}
#endif

/*
 * The same for attributes that are the VM's.  The caller unmaps and stores them,
 * under slots_lock, which keeps the memslots as they are, but not files open: what
 * is begun and ended must not depend on them.
 *
 * Return the memslot on HugeTLB pages in which a leaf may be on both sides of @gfn.
 */
static struct kvm_memory_slot *hugetlb_slot_around(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_memory_slot *slot = gfn_to_memslot(kvm, gfn);

	return slot && kvm_gmem_slot_is_hugetlb(slot) && gfn > slot->base_gfn ?
	       slot : NULL;
}

/* With nothing to be split, KVM needs no help. */
static bool may_split(struct kvm *kvm, gfn_t start, gfn_t end)
{
	return hugetlb_slot_around(kvm, start) || hugetlb_slot_around(kvm, end);
}

static int split_gfn(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_memory_slot *slot = hugetlb_slot_around(kvm, gfn);

	return slot ? kvm_arch_gmem_split(kvm, slot, gfn) : 0;
}

/**
 * kvm_gmem_prepare_vm_attributes - have KVM ready for attributes to change
 * @kvm: the VM
 * @start: first gfn
 * @end: gfn after the last
 *
 * Context: slots_lock held until kvm_gmem_finish_vm_attributes().
 *
 * Return: 0; or -ENOMEM or -EBUSY, when nothing is left to be finished.
 */
int kvm_gmem_prepare_vm_attributes(struct kvm *kvm, u64 start, u64 end)
{
	int ret;

	if (!may_split(kvm, start, end))
		return 0;

	begin_gfns(kvm, start, end);
	ret = split_gfn(kvm, start) ?: split_gfn(kvm, end);
	if (ret)
		end_gfns(kvm);
	return ret;
}

/**
 * kvm_gmem_finish_vm_attributes - let KVM map the gfns again
 * @kvm: the VM
 * @start: as for kvm_gmem_prepare_vm_attributes(), which succeeded
 * @end: likewise
 */
void kvm_gmem_finish_vm_attributes(struct kvm *kvm, u64 start, u64 end)
{
	if (may_split(kvm, start, end))
		end_gfns(kvm);
}

/**
 * kvm_gmem_register_consumer - be told before memory of a guest_memfd goes
 * @file: the guest_memfd
 * @consumer: filled with its operations
 *
 * The memory, not @file, stays until kvm_gmem_unregister_consumer().  Files without
 * GUEST_MEMFD_FLAG_HUGETLB have no consumers: holes in them are made unasked.
 *
 * Return: 0; -EINVAL if @file is no such guest_memfd, or an operation is missing.
 */
int kvm_gmem_register_consumer(struct file *file,
			       struct kvm_gmem_consumer *consumer)
{
	const struct kvm_gmem_consumer_ops *ops = consumer->ops;
	struct inode *inode = file_inode(file);

	if (file->f_op->unlocked_ioctl != kvm_gmem_ioctl ||
	    !kvm_gmem_is_hugetlb(inode) || !ops->prepare_invalidate ||
	    !ops->abort_invalidate || !ops->invalidate)
		return -EINVAL;

	ihold(inode);
	consumer->inode = inode;
	filemap_invalidate_lock(inode->i_mapping);
	list_add_tail(&consumer->list, &kvm_gmem_state(inode)->consumers);
	filemap_invalidate_unlock(inode->i_mapping);
	return 0;
}
EXPORT_SYMBOL_GPL(kvm_gmem_register_consumer);

/**
 * kvm_gmem_unregister_consumer - be told no more
 * @consumer: the consumer, which uses no memory of the file any more
 *
 * No operation is running, nor will run, when this returns.
 */
void kvm_gmem_unregister_consumer(struct kvm_gmem_consumer *consumer)
{
	struct inode *inode = consumer->inode;

	filemap_invalidate_lock(inode->i_mapping);
	list_del(&consumer->list);
	filemap_invalidate_unlock(inode->i_mapping);
	iput(inode);
}
EXPORT_SYMBOL_GPL(kvm_gmem_unregister_consumer);

static void abort_consumers(struct inode *inode, struct kvm_gmem_consumer *from,
			    pgoff_t start, pgoff_t end)
{
	struct list_head *consumers = &kvm_gmem_state(inode)->consumers;
	struct kvm_gmem_consumer *consumer = from;

	list_for_each_entry_continue_reverse(consumer, consumers, list)
		consumer->ops->abort_invalidate(consumer, start, end);
}

/**
 * kvm_gmem_prepare_consumers - ask all consumers whether a range may go
 * @inode: the guest_memfd
 * @range: the range
 *
 * Context: invalidate_lock held exclusively until either of the next two.
 *
 * Return: 0, or what the first one that refuses says; nobody is left prepared.
 */
int kvm_gmem_prepare_consumers(struct inode *inode,
			       const struct kvm_gmem_range *range)
{
	struct kvm_gmem_consumer *consumer;
	int ret;

	list_for_each_entry(consumer, &kvm_gmem_state(inode)->consumers, list) {
		ret = consumer->ops->prepare_invalidate(consumer, range->start,
							range->end);
		if (ret) {
			abort_consumers(inode, consumer, range->start,
					range->end);
			return ret;
		}
	}
	return 0;
}

/**
 * kvm_gmem_abort_consumers - tell all consumers that a range stays
 * @inode: the guest_memfd
 * @range: as for kvm_gmem_prepare_consumers(), which succeeded
 */
void kvm_gmem_abort_consumers(struct inode *inode,
			      const struct kvm_gmem_range *range)
{
	struct kvm_gmem_consumer *head =
		list_entry(&kvm_gmem_state(inode)->consumers,
			   struct kvm_gmem_consumer, list);

	abort_consumers(inode, head, range->start, range->end);
}

/**
 * kvm_gmem_unmap_consumers - take a range from all consumers
 * @inode: the guest_memfd
 * @range: as for kvm_gmem_prepare_consumers(), which succeeded
 */
void kvm_gmem_unmap_consumers(struct inode *inode,
			      const struct kvm_gmem_range *range)
{
	struct kvm_gmem_consumer *consumer;

	list_for_each_entry(consumer, &kvm_gmem_state(inode)->consumers, list)
		consumer->ops->invalidate(consumer, range->start, range->end);
}

/**
 * kvm_gmem_force_unmap - unmap at any price
 * @inode: the guest_memfd
 * @range: the range
 *
 * A leaf of stage 2 over an end of the range goes as a whole: not for what a guest
 * has accepted, unless it is lost anyway.  A consumer that refuses is left alone.
 *
 * Context: invalidate_lock held exclusively.
 */
void kvm_gmem_force_unmap(struct inode *inode, struct kvm_gmem_range *range)
{
	struct kvm_gmem_consumer *consumer;

	turn_faults_away(inode, range);
	kvm_gmem_unmap_stage2(inode, range);
	list_for_each_entry(consumer, &kvm_gmem_state(inode)->consumers, list) {
		if (consumer->ops->prepare_invalidate(consumer, range->start,
						      range->end))
			pr_warn("guest_memfd: %ps keeps pages from index %lu on\n",
				consumer->ops, range->start);
		else
			consumer->ops->invalidate(consumer, range->start,
						  range->end);
	}
	kvm_gmem_finish_stage2(inode, range);
}

/**
 * kvm_gmem_unmap_failed - report pages that their user cannot let go
 * @inode: the guest_memfd
 * @start: first page
 * @end: page after the last
 *
 * Which is a bug of that user.  The pages are poisoned: nobody else gets them,
 * and they never go back to a pool.
 *
 * Context: any that may not sleep; from an unmapping that cannot fail.
 */
void kvm_gmem_unmap_failed(struct inode *inode, pgoff_t start, pgoff_t end)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_hugetlb(inode);
	struct folio *folio;

	if (hugetlb) {
		hugetlb_gmem_poison(hugetlb, start, end);
		return;
	}

	for (; start < end; start++) {
		folio = filemap_get_folio(inode->i_mapping, start);
		if (IS_ERR(folio))
			continue;
		folio_set_hwpoison(folio);
		folio_put(folio);
	}
}
EXPORT_SYMBOL_GPL(kvm_gmem_unmap_failed);
