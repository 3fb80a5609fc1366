// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/hugetlb_gmem/extents: how HugeTLB pages are split
 *
 * A line for each HugeTLB page that a guest_memfd holds, by pfn:
 *
 *	ino=1034 index=262144 pfn=1572864 order=18 folios=17:1,16:1,...,9:1,0:512
 *
 * "folios" lists number of folios by order.  See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/seq_file.h>

#include "hugetlb_gmem.h"

static void count_folios(const struct hugetlb_gmem_extent *extent,
			 unsigned int *counts)
{
	unsigned long i;

	for (i = 0; i < extent_pages(extent);
	     i += layout_folio_pages(extent->layout, i))
		counts[extent->layout[i >> HUGETLB_GMEM_BLOCK_ORDER]]++;
}

static void show_extent(struct seq_file *m, struct hugetlb_gmem_extent *extent)
{
	unsigned int counts[HUGETLB_GMEM_MAX_ORDER + 1] = {};
	struct address_space *mapping = READ_ONCE(extent->gmem->mapping);
	const char *separator = "";
	int order;

	count_folios(extent, counts);
	seq_printf(m, "ino=%lu index=%lu pfn=%lu order=%u folios=",
		   mapping ? (unsigned long)mapping->host->i_ino : 0,
		   extent->index, page_to_pfn(extent->page), extent->order);
	for (order = HUGETLB_GMEM_MAX_ORDER; order >= 0; order--) {
		if (!counts[order])
			continue;
		seq_printf(m, "%s%d:%u", separator, order, counts[order]);
		separator = ",";
	}
	seq_putc(m, '\n');
}

static int extents_show(struct seq_file *m, void *unused)
{
	struct hugetlb_gmem_extent *extent;
	unsigned long i;

	guard(rcu)();
	xa_for_each(&hugetlb_gmem_extents, i, extent)
		show_extent(m, extent);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(extents);

static int __init hugetlb_gmem_debug_init(void)
{
	struct dentry *dir = debugfs_create_dir("hugetlb_gmem", NULL);

	debugfs_create_file("extents", 0400, dir, NULL, &extents_fops);
	return 0;
}
late_initcall(hugetlb_gmem_debug_init);
