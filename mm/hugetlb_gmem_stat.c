// SPDX-License-Identifier: GPL-2.0-only
/*
 * Count what the HugeTLB pages in guest_memfds are like
 *
 * Each extent knows what it has added to the counters of its file.  When it
 * changes, the difference is added, under one lock, so that who reads under the
 * lock sees sums that hold: private and shared memory are what is allocated.
 * The counters of the host follow, without a lock, as nobody reads two at once.
 *
 * Files: /proc/PID/fdinfo/FD and /sys/kernel/mm/hugetlb_gmem/, see
 * Documentation/ABI/testing/sysfs-kernel-mm-hugetlb_gmem.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#define CREATE_TRACE_POINTS
#include <trace/events/guest_memfd.h>

#include "hugetlb_gmem.h"

EXPORT_TRACEPOINT_SYMBOL_GPL(gmem_prepare);
EXPORT_TRACEPOINT_SYMBOL_GPL(gmem_commit);
EXPORT_TRACEPOINT_SYMBOL_GPL(gmem_abort);
EXPORT_TRACEPOINT_SYMBOL_GPL(gmem_stage2_split);

#define MAP_RUNS_MAX	4096

const struct hugetlb_gmem_key hugetlb_gmem_keys[] = {
	{ "size", HUGETLB_GMEM_SIZE, true },
	{ "page-size", HUGETLB_GMEM_PAGE_SIZE, true },
	{ "allocated", HUGETLB_GMEM_ALLOCATED, true },
	{ "private", HUGETLB_GMEM_PRIVATE, true },
	{ "shared", HUGETLB_GMEM_SHARED, true },
	{ "collateral", HUGETLB_GMEM_COLLATERAL, true },
	{ "vmemmap", HUGETLB_GMEM_VMEMMAP, true },
	{ "poisoned", HUGETLB_GMEM_POISONED, true },
	{ "whole", HUGETLB_GMEM_WHOLE },
	{ "split", HUGETLB_GMEM_SPLIT },
	{ "merge-pending", HUGETLB_GMEM_PENDING },
	{ "folios-1G", HUGETLB_GMEM_FOLIOS },
	{ "folios-512M", HUGETLB_GMEM_FOLIOS + 1 },
	{ "folios-256M", HUGETLB_GMEM_FOLIOS + 2 },
	{ "folios-128M", HUGETLB_GMEM_FOLIOS + 3 },
	{ "folios-64M", HUGETLB_GMEM_FOLIOS + 4 },
	{ "folios-32M", HUGETLB_GMEM_FOLIOS + 5 },
	{ "folios-16M", HUGETLB_GMEM_FOLIOS + 6 },
	{ "folios-8M", HUGETLB_GMEM_FOLIOS + 7 },
	{ "folios-4M", HUGETLB_GMEM_FOLIOS + 8 },
	{ "folios-2M", HUGETLB_GMEM_FOLIOS + 9 },
	{ "folios-4K", HUGETLB_GMEM_FOLIOS + 10 },
	{ "splits", HUGETLB_GMEM_SPLITS },
	{ "merges", HUGETLB_GMEM_MERGES },
	{ "converts", HUGETLB_GMEM_CONVERTS },
	{ "convert-eagain", HUGETLB_GMEM_CONVERT_EAGAIN },
	{ "convert-enomem", HUGETLB_GMEM_CONVERT_ENOMEM },
	{ "blocked-pins", HUGETLB_GMEM_PENDING_PINS },
	{ "blocked-poison", HUGETLB_GMEM_PENDING_POISON },
	{ "last-eagain", HUGETLB_GMEM_LAST_EAGAIN },
};

static_assert(ARRAY_SIZE(hugetlb_gmem_keys) == HUGETLB_GMEM_NR_KEYS);

/* The host: as in struct hugetlb_gmem, and sizes of files by pool. */
static atomic_long_t host_stat[HUGETLB_GMEM_NR_ITEMS];
static atomic_long_t host_node_pages[MAX_NUMNODES];
static atomic_long_t host_extents[HUGE_MAX_HSTATE];
static unsigned long host_last_eagain;

