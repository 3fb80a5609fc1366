// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files on HugeTLB pages for KUnit tests, what is counted of them, and failing
 * allocations
 *
 * An inode is of a file system that is mounted for the tests, and dies like that
 * of a guest_memfd: the last iput() frees the extents, then the reservation.
 *
 * Allocations fail by current->fail_nth, which counts those of fail_hugetlb_gmem,
 * and those of failslab and fail_page_alloc as far as these let them fail: only
 * those that may not sleep, unless ignore-gfp-wait in debugfs says otherwise.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <linux/cgroup.h>
#include <linux/delay.h>
#include <linux/fs_context.h>
#include <linux/jiffies.h>
#include <linux/hugetlb.h>
#include <linux/hugetlb_cgroup.h>
#include <linux/mount.h>
#include <linux/page_counter.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "hugetlb_gmem_kunit.h"

#define VMSTAT_SIZE	SZ_32K
/* More than any operation makes. */
#define MAX_ALLOCATIONS	100000
/* A worker has this long; only a test that fails needs it. */
#define AWAIT_SECONDS	20

static struct vfsmount *test_mnt;
static struct vfsmount *proc_mnt;
static struct task_struct *runner;

static void evict_inode(struct inode *inode)
{
	struct gmem_kunit_file *file = inode->i_private;
	struct hugetlb_gmem *gmem = file ? file->gmem : NULL;

	if (gmem) {
		mapping_set_exiting(inode->i_mapping);
		hugetlb_gmem_free_extents(gmem, 0,
					  i_size_read(inode) >> PAGE_SHIFT);
	}
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (gmem)
		hugetlb_gmem_destroy(gmem);
}

static const struct super_operations test_super_ops = {
	.statfs		= simple_statfs,
	.evict_inode	= evict_inode,
};

static int init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *context = init_pseudo(fc, 0x67746573);

	if (!context)
		return -ENOMEM;
	context->ops = &test_super_ops;
	return 0;
}

static struct file_system_type test_fs_type = {
	.name			= "hugetlb_gmem_kunit",
	.init_fs_context	= init_fs_context,
	.kill_sb		= kill_anon_super,
};

static struct vfsmount *mount_proc(void)
{
	struct file_system_type *type = get_fs_type("proc");
	struct vfsmount *mnt;

	if (!type)
		return ERR_PTR(-ENODEV);
	mnt = kern_mount(type);
	put_filesystem(type);
	return mnt;
}

/* The task that waits for the suite is in the cgroup which is to be charged. */
int gmem_kunit_suite_init(struct kunit_suite *suite)
{
	test_mnt = kern_mount(&test_fs_type);
	if (IS_ERR(test_mnt))
		return PTR_ERR(test_mnt);

	proc_mnt = mount_proc();
	if (IS_ERR(proc_mnt)) {
		kern_unmount(test_mnt);
		return PTR_ERR(proc_mnt);
	}
	runner = current;
	return 0;
}

void gmem_kunit_suite_exit(struct kunit_suite *suite)
{
	kern_unmount(proc_mnt);
	kern_unmount(test_mnt);
}

/* In the thread of the test, a new one each time. */
int gmem_kunit_init(struct kunit *test)
{
	return cgroup_attach_task_all(runner, current);
}

/* Parameters of tests: the orders of huge pages. */
static const u8 orders[] = { GMEM_KUNIT_2M, GMEM_KUNIT_1G };

