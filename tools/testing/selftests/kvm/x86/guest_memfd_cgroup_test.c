// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hugetlb cgroup (v2) and guest_memfd: the whole file is charged to the
 * reservation when it is created, pages to the usage as they are allocated,
 * limits give ENOMEM and ENOSPC, and a cgroup can go while its pages are split.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <sys/stat.h>
#include <linux/falloc.h>

#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define NR_EXTENTS	2
#define CGROUP_ROOT	"/sys/fs/cgroup/"
#define PARENT		CGROUP_ROOT "guest_memfd"
#define CHILD		PARENT "/child"
#define WAIT_TRIES	3000

FIXTURE(guest_memfd_cgroup)
{
	struct kvm_vm *vm;
	struct hugetlb_pool pool;
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

static void cgroup_write(const char *dir, const char *file, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY);
	TEST_ASSERT(fd >= 0 && write(fd, text, strlen(text)) == strlen(text),
		    "Writing '%s' to %s, errno: %d: mount cgroup v2 with hugetlb",
		    text, path, errno);
	kvm_close(fd);
}

static void cgroup_read(const char *dir, const char *file, char *text, size_t size)
{
	char path[256];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY);
	TEST_ASSERT(fd >= 0, "Opening %s, errno: %d", path, errno);
	len = read(fd, text, size - 1);
	TEST_ASSERT(len > 0, "Reading %s: %ld", path, len);
	text[len] = 0;
	kvm_close(fd);
}

/* A file of the hugetlb controller, such as hugetlb.2MB.max. */
static void hugetlb_file(char *file, size_t size, const char *page, const char *name)
{
	snprintf(file, size, "hugetlb.%s.%s", page, name);
}

static void set_limit(const char *page, const char *name, u64 bytes)
{
	char file[64], text[32];

	hugetlb_file(file, sizeof(file), page, name);
	snprintf(text, sizeof(text), "%lu", bytes);
	cgroup_write(CHILD, file, text);
}

static void assert_usage(const char *dir, const char *page, u64 current, u64 rsvd)
{
	char file[64], text[32];

	hugetlb_file(file, sizeof(file), page, "current");
	cgroup_read(dir, file, text, sizeof(text));
	TEST_ASSERT_EQ(strtoul(text, NULL, 10), current);
	hugetlb_file(file, sizeof(file), page, "rsvd.current");
	cgroup_read(dir, file, text, sizeof(text));
	TEST_ASSERT_EQ(strtoul(text, NULL, 10), rsvd);
}

FIXTURE_SETUP(guest_memfd_cgroup)
{
	self->page_size = gmem_page_size(variant->order);
	self->size = NR_EXTENTS * self->page_size;
	self->nr_hugepages = hugetlb_pool_require(self->page_size, NR_EXTENTS);
	hugetlb_pool_read(self->page_size, &self->pool);
	cgroup_write(CGROUP_ROOT, "cgroup.subtree_control", "+hugetlb");
	TEST_ASSERT(!mkdir(PARENT, 0755), "mkdir " PARENT ", errno: %d", errno);
	cgroup_write(PARENT, "cgroup.subtree_control", "+hugetlb");
	TEST_ASSERT(!mkdir(CHILD, 0755), "mkdir " CHILD ", errno: %d", errno);
	cgroup_write(CHILD, "cgroup.procs", "0");
	self->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
}

FIXTURE_TEARDOWN(guest_memfd_cgroup)
{
	kvm_vm_free(self->vm);
	cgroup_write(CGROUP_ROOT, "cgroup.procs", "0");
	if (!access(CHILD, F_OK))
		TEST_ASSERT(!rmdir(CHILD), "rmdir " CHILD ", errno: %d", errno);
	assert_usage(PARENT, variant->name, 0, 0);
	TEST_ASSERT(!rmdir(PARENT), "rmdir " PARENT ", errno: %d", errno);
	hugetlb_pool_assert_eq(self->page_size, &self->pool);
	hugetlb_pool_set(self->page_size, self->nr_hugepages);
}

