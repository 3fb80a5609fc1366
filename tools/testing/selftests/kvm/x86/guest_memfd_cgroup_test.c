// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control groups and guest_memfd.
 *
 * hugetlb, v2 or v1: the whole file is charged to the reservation when it is
 * created, pages to the usage as they are allocated, limits give ENOMEM and
 * ENOSPC, and a cgroup can go while its pages are split.
 *
 * memory, with memory_hugetlb_accounting: a page is charged as long as it is
 * allocated, whole or split, the limit gives ENOSPC, and a cgroup can go while
 * its pages are split.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <sys/mount.h>
#include <linux/falloc.h>

#include "cgroup_util.h"
#include "guest_memfd_pool.h"
#include "kvm_test_harness.h"

#define NR_EXTENTS	2
#define CGROUP_V2	"/sys/fs/cgroup"
#define CGROUP_V1	"/sys/fs/cgroup/hugetlb"
#define WAIT_TRIES	300
#define FILE_LEN	64

/* The files of either hierarchy, without "hugetlb.2MB.". */
struct hierarchy {
	const char *root;
	const char *usage;
	const char *limit;
	const char *rsvd_usage;
	const char *rsvd_limit;
};

static const struct hierarchy v2 = {
	.root = CGROUP_V2,
	.usage = "current",
	.limit = "max",
	.rsvd_usage = "rsvd.current",
	.rsvd_limit = "rsvd.max",
};

static const struct hierarchy v1 = {
	.root = CGROUP_V1,
	.usage = "usage_in_bytes",
	.limit = "limit_in_bytes",
	.rsvd_usage = "rsvd.usage_in_bytes",
	.rsvd_limit = "rsvd.limit_in_bytes",
};

/* A cgroup for the test, in one that stays to be looked at. */
struct group {
	const struct hierarchy *hierarchy;
	const char *page;
	char parent[FILE_LEN];
	char child[FILE_LEN];
	long nr_cgroups;
};