static void describe_order(const u8 *order, char *desc)
{
	strscpy(desc, *order == GMEM_KUNIT_1G ? "1G" : "2M", KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(order, orders, describe_order);

const void *gmem_kunit_orders(struct kunit *test, const void *prev, char *desc)
{
	return order_gen_params(test, prev, desc);
}

unsigned int gmem_kunit_order(struct kunit *test)
{
	return *(const u8 *)test->param_value;
}

static void poisoned(struct address_space *mapping, pgoff_t index)
{
	struct gmem_kunit_file *file = mapping->host->i_private;

	guard(mutex)(&file->telling);
	file->poisoned = index;
	atomic_inc(&file->nr_poisoned);
}

static void close_file(void *data)
{
	struct gmem_kunit_file *file = data;

	/* A worker may hold the inode. */
	hugetlb_gmem_drain();
	iput(file->inode);
	file->inode = NULL;
	file->gmem = NULL;
}

/* A file of @nr huge pages without a reservation; it is closed with the test. */
struct gmem_kunit_file *gmem_kunit_new_file(struct kunit *test,
					    unsigned int order, unsigned long nr)
{
	struct gmem_kunit_file *file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);
	struct inode *inode;

	KUNIT_ASSERT_NOT_NULL(test, file);
	file->test = test;
	mutex_init(&file->telling);
	file->order = order;
	file->hstate = size_to_hstate(PAGE_SIZE << order);
	if (!hugetlb_gmem_valid_order(order) ||
	    file->hstate->free_huge_pages - file->hstate->resv_huge_pages < nr)
		kunit_skip(test, "%lu free huge pages of order %u are needed",
			   nr, order);
	gmem_kunit_read_books(test, file->hstate, &file->books);

	inode = alloc_anon_inode(test_mnt->mnt_sb);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, inode);
	inode->i_private = file;
	inode->i_mode |= S_IFREG;
	i_size_write(inode, (loff_t)nr << (order + PAGE_SHIFT));
	mapping_set_inaccessible(inode->i_mapping);
	file->inode = inode;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, close_file, file), 0);
	return file;
}

int gmem_kunit_reserve(struct gmem_kunit_file *file)
{
	struct hugetlb_gmem *gmem;

	gmem = hugetlb_gmem_create(file->inode->i_mapping, file->order,
				   i_size_read(file->inode), poisoned);
	if (IS_ERR(gmem))
		return PTR_ERR(gmem);

	file->gmem = gmem;
	return 0;
}

struct gmem_kunit_file *gmem_kunit_create(struct kunit *test,
					  unsigned int order, unsigned long nr)
{
	struct gmem_kunit_file *file = gmem_kunit_new_file(test, order, nr);

	KUNIT_ASSERT_EQ(test, gmem_kunit_reserve(file), 0);
	return file;
}

void gmem_kunit_close(struct gmem_kunit_file *file)
{
	kunit_release_action(file->test, close_file, file);
}

/* Nothing of the file may be left. */
void gmem_kunit_close_clean(struct gmem_kunit_file *file)
{
	gmem_kunit_close(file);
	gmem_kunit_expect_books(file->test, file->hstate, &file->books);
}

/* All memory of a test file is private. */
void gmem_kunit_count(struct hugetlb_gmem_extent *extent)
{
	unsigned long nr_collateral = 0;
	unsigned int i;

	for (i = 0; i < extent->nr_blocks; i++)
		nr_collateral += extent->layout[i] ? 0 : HUGETLB_GMEM_BLOCK_PAGES;
	hugetlb_gmem_count_extent(extent, extent_pages(extent), nr_collateral);
}

int gmem_kunit_alloc(struct hugetlb_gmem_extent *extent)
{
	struct address_space *mapping = extent->gmem->mapping;
	int ret;

	filemap_invalidate_lock_shared(mapping);
	scoped_guard(mutex, &extent->lock) {
		ret = hugetlb_gmem_alloc_extent(extent, NULL);
		if (!ret) {
			gmem_kunit_count(extent);
			/* Pairs with hugetlb_gmem_find_extent(). */
			smp_store_release(&extent->ready, true);
		}
	}
	filemap_invalidate_unlock_shared(mapping);
	return ret;
}

struct hugetlb_gmem_extent *gmem_kunit_fill(struct gmem_kunit_file *file,
					    unsigned long i)
{
	struct hugetlb_gmem_extent *extent;

	extent = hugetlb_gmem_get_extent(file->gmem, i << file->order);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(file->test, extent);
	KUNIT_ASSERT_EQ(file->test, gmem_kunit_alloc(extent), 0);
	return extent;
}

const struct gmem_kunit_hold gmem_kunit_reference = { folio_get, folio_put, 1 };
const struct gmem_kunit_hold gmem_kunit_lock = { folio_lock, folio_unlock, 0 };

void gmem_kunit_punch(struct gmem_kunit_file *file, unsigned long i)
{
	struct address_space *mapping = file->inode->i_mapping;

	filemap_invalidate_lock(mapping);
	hugetlb_gmem_free_extents(file->gmem, i << file->order,
				  (i + 1) << file->order);
	filemap_invalidate_unlock(mapping);
}

