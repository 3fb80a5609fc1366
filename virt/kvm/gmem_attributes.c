// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages of a guest_memfd are private, as a property of the file
 *
 * With kvm.vm_memory_attributes=0 each guest_memfd inode has a maple tree with
 * an entry for each range of one attribute.  It always covers the whole file.
 * Writers hold the invalidate_lock exclusively.  Readers hold it shared if they
 * go on to use a page; KVM's page faults read under RCU and rely on the
 * invalidation that surrounds each change.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/uaccess.h>

#include "gmem_internal.h"

bool vm_memory_attributes = true;
EXPORT_SYMBOL_FOR_KVM_INTERNAL(vm_memory_attributes);
module_param(vm_memory_attributes, bool, 0444);
MODULE_PARM_DESC(vm_memory_attributes,
		 "Memory attributes belong to the VM, not to its guest_memfds");

void *kvm_gmem_attribute_entry(bool to_private)
{
	return xa_mk_value(to_private);
}

int kvm_gmem_init_attributes(struct inode *inode)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);
	bool to_private = !(state->flags & GUEST_MEMFD_FLAG_INIT_SHARED);
	pgoff_t last = (i_size_read(inode) >> PAGE_SHIFT) - 1;
	struct ma_state mas;
	int ret;

	/*
	 * MT_FLAGS_ALLOC_RANGE for its kind of nodes.  Of the others, a full one
	 * has a child where mt_clear_meta() clears metadata before the tree is
	 * freed after a grace period.
	 */
	mt_init_flags(&state->attributes,
		      MT_FLAGS_ALLOC_RANGE | MT_FLAGS_LOCK_EXTERN |
		      MT_FLAGS_USE_RCU);
	mt_set_external_lock(&state->attributes,
			     &inode->i_mapping->invalidate_lock);

	mas_init(&mas, &state->attributes, 0);
	mas_set_range(&mas, 0, last);

	filemap_invalidate_lock(inode->i_mapping);
	ret = hugetlb_gmem_should_fail() ? -ENOMEM :
	      mas_store_gfp(&mas, kvm_gmem_attribute_entry(to_private),
			    GFP_KERNEL_ACCOUNT);
	filemap_invalidate_unlock(inode->i_mapping);
	return ret;
}

void kvm_gmem_destroy_attributes(struct inode *inode)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);

	if (!state->attributes.ma_flags)
		return;

	filemap_invalidate_lock(inode->i_mapping);
	__mt_destroy(&state->attributes);
	filemap_invalidate_unlock(inode->i_mapping);
}

/**
 * kvm_gmem_attribute_private - is a page of a guest_memfd private?
 * @inode: the guest_memfd
 * @index: offset in the file, in pages
 * @last: out, last page of a range of the same attribute; may be NULL
 *
 * Return: true if the page is private.
 */
bool kvm_gmem_attribute_private(struct inode *inode, pgoff_t index,
				pgoff_t *last)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);
	struct ma_state mas;
	void *entry;

	if (!kvm_gmem_has_attributes()) {
		if (last)
			*last = ULONG_MAX;
		return !(state->flags & GUEST_MEMFD_FLAG_INIT_SHARED);
	}

	mas_init(&mas, &state->attributes, index);
	scoped_guard(rcu) {
		entry = mas_walk(&mas);
		if (last)
			*last = mas.last;
	}
	return entry && xa_to_value(entry);
}

static pgoff_t slot_index(const struct kvm_memory_slot *slot, gfn_t gfn)
{
	return gfn - slot->base_gfn + slot->gmem.pgoff;
}

/* The file of a slot; the caller puts it.  Closing clears the pointer. */
static struct file *get_slot_file(const struct kvm_memory_slot *slot)
{
	struct kvm_memory_slot *s = (struct kvm_memory_slot *)slot;

	return s && kvm_slot_has_gmem(s) ? get_file_active(&s->gmem.file) : NULL;
}

static void put_slot_file(struct file *file)
{
	if (file)
		fput(file);
}

DEFINE_CLASS(gmem_slot_file, struct file *, put_slot_file(_T), get_slot_file(slot),
	     const struct kvm_memory_slot *slot);

