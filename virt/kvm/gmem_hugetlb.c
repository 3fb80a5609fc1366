// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_memfd on HugeTLB pages
 *
 * Who maps a page looks at its extent under the invalidate_lock, shared, and
 * takes a reference to the folio, or for the host maps it, before letting go.
 * Layouts and attributes change under the exclusive lock alone, so no folio lock
 * is needed.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "gmem_internal.h"

#define SPLIT_ATTEMPTS	10
#define POISON_ATTEMPTS	100
#define POISON_RETRY_MS	10

/**
 * kvm_gmem_check_create - check what KVM_CREATE_GUEST_MEMFD has for HugeTLB
 * @args: from userspace; flags are supported ones
 *
 * Return: 0 or -EINVAL.
 */
int kvm_gmem_check_create(const struct kvm_create_guest_memfd *args)
{
	if (!(args->flags & GUEST_MEMFD_FLAG_HUGETLB))
		return 0;

	if (!hugetlb_gmem_valid_order(args->page_order) ||
	    !IS_ALIGNED(args->size, PAGE_SIZE << args->page_order) ||
	    memchr_inv(args->pad, 0, sizeof(args->pad)) ||
	    memchr_inv(args->reserved, 0, sizeof(args->reserved)))
		return -EINVAL;

	return 0;
}

/**
 * kvm_gmem_hugetlb - the HugeTLB side of a guest_memfd
 * @inode: the guest_memfd
 *
 * Return: what mm/hugetlb_gmem.c has of it, NULL without HugeTLB pages.
 */
struct hugetlb_gmem *kvm_gmem_hugetlb(struct inode *inode)
{
	return kvm_gmem_state(inode)->hugetlb;
}

/* The folio lock waits for a host fault that looked before there was poison. */
static void unmap_host_page(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_lock_folio(mapping, index);

	unmap_mapping_pages(mapping, index, 1, false);
	if (!IS_ERR(folio)) {
		folio_unlock(folio);
		folio_put(folio);
	}
}

/* Take a page, and no other, from all who have it. */
static int unmap_page(struct address_space *mapping, pgoff_t index)
{
	struct kvm_gmem_range page = { index, index + 1 };
	struct inode *inode = mapping->host;
	pgoff_t error_index;
	int ret;

	guard(kvm_gmem_exclusive)(mapping);

	ret = kvm_gmem_prepare_stage2(inode, &page, &error_index);
	if (ret)
		return ret;
	ret = kvm_gmem_prepare_consumers(inode, &page);
	if (!ret) {
		kvm_gmem_unmap_stage2(inode, &page);
		kvm_gmem_unmap_consumers(inode, &page);
		unmap_host_page(mapping, index);
	}
	kvm_gmem_finish_stage2(inode, &page);
	return ret;
}

/*
 * A page is poisoned: nobody may keep it mapped.  If a leaf of stage 2 cannot be
 * split for want of memory, or a consumer refuses, wait; then rather unmap the
 * whole leaf, and leave that consumer alone.
 */
static void unmap_poisoned(struct address_space *mapping, pgoff_t index)
{
	struct kvm_gmem_range page = { index, index + 1 };
	unsigned int i;

	for (i = 0; i < POISON_ATTEMPTS; i++) {
		if (!unmap_page(mapping, index))
			return;
		msleep(POISON_RETRY_MS);
	}

	pr_warn("guest_memfd: unmapping more than the poisoned page at index %lu\n",
		index);
	guard(kvm_gmem_exclusive)(mapping);
	kvm_gmem_force_unmap(mapping->host, &page);
	unmap_host_page(mapping, index);
}

/*
 * The same with 4K pages.  memory_failure() holds the folio lock, for which host
 * faults wait under invalidate_lock, so it must not wait for the latter.
 */
struct deferred_error {
	struct llist_node	node;
	struct inode		*inode;
	pgoff_t			index;
};

static LLIST_HEAD(deferred_errors);

static void deferred_error_workfn(struct work_struct *work)
{
	struct deferred_error *error, *next;

	llist_for_each_entry_safe(error, next, llist_del_all(&deferred_errors),
				  node) {
		unmap_poisoned(error->inode->i_mapping, error->index);
		iput(error->inode);
		kfree(error);
	}
}