FIXTURE(guest_memfd_cgroup)
{
	struct group group;
	struct kvm_vm *vm;
	struct hugetlb_pool pool;
	struct hugetlb_counters counters;
	u64 page_size;
	u64 size;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(guest_memfd_cgroup)
{
	u8 order;
	const char *name;
};

FIXTURE_VARIANT_ADD(guest_memfd_cgroup, 2m) {
	.order = ORDER_2M,
	.name = "2MB",
};

FIXTURE_VARIANT_ADD(guest_memfd_cgroup, 1g) {
	.order = ORDER_1G,
	.name = "1GB",
};

/* A file of the hugetlb controller, such as hugetlb.2MB.max. */
static const char *hugetlb_file(const struct group *group, const char *name)
{
	static char file[FILE_LEN];

	snprintf(file, sizeof(file), "hugetlb.%s.%s", group->page, name);
	return file;
}

static void set_limit(const struct group *group, const char *name, u64 bytes)
{
	TEST_ASSERT_EQ(cg_write_numeric(group->child, hugetlb_file(group, name), bytes), 0);
}

/* Nodes have what the cgroup has, all told. */
static void assert_numa_stat(const struct group *group, const char *dir, u64 usage)
{
	char text[BUF_SIZE], *item, *rest = text;
	unsigned int node;
	u64 bytes, sum = 0;

	TEST_ASSERT_EQ(cg_read(dir, hugetlb_file(group, "numa_stat"), text, sizeof(text)), 0);
	/* v1 has a second line, where descendants count. */
	text[strcspn(text, "\n")] = 0;
	while ((item = strsep(&rest, " "))) {
		if (sscanf(item, "N%u=%lu", &node, &bytes) == 2)
			sum += bytes;
		else
			TEST_ASSERT(sscanf(item, "total=%lu", &bytes) == 1 && bytes == usage,
				    "%s: %s, wanted %lu", dir, item, usage);
	}
	TEST_ASSERT_EQ(sum, usage);
}

static void assert_usage(const struct group *group, const char *dir, u64 usage, u64 rsvd)
{
	const struct hierarchy *h = group->hierarchy;

	TEST_ASSERT_EQ(cg_read_long(dir, hugetlb_file(group, h->usage)), usage);
	TEST_ASSERT_EQ(cg_read_long(dir, hugetlb_file(group, h->rsvd_usage)), rsvd);
	assert_numa_stat(group, dir, usage);
}

/* v1 counts both limits apart. */
static void assert_failures(const struct group *group, u64 usage, u64 rsvd)
{
	if (group->hierarchy == &v2) {
		TEST_ASSERT_EQ(cg_read_key_long(group->child, hugetlb_file(group, "events"),
						"max "), usage + rsvd);
		return;
	}

	TEST_ASSERT_EQ(cg_read_long(group->child, hugetlb_file(group, "failcnt")), usage);
	TEST_ASSERT_EQ(cg_read_long(group->child, hugetlb_file(group, "rsvd.failcnt")), rsvd);
}

/* Cgroups of the hierarchy, those that wait for their last user included. */
static long count_v1_cgroups(void)
{
	char text[BUF_SIZE], *line;
	long nr;

	TEST_ASSERT(read_text("/proc/cgroups", text, sizeof(text)) > 0, "/proc/cgroups");
	line = strstr(text, "\nhugetlb\t");
	TEST_ASSERT(line && sscanf(line, " hugetlb %*d %ld", &nr) == 1,
		    "No hugetlb in /proc/cgroups:\n%s", text);
	return nr;
}

/* Wait until there is no more than that. */
static void wait_v1_cgroups(long nr)
{
	unsigned int tries;

	for (tries = 0; tries < WAIT_TRIES && count_v1_cgroups() > nr; tries++)
		usleep(DEFAULT_WAIT_INTERVAL_US);
	TEST_ASSERT_EQ(count_v1_cgroups(), nr);
}

/* The parent is left. */
static void assert_no_dying(const struct group *group)
{
	if (group->hierarchy == &v1)
		wait_v1_cgroups(group->nr_cgroups + 1);
	else
		TEST_ASSERT_EQ(cg_read_key_long_poll(group->parent, "cgroup.stat",
						     "nr_dying_descendants ", 0, WAIT_TRIES,
						     DEFAULT_WAIT_INTERVAL_US), 0);
}

static void enable(const struct group *group, const char *dir, char *controller)
{
	if (group->hierarchy == &v2)
		TEST_ASSERT(!cg_write(dir, "cgroup.subtree_control", controller),
			    "%s in %s: mount cgroup v2 with it", controller, dir);
}

static void group_create(struct group *group, const char *page, char *controller)
{
	group->page = page;
	group->hierarchy = access(CGROUP_V1, F_OK) ? &v2 : &v1;
	snprintf(group->parent, FILE_LEN, "%s/guest_memfd", group->hierarchy->root);
	snprintf(group->child, FILE_LEN, "%s/guest_memfd/child", group->hierarchy->root);
	if (group->hierarchy == &v1)
		group->nr_cgroups = count_v1_cgroups();

	enable(group, group->hierarchy->root, controller);
	TEST_ASSERT(!cg_create(group->parent), "mkdir %s, errno: %d", group->parent, errno);
	enable(group, group->parent, controller);
	TEST_ASSERT(!cg_create(group->child), "mkdir %s, errno: %d", group->child, errno);
	TEST_ASSERT_EQ(cg_enter_current(group->child), 0);
}

/* A kernel thread of a VM that is gone may be there a moment longer. */
static void remove_child(const struct group *group)
{
	unsigned int tries = WAIT_TRIES;
	int ret;

	while ((ret = rmdir(group->child)) && errno == EBUSY && --tries)
		usleep(DEFAULT_WAIT_INTERVAL_US);
	TEST_ASSERT(!ret, "rmdir %s, errno: %d", group->child, errno);
}

static void group_remove_child(const struct group *group)
{
	TEST_ASSERT_EQ(cg_enter_current(group->hierarchy->root), 0);
	if (!access(group->child, F_OK))
		remove_child(group);
}

static void group_remove(const struct group *group)
{
	group_remove_child(group);
	assert_no_dying(group);
	TEST_ASSERT(!rmdir(group->parent), "rmdir %s, errno: %d", group->parent, errno);
	if (group->hierarchy == &v1)
		wait_v1_cgroups(group->nr_cgroups);
}

FIXTURE_SETUP(guest_memfd_cgroup)
{
	self->page_size = gmem_page_size(variant->order);
	self->size = NR_EXTENTS * self->page_size;
	self->nr_hugepages = hugetlb_pool_require(self->page_size, NR_EXTENTS);
	hugetlb_pool_read(self->page_size, &self->pool);
	hugetlb_counters_read(&self->counters);
	group_create(&self->group, variant->name, "+hugetlb");
	self->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
}

FIXTURE_TEARDOWN(guest_memfd_cgroup)
{
	kvm_vm_free(self->vm);
	group_remove_child(&self->group);
	assert_usage(&self->group, self->group.parent, 0, 0);
	group_remove(&self->group);
	hugetlb_counters_assert_eq(&self->counters);
	hugetlb_counters_free(&self->counters);
	hugetlb_pool_set(self->page_size, self->nr_hugepages);
}

TEST_F_TIMEOUT(guest_memfd_cgroup, charges, GMEM_TIMEOUT)
{
	int fd = gmem_create(self->vm, self->size, GUEST_MEMFD_FLAG_MMAP, variant->order);
	struct group *group = &self->group;

	assert_usage(group, group->child, 0, self->size);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, self->page_size, PAGE_SIZE);
	assert_usage(group, group->child, self->page_size, self->size);
	TEST_ASSERT_EQ(gmem_set_attributes(fd, self->page_size, PAGE_SIZE, 0, 0, NULL), 0);
	TEST_ASSERT_EQ(gmem_count_folios(fd, 0), 512);
	assert_usage(group, group->child, self->page_size, self->size);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		      self->page_size, self->page_size);
	assert_usage(group, group->child, 0, self->size);
	kvm_close(fd);
	assert_usage(group, group->child, 0, 0);
	assert_failures(group, 0, 0);
}

