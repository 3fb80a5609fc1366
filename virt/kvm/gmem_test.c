// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user of guest_memfd memory for tests
 *
 * Opening /sys/kernel/debug/kvm_gmem_test/consumer makes a consumer, closing it
 * is its end.  It takes commands, one a write:
 *
 *	register FD	of this guest_memfd, once
 *	refuse ERRNO	to every preparation from now on, 0 for none
 *	hold PAGE	of the file, from when its invalidation is prepared to the end
 *	lock		that page, and hold nothing but the lock
 *	allocate	memory when invalidating, which nobody may
 *	fail		to let pages go from now on
 *
 * and what it was told since the last read can be read, in pages of the file:
 *
 *	prepare 5 6
 *	abort 5 6
 *	invalidate 5 6
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#define LOG_SIZE	SZ_16K

struct test_consumer {
	struct kvm_gmem_consumer consumer;
	bool			registered;
	int			refuse;
	long			hold;
	struct folio		*held;
	bool			lock_only;
	bool			allocate;
	bool			fail;
	struct mutex		commands;	/* one at a time */
	spinlock_t		lock;		/* log */
	struct seq_buf		log;
	char			text[LOG_SIZE];
};

static struct dentry *test_dir;

static struct test_consumer *to_test(struct kvm_gmem_consumer *consumer)
{
	return container_of(consumer, struct test_consumer, consumer);
}

static void note(struct test_consumer *test, const char *what, pgoff_t start,
		 pgoff_t end)
{
	guard(spinlock)(&test->lock);
	seq_buf_printf(&test->log, "%s %lu %lu\n", what, start, end);
}

static void hold(struct test_consumer *test, pgoff_t start, pgoff_t end)
{
	long page = test->hold;
	struct folio *folio;

	if (page < (long)start || page >= (long)end)
		return;

	folio = filemap_get_folio(test->consumer.inode->i_mapping, page);
	test->held = IS_ERR(folio) ? NULL : folio;
	/* As a fault of the host that has mapped the page, and was unmapped. */
	if (test->held && test->lock_only) {
		folio_lock(folio);
		folio_put(folio);
	}
}

static void let_go(struct test_consumer *test)
{
	if (test->held && test->lock_only)
		folio_unlock(test->held);
	else if (test->held)
		folio_put(test->held);
	test->held = NULL;
}

static int test_prepare(struct kvm_gmem_consumer *consumer, pgoff_t start,
			pgoff_t end)
{
	struct test_consumer *test = to_test(consumer);

	note(test, "prepare", start, end);
	if (test->refuse)
		return -test->refuse;

	hold(test, start, end);
	return 0;
}

static void test_abort(struct kvm_gmem_consumer *consumer, pgoff_t start,
		       pgoff_t end)
{
	note(to_test(consumer), "abort", start, end);
	let_go(to_test(consumer));
}

static void test_invalidate(struct kvm_gmem_consumer *consumer, pgoff_t start,
			    pgoff_t end)
{
	struct test_consumer *test = to_test(consumer);

	note(test, "invalidate", start, end);
	let_go(test);
	if (test->allocate)
		kfree(kmalloc(PAGE_SIZE, GFP_KERNEL));
	if (test->fail)
		kvm_gmem_unmap_failed(consumer->inode, start, end);
}

static const struct kvm_gmem_consumer_ops test_ops = {
	.prepare_invalidate = test_prepare,
	.abort_invalidate = test_abort,
	.invalidate = test_invalidate,
};

static int test_open(struct inode *inode, struct file *file)
{
	struct test_consumer *test = kvzalloc_obj(*test);

	if (!test)
		return -ENOMEM;

	mutex_init(&test->commands);
	spin_lock_init(&test->lock);
	seq_buf_init(&test->log, test->text, LOG_SIZE);
	test->consumer.ops = &test_ops;
	test->hold = -1;
	file->private_data = test;
	return 0;
}

static int test_release(struct inode *inode, struct file *file)
{
	struct test_consumer *test = file->private_data;

	if (test->registered)
		kvm_gmem_unregister_consumer(&test->consumer);
	kvfree(test);
	return 0;
}

static int register_fd(struct test_consumer *test, int fd)
{
	int ret;

	if (test->registered)
		return -EBUSY;

	CLASS(fd, f)(fd);
	if (fd_empty(f))
		return -EBADF;

	ret = kvm_gmem_register_consumer(fd_file(f), &test->consumer);
	test->registered = !ret;
	return ret;
}

static int run_command(struct test_consumer *test, const char *command)
{
	int number;

	if (sscanf(command, "register %d", &number) == 1)
		return register_fd(test, number);
	if (sscanf(command, "refuse %d", &number) == 1 && number >= 0)
		test->refuse = number;
	else if (sscanf(command, "hold %d", &number) == 1)
		test->hold = number;
	else if (sysfs_streq(command, "lock"))
		test->lock_only = true;
	else if (sysfs_streq(command, "allocate"))
		test->allocate = true;
	else if (sysfs_streq(command, "fail"))
		test->fail = true;
	else
		return -EINVAL;
	return 0;
}

static ssize_t test_write(struct file *file, const char __user *user,
			  size_t count, loff_t *pos)
{
	struct test_consumer *test = file->private_data;
	char command[32];
	int ret;

	if (count >= sizeof(command))
		return -EINVAL;
	if (copy_from_user(command, user, count))
		return -EFAULT;

	command[count] = '\0';
	guard(mutex)(&test->commands);
	ret = run_command(test, command);
	return ret ?: count;
}

/* All of the log, which is empty then; it must fit. */
static ssize_t test_read(struct file *file, char __user *user, size_t count,
			 loff_t *pos)
{
	char *text __free(kvfree) = kvmalloc(LOG_SIZE, GFP_KERNEL);
	struct test_consumer *test = file->private_data;
	bool overflowed;
	size_t len;

	if (!text)
		return -ENOMEM;

	/* Not while copying: the lock is taken where mmap_lock must not be. */
	scoped_guard(spinlock, &test->lock) {
		overflowed = seq_buf_has_overflowed(&test->log);
		len = seq_buf_used(&test->log);
		memcpy(text, test->text, len);
		seq_buf_clear(&test->log);
	}

	if (overflowed || len > count)
		return -EOVERFLOW;
	return copy_to_user(user, text, len) ? -EFAULT : len;
}

static const struct file_operations test_fops = {
	.owner		= THIS_MODULE,
	.open		= test_open,
	.release	= test_release,
	.read		= test_read,
	.write		= test_write,
};

static int __init kvm_gmem_test_init(void)
{
	test_dir = debugfs_create_dir("kvm_gmem_test", NULL);
	debugfs_create_file("consumer", 0600, test_dir, NULL, &test_fops);
	return 0;
}
module_init(kvm_gmem_test_init);

static void __exit kvm_gmem_test_exit(void)
{
	debugfs_remove(test_dir);
}
module_exit(kvm_gmem_test_exit);

MODULE_DESCRIPTION("Test consumer of guest_memfd memory");
MODULE_LICENSE("GPL");
