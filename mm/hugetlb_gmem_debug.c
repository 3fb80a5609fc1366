// SPDX-License-Identifier: GPL-2.0-only
/*
 * See and disturb the HugeTLB pages of guest_memfds, for development
 *
 * /sys/kernel/debug/fail_hugetlb_gmem/ makes allocations fail, see
 * Documentation/fault-injection/fault-injection.rst.
 *
 * /sys/kernel/debug/hugetlb_gmem/extents has a line for each HugeTLB page that a
 * guest_memfd holds, by pfn:
 *
 *	ino=1034 index=262144 pfn=1572864 order=18 folios=17:1,16:1,...,9:1,0:512
 *
 * "folios" lists number of folios by order.
 *
 * /sys/kernel/debug/hugetlb_gmem/orphan: set to Y, it makes close() take every
 * HugeTLB page for one that somebody else still holds.
 *
 * /sys/kernel/debug/hugetlb_gmem/plain_split: set to Y, it makes extents that are
 * split small as a whole, so that all struct pages are needed: the plain way, to
 * compare with.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/mm.h>
#include <linux/seq_file.h>

#include "hugetlb_gmem.h"

static bool orphan_all;
static bool plain_split;

/* Is every extent of a file that is closed to be taken for a pinned one? */
bool hugetlb_gmem_orphan_all(void)
{
	return READ_ONCE(orphan_all);
}

/**
 * hugetlb_gmem_plain_split - are all blocks of a split extent to be small?
 *
 * Return: true if so.
 */
bool hugetlb_gmem_plain_split(void)
{
	return READ_ONCE(plain_split);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_plain_split, "kvm");

static void show_extent(struct seq_file *m, struct hugetlb_gmem_extent *extent)
{
	unsigned int counts[HUGETLB_GMEM_MAX_ORDER + 1];
	struct address_space *mapping = READ_ONCE(extent->gmem->mapping);
	const char *separator = "";
	int order;

	hugetlb_gmem_count_folios(extent, counts);
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

#ifdef CONFIG_FAULT_INJECTION
static DECLARE_FAULT_ATTR(fail_hugetlb_gmem);

/**
 * hugetlb_gmem_should_fail - is the next allocation to fail?
 *
 * Asked before each allocation that the two halves make for a file, an extent
 * or a conversion; not by those of the pool itself.
 *
 * Return: true if so.
 */
bool hugetlb_gmem_should_fail(void)
{
	return should_fail(&fail_hugetlb_gmem, 1);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_should_fail, "kvm");

static void __init create_fault_attr(void)
{
	fault_create_debugfs_attr("fail_hugetlb_gmem", NULL, &fail_hugetlb_gmem);
}
#else
static void __init create_fault_attr(void)
{
}
#endif /* CONFIG_FAULT_INJECTION */

static int __init hugetlb_gmem_debug_init(void)
{
	struct dentry *dir = debugfs_create_dir("hugetlb_gmem", NULL);

	debugfs_create_file("extents", 0400, dir, NULL, &extents_fops);
	debugfs_create_bool("orphan", 0600, dir, &orphan_all);
	debugfs_create_bool("plain_split", 0600, dir, &plain_split);
	create_fault_attr();
	return 0;
}
late_initcall(hugetlb_gmem_debug_init);