TEST_F_TIMEOUT(guest_memfd_cgroup, create_enomem, GMEM_TIMEOUT)
{
	struct group *group = &self->group;
	int fd;

	set_limit(group, group->hierarchy->rsvd_limit, self->size - self->page_size);
	fd = __gmem_create(self->vm, self->size, 0, variant->order);
	TEST_ASSERT(fd < 0 && errno == ENOMEM, "fd %d, errno: %d", fd, errno);
	assert_usage(group, group->child, 0, 0);
	assert_failures(group, 0, 1);
	hugetlb_pool_assert_eq(self->page_size, &self->pool);
	fd = gmem_create(self->vm, self->page_size, 0, variant->order);
	kvm_close(fd);
}

/* A VM with memory for the first of its pages. */
static void create_with_one_page(struct gmem_vm *g, u8 order)
{
	struct gmem_config config = gmem_one_page_config(order);

	config.size *= NR_EXTENTS;
	gmem_vm_create(g, &config);
	TEST_ASSERT_EQ(gmem_pre_fault(g, 0, 1), 0);
}

/* The limit of the cgroup that is charged, reached by one page of two. */
TEST_F_TIMEOUT(guest_memfd_cgroup, enospc, GMEM_TIMEOUT)
{
	u64 page = self->page_size / PAGE_SIZE + 7;
	struct group *group = &self->group;
	struct gmem_vm g;

	set_limit(group, group->hierarchy->limit, self->page_size);
	create_with_one_page(&g, variant->order);
	assert_failures(group, 0, 0);
	gmem_assert_enospc(&g, page);
	assert_failures(group, GMEM_NR_ENOSPC, 0);
	assert_usage(group, group->child, self->page_size, self->size);

	set_limit(group, group->hierarchy->limit, self->size);
	TEST_ASSERT_EQ(gmem_guest_run(&g, GMEM_TOUCH, page, 1, GMEM_STEP_ALL), 0);
	assert_usage(group, group->child, self->size, self->size);
	gmem_vm_free(&g);
}

