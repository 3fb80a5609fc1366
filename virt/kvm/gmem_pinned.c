// SPDX-License-Identifier: GPL-2.0-only
/*
 * References to pages of a guest_memfd that are in a conversion's way
 *
 * A page may be held by the page cache, which has a reference for each page of a
 * folio, and by host page tables.  Whoever else has a reference, such as O_DIRECT
 * or a device, goes on to read or write the page without asking, so it cannot
 * change hands.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/delay.h>
#include <linux/folio_batch.h>
#include <linux/swap.h>

#include "gmem_convert.h"

#define PIN_ATTEMPTS	10

/* With 4K pages: the first page with foreign references, and its folio. */
static pgoff_t find_pinned_small(struct address_space *mapping,
				 struct kvm_gmem_range *range,
				 struct folio **pinned)
{
	pgoff_t index = range->start;
	struct folio_batch fbatch;
	unsigned int i;

	folio_batch_init(&fbatch);
	while (filemap_get_folios(mapping, &index, range->end - 1, &fbatch)) {
		for (i = 0; i < folio_batch_count(&fbatch); i++) {
			struct folio *folio = fbatch.folios[i];

			/* Referenced by memory_failure(); see check_poison(). */
			if (folio_test_hwpoison(folio))
				continue;
			if (folio_ref_count(folio) ==
			    folio_nr_pages(folio) + folio_mapcount(folio) + 1)
				continue;
			folio_get(folio);
			*pinned = folio;
			folio_batch_release(&fbatch);
			return folio->index;
		}
		folio_batch_release(&fbatch);
		cond_resched();
	}
	return KVM_GMEM_NO_PAGE;
}

static struct folio *get_extent_folio(struct hugetlb_gmem_extent *extent,
				      pgoff_t index)
{
	struct folio *folio = page_folio(extent->page + (index - extent->index));

	folio_get(folio);
	return folio;
}

/*
 * Does an extent go back to the pool?  With a poisoned page it stays, and who
 * holds others of its pages, or of one that is only zeroed, is in nobody's way.
 */
static bool extent_goes(struct kvm_gmem_conversion *conv,
			struct hugetlb_gmem_extent *extent)
{
	pgoff_t end = extent->index + (1UL << extent->order);

	return conv->punch && extent->index >= conv->ranges->start &&
	       end <= conv->ranges->end &&
	       hugetlb_gmem_find_poison(extent, extent->index, end) ==
	       KVM_GMEM_NO_PAGE;
}

static pgoff_t find_pinned_huge(struct kvm_gmem_conversion *conv,
				struct kvm_gmem_range *range,
				struct folio **pinned)
{
	struct hugetlb_gmem_extent *extent;
	pgoff_t found, index = range->start;

	while ((extent = kvm_gmem_next_extent(conv->inode, &index, range->end))) {
		if (conv->punch && !extent_goes(conv, extent))
			continue;
		found = hugetlb_gmem_find_pinned(extent, range->start,
						 range->end);
		if (found != KVM_GMEM_NO_PAGE) {
			*pinned = get_extent_folio(extent, found);
			return found;
		}
		cond_resched();
	}
	return KVM_GMEM_NO_PAGE;
}

/* Also folios that reach out of the range and are to be split. */
static pgoff_t find_pinned_relayout(struct kvm_gmem_conversion *conv,
				    struct folio **pinned)
{
	struct hugetlb_gmem_relayout *relayout;
	pgoff_t index;

	list_for_each_entry(relayout, &conv->relayouts, list) {
		index = hugetlb_gmem_relayout_pinned(relayout);
		if (index != KVM_GMEM_NO_PAGE) {
			*pinned = get_extent_folio(relayout->extent, index);
			return index;
		}
	}
	return KVM_GMEM_NO_PAGE;
}

/* Also if there was no memory for @ranges. */
static pgoff_t find_pinned(struct kvm_gmem_conversion *conv,
			   struct folio **pinned)
{
	pgoff_t index = conv->start, found = KVM_GMEM_NO_PAGE;
	struct kvm_gmem_range range;
	unsigned long i;

	for (i = 0; i < conv->nr_ranges && found == KVM_GMEM_NO_PAGE; i++) {
		if (conv->ranges)
			range = conv->ranges[i];
		else
			kvm_gmem_next_range(conv, &index, &range);
		found = kvm_gmem_hugetlb(conv->inode) ?
			find_pinned_huge(conv, &range, pinned) :
			find_pinned_small(conv->inode->i_mapping, &range,
					  pinned);
		cond_resched();
	}

	return found;
}

/* The lower of the two, with its folio. */
static pgoff_t find_any_pinned(struct kvm_gmem_conversion *conv,
			       struct folio **pinned)
{
	struct folio *range_folio = NULL, *split_folio = NULL;
	pgoff_t range = find_pinned(conv, &range_folio);
	pgoff_t split = find_pinned_relayout(conv, &split_folio);

	*pinned = range <= split ? range_folio : split_folio;
	if (range_folio && split_folio)
		folio_put(range <= split ? split_folio : range_folio);
	return min(range, split);
}

static void unmap_host(struct kvm_gmem_conversion *conv)
{
	unsigned long i;

	if (!conv->to_private && !conv->punch)
		return;

	for (i = 0; i < conv->nr_ranges; i++) {
		unmap_mapping_pages(conv->inode->i_mapping,
				    conv->ranges[i].start,
				    conv->ranges[i].end - conv->ranges[i].start,
				    false);
		cond_resched();
	}
}

/**
 * kvm_gmem_check_unpinned - see that nobody holds a page who is not known
 * @conv: the conversion, planned
 * @unmap: unmap the host from what becomes private or is punched
 * @error_index: out with an error, the first page in the way
 *
 * What passes by itself is waited for, up to a bound: folios in a per-CPU batch
 * of mlock or the LRU, a fault of KVM.  In a file with 4K pages also a host fault
 * between its return and the page table entry, which then has to be unmapped.
 *
 * Context: invalidate_lock held exclusively; sleeps.
 *
 * Return: 0 or -EAGAIN.
 */
int kvm_gmem_check_unpinned(struct kvm_gmem_conversion *conv, bool unmap,
			    pgoff_t *error_index)
{
	struct folio *folio;
	unsigned int i;
	pgoff_t index;

	for (i = 0; i < PIN_ATTEMPTS; i++) {
		if (unmap)
			unmap_host(conv);
		index = find_any_pinned(conv, &folio);
		if (index == KVM_GMEM_NO_PAGE)
			return 0;

		lru_cache_drain_for_folio(folio, 1, NULL);
		folio_put(folio);
		/* Not folio_lock(): memory_failure() has it and waits for us. */
		if (i)
			usleep_range(1000, 2000);
	}

	*error_index = clamp(index, conv->start, conv->end - 1);
	return -EAGAIN;
}
