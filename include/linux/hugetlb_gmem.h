/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HugeTLB pages as the memory of a guest_memfd
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#ifndef _LINUX_HUGETLB_GMEM_H
#define _LINUX_HUGETLB_GMEM_H

#include <linux/err.h>
#include <linux/kref.h>
#include <linux/hugetlb_gmem_layout.h>
#include <linux/hugetlb_gmem_stat.h>
#include <linux/llist.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

struct hstate;
struct hugepage_subpool;
struct hugetlb_cgroup;
struct mempolicy;
struct page_snapshot;
struct seq_file;

/* Marks in struct hugetlb_gmem's @extents. */
#define HUGETLB_GMEM_MERGE_PENDING	XA_MARK_0	/* not merged as far as possible */
#define HUGETLB_GMEM_SHARED_SMALL	XA_MARK_1	/* has small blocks, wholly shared */

/* Why an extent is not merged as far as its attributes allow. */
enum hugetlb_gmem_blocked {
	HUGETLB_GMEM_NOT_BLOCKED,	/* not tried yet */
	HUGETLB_GMEM_BLOCKED_PINS,	/* a folio is referenced */
	HUGETLB_GMEM_BLOCKED_POISON,	/* a page is poisoned */
};

/**
 * struct hugetlb_gmem - the HugeTLB side of one guest_memfd inode
 * @kref:	one for the inode, one for each extent that outlives it
 * @mapping:	the page cache of the inode
 * @hstate:	the pool
 * @subpool:	holds the reservation of the whole file
 * @rsvd:	the cgroup charged for the reservation
 * @nr_extents:	size of the file in huge pages
 * @extents:	struct hugetlb_gmem_extent by index >> page order; an entry lives
 *		from the first fault in it until the inode dies
 * @stat_lock:	protects what follows, and @stat of the extents
 * @stat:	see enum hugetlb_gmem_item
 * @last_eagain: offset of the page that was last in a conversion's way, in bytes
 * @node_pages:	number of pages allocated on each node
 * @poisoned:	tells the owner that the page at an index of the file must lose
 *		its mappings; called from a worker, may sleep
 */
struct hugetlb_gmem {
	struct kref		kref;
	struct address_space	*mapping;
	struct hstate		*hstate;
	struct hugepage_subpool	*subpool;
	struct hugetlb_cgroup	*rsvd;
	unsigned long		nr_extents;
	struct xarray		extents;
	void (*poisoned)(struct address_space *mapping, pgoff_t index);
	spinlock_t		stat_lock;	/* counters */
	unsigned long		stat[HUGETLB_GMEM_NR_ITEMS];
	loff_t			last_eagain;
	unsigned long		node_pages[];
};

/*
 * What free_huge_folio() will need of the folio and what the struct pages
 * cannot hold while the folio is no HugeTLB folio.
 */
struct hugetlb_gmem_stash {
	struct hugetlb_cgroup	*cgroup;
	unsigned long		private;
	unsigned long		memcg_data;
};

/**
 * struct hugetlb_gmem_extent - one HugeTLB page of the pool in a guest_memfd
 * @gmem:	the file
 * @index:	offset in the file, in pages
 * @order:	log2 of the number of pages
 * @lock:	one first fault at a time
 * @page:	first page, or NULL; stable under the invalidate_lock
 * @ready:	@page has its contents and layout, see hugetlb_gmem_find_extent()
 * @stash:	HugeTLB metadata, taken at allocation, given back when freed
 * @optimized:	the pool had this page without most of its struct pages (HVO)
 * @poison:	a bit for each poisoned page, allocated with the first one
 * @poison_all:	no memory for @poison: all pages count as poisoned
 * @poison_work: takes the mappings of poisoned pages away
 * @frozen:	on a list, on the way back to the pool
 * @held:	of an orphan: folios that somebody holds, see hugetlb_gmem_pinned.c
 * @returned:	of an orphan: on the list of those that nobody holds any more
 * @rcu:	frees the extent
 * @seq:	for who reads struct pages while they change with @layout
 * @merge_at:	with HUGETLB_GMEM_MERGE_PENDING, when to merge, in jiffies
 * @blocked:	with HUGETLB_GMEM_MERGE_PENDING, what was in the way at last
 * @stat:	what the extent has added to the file's counters
 * @nr_blocks:	number of 2M blocks
 * @layout:	the folios as they are, see struct hugetlb_gmem_step
 *
 * All but @poison, @poison_all and @stat is protected by the invalidate_lock of the
 * mapping: held exclusively, or shared together with @lock, for writing.  When
 * the file is gone, an orphan belongs to the last reference to its folios.
 */