TEST_F_TIMEOUT(guest_memfd_cgroup, charges, GMEM_TIMEOUT)
{
	int fd = gmem_create(self->vm, self->size, GUEST_MEMFD_FLAG_MMAP, variant->order);

	assert_usage(CHILD, variant->name, 0, self->size);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, self->page_size, PAGE_SIZE);
	assert_usage(CHILD, variant->name, self->page_size, self->size);
	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		      self->page_size, self->page_size);
	assert_usage(CHILD, variant->name, 0, self->size);
	kvm_close(fd);
	assert_usage(CHILD, variant->name, 0, 0);
}

TEST_F_TIMEOUT(guest_memfd_cgroup, create_enomem, GMEM_TIMEOUT)
{
	int fd;

	set_limit(variant->name, "rsvd.max", self->size - self->page_size);
	fd = __gmem_create(self->vm, self->size, 0, variant->order);
	TEST_ASSERT(fd < 0 && errno == ENOMEM, "fd %d, errno: %d", fd, errno);
	assert_usage(CHILD, variant->name, 0, 0);
	hugetlb_pool_assert_eq(self->page_size, &self->pool);
	fd = gmem_create(self->vm, self->page_size, 0, variant->order);
	kvm_close(fd);
}

static void assert_enospc(struct gmem_vm *g, u64 page)
{
	u64 offset = page * PAGE_SIZE;
	int ret;

	ret = fallocate(g->fd, FALLOC_FL_KEEP_SIZE, offset, PAGE_SIZE);
	TEST_ASSERT(ret && errno == ENOSPC, "fallocate(): %d, errno: %d", ret, errno);
	TEST_ASSERT_EQ(gmem_pre_fault(g, page, 1), ENOSPC);
	TEST_ASSERT_EQ(gmem_guest_run(g, GMEM_TOUCH, page, 1, GMEM_STEP_ALL), ENOSPC);
	gmem_convert(g, page, 1, false);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), false), BUS_ADRERR);
	gmem_convert(g, page, 1, true);
}

/* The limit of the cgroup that is charged, reached by one page of two. */
TEST_F_TIMEOUT(guest_memfd_cgroup, enospc, GMEM_TIMEOUT)
{
	u64 page = self->page_size / PAGE_SIZE + 7;
	struct gmem_config config = {
		.order = variant->order,
		.size = self->size,
		.flags = GUEST_MEMFD_FLAG_MMAP,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};
	struct gmem_vm g;

	set_limit(variant->name, "max", self->page_size);
	gmem_vm_create(&g, &config);
	TEST_ASSERT_EQ(gmem_pre_fault(&g, 0, 1), 0);
	assert_enospc(&g, page);
	assert_usage(CHILD, variant->name, self->page_size, self->size);

	set_limit(variant->name, "max", self->size);
	TEST_ASSERT_EQ(gmem_guest_run(&g, GMEM_TOUCH, page, 1, GMEM_STEP_ALL), 0);
	assert_usage(CHILD, variant->name, self->size, self->size);
	gmem_vm_free(&g);
}

static bool has_dying_descendants(void)
{
	char text[1024], *line;

	cgroup_read(PARENT, "cgroup.stat", text, sizeof(text));
	line = strstr(text, "nr_dying_descendants ");
	TEST_ASSERT(line, "No nr_dying_descendants in cgroup.stat");
	return atoi(line + strlen("nr_dying_descendants "));
}

/* The charge of split pages goes to the parent, and with the file. */
TEST_F_TIMEOUT(guest_memfd_cgroup, offline, GMEM_TIMEOUT)
{
	int fd = gmem_create(self->vm, self->size, GUEST_MEMFD_FLAG_MMAP, variant->order);
	unsigned int tries;

	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, self->size);
	TEST_ASSERT_EQ(gmem_set_attributes(fd, 7 * PAGE_SIZE, PAGE_SIZE, 0, 0, NULL), 0);
	TEST_ASSERT_EQ(gmem_count_folios(fd, 0), 512);

	cgroup_write(CGROUP_ROOT, "cgroup.procs", "0");
	TEST_ASSERT(!rmdir(CHILD), "rmdir " CHILD ", errno: %d", errno);
	assert_usage(PARENT, variant->name, self->size, self->size);
	kvm_close(fd);
	assert_usage(PARENT, variant->name, 0, 0);
	for (tries = 0; has_dying_descendants() && tries < WAIT_TRIES; tries++)
		usleep(10000);
	TEST_ASSERT(!has_dying_descendants(), "The cgroup is still there");
}

TEST_HARNESS_MAIN
