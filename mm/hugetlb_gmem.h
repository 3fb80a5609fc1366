/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the files of mm/hugetlb_gmem*.c; see Documentation/mm/hugetlb_gmem.rst */
#ifndef _MM_HUGETLB_GMEM_H
#define _MM_HUGETLB_GMEM_H

#include <linux/hugetlb.h>
#include <linux/hugetlb_gmem.h>

/* Every extent that holds memory, by pfn >> HUGETLB_GMEM_BLOCK_ORDER. */
extern struct xarray hugetlb_gmem_extents;

static inline struct hugetlb_gmem_extent *find_extent_by_pfn(unsigned long pfn)
{
	return xa_load(&hugetlb_gmem_extents, pfn >> HUGETLB_GMEM_BLOCK_ORDER);
}

static inline unsigned long extent_pages(const struct hugetlb_gmem_extent *extent)
{
	return 1UL << extent->order;
}

static inline bool extent_poisoned(const struct hugetlb_gmem_extent *extent)
{
	return READ_ONCE(extent->poison) || READ_ONCE(extent->poison_all);
}

/* The order of the folio that holds page @offset of an extent, and its pages. */
static inline unsigned int layout_order(const u8 *layout, unsigned long offset)
{
	return layout[offset >> HUGETLB_GMEM_BLOCK_ORDER];
}

static inline unsigned long layout_folio_pages(const u8 *layout,
					       unsigned long offset)
{
	return 1UL << layout_order(layout, offset);
}

/* The same for who takes the folios of a small block together. */
static inline unsigned long layout_part_pages(const u8 *layout,
					      unsigned long offset)
{
	return max(layout_folio_pages(layout, offset), HUGETLB_GMEM_BLOCK_PAGES);
}

/*
 * Has nobody more than @refs references?  Whoever has locked a folio may have given
 * his away, as faults of other kinds of files do to the page table entry: it must
 * stay what it is until it is unlocked.
 */
static inline bool hugetlb_gmem_folio_idle(struct folio *folio, unsigned long refs)
{
	return folio_ref_count(folio) == refs && !folio_test_locked(folio);
}

static inline void hugetlb_gmem_get(struct hugetlb_gmem *gmem)
{
	kref_get(&gmem->kref);
}

/* hugetlb_gmem.c */
void hugetlb_gmem_put(struct hugetlb_gmem *gmem);
void hugetlb_gmem_free_record(struct hugetlb_gmem_extent *extent);
void hugetlb_gmem_free_frozen(struct list_head *frozen);

/* hugetlb_gmem_pinned.c */
void hugetlb_gmem_orphan(struct hugetlb_gmem_extent *extent);

/* hugetlb_gmem_debug.c */
#ifdef CONFIG_HUGETLB_GMEM_DEBUG
bool hugetlb_gmem_orphan_all(void);
bool hugetlb_gmem_no_zero(void);
#else
static inline bool hugetlb_gmem_orphan_all(void)
{
	return false;
}

static inline bool hugetlb_gmem_no_zero(void)
{
	return false;
}
#endif

/* hugetlb_gmem_split.c */
bool hugetlb_gmem_freeze(struct hugetlb_gmem_extent *extent,
			 unsigned long start, unsigned long end);
void hugetlb_gmem_unfreeze(struct hugetlb_gmem_extent *extent,
			   unsigned long start, unsigned long end);
void hugetlb_gmem_make_whole(struct hugetlb_gmem_extent *extent);

/* hugetlb_gmem_vmemmap.c: struct pages in a page of vmemmap */
#define HUGETLB_GMEM_STRUCTS	(PAGE_SIZE / sizeof(struct page))

int hugetlb_gmem_vmemmap_get_tails(struct hugetlb_gmem_extent *extent);
struct page *hugetlb_gmem_vmemmap_tail(struct zone *zone, unsigned int order);
struct page *hugetlb_gmem_vmemmap_page(struct hugetlb_gmem_extent *extent,
				       unsigned long offset);
int hugetlb_gmem_vmemmap_prepare(struct hugetlb_gmem_extent *extent,
				 const u8 *to, unsigned long start,
				 unsigned long end, struct list_head *pages);
void hugetlb_gmem_vmemmap_relayout(struct hugetlb_gmem_extent *extent,
				   const u8 *to, unsigned long start,
				   unsigned long end, struct list_head *pages,
				   pgprot_t prot);
void hugetlb_gmem_vmemmap_collect(struct hugetlb_gmem_extent *extent,
				  unsigned long start, unsigned long end,
				  struct list_head *freed);
void hugetlb_gmem_vmemmap_flush(struct hugetlb_gmem_extent *extent,
				unsigned long start, unsigned long end);
void hugetlb_gmem_vmemmap_free(struct list_head *pages);
void hugetlb_gmem_vmemmap_protect(struct hugetlb_gmem_extent *extent,
				  pgprot_t prot);
unsigned long hugetlb_gmem_vmemmap_extra(struct hugetlb_gmem_extent *extent);

/* hugetlb_gmem_check.c */
#ifdef CONFIG_HUGETLB_GMEM_DEBUG
void hugetlb_gmem_check_tail(struct zone *zone, unsigned int order);
void hugetlb_gmem_check_relayout(struct hugetlb_gmem_relayout *relayout);
void hugetlb_gmem_check_release(struct hugetlb_gmem_extent *extent);
void hugetlb_gmem_check_drain(void);
#else
static inline void hugetlb_gmem_check_tail(struct zone *zone,
					   unsigned int order)
{
}

static inline void
hugetlb_gmem_check_relayout(struct hugetlb_gmem_relayout *relayout)
{
}

static inline void
hugetlb_gmem_check_release(struct hugetlb_gmem_extent *extent)
{
}

static inline void hugetlb_gmem_check_drain(void)
{
}
#endif

/* hugetlb_gmem_stat.c */
#define HUGETLB_GMEM_NR_KEYS	30
#define PAGE_KB			(PAGE_SIZE / SZ_1K)

/* A line of fdinfo, and a file in sysfs. */
struct hugetlb_gmem_key {
	const char		*name;
	enum hugetlb_gmem_item	item;
	bool			size;	/* counted in pages, shown in kB */
};

extern const struct hugetlb_gmem_key hugetlb_gmem_keys[HUGETLB_GMEM_NR_KEYS];

unsigned long hugetlb_gmem_host_value(enum hugetlb_gmem_item item);
unsigned long hugetlb_gmem_host_node_pages(int nid);
void hugetlb_gmem_count_folios(const struct hugetlb_gmem_extent *extent,
			       unsigned int *counts);
void hugetlb_gmem_count_poison(struct hugetlb_gmem_extent *extent);
void hugetlb_gmem_uncount_extent(struct hugetlb_gmem_extent *extent);
void hugetlb_gmem_count_file(struct hugetlb_gmem *gmem, bool created);

/* hugetlb_gmem_poison.c */
bool hugetlb_gmem_poison_ready(void);
void hugetlb_gmem_init_poison(struct hugetlb_gmem_extent *extent);

#endif /* _MM_HUGETLB_GMEM_H */