static DECLARE_WORK(deferred_error_work, deferred_error_workfn);

/**
 * kvm_gmem_defer_error - have a worker unmap a poisoned folio
 * @folio: the folio, locked, of a guest_memfd with 4K pages
 */
void kvm_gmem_defer_error(struct folio *folio)
{
	struct deferred_error *error;

	error = kmalloc_obj(*error, GFP_KERNEL | __GFP_NOFAIL);
	error->inode = igrab(folio->mapping->host);
	error->index = folio->index;
	/* A file that dies has no mappings left. */
	if (!error->inode)
		kfree(error);
	else if (llist_add(&error->node, &deferred_errors))
		schedule_work(&deferred_error_work);
}

/**
 * kvm_gmem_drain_errors - wait until no poison is on its way to a guest_memfd
 */
void kvm_gmem_drain_errors(void)
{
	hugetlb_gmem_drain();
	flush_work(&deferred_error_work);
}

/**
 * kvm_gmem_init_state - set up a new guest_memfd
 * @inode: the inode, with its size
 * @flags: GUEST_MEMFD_FLAG_*
 * @page_order: with GUEST_MEMFD_FLAG_HUGETLB, log2 of pages in a huge page
 *
 * Return: 0 or -ENOMEM; kvm_gmem_destroy_state() undoes either.
 */
int kvm_gmem_init_state(struct inode *inode, u64 flags, unsigned int page_order)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);
	struct hugetlb_gmem *hugetlb;

	state->flags = flags;
	INIT_LIST_HEAD(&state->consumers);
	if (flags & GUEST_MEMFD_FLAG_HUGETLB) {
		hugetlb = hugetlb_gmem_create(inode->i_mapping, page_order,
					      i_size_read(inode),
					      unmap_poisoned);
		if (IS_ERR(hugetlb))
			return PTR_ERR(hugetlb);
		state->hugetlb = hugetlb;
		state->page_order = page_order;
		kvm_gmem_init_merge(state);
	}

	return kvm_gmem_has_attributes() ? kvm_gmem_init_attributes(inode) : 0;
}

void kvm_gmem_destroy_state(struct inode *inode)
{
	struct kvm_gmem_state *state = kvm_gmem_state(inode);

	kvm_gmem_destroy_attributes(inode);
	if (state->hugetlb)
		hugetlb_gmem_destroy(state->hugetlb);
}

void kvm_gmem_evict_inode(struct inode *inode)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_state(inode)->hugetlb;

	if (hugetlb) {
		mapping_set_exiting(inode->i_mapping);
		kvm_gmem_stop_merge(kvm_gmem_state(inode));
		hugetlb_gmem_free_extents(hugetlb, 0,
					  i_size_read(inode) >> PAGE_SHIFT);
	}
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
}

static int fill_extent(struct inode *inode, struct hugetlb_gmem_extent *extent,
		       pgoff_t index)
{
	struct mempolicy *policy;
	int ret = 0;

	/* Memory is there if it could not be given back, see below. */
	if (!extent->page) {
		policy = kvm_gmem_lookup_policy(inode, index);
		ret = hugetlb_gmem_alloc_extent(extent, policy);
		mpol_cond_put(policy);
	}
	if (ret)
		return ret;

	ret = kvm_gmem_fit_layout(inode, extent);
	if (ret) {
		hugetlb_gmem_free_extents(extent->gmem, extent->index,
					  extent->index + (1UL << extent->order));
		return ret;
	}

	kvm_gmem_note_extent(inode, extent);
	/* Contents and layout before hugetlb_gmem_find_extent() finds it. */
	smp_store_release(&extent->ready, true);
	return 0;
}

/*
 * The extent at @index, with memory.  invalidate_lock is held, shared.  The
 * first fault in an extent makes the others wait, so that a file never needs
 * more pages than it has reserved.
 */
static struct hugetlb_gmem_extent *get_filled_extent(struct inode *inode,
						     pgoff_t index)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_state(inode)->hugetlb;
	struct hugetlb_gmem_extent *extent;
	int ret = 0;

	extent = hugetlb_gmem_find_extent(hugetlb, index);
	if (extent)
		return extent;

	extent = hugetlb_gmem_get_extent(hugetlb, index);
	if (IS_ERR(extent))
		return extent;

	scoped_guard(mutex, &extent->lock) {
		if (!extent->ready)
			ret = fill_extent(inode, extent, index);
	}
	return ret ? ERR_PTR(ret) : extent;
}

