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
 * Others there: skip_presplit leaves the leaves of stage 2 as large as they are
 * when a part of them is to be unmapped, which is wrong.  no_zero leaves memory
 * from the pool as it is, to lay out much of it fast; never with more than one
 * tenant.  delay_after_prepare_ms waits between preparation and commit of a
 * conversion.  fail_commit has the task fall under task-filter= of fault
 * injection during commit, and only then.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fault-inject.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>

#include "hugetlb_gmem.h"

static bool orphan_all;
static bool plain_split;
static bool skip_presplit;
static bool no_zero;
static bool fail_commit;
static u32 delay_after_prepare_ms;

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

/**
 * hugetlb_gmem_skip_presplit - are leaves of stage 2 not to be split in time?
 *
 * Return: true if so.
 */
bool hugetlb_gmem_skip_presplit(void)
{
	return READ_ONCE(skip_presplit);
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_skip_presplit, "kvm");

/* May memory from the pool keep what somebody has left in it? */
bool hugetlb_gmem_no_zero(void)
{
	return READ_ONCE(no_zero);
}

/*
 * Commit must not depend on memory.  What may wait for memory comes after this
 * map in the order of locks, as far as lockdep knows; so an allocation in commit,
 * or waiting for someone who allocates, is the wrong order.
 */
#ifdef CONFIG_LOCKDEP
static struct lock_class_key commit_key;
static struct lockdep_map commit_map =
	STATIC_LOCKDEP_MAP_INIT("hugetlb_gmem_commit", &commit_key);

static void __init teach_lockdep(void)
{
	fs_reclaim_acquire(GFP_KERNEL);
	lock_map_acquire(&commit_map);
	lock_map_release(&commit_map);
	fs_reclaim_release(GFP_KERNEL);
}

static void enter_commit_map(void)
{
	lock_map_acquire(&commit_map);
}

static void leave_commit_map(void)
{
	lock_map_release(&commit_map);
}
#else
static void __init teach_lockdep(void)
{
}

static void enter_commit_map(void)
{
}

static void leave_commit_map(void)
{
}
#endif /* CONFIG_LOCKDEP */

/* A bit of its own: the other one is set by /proc. */
#define MAKE_COMMIT_FAIL	BIT(1)

static void fail_from_here(void)
{
#ifdef CONFIG_FAULT_INJECTION
	if (READ_ONCE(fail_commit))
		current->make_it_fail |= MAKE_COMMIT_FAIL;
#endif
}

static void fail_no_more(void)
{
#ifdef CONFIG_FAULT_INJECTION
	current->make_it_fail &= ~MAKE_COMMIT_FAIL;
#endif
}

/**
 * hugetlb_gmem_begin_commit - the point of no return of a conversion
 *
 * Until hugetlb_gmem_end_commit() the task allocates nothing.
 */
void hugetlb_gmem_begin_commit(void)
{
	unsigned int delay_ms = READ_ONCE(delay_after_prepare_ms);

	if (delay_ms)
		msleep(delay_ms);
	enter_commit_map();
	fail_from_here();
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_begin_commit, "kvm");

/**
 * hugetlb_gmem_end_commit - the end of a conversion
 */
void hugetlb_gmem_end_commit(void)
{
	fail_no_more();
	leave_commit_map();
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_end_commit, "kvm");

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
	debugfs_create_bool("skip_presplit", 0600, dir, &skip_presplit);
	debugfs_create_bool("no_zero", 0600, dir, &no_zero);
	debugfs_create_bool("fail_commit", 0600, dir, &fail_commit);
	debugfs_create_u32("delay_after_prepare_ms", 0600, dir,
			   &delay_after_prepare_ms);
	create_fault_attr();
	teach_lockdep();
	return 0;
}
late_initcall(hugetlb_gmem_debug_init);