/* The charge of split pages goes to the parent, and with the file. */
TEST_F_TIMEOUT(guest_memfd_cgroup, offline, GMEM_TIMEOUT)
{
	int fd = gmem_create(self->vm, self->size, GUEST_MEMFD_FLAG_MMAP, variant->order);
	struct group *group = &self->group;

	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, self->size);
	TEST_ASSERT_EQ(gmem_set_attributes(fd, 7 * PAGE_SIZE, PAGE_SIZE, 0, 0, NULL), 0);
	TEST_ASSERT_EQ(gmem_count_folios(fd, 0), 512);

	group_remove_child(group);
	/* A worker moves the charge, which v1 shows. */
	TEST_ASSERT_EQ(cg_read_key_long_poll(group->parent, hugetlb_file(group, "numa_stat"),
					     "total=", self->size, WAIT_TRIES,
					     DEFAULT_WAIT_INTERVAL_US), self->size);
	assert_usage(group, group->parent, self->size, self->size);
	/* The file has lost its cgroup, but not its pages. */
	TEST_ASSERT_EQ(gmem_set_attributes(fd, 7 * PAGE_SIZE, PAGE_SIZE,
					   KVM_MEMORY_ATTRIBUTE_PRIVATE, 0, NULL), 0);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, self->page_size);
	assert_usage(group, group->parent, self->size - self->page_size, self->size);
	kvm_close(fd);
	assert_usage(group, group->parent, 0, 0);
	assert_no_dying(group);
}

FIXTURE(guest_memfd_memcg)
{
	struct group group;
	struct kvm_vm *vm;
	struct hugetlb_counters counters;
	u64 page_size;
	u64 size;
	u64 nr_hugepages;
	bool was_on;
};

FIXTURE_VARIANT(guest_memfd_memcg)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_memcg, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_memcg, 1g) {
	.order = ORDER_1G,
};

static void set_accounting(bool on)
{
	TEST_ASSERT(!mount(NULL, CGROUP_V2, NULL, MS_REMOUNT,
			   on ? "memory_hugetlb_accounting" : ""),
		    "Remounting " CGROUP_V2 ", errno: %d: mount cgroup v2", errno);
}

FIXTURE_SETUP(guest_memfd_memcg)
{
	self->page_size = gmem_page_size(variant->order);
	self->size = NR_EXTENTS * self->page_size;
	self->nr_hugepages = hugetlb_pool_require(self->page_size, NR_EXTENTS);
	hugetlb_counters_read(&self->counters);
	self->was_on = proc_mount_contains("memory_hugetlb_accounting") > 0;
	set_accounting(true);
	group_create(&self->group, NULL, "+memory");
	self->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
}

FIXTURE_TEARDOWN(guest_memfd_memcg)
{
	kvm_vm_free(self->vm);
	group_remove(&self->group);
	set_accounting(self->was_on);
	hugetlb_counters_assert_eq(&self->counters);
	hugetlb_counters_free(&self->counters);
	hugetlb_pool_set(self->page_size, self->nr_hugepages);
}

/*
 * What is in memory.stat as "hugetlb" is charged, too, and with it all that a
 * process needs besides.
 */