/**
 * kvm_gmem_get_memory_attributes - attributes of a gfn, from its guest_memfd
 * @kvm: the VM
 * @gfn: the gfn
 *
 * Context: kvm->srcu or slots_lock held.
 *
 * Return: KVM_MEMORY_ATTRIBUTE_*.
 */
unsigned long kvm_gmem_get_memory_attributes(struct kvm *kvm, u64 gfn)
{
	struct kvm_memory_slot *slot;

	if (!kvm_arch_has_private_mem(kvm))
		return 0;

	slot = gfn_to_memslot(kvm, gfn);
	CLASS(gmem_slot_file, file)(slot);
	/* A file that is being closed: what is not private could be mapped. */
	if (!file)
		return slot && kvm_slot_has_gmem(slot) ?
		       KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;

	return kvm_gmem_attribute_private(file_inode(file),
					  slot_index(slot, gfn), NULL) ?
	       KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_gmem_get_memory_attributes);

/**
 * kvm_gmem_range_has_memory_attributes - have all gfns these attributes?
 * @kvm: the VM
 * @start: first gfn
 * @end: gfn after the last
 * @attributes: KVM_MEMORY_ATTRIBUTE_*
 *
 * Return: true if all have.
 */
bool kvm_gmem_range_has_memory_attributes(struct kvm *kvm, u64 start, u64 end,
					  unsigned long attributes)
{
	for (; start < end; start++) {
		if (kvm_gmem_get_memory_attributes(kvm, start) != attributes)
			return false;
	}
	return true;
}

/**
 * kvm_gmem_range_is_uniform - may one mapping cover all these gfns?
 * @slot: the memslot
 * @gfn: first gfn, in @slot
 * @nr_pages: number of gfns
 *
 * Return: true if all have the same attributes.
 */
bool kvm_gmem_range_is_uniform(const struct kvm_memory_slot *slot, u64 gfn,
			       unsigned long nr_pages)
{
	pgoff_t index = slot_index(slot, gfn), last;

	CLASS(gmem_slot_file, file)(slot);
	if (!file)
		return true;

	kvm_gmem_attribute_private(file_inode(file), index, &last);
	return last >= index + nr_pages - 1;
}

/**
 * kvm_gmem_slot_is_hugetlb - is a memslot bound to HugeTLB pages?
 * @slot: the memslot, possibly one that is being created
 *
 * Return: true if so; also if the file has been closed since.
 */
bool kvm_gmem_slot_is_hugetlb(const struct kvm_memory_slot *slot)
{
	return slot->flags & KVM_MEMSLOT_GMEM_HUGETLB;
}

/**
 * kvm_gmem_slot_is_open - is the file of a memslot open?
 * @slot: the memslot, with a guest_memfd
 *
 * Return: false if the file is being closed, or the memslot being deleted.
 */
bool kvm_gmem_slot_is_open(const struct kvm_memory_slot *slot)
{
	CLASS(gmem_slot_file, file)(slot);

	return file;
}

/**
 * kvm_gmem_slot_is_private - is a gfn private, as its memslot's file has it?
 * @slot: the memslot, with a guest_memfd
 * @gfn: the gfn, in @slot
 *
 * Return: true if so; false also if the file is being closed.
 */
bool kvm_gmem_slot_is_private(const struct kvm_memory_slot *slot, u64 gfn)
{
	CLASS(gmem_slot_file, file)(slot);

	return file && kvm_gmem_attribute_private(file_inode(file),
						  slot_index(slot, gfn), NULL);
}

/**
 * kvm_gmem_slot_unmap_failed - kvm_gmem_unmap_failed() for gfns
 * @slot: the memslot
 * @gfn: first gfn, in @slot
 * @nr_pages: number of gfns
 *
 * Return: false if the file is being closed, and its pages may be gone.
 */
bool kvm_gmem_slot_unmap_failed(const struct kvm_memory_slot *slot, u64 gfn,
				unsigned long nr_pages)
{
	pgoff_t index = slot_index(slot, gfn);

	CLASS(gmem_slot_file, file)(slot);
	if (!file)
		return false;

	kvm_gmem_unmap_failed(file_inode(file), index, index + nr_pages);
	return true;
}

/**
 * kvm_gmem_supports_hugetlb - is GUEST_MEMFD_FLAG_HUGETLB available?
 * @kvm: the VM, or NULL for what any VM may support
 *
 * Return: true if so.
 */