struct hugetlb_gmem_extent {
	struct hugetlb_gmem	*gmem;
	pgoff_t			index;
	unsigned int		order;
	struct mutex		lock;	/* first fault */
	struct page		*page;
	bool			ready;
	struct hugetlb_gmem_stash stash;
	bool			optimized;
	bool			poison_all;
	unsigned long		*poison;
	struct work_struct	poison_work;
	struct list_head	frozen;
	atomic_t		held;
	struct llist_node	returned;
	struct rcu_head		rcu;
	seqcount_t		seq;
	unsigned long		merge_at;
	enum hugetlb_gmem_blocked blocked;
	u32			stat[HUGETLB_GMEM_NR_EXTENT_ITEMS];
	unsigned int		nr_blocks;
	u8			layout[] __counted_by(nr_blocks);
};

/**
 * struct hugetlb_gmem_changes - how many blocks changes of layout concerned
 * @splits:	blocks made small
 * @merges:	blocks made big
 */
struct hugetlb_gmem_changes {
	unsigned int splits;
	unsigned int merges;
};

/**
 * struct hugetlb_gmem_relayout - a change of one extent's layout
 * @list:	for the caller
 * @extent:	the extent
 * @nr_steps:	number of @steps
 * @steps:	where @to differs from the extent's layout, lowest block first
 * @nodes:	page-cache nodes for the splits, one item for each xas_split()
 * @pages:	struct pages for the splits, a page of vmemmap each, written
 * @reason:	what the change is for
 * @changes:	what has been done
 * @to:		the layout wanted
 *
 * Filled by the caller up to @steps, then hugetlb_gmem_prepare_relayout()
 * and, if that succeeds, either hugetlb_gmem_commit_relayout() or
 * hugetlb_gmem_abort_relayout().
 */
struct hugetlb_gmem_relayout {
	struct list_head		list;
	struct hugetlb_gmem_extent	*extent;
	unsigned int			nr_steps;
	struct hugetlb_gmem_step	*steps;
	struct list_head		nodes;
	struct list_head		pages;
	enum hugetlb_gmem_reason	reason;
	struct hugetlb_gmem_changes	changes;
	u8				to[];
};

/* The order of the folio that has the page at an index of the file. */
static inline unsigned int
hugetlb_gmem_order(const struct hugetlb_gmem_extent *extent, pgoff_t index)
{
	return extent->layout[(index - extent->index) >> HUGETLB_GMEM_BLOCK_ORDER];
}

#ifdef CONFIG_HUGETLB_GMEM
struct hugetlb_gmem *
hugetlb_gmem_create(struct address_space *mapping, unsigned int order,
		    loff_t size,
		    void (*poisoned)(struct address_space *mapping, pgoff_t index));
void hugetlb_gmem_destroy(struct hugetlb_gmem *gmem);
void hugetlb_gmem_drain(void);

bool hugetlb_gmem_valid_order(unsigned int order);
struct hugetlb_gmem_extent *hugetlb_gmem_find_extent(struct hugetlb_gmem *gmem,
						     pgoff_t index);
struct hugetlb_gmem_extent *hugetlb_gmem_get_extent(struct hugetlb_gmem *gmem,
						    pgoff_t index);
vm_fault_t hugetlb_gmem_map_page(struct vm_fault *vmf, struct page *page);
int hugetlb_gmem_alloc_extent(struct hugetlb_gmem_extent *extent,
			      struct mempolicy *policy);
void hugetlb_gmem_free_extents(struct hugetlb_gmem *gmem, pgoff_t start,
			       pgoff_t end);
pgoff_t hugetlb_gmem_find_pinned(struct hugetlb_gmem_extent *extent,
				 pgoff_t start, pgoff_t end);
void hugetlb_gmem_zero(struct hugetlb_gmem_extent *extent, pgoff_t start,
		       pgoff_t end);