static long vmstat_item(struct kunit *test, const char *vmstat, const char *name)
{
	const char *line = strstr(vmstat, name);
	long nr;

	if (line && sscanf(line + strlen(name), "%ld", &nr) == 1)
		return nr;
	KUNIT_FAIL(test, "no %s in /proc/vmstat", name);
	return -1;
}

/* Of boot or not: a page that leaves the pool trades the former for the latter. */
static long memmap_pages(struct kunit *test)
{
	char *text = kunit_kzalloc(test, VMSTAT_SIZE, GFP_KERNEL);
	struct file *file;
	loff_t pos = 0;
	long nr;

	KUNIT_ASSERT_NOT_NULL(test, text);
	file = file_open_root_mnt(proc_mnt, "vmstat", O_RDONLY, 0);
	if (!IS_ERR(file)) {
		kernel_read(file, text, VMSTAT_SIZE - 1, &pos);
		fput(file);
	}
	nr = vmstat_item(test, text, "nr_memmap_pages ") +
	     vmstat_item(test, text, "nr_memmap_boot_pages ");
	kunit_kfree(test, text);
	return nr;
}

#ifdef CONFIG_CGROUP_HUGETLB
/* The cgroup of the test; it does not go away. */
struct hugetlb_cgroup *gmem_kunit_cgroup(void)
{
	guard(rcu)();
	return container_of(task_css(current, hugetlb_cgrp_id),
			    struct hugetlb_cgroup, css);
}

static void read_cgroup(struct hstate *h, long *value)
{
	struct hugetlb_cgroup *cgroup = gmem_kunit_cgroup();
	int i = hstate_index(h);

	value[BOOK_CGROUP] = page_counter_read(&cgroup->hugepage[i]);
	value[BOOK_CGROUP_NODE] = cgroup->nodeinfo[numa_node_id()]->usage[i];
	value[BOOK_CGROUP_RESERVED] = page_counter_read(&cgroup->rsvd_hugepage[i]);
}
#else
struct hugetlb_cgroup *gmem_kunit_cgroup(void)
{
	return NULL;
}

static void read_cgroup(struct hstate *h, long *value)
{
}
#endif /* CONFIG_CGROUP_HUGETLB */

static long known_extents(void)
{
	struct hugetlb_gmem_extent *extent;
	unsigned long i;
	long nr = 0;

	guard(rcu)();
	xa_for_each(&hugetlb_gmem_extents, i, extent)
		nr++;
	return nr;
}

static void read_pool(struct hstate *h, long *value)
{
	int nid = numa_node_id();

	guard(spinlock_irq)(&hugetlb_lock);
	value[BOOK_POOL] = h->nr_huge_pages;
	value[BOOK_POOL_FREE] = h->free_huge_pages;
	value[BOOK_POOL_RESERVED] = h->resv_huge_pages;
	value[BOOK_POOL_SURPLUS] = h->surplus_huge_pages;
	value[BOOK_POOL_MAX] = h->max_huge_pages;
	value[BOOK_NODE] = h->nr_huge_pages_node[nid];
	value[BOOK_NODE_FREE] = h->free_huge_pages_node[nid];
	value[BOOK_NODE_SURPLUS] = h->surplus_huge_pages_node[nid];
}

void gmem_kunit_read_books(struct kunit *test, struct hstate *h,
			   struct gmem_kunit_books *books)
{
	long *value = books->value;
	unsigned int i;

	memset(books, 0, sizeof(*books));
	/* What leaves the pool and is optimized is freed by a worker. */
	wait_for_freed_hugetlb_folios();
	read_pool(h, value);
	read_cgroup(h, value);
	value[BOOK_NR_HUGETLB] = global_node_page_state(NR_HUGETLB);
	value[BOOK_NR_MEMMAP] = memmap_pages(test);
	value[BOOK_EXTENTS] = known_extents();
	value[BOOK_HOST_SIZE] = hugetlb_gmem_host_value(HUGETLB_GMEM_SIZE);
	value[BOOK_HOST_NODE] = hugetlb_gmem_host_node_pages(numa_node_id());
	for (i = 0; i < HUGETLB_GMEM_NR_EXTENT_ITEMS; i++)
		value[BOOK_HOST + i] = hugetlb_gmem_host_value(i);
}