static void add(struct hugetlb_gmem *gmem, enum hugetlb_gmem_item item, long nr)
{
	lockdep_assert_held(&gmem->stat_lock);

	gmem->stat[item] += nr;
	atomic_long_add(nr, &host_stat[item]);
}

/* The index of a folio's order among the counters of folios. */
static unsigned int folios_item(unsigned int order)
{
	return HUGETLB_GMEM_FOLIOS +
	       (order ? HUGETLB_GMEM_MAX_ORDER - order : HUGETLB_GMEM_NR_ORDERS - 1);
}

static unsigned long poisoned_pages(struct hugetlb_gmem_extent *extent)
{
	if (extent->poison_all)
		return extent_pages(extent);
	return extent->poison ? bitmap_weight(extent->poison,
					      extent_pages(extent)) : 0;
}

/* The folios of an extent by order; @counts has HUGETLB_GMEM_MAX_ORDER + 1. */
void hugetlb_gmem_count_folios(const struct hugetlb_gmem_extent *extent,
			       unsigned int *counts)
{
	unsigned long i, nr;
	unsigned int order;

	memset(counts, 0, (HUGETLB_GMEM_MAX_ORDER + 1) * sizeof(*counts));
	for (i = 0; i < extent_pages(extent); i += nr) {
		order = layout_order(extent->layout, i);
		nr = layout_part_pages(extent->layout, i);
		counts[order] += order ? 1 : nr;
	}
}

static void describe(struct hugetlb_gmem_extent *extent, u32 *stat)
{
	bool whole = extent->layout[0] == extent->order;
	bool pending = xa_get_mark(&extent->gmem->extents,
				   extent->index >> extent->order,
				   HUGETLB_GMEM_MERGE_PENDING);
	unsigned int counts[HUGETLB_GMEM_MAX_ORDER + 1], order;

	stat[HUGETLB_GMEM_ALLOCATED] = extent_pages(extent);
	stat[HUGETLB_GMEM_VMEMMAP] = hugetlb_gmem_vmemmap_extra(extent);
	stat[HUGETLB_GMEM_POISONED] = poisoned_pages(extent);
	stat[HUGETLB_GMEM_WHOLE] = whole;
	stat[HUGETLB_GMEM_SPLIT] = !whole;
	stat[HUGETLB_GMEM_PENDING] = pending;
	stat[HUGETLB_GMEM_PENDING_PINS] =
		pending && extent->blocked == HUGETLB_GMEM_BLOCKED_PINS;
	stat[HUGETLB_GMEM_PENDING_POISON] =
		pending && extent->blocked == HUGETLB_GMEM_BLOCKED_POISON;

	hugetlb_gmem_count_folios(extent, counts);
	stat[folios_item(0)] = counts[0];
	for (order = HUGETLB_GMEM_BLOCK_ORDER; order <= HUGETLB_GMEM_MAX_ORDER; order++)
		stat[folios_item(order)] = counts[order];
}

/* Put @stat in place of what the extent has added before. */
static void replace(struct hugetlb_gmem_extent *extent, const u32 *stat)
{
	struct hugetlb_gmem *gmem = extent->gmem;
	int nid = page_to_nid(extent->page);
	unsigned int i;
	long nr;

	nr = (long)stat[HUGETLB_GMEM_ALLOCATED] -
	     extent->stat[HUGETLB_GMEM_ALLOCATED];
	gmem->node_pages[nid] += nr;
	atomic_long_add(nr, &host_node_pages[nid]);

	for (i = 0; i < HUGETLB_GMEM_NR_EXTENT_ITEMS; i++) {
		if (stat[i] == extent->stat[i])
			continue;
		add(gmem, i, (long)stat[i] - extent->stat[i]);
		extent->stat[i] = stat[i];
	}
}

/**
 * hugetlb_gmem_count_extent - bring the counters up to date with an extent
 * @extent: the extent, with memory, which has changed
 * @nr_private: how many of its pages are private
 * @nr_collateral: how many of these are in small blocks
 *
 * Context: invalidate_lock held as for writing the extent.
 */
