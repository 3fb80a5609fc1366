// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/mm/hugetlb_gmem/
 *
 * See Documentation/ABI/testing/sysfs-kernel-mm-hugetlb_gmem.
 */
#define pr_fmt(fmt)	"hugetlb_gmem: " fmt

#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "hugetlb_gmem.h"

static unsigned int merge_delay_ms = 100;

/**
 * hugetlb_gmem_merge_delay - how long to wait before a merge
 *
 * A page that is shared again meanwhile then costs neither a merge nor a split.
 *
 * Return: the time in jiffies; 0 to merge at once.
 */
unsigned long hugetlb_gmem_merge_delay(void)
{
	return msecs_to_jiffies(READ_ONCE(merge_delay_ms));
}
EXPORT_SYMBOL_FOR_MODULES(hugetlb_gmem_merge_delay, "kvm");

static ssize_t merge_delay_ms_show(struct kobject *kobj,
				   struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(merge_delay_ms));
}

static ssize_t merge_delay_ms_store(struct kobject *kobj,
				    struct kobj_attribute *attr,
				    const char *buf, size_t count)
{
	unsigned int delay;
	int ret = kstrtouint(buf, 10, &delay);

	if (ret)
		return ret;
	/* What msecs_to_jiffies() takes for "forever" is an error. */
	if (delay > INT_MAX)
		return -EINVAL;

	WRITE_ONCE(merge_delay_ms, delay);
	return count;
}

static struct kobj_attribute merge_delay_ms_attr = __ATTR_RW(merge_delay_ms);

/* A read-only file: a key of fdinfo, or a node's memory if @key is NULL. */
struct stat_file {
	struct kobj_attribute		attr;
	const struct hugetlb_gmem_key	*key;
	int				nid;
};

static unsigned long stat_value(struct stat_file *file)
{
	if (!file->key)
		return hugetlb_gmem_host_node_pages(file->nid) * PAGE_KB;
	return hugetlb_gmem_host_value(file->key->item) *
	       (file->key->size ? PAGE_KB : 1);
}

static ssize_t stat_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%lu\n",
			  stat_value(container_of(attr, struct stat_file, attr)));
}

/* "merge-pending" is in merge_pending, and "size" in size_kb. */
static char *stat_name(const struct stat_file *file)
{
	if (!file->key)
		return kasprintf(GFP_KERNEL, "node%d_kb", file->nid);
	return kasprintf(GFP_KERNEL, "%s%s", file->key->name,
			 file->key->size ? "_kb" : "");
}

/* The file stays for ever, and so does @file. */
static int __init add_stat_file(struct kobject *kobj, struct stat_file *file)
{
	char *name = stat_name(file);
	int ret;

	if (!name)
		return -ENOMEM;

	strreplace(name, '-', '_');
	sysfs_attr_init(&file->attr.attr);
	file->attr.attr.name = name;
	file->attr.attr.mode = 0444;
	file->attr.show = stat_show;
	ret = sysfs_create_file(kobj, &file->attr.attr);
	if (ret)
		kfree(name);
	return ret;
}

static int __init add_stat_files(struct kobject *kobj)
{
	unsigned int i, nr = HUGETLB_GMEM_NR_KEYS + nr_node_ids;
	struct stat_file *files = kcalloc(nr, sizeof(*files), GFP_KERNEL);
	int nid, ret = 0;

	if (!files)
		return -ENOMEM;

	for (i = 0; !ret && i < HUGETLB_GMEM_NR_KEYS; i++, files++) {
		files->key = &hugetlb_gmem_keys[i];
		ret = add_stat_file(kobj, files);
	}
	for_each_node(nid) {
		files->nid = nid;
		ret = ret ?: add_stat_file(kobj, files++);
	}
	return ret;
}

static int __init hugetlb_gmem_sysfs_init(void)
{
	struct kobject *kobj = kobject_create_and_add("hugetlb_gmem", mm_kobj);
	int ret;

	if (!kobj)
		return -ENOMEM;

	ret = sysfs_create_file(kobj, &merge_delay_ms_attr.attr) ?:
	      add_stat_files(kobj);
	if (ret)
		pr_err("no files in sysfs: %d\n", ret);
	return ret;
}
late_initcall(hugetlb_gmem_sysfs_init);