static bool page_poisoned(struct hugetlb_gmem_extent *extent, pgoff_t index)
{
	return hugetlb_gmem_find_poison(extent, index, index + 1) == index;
}

/*
 * The largest order KVM may map around @index: within the folio and the
 * memslot, with gfn and offset aligned alike, and without a poisoned page.
 */
static int mapping_order(struct hugetlb_gmem_extent *extent,
			 struct kvm_memory_slot *slot, gfn_t gfn, pgoff_t index)
{
	static const u8 orders[] = { 18, 9 };
	unsigned int order, i;
	pgoff_t first, nr;

	order = hugetlb_gmem_order(extent, index);
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		nr = 1UL << orders[i];
		first = round_down(index, nr);
		if (order >= orders[i] && !((gfn ^ index) & (nr - 1)) &&
		    first >= slot->gmem.pgoff &&
		    first + nr <= slot->gmem.pgoff + slot->npages &&
		    hugetlb_gmem_find_poison(extent, first, first + nr) ==
		    ULONG_MAX)
			return orders[i];
	}
	return 0;
}

/**
 * kvm_gmem_hugetlb_get_pfn - kvm_gmem_get_pfn() for HugeTLB pages
 * @slot: memslot of @gfn, bound to @inode
 * @inode: the guest_memfd
 * @gfn: the gfn
 * @index: its offset in the file, in pages
 * @pfn: out
 * @page: out, with a reference for the caller
 * @max_order: out, log2 of the pages that one mapping may cover
 *
 * Return: 0, -EHWPOISON, -ENOSPC or -ENOMEM.
 */
int kvm_gmem_hugetlb_get_pfn(struct kvm_memory_slot *slot, struct inode *inode,
			     gfn_t gfn, pgoff_t index, kvm_pfn_t *pfn,
			     struct page **page, int *max_order)
{
	struct hugetlb_gmem_extent *extent;
	int ret = 0;

	filemap_invalidate_lock_shared(inode->i_mapping);

	extent = get_filled_extent(inode, index);
	if (IS_ERR(extent)) {
		ret = PTR_ERR(extent);
	} else if (page_poisoned(extent, index)) {
		ret = -EHWPOISON;
	} else {
		*page = extent->page + (index - extent->index);
		*pfn = page_to_pfn(*page);
		*max_order = mapping_order(extent, slot, gfn, index);
		folio_get(page_folio(*page));
	}

	filemap_invalidate_unlock_shared(inode->i_mapping);
	return ret;
}

/* Returns -EFBIG if the page is not in a folio of its own. */
static int find_host_page(struct inode *inode, pgoff_t index,
			  struct page **page)
{
	struct hugetlb_gmem_extent *extent;

	if (kvm_gmem_attribute_private(inode, index, NULL))
		return -EACCES;

	extent = get_filled_extent(inode, index);
	if (IS_ERR(extent))
		return PTR_ERR(extent);
	if (page_poisoned(extent, index))
		return -EHWPOISON;

	*page = extent->page + (index - extent->index);
	return folio_test_large(page_folio(*page)) ? -EFBIG : 0;
}

static int map_host_page(struct inode *inode, struct vm_fault *vmf,
			 vm_fault_t *fault)
{
	struct page *page;
	int ret;

	filemap_invalidate_lock_shared(inode->i_mapping);
	ret = find_host_page(inode, vmf->pgoff, &page);
	if (!ret)
		*fault = hugetlb_gmem_map_page(vmf, page);
	filemap_invalidate_unlock_shared(inode->i_mapping);
	return ret;
}

/**
 * kvm_gmem_hugetlb_fault - a fault of the host in a mapping of the file
 * @vmf: the fault
 *
 * The host maps pages of 4K, each a folio.  The first fault in a shared block
 * that is a larger folio makes it small.
 *
 * Return: VM_FAULT_NOPAGE with the page mapped, or an error.
 */