struct hugetlb_gmem_relayout *
hugetlb_gmem_new_relayout(struct hugetlb_gmem_extent *extent);
int hugetlb_gmem_prepare_relayout(struct hugetlb_gmem_relayout *relayout);
pgoff_t hugetlb_gmem_relayout_pinned(struct hugetlb_gmem_relayout *relayout);
void hugetlb_gmem_commit_relayout(struct hugetlb_gmem_relayout *relayout,
				  bool merge,
				  struct hugetlb_gmem_changes *changes);
void hugetlb_gmem_abort_relayout(struct hugetlb_gmem_relayout *relayout);
bool hugetlb_gmem_block_idle(struct hugetlb_gmem_extent *extent,
			     unsigned int block);
unsigned long hugetlb_gmem_merge_delay(void);

void hugetlb_gmem_count_extent(struct hugetlb_gmem_extent *extent,
			       unsigned long nr_private,
			       unsigned long nr_collateral);
void hugetlb_gmem_count_event(struct hugetlb_gmem *gmem,
			      enum hugetlb_gmem_item item, unsigned long nr);
void hugetlb_gmem_count_eagain(struct hugetlb_gmem *gmem, loff_t offset);
void hugetlb_gmem_show(struct seq_file *m, struct hugetlb_gmem *gmem);

pgoff_t hugetlb_gmem_find_poison(struct hugetlb_gmem_extent *extent,
				 pgoff_t start, pgoff_t end);
void hugetlb_gmem_poison(struct hugetlb_gmem *gmem, pgoff_t start, pgoff_t end);

/* For the rest of mm: these pages are not what they look like. */
static inline bool mapping_hugetlb_gmem(const struct address_space *mapping)
{
	return test_bit(AS_HUGETLB_GMEM, &mapping->flags);
}

bool hugetlb_gmem_owns_pfn(unsigned long pfn);
bool hugetlb_gmem_resident(struct address_space *mapping, pgoff_t index);
bool hugetlb_gmem_snapshot_page(struct page_snapshot *ps,
				const struct page *page);
int hugetlb_gmem_memory_failure(unsigned long pfn, int flags);
void hugetlb_gmem_move_cgroup(struct hugetlb_cgroup *from,
			      struct hugetlb_cgroup *to);
void hugetlb_gmem_put_orphan(struct folio *folio);

FOLIO_TYPE_OPS(hugetlb_gmem, hugetlb_gmem)

/* At the last put of any folio: true if it is not to be freed. */
static inline bool hugetlb_gmem_put_folio(struct folio *folio)
{
	if (likely(!folio_test_hugetlb_gmem(folio)))
		return false;

	hugetlb_gmem_put_orphan(folio);
	return true;
}
#else
static inline bool mapping_hugetlb_gmem(const struct address_space *mapping)
{
	return false;
}

static inline bool hugetlb_gmem_owns_pfn(unsigned long pfn)
{
	return false;
}

static inline bool hugetlb_gmem_resident(struct address_space *mapping,
					 pgoff_t index)
{
	return false;
}

static inline bool hugetlb_gmem_snapshot_page(struct page_snapshot *ps,
					      const struct page *page)
{
	return false;
}

static inline int hugetlb_gmem_memory_failure(unsigned long pfn, int flags)
{
	return -ENOENT;
}

static inline void hugetlb_gmem_move_cgroup(struct hugetlb_cgroup *from,
					    struct hugetlb_cgroup *to)
{
}

static inline bool hugetlb_gmem_put_folio(struct folio *folio)
{
	return false;
}
#endif /* CONFIG_HUGETLB_GMEM */

#ifdef CONFIG_HUGETLB_GMEM_DEBUG
bool hugetlb_gmem_plain_split(void);
bool hugetlb_gmem_skip_presplit(void);
void hugetlb_gmem_begin_commit(void);
void hugetlb_gmem_end_commit(void);
#else
static inline bool hugetlb_gmem_plain_split(void)
{
	return false;
}

static inline bool hugetlb_gmem_skip_presplit(void)
{
	return false;
}

static inline void hugetlb_gmem_begin_commit(void)
{
}

static inline void hugetlb_gmem_end_commit(void)
{
}
#endif

#if defined(CONFIG_HUGETLB_GMEM_DEBUG) && defined(CONFIG_FAULT_INJECTION)
bool hugetlb_gmem_should_fail(void);
#else
static inline bool hugetlb_gmem_should_fail(void)
{
	return false;
}
#endif

#endif /* _LINUX_HUGETLB_GMEM_H */