bool kvm_gmem_supports_hugetlb(struct kvm *kvm)
{
	return !kvm || kvm_arch_supports_gmem_hugetlb(kvm);
}

/**
 * kvm_gmem_supported_attributes - KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES
 * @kvm: the VM, or NULL for what any VM may support
 *
 * Return: KVM_MEMORY_ATTRIBUTE_*, or 0.
 */
u64 kvm_gmem_supported_attributes(struct kvm *kvm)
{
	if (vm_memory_attributes)
		return 0;

	return !kvm || kvm_arch_supports_gmem_attributes(kvm) ?
	       KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

/**
 * kvm_gmem_supported_content_flags - KVM_CAP_MEMORY_ATTRIBUTES2_FLAGS
 * @kvm: the VM, or NULL for what any VM may support
 *
 * Return: KVM_SET_MEMORY_ATTRIBUTES2_*, or 0.
 */
u64 kvm_gmem_supported_content_flags(struct kvm *kvm)
{
	if (!kvm_gmem_supported_attributes(kvm))
		return 0;

	return KVM_SET_MEMORY_ATTRIBUTES2_ZERO |
	       KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE;
}

static bool range_valid(struct inode *inode,
			const struct kvm_memory_attributes2 *attrs)
{
	return PAGE_ALIGNED(attrs->offset) && PAGE_ALIGNED(attrs->size) &&
	       attrs->size && attrs->offset + attrs->size > attrs->offset &&
	       attrs->offset + attrs->size <= i_size_read(inode);
}

static bool flags_valid(const struct kvm_memory_attributes2 *attrs)
{
	if (attrs->flags & ~(KVM_SET_MEMORY_ATTRIBUTES2_ZERO |
			     KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE))
		return false;

	/* At most one of the two, and to be zeroed is what is to be shared. */
	return !(attrs->flags & KVM_SET_MEMORY_ATTRIBUTES2_ZERO) ||
	       (attrs->flags == KVM_SET_MEMORY_ATTRIBUTES2_ZERO &&
		!(attrs->attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE));
}

static int check_attributes2(struct kvm *kvm, struct inode *inode,
			     const struct kvm_memory_attributes2 *attrs)
{
	u64 supported = kvm_gmem_supported_attributes(kvm);

	if (!supported || attrs->attributes & ~supported ||
	    !range_valid(inode, attrs) || !flags_valid(attrs) ||
	    memchr_inv(attrs->reserved, 0, sizeof(attrs->reserved)))
		return -EINVAL;

	/* Shared memory that is not in the file cannot be given contents. */
	if (attrs->flags &&
	    (attrs->flags & ~kvm_gmem_supported_content_flags(kvm) ||
	     !(kvm_gmem_state(inode)->flags & GUEST_MEMFD_FLAG_MMAP)))
		return -EOPNOTSUPP;

	if (kvm->mm != current->mm || kvm->vm_dead)
		return -EIO;

	return 0;
}

static long set_attributes2(struct file *file,
			    struct kvm_memory_attributes2 __user *uattrs)
{
	struct kvm *kvm = kvm_gmem_file_kvm(file);
	struct inode *inode = file_inode(file);
	struct kvm_memory_attributes2 attrs;
	u64 start_ns = ktime_get_ns();
	pgoff_t start, error_index;
	int ret;

	if (!kvm_gmem_has_attributes())
		return -ENOTTY;
	if (copy_from_user(&attrs, uattrs, sizeof(attrs)))
		return -EFAULT;

	ret = check_attributes2(kvm, inode, &attrs);
	if (ret)
		return ret;

	start = attrs.offset >> PAGE_SHIFT;
	ret = kvm_gmem_convert(inode, start, start + (attrs.size >> PAGE_SHIFT),
			       attrs.attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE,
			       attrs.flags, &error_index);
	kvm_gmem_count_convert(kvm, inode, ret, error_index,
			       ktime_get_ns() - start_ns);
	if (ret && put_user((u64)error_index << PAGE_SHIFT,
			    &uattrs->error_offset))
		return -EFAULT;
	return ret;
}

long kvm_gmem_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	switch (ioctl) {
	case KVM_SET_MEMORY_ATTRIBUTES2:
		return set_attributes2(file, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}