void hugetlb_gmem_count_extent(struct hugetlb_gmem_extent *extent,
			       unsigned long nr_private,
			       unsigned long nr_collateral)
{
	u32 stat[HUGETLB_GMEM_NR_EXTENT_ITEMS] = {};

	guard(spinlock)(&extent->gmem->stat_lock);
	describe(extent, stat);
	stat[HUGETLB_GMEM_PRIVATE] = nr_private;
	stat[HUGETLB_GMEM_COLLATERAL] = nr_collateral;
	replace(extent, stat);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_count_extent, "kvm");

/* A page of the extent has been poisoned; under RCU. */
void hugetlb_gmem_count_poison(struct hugetlb_gmem_extent *extent)
{
	u32 stat[HUGETLB_GMEM_NR_EXTENT_ITEMS];

	guard(spinlock)(&extent->gmem->stat_lock);
	/* Whoever fills the extent counts it when it is ready. */
	if (!extent->stat[HUGETLB_GMEM_ALLOCATED])
		return;
	memcpy(stat, extent->stat, sizeof(stat));
	stat[HUGETLB_GMEM_POISONED] = poisoned_pages(extent);
	replace(extent, stat);
}

/* The memory of the extent is about to leave it. */
void hugetlb_gmem_uncount_extent(struct hugetlb_gmem_extent *extent)
{
	static const u32 nothing[HUGETLB_GMEM_NR_EXTENT_ITEMS];

	guard(spinlock)(&extent->gmem->stat_lock);
	replace(extent, nothing);
}

/* A new file, or the end of one. */
void hugetlb_gmem_count_file(struct hugetlb_gmem *gmem, bool created)
{
	long nr = gmem->nr_extents;

	atomic_long_add(created ? nr : -nr,
			&host_extents[hstate_index(gmem->hstate)]);
}

/**
 * hugetlb_gmem_count_event - count events of a file
 * @gmem: the file
 * @item: from HUGETLB_GMEM_SPLITS on
 * @nr: how many
 */
void hugetlb_gmem_count_event(struct hugetlb_gmem *gmem,
			      enum hugetlb_gmem_item item, unsigned long nr)
{
	guard(spinlock)(&gmem->stat_lock);
	add(gmem, item, nr);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_count_event, "kvm");

/**
 * hugetlb_gmem_count_eagain - count a conversion that met a foreign reference
 * @gmem: the file
 * @offset: of the page, in bytes
 */
void hugetlb_gmem_count_eagain(struct hugetlb_gmem *gmem, loff_t offset)
{
	guard(spinlock)(&gmem->stat_lock);
	add(gmem, HUGETLB_GMEM_CONVERT_EAGAIN, 1);
	gmem->last_eagain = offset;
	WRITE_ONCE(host_last_eagain, offset);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_count_eagain, "kvm");

static unsigned long file_value(struct hugetlb_gmem *gmem,
				enum hugetlb_gmem_item item)
{
	switch (item) {
	case HUGETLB_GMEM_SIZE:
		return gmem->nr_extents << huge_page_order(gmem->hstate);
	case HUGETLB_GMEM_PAGE_SIZE:
		return pages_per_huge_page(gmem->hstate);
	case HUGETLB_GMEM_SHARED:
		return gmem->stat[HUGETLB_GMEM_ALLOCATED] -
		       gmem->stat[HUGETLB_GMEM_PRIVATE];
	case HUGETLB_GMEM_LAST_EAGAIN:
		return gmem->last_eagain;
	default:
		return gmem->stat[item];
	}
}

static unsigned long host_size(void)
{
	unsigned long size = 0;
	struct hstate *h;

	for_each_hstate(h)
		size += atomic_long_read(&host_extents[hstate_index(h)]) *
			pages_per_huge_page(h);
	return size;
}