static const char * const book_names[] = {
	[BOOK_POOL]		= "pages of the pool",
	[BOOK_POOL_FREE]	= "free pages of the pool",
	[BOOK_POOL_RESERVED]	= "reserved pages of the pool",
	[BOOK_POOL_SURPLUS]	= "surplus pages of the pool",
	[BOOK_POOL_MAX]		= "size of the pool",
	[BOOK_NODE]		= "pages of the node",
	[BOOK_NODE_FREE]	= "free pages of the node",
	[BOOK_NODE_SURPLUS]	= "surplus pages of the node",
	[BOOK_NR_HUGETLB]	= "NR_HUGETLB",
	[BOOK_NR_MEMMAP]	= "pages of struct pages",
	[BOOK_CGROUP]		= "usage of the cgroup",
	[BOOK_CGROUP_NODE]	= "usage of the cgroup on the node",
	[BOOK_CGROUP_RESERVED]	= "reservation of the cgroup",
	[BOOK_EXTENTS]		= "extents known by pfn",
	[BOOK_HOST_SIZE]	= "size of all files",
	[BOOK_HOST_NODE]	= "memory of all files on the node",
};

void gmem_kunit_expect_books(struct kunit *test, struct hstate *h,
			     const struct gmem_kunit_books *books)
{
	struct gmem_kunit_books now;
	unsigned int i;

	gmem_kunit_read_books(test, h, &now);
	for (i = 0; i < BOOK_HOST; i++)
		KUNIT_EXPECT_EQ_MSG(test, now.value[i], books->value[i], "%s",
				    book_names[i]);
	for (; i < NR_BOOKS; i++)
		KUNIT_EXPECT_EQ_MSG(test, now.value[i], books->value[i],
				    "item %u of the host", i - BOOK_HOST);
}

/* Wait for a worker that makes them so. */
void gmem_kunit_await_books(struct kunit *test, struct hstate *h,
			    const struct gmem_kunit_books *books)
{
	unsigned long end = jiffies + AWAIT_SECONDS * HZ;
	struct gmem_kunit_books now;

	do {
		gmem_kunit_read_books(test, h, &now);
		if (!memcmp(&now, books, sizeof(now)))
			return;
		msleep(20);
	} while (time_before(jiffies, end));
	gmem_kunit_expect_books(test, h, books);
}

/* With a file of @nr huge pages, of which @nr_filled have memory and are whole. */
void gmem_kunit_file_books(struct gmem_kunit_file *file, unsigned long nr,
			   unsigned long nr_filled,
			   struct gmem_kunit_books *books)
{
	unsigned long pages = nr_filled << file->order;
	long *value = books->value;

	*books = file->books;
	value[BOOK_POOL_FREE] -= nr_filled;
	value[BOOK_NODE_FREE] -= nr_filled;
	value[BOOK_POOL_RESERVED] += nr - nr_filled;
	value[BOOK_CGROUP_RESERVED] += nr << file->order;
	value[BOOK_HOST_SIZE] += nr << file->order;
	value[BOOK_CGROUP] += pages;
	value[BOOK_CGROUP_NODE] += pages;
	value[BOOK_NR_HUGETLB] += pages;
	value[BOOK_HOST_NODE] += pages;
	value[BOOK_EXTENTS] += nr_filled;
	value[BOOK_HOST + HUGETLB_GMEM_ALLOCATED] += pages;
	value[BOOK_HOST + HUGETLB_GMEM_PRIVATE] += pages;
	value[BOOK_HOST + HUGETLB_GMEM_WHOLE] += nr_filled;
	value[BOOK_HOST + HUGETLB_GMEM_FOLIOS + HUGETLB_GMEM_MAX_ORDER - file->order] +=
		nr_filled;
}

static unsigned int folios_item(unsigned int order)
{
	return HUGETLB_GMEM_FOLIOS +
	       (order ? HUGETLB_GMEM_MAX_ORDER - order : HUGETLB_GMEM_NR_ORDERS - 1);
}

static unsigned long count_poison(struct hugetlb_gmem_extent *extent)
{
	unsigned long i, nr = 0, end = extent->index + extent_pages(extent);

	for (i = extent->index; i < end; i++)
		nr += hugetlb_gmem_find_poison(extent, i, i + 1) == i;
	return nr;
}

