// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/mm/hugetlb_gmem/
 *
 * See Documentation/ABI/testing/sysfs-kernel-mm-hugetlb_gmem.
 */
#include <linux/jiffies.h>
#include <linux/kobject.h>
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

static struct attribute *hugetlb_gmem_attrs[] = {
	&merge_delay_ms_attr.attr,
	NULL
};

static const struct attribute_group hugetlb_gmem_group = {
	.attrs = hugetlb_gmem_attrs,
};

static int __init hugetlb_gmem_sysfs_init(void)
{
	struct kobject *kobj = kobject_create_and_add("hugetlb_gmem", mm_kobj);
	int ret;

	if (!kobj)
		return -ENOMEM;

	ret = sysfs_create_group(kobj, &hugetlb_gmem_group);
	if (ret)
		kobject_put(kobj);
	return ret;
}
late_initcall(hugetlb_gmem_sysfs_init);