/* The size of all huge pages, or 0 if there is none or more than one. */
static unsigned long host_page_size(void)
{
	unsigned long size = 0;
	struct hstate *h;

	for_each_hstate(h) {
		if (!atomic_long_read(&host_extents[hstate_index(h)]))
			continue;
		if (size)
			return 0;
		size = pages_per_huge_page(h);
	}
	return size;
}

/* The value of a key for the host; sizes are in pages. */
unsigned long hugetlb_gmem_host_value(enum hugetlb_gmem_item item)
{
	switch (item) {
	case HUGETLB_GMEM_SIZE:
		return host_size();
	case HUGETLB_GMEM_PAGE_SIZE:
		return host_page_size();
	case HUGETLB_GMEM_SHARED:
		return atomic_long_read(&host_stat[HUGETLB_GMEM_ALLOCATED]) -
		       atomic_long_read(&host_stat[HUGETLB_GMEM_PRIVATE]);
	case HUGETLB_GMEM_LAST_EAGAIN:
		return READ_ONCE(host_last_eagain);
	default:
		return atomic_long_read(&host_stat[item]);
	}
}

/* Pages allocated on a node, for all files. */
unsigned long hugetlb_gmem_host_node_pages(int nid)
{
	return atomic_long_read(&host_node_pages[nid]);
}

static void show_nodes(struct seq_file *m, struct hugetlb_gmem *gmem)
{
	int nid;

	for_each_node(nid)
		seq_printf(m, "gmem-node%d:\t%lu kB\n", nid,
			   gmem->node_pages[nid] * PAGE_KB);
}

/* All under one hold of the lock; seq_printf() does not sleep. */
static void show_counters(struct seq_file *m, struct hugetlb_gmem *gmem)
{
	const struct hugetlb_gmem_key *key;

	guard(spinlock)(&gmem->stat_lock);
	for (key = hugetlb_gmem_keys;
	     key < hugetlb_gmem_keys + HUGETLB_GMEM_NR_KEYS; key++) {
		seq_printf(m, "gmem-%s:\t%lu%s\n", key->name,
			   file_value(gmem, key->item) * (key->size ? PAGE_KB : 1),
			   key->size ? " kB" : "");
		if (key->item == HUGETLB_GMEM_POISONED)
			show_nodes(m, gmem);
	}
}

/* P poisoned, M merge pending, S split, W whole, . without memory. */
static char extent_letter(struct hugetlb_gmem *gmem, unsigned long i)
{
	struct hugetlb_gmem_extent *extent;

	guard(rcu)();
	extent = xa_load(&gmem->extents, i);
	/* Pairs with smp_store_release() by who filled the extent. */
	if (!extent || !smp_load_acquire(&extent->ready))
		return '.';
	if (extent_poisoned(extent))
		return 'P';
	if (xa_get_mark(&gmem->extents, i, HUGETLB_GMEM_MERGE_PENDING))
		return 'M';
	return READ_ONCE(extent->layout[0]) == extent->order ? 'W' : 'S';
}

static void show_map(struct seq_file *m, struct hugetlb_gmem *gmem)
{
	unsigned long i = 0, start;
	unsigned int runs;
	char letter;

	seq_puts(m, "gmem-map:\t");
	for (runs = 0; i < gmem->nr_extents && runs < MAP_RUNS_MAX; runs++) {
		start = i;
		letter = extent_letter(gmem, i++);
		while (i < gmem->nr_extents && extent_letter(gmem, i) == letter) {
			i++;
			cond_resched();
		}
		seq_printf(m, "%s%c%lu", runs ? " " : "", letter, i - start);
	}
	seq_puts(m, i < gmem->nr_extents ? " ...\n" : "\n");
}

/**
 * hugetlb_gmem_show - print the lines of /proc/PID/fdinfo/FD
 * @m: where to
 * @gmem: the file
 *
 * The counters are of one moment; the map need not agree with them.
 */
void hugetlb_gmem_show(struct seq_file *m, struct hugetlb_gmem *gmem)
{
	show_counters(m, gmem);
	show_map(m, gmem);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_show, "kvm");