/* Add up what struct pages, page tables and marks say, not what is recorded. */
static void recount(struct hugetlb_gmem_extent *extent, long *stat)
{
	unsigned long i, nr, pages = extent_pages(extent);
	bool pending = xa_get_mark(&extent->gmem->extents,
				   extent->index >> extent->order,
				   HUGETLB_GMEM_MERGE_PENDING);
	unsigned int order, folios = 0;

	for (i = 0; i < pages; i += nr, folios++) {
		order = folio_order((struct folio *)(extent->page + i));
		nr = 1UL << order;
		stat[folios_item(order)]++;
		stat[HUGETLB_GMEM_COLLATERAL] += !order;
	}
	stat[HUGETLB_GMEM_ALLOCATED] += pages;
	stat[HUGETLB_GMEM_PRIVATE] += pages;
	stat[HUGETLB_GMEM_WHOLE] += folios == 1;
	stat[HUGETLB_GMEM_SPLIT] += folios != 1;
	stat[HUGETLB_GMEM_PENDING] += pending;
	stat[HUGETLB_GMEM_PENDING_PINS] +=
		pending && extent->blocked == HUGETLB_GMEM_BLOCKED_PINS;
	stat[HUGETLB_GMEM_PENDING_POISON] +=
		pending && extent->blocked == HUGETLB_GMEM_BLOCKED_POISON;
	stat[HUGETLB_GMEM_POISONED] += count_poison(extent);
	if (extent->optimized)
		stat[HUGETLB_GMEM_VMEMMAP] += gmem_kunit_own_vmemmap(extent) - 1;
}

/* The counters of a file, and with them the host's, against a recount. */
void gmem_kunit_expect_counters(struct gmem_kunit_file *file)
{
	struct hugetlb_gmem *gmem = file->gmem;
	long stat[HUGETLB_GMEM_NR_EXTENT_ITEMS] = {};
	struct hugetlb_gmem_extent *extent;
	unsigned long i;

	xa_for_each(&gmem->extents, i, extent) {
		if (extent->page)
			recount(extent, stat);
	}

	for (i = 0; i < HUGETLB_GMEM_NR_EXTENT_ITEMS; i++) {
		KUNIT_EXPECT_EQ_MSG(file->test, (long)gmem->stat[i], stat[i],
				    "item %lu of the file", i);
		KUNIT_EXPECT_EQ_MSG(file->test,
				    (long)hugetlb_gmem_host_value(i) -
				    file->books.value[BOOK_HOST + i], stat[i],
				    "item %lu of the host", i);
	}
	KUNIT_EXPECT_EQ(file->test, (long)gmem->node_pages[numa_node_id()],
			stat[HUGETLB_GMEM_ALLOCATED]);
}

/* May those fail that can wait for memory? */
bool gmem_kunit_all_allocations_fail(void)
{
	void *memory;

	gmem_kunit_fail_nth(1);
	memory = kmalloc(1, GFP_KERNEL);
	gmem_kunit_fail_none();
	kfree(memory);
	return !memory;
}

/*
 * Fail the 1st, 2nd, ... allocation until there are no more.  @nr_own of them are
 * asked of fail_hugetlb_gmem, which are errors.  The others are few as long as
 * failslab leaves most alone, and not all are errors: the page cache asks again.
 */
void gmem_kunit_fail_each(struct kunit *test,
			  const struct gmem_kunit_fallible *fallible,
			  void *data, unsigned int nr_own)
{
	unsigned int nth, left, errors = 0;
	int ret;

	for (nth = 1; nth < MAX_ALLOCATIONS; nth++) {
		gmem_kunit_fail_nth(nth);
		ret = fallible->run(data);
		left = gmem_kunit_fail_none();
		if (left)
			break;
		if (!ret) {
			fallible->undo(data);
			continue;
		}
		errors++;
		KUNIT_EXPECT_TRUE_MSG(test, ret == -ENOMEM || ret == -ENOSPC,
				      "error %d without allocation %u", ret, nth);
		fallible->check(test, data);
	}

	KUNIT_EXPECT_EQ_MSG(test, ret, 0, "with all memory");
	if (gmem_kunit_all_allocations_fail()) {
		KUNIT_EXPECT_GE(test, errors, nr_own);
		KUNIT_EXPECT_GT(test, nth - 1, nr_own);
	} else {
		KUNIT_EXPECT_EQ(test, errors, nr_own);
	}
	kunit_info(test, "%u of %u allocations failed it\n", errors, nth - 1);
}