vm_fault_t kvm_gmem_hugetlb_fault(struct vm_fault *vmf)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	unsigned int attempts;
	vm_fault_t fault;
	int ret;

	for (attempts = 0; attempts < SPLIT_ATTEMPTS; attempts++) {
		ret = map_host_page(inode, vmf, &fault);
		if (!ret)
			return fault;
		if (ret != -EFBIG)
			break;

		ret = kvm_gmem_split_block(inode, vmf->pgoff);
		if (ret && ret != -EAGAIN)
			break;
	}

	switch (ret) {
	case -EHWPOISON:
		return VM_FAULT_HWPOISON;
	case -EAGAIN:
	case -EBUSY:
	case 0:
		return VM_FAULT_OOM;
	default:
		return vmf_error(ret);
	}
}

/* Allocate every extent that the range touches. */
static long allocate(struct inode *inode, loff_t offset, loff_t len)
{
	pgoff_t nr = 1UL << kvm_gmem_state(inode)->page_order;
	pgoff_t index = round_down(offset >> PAGE_SHIFT, nr);
	pgoff_t end = (offset + len) >> PAGE_SHIFT;
	struct hugetlb_gmem_extent *extent;
	long ret = 0;

	if (offset + len > i_size_read(inode))
		return -EINVAL;

	for (; !ret && index < end; index += nr) {
		if (signal_pending(current))
			return -EINTR;

		/* Faults wait for a conversion that waits for this. */
		filemap_invalidate_lock_shared(inode->i_mapping);
		extent = get_filled_extent(inode, index);
		ret = PTR_ERR_OR_ZERO(extent);
		filemap_invalidate_unlock_shared(inode->i_mapping);
		cond_resched();
	}
	return ret;
}

/**
 * kvm_gmem_next_extent - step through the extents of a range
 * @inode: the guest_memfd, with HugeTLB pages
 * @index: in, where to look from; out, the end of the extent returned
 * @end: page after the last to look at
 *
 * Context: invalidate_lock held exclusively.
 *
 * Return: the next extent that has memory, NULL after the last.
 */
struct hugetlb_gmem_extent *kvm_gmem_next_extent(struct inode *inode,
						 pgoff_t *index, pgoff_t end)
{
	struct hugetlb_gmem *hugetlb = kvm_gmem_state(inode)->hugetlb;
	unsigned int order = kvm_gmem_state(inode)->page_order;
	struct hugetlb_gmem_extent *extent;
	unsigned long i = *index >> order;

	if (*index >= end)
		return NULL;

	extent = xa_find(&hugetlb->extents, &i, (end - 1) >> order, XA_PRESENT);
	while (extent && !extent->ready)
		extent = xa_find_after(&hugetlb->extents, &i,
				       (end - 1) >> order, XA_PRESENT);
	if (extent)
		*index = extent->index + (1UL << order);
	return extent;
}

/**
 * kvm_gmem_hugetlb_zero - zero pages of a range, as far as they have memory
 * @inode: the guest_memfd
 * @start: first page
 * @end: page after the last
 */
void kvm_gmem_hugetlb_zero(struct inode *inode, pgoff_t start, pgoff_t end)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t index = start;

	while ((extent = kvm_gmem_next_extent(inode, &index, end)))
		hugetlb_gmem_zero(extent, start, end);
}

static long punch_hole(struct inode *inode, loff_t offset, loff_t len)
{
	loff_t stop = min(offset + len, i_size_read(inode));
	pgoff_t start = offset >> PAGE_SHIFT, end = stop >> PAGE_SHIFT;

	return start < end ? kvm_gmem_punch(inode, start, end) : 0;
}

/**
 * kvm_gmem_hugetlb_fallocate - fallocate() for HugeTLB pages
 * @inode: the guest_memfd
 * @mode: FALLOC_FL_KEEP_SIZE, with or without FALLOC_FL_PUNCH_HOLE
 * @offset: first byte, aligned to a page
 * @len: number of bytes, aligned to a page
 *
 * A hole returns the extents wholly in it to the pool and zeroes its part of
 * others; attributes do not change.
 *
 * Return: 0; -EAGAIN if an extent to be returned has pinned pages; -EINVAL past
 * the end; -EINTR; errors of allocation.
 */
long kvm_gmem_hugetlb_fallocate(struct inode *inode, int mode, loff_t offset,
				loff_t len)
{
	return mode & FALLOC_FL_PUNCH_HOLE ? punch_hole(inode, offset, len) :
					     allocate(inode, offset, len);
}