static void assert_charge(const char *dir, u64 hugetlb)
{
	long current;

	TEST_ASSERT_EQ(cg_read_key_long_poll(dir, "memory.stat", "\nhugetlb ", hugetlb,
					     WAIT_TRIES, DEFAULT_WAIT_INTERVAL_US), hugetlb);
	current = cg_read_long(dir, "memory.current");
	TEST_ASSERT(current >= hugetlb, "memory.current %ld, wanted %lu", current, hugetlb);
}

/* Of that, there is no more than this. */
#define REST_MAX	(64 * SZ_1M)

static void assert_no_charge(const char *dir)
{
	long current;

	assert_charge(dir, 0);
	current = cg_read_long(dir, "memory.current");
	TEST_ASSERT(current < REST_MAX, "memory.current %ld with no huge page", current);
}

static void set_shared(int fd, u64 page, u64 nr, bool shared)
{
	u64 attributes = shared ? 0 : KVM_MEMORY_ATTRIBUTE_PRIVATE;

	TEST_ASSERT_EQ(gmem_set_attributes(fd, page * PAGE_SIZE, nr * PAGE_SIZE,
					   attributes, 0, NULL), 0);
}

TEST_F_TIMEOUT(guest_memfd_memcg, charges, GMEM_TIMEOUT)
{
	int fd = gmem_create(self->vm, self->size, GUEST_MEMFD_FLAG_MMAP, variant->order);
	const char *child = self->group.child;

	assert_no_charge(child);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE);
	assert_charge(child, self->page_size);
	set_shared(fd, 7, 1, true);
	TEST_ASSERT_EQ(gmem_count_folios(fd, 0), 512);
	assert_charge(child, self->page_size);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, self->size);
	assert_charge(child, self->size);
	set_shared(fd, 7, 1, false);
	assert_charge(child, self->size);
	set_shared(fd, 3, 1, true);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, self->page_size);
	assert_charge(child, self->page_size);
	kvm_close(fd);
	assert_no_charge(child);
}

/* Room for one page, and for half a page of all else. */
TEST_F_TIMEOUT(guest_memfd_memcg, enospc, GMEM_TIMEOUT)
{
	u64 page = self->page_size / PAGE_SIZE + 7;
	struct group *group = &self->group;
	struct hugetlb_pool pool;
	struct gmem_vm g;

	create_with_one_page(&g, variant->order);
	assert_charge(group->child, self->page_size);
	hugetlb_pool_read(self->page_size, &pool);
	TEST_ASSERT_EQ(cg_write_numeric(group->child, "memory.max",
					cg_read_long(group->child, "memory.current") +
					self->page_size / 2), 0);
	gmem_assert_enospc(&g, page);
	hugetlb_pool_assert_eq(self->page_size, &pool);
	assert_charge(group->child, self->page_size);
	TEST_ASSERT_EQ(cg_read_key_long(group->child, "memory.events", "oom_kill "), 0);

	TEST_ASSERT_EQ(cg_write(group->child, "memory.max", "max"), 0);
	TEST_ASSERT_EQ(gmem_guest_run(&g, GMEM_TOUCH, page, 1, GMEM_STEP_ALL), 0);
	assert_charge(group->child, self->size);
	gmem_vm_free(&g);
	assert_no_charge(group->child);
}

/* The charge of split pages stays with the ancestors until the file goes. */
TEST_F_TIMEOUT(guest_memfd_memcg, offline, GMEM_TIMEOUT)
{
	int fd = gmem_create(self->vm, self->size, GUEST_MEMFD_FLAG_MMAP, variant->order);
	struct group *group = &self->group;

	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, self->size);
	set_shared(fd, 7, 1, true);
	TEST_ASSERT_EQ(gmem_count_folios(fd, 0), 512);
	assert_charge(group->parent, self->size);

	group_remove_child(group);
	assert_charge(group->parent, self->size);
	set_shared(fd, 7, 1, false);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, self->page_size);
	assert_charge(group->parent, self->size - self->page_size);
	kvm_close(fd);
	assert_no_charge(group->parent);
}

TEST_HARNESS_MAIN
