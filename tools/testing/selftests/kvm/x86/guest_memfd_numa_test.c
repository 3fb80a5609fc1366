// SPDX-License-Identifier: GPL-2.0-only
/*
 * NUMA policies and cpusets of a guest_memfd on HugeTLB pages: each page comes
 * from the node wanted and stays there, split and merged, and where that node
 * has none, allocation fails and takes no other node's.  Policies are tested on
 * a hugetlbfs mapping, too: which nodes pages come from is hugetlbfs's rule.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <linux/falloc.h>

#include "cgroup_util.h"
#include "guest_memfd_pool.h"
#include "kvm_test_harness.h"
#include "numaif.h"

/* Of pages in the pool, on each of two nodes, and of pages in a file. */
#define NR_PAGES	2
#define NODE_BITS	(BITS_PER_LONG)

#define CGROUP_ROOT	"/sys/fs/cgroup"
#define CGROUP		CGROUP_ROOT "/guest_memfd_numa"

struct numa_test {
	struct kvm_vm *vm;
	u64 page_size;
	u64 nr_hugepages[2];
	struct hugetlb_counters counters;
	/* The file under test, and one that takes pages away from it. */
	struct hugetlb_file file;
	struct hugetlb_file blocker;
};

static void cpuset_remove(void)
{
	if (access(CGROUP, F_OK))
		return;

	TEST_ASSERT_EQ(cg_enter_current(CGROUP_ROOT), 0);
	TEST_ASSERT(!rmdir(CGROUP), "rmdir " CGROUP ", errno: %d", errno);
}

/* Begins with what a test that failed has left. */
static void cpuset_create(void)
{
	cpuset_remove();
	TEST_ASSERT(!cg_write(CGROUP_ROOT, "cgroup.subtree_control", "+cpuset"),
		    "Mount cgroup v2 with cpuset on " CGROUP_ROOT);
	TEST_ASSERT(!cg_create(CGROUP), "mkdir " CGROUP ", errno: %d", errno);
	TEST_ASSERT_EQ(cg_write(CGROUP, "cpuset.mems", "0"), 0);
}

static void set_up(struct numa_test *t, u8 order, bool hugetlbfs)
{
	int node;

	TEST_ASSERT(get_max_numa_node() == 1, "Two nodes needed, 0 and 1");
	t->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	t->page_size = gmem_page_size(order);
	t->file = (struct hugetlb_file){ .vm = t->vm, .order = order, .hugetlbfs = hugetlbfs };
	t->blocker = t->file;
	for (node = 0; node < 2; node++) {
		t->nr_hugepages[node] = hugetlb_pool_get(node, t->page_size, "nr_hugepages");
		hugetlb_pool_put(node, t->page_size, "nr_hugepages", NR_PAGES);
		TEST_ASSERT_EQ(hugetlb_pool_get(node, t->page_size, "free_hugepages"), NR_PAGES);
	}
	hugetlb_counters_read(&t->counters);
}

static void tear_down(struct numa_test *t)
{
	int node;

	cpuset_remove();
	kvm_vm_free(t->vm);
	hugetlb_counters_assert_eq(&t->counters);
	hugetlb_counters_free(&t->counters);
	for (node = 0; node < 2; node++)
		hugetlb_pool_put(node, t->page_size, "nr_hugepages", t->nr_hugepages[node]);
}

FIXTURE(guest_memfd_numa)
{
	struct numa_test t;
};

FIXTURE_VARIANT(guest_memfd_numa)
{
	u8 order;
	bool hugetlbfs;
};

FIXTURE_VARIANT_ADD(guest_memfd_numa, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_numa, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_numa, hugetlbfs_2m) {
	.order = ORDER_2M,
	.hugetlbfs = true,
};

FIXTURE_SETUP(guest_memfd_numa)
{
	set_up(&self->t, variant->order, variant->hugetlbfs);
}

FIXTURE_TEARDOWN(guest_memfd_numa)
{
	tear_down(&self->t);
}

static void expect_free(const struct numa_test *t, u64 node0, u64 node1)
{
	u64 free0 = hugetlb_pool_get(0, t->page_size, "free_hugepages");
	u64 free1 = hugetlb_pool_get(1, t->page_size, "free_hugepages");

	TEST_ASSERT(free0 == node0 && free1 == node1, "Free: %lu and %lu, wanted %lu and %lu",
		    free0, free1, node0, node1);
}

static void bind_pages(struct hugetlb_file *file, u64 page, u64 nr, int mode, unsigned long nodes)
{
	kvm_mbind(file->mem + page * file->page_size, nr * file->page_size, mode, &nodes,
		  NODE_BITS, 0);
}

static void open_bound(struct hugetlb_file *file, u64 nr, int mode, unsigned long nodes)
{
	hugetlb_file_open(file, nr);
	hugetlb_file_map(file);
	bind_pages(file, 0, nr, mode, nodes);
}

static void allocate(struct hugetlb_file *file, u64 page)
{
	TEST_ASSERT_EQ(hugetlb_file_allocate(file, page), 0);
}

static void allocate_enospc(struct hugetlb_file *file, u64 page)
{
	TEST_ASSERT_EQ(hugetlb_file_allocate(file, page), ENOSPC);
}

/* Take @nr pages of a node. */
static void block(struct numa_test *t, u64 nr, int node)
{
	u64 page;

	open_bound(&t->blocker, nr, MPOL_BIND, BIT(node));
	for (page = 0; page < nr; page++)
		allocate(&t->blocker, page);
}

TEST_F_TIMEOUT(guest_memfd_numa, bind, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;

	open_bound(file, NR_PAGES, MPOL_BIND, BIT(1));
	expect_free(&self->t, 2, 2);
	allocate(file, 1);
	expect_free(&self->t, 2, 1);
	allocate(file, 0);
	expect_free(&self->t, 2, 0);
	hugetlb_file_split(file, 0);
	hugetlb_file_merge(file, 0);
	hugetlb_file_split(file, 1);
	expect_free(&self->t, 2, 0);
	hugetlb_file_close(file);
	expect_free(&self->t, 2, 2);
}

/* Each page has the policy of its offset, at the time of its allocation. */
TEST_F_TIMEOUT(guest_memfd_numa, bind_each, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;

	open_bound(file, NR_PAGES, MPOL_BIND, BIT(1));
	bind_pages(file, 1, 1, MPOL_BIND, BIT(0));
	allocate(file, 0);
	expect_free(&self->t, 2, 1);
	allocate(file, 1);
	expect_free(&self->t, 1, 1);
	bind_pages(file, 0, 1, MPOL_BIND, BIT(0));
	hugetlb_file_split(file, 0);
	hugetlb_file_merge(file, 0);
	expect_free(&self->t, 1, 1);
	hugetlb_file_close(file);
}

/* By huge page of the file, in whatever order they are touched. */
TEST_F_TIMEOUT(guest_memfd_numa, interleave, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;

	open_bound(file, NR_PAGES, MPOL_INTERLEAVE, BIT(0) | BIT(1));
	allocate(file, 1);
	expect_free(&self->t, 2, 1);
	hugetlb_file_split(file, 1);
	allocate(file, 0);
	expect_free(&self->t, 1, 1);
	hugetlb_file_close(file);
}

static void fall_back(struct numa_test *t, int mode, int node)
{
	struct hugetlb_file *file = &t->file;

	block(t, 1, node);
	open_bound(file, NR_PAGES, mode, BIT(node));
	allocate(file, 1);
	expect_free(t, node ? 2 : 0, node ? 0 : 2);
	allocate(file, 0);
	expect_free(t, node ? 1 : 0, node ? 0 : 1);
	hugetlb_file_split(file, 0);
	hugetlb_file_close(file);
	hugetlb_file_close(&t->blocker);
}

/* Another node's pages only if there is none on the wanted. */
TEST_F_TIMEOUT(guest_memfd_numa, preferred, GMEM_TIMEOUT)
{
	fall_back(&self->t, MPOL_PREFERRED, 1);
	fall_back(&self->t, MPOL_PREFERRED, 0);
}

TEST_F_TIMEOUT(guest_memfd_numa, preferred_many, GMEM_TIMEOUT)
{
	fall_back(&self->t, MPOL_PREFERRED_MANY, 1);
}

/* A file without a policy has the task's. */
TEST_F_TIMEOUT(guest_memfd_numa, task_policy, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;
	unsigned long nodes = BIT(1);

	hugetlb_file_open(file, NR_PAGES);
	kvm_set_mempolicy(MPOL_BIND, &nodes, NODE_BITS);
	allocate(file, 0);
	expect_free(&self->t, 2, 1);
	nodes = BIT(0);
	kvm_set_mempolicy(MPOL_BIND, &nodes, NODE_BITS);
	allocate(file, 1);
	expect_free(&self->t, 1, 1);
	kvm_set_mempolicy(MPOL_DEFAULT, NULL, 0);
	hugetlb_file_close(file);
}

TEST_F_TIMEOUT(guest_memfd_numa, bind_enospc, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;

	block(&self->t, NR_PAGES, 1);
	open_bound(file, NR_PAGES, MPOL_BIND, BIT(1));
	allocate_enospc(file, 0);
	expect_free(&self->t, 2, 0);
	hugetlb_file_close(&self->t.blocker);
	allocate(file, 0);
	expect_free(&self->t, 2, 1);
	hugetlb_file_close(file);
}

/* The nodes allowed have no pages, the other one has. */
TEST_F_TIMEOUT(guest_memfd_numa, cpuset, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;

	cpuset_create();
	block(&self->t, NR_PAGES, 0);
	TEST_ASSERT_EQ(cg_enter_current(CGROUP), 0);
	TEST_ASSERT_EQ(__hugetlb_file_open(file, NR_PAGES), ENOMEM);

	TEST_ASSERT_EQ(cg_enter_current(CGROUP_ROOT), 0);
	hugetlb_file_open(file, NR_PAGES);
	TEST_ASSERT_EQ(cg_enter_current(CGROUP), 0);
	allocate_enospc(file, 0);
	expect_free(&self->t, 0, 2);

	TEST_ASSERT_EQ(cg_enter_current(CGROUP_ROOT), 0);
	allocate(file, 0);
	expect_free(&self->t, 0, 1);
	/* What it has, it keeps. */
	TEST_ASSERT_EQ(cg_enter_current(CGROUP), 0);
	hugetlb_file_split(file, 0);
	hugetlb_file_merge(file, 0);
	expect_free(&self->t, 0, 1);
	hugetlb_file_close(file);
	hugetlb_file_close(&self->t.blocker);
}

/* A binding to nodes that the cpuset forbids is void. */
TEST_F_TIMEOUT(guest_memfd_numa, cpuset_bind, GMEM_TIMEOUT)
{
	struct hugetlb_file *file = &self->t.file;

	cpuset_create();
	open_bound(file, NR_PAGES, MPOL_BIND, BIT(1));
	TEST_ASSERT_EQ(cg_enter_current(CGROUP), 0);
	allocate(file, 0);
	expect_free(&self->t, 1, 2);
	TEST_ASSERT_EQ(cg_enter_current(CGROUP_ROOT), 0);
	hugetlb_file_close(file);
}

FIXTURE(guest_memfd_numa_vm)
{
	struct numa_test t;
	struct gmem_vm g;
};

FIXTURE_VARIANT(guest_memfd_numa_vm)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_numa_vm, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_numa_vm, 1g) {
	.order = ORDER_1G,
};

FIXTURE_SETUP(guest_memfd_numa_vm)
{
	struct gmem_config config = gmem_one_page_config(variant->order);

	set_up(&self->t, variant->order, false);
	gmem_vm_create(&self->g, &config);
}

FIXTURE_TEARDOWN(guest_memfd_numa_vm)
{
	gmem_vm_free(&self->g);
	tear_down(&self->t);
}

static void bind_vm(struct gmem_vm *g, unsigned long nodes)
{
	kvm_mbind(g->shared, g->config.size, MPOL_BIND, &nodes, NODE_BITS, 0);
}

/* The guest and the host run into it, too. */
TEST_F_TIMEOUT(guest_memfd_numa_vm, enospc, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	block(&self->t, NR_PAGES, 1);
	bind_vm(g, BIT(1));
	gmem_assert_enospc(g, 7);
	expect_free(&self->t, 2, 0);

	bind_vm(g, BIT(0));
	TEST_ASSERT_EQ(gmem_guest_run(g, GMEM_TOUCH, 7, 1, GMEM_STEP_ALL), 0);
	expect_free(&self->t, 1, 0);
	hugetlb_file_close(&self->t.blocker);
}

/* The node of a page that the host has mapped. */
static int node_of(void *address)
{
	int status = -1;

	kvm_move_pages(0, 1, &address, NULL, &status, 0);
	return status;
}

static void assert_stays(struct gmem_vm *g, u64 page, u64 pfn)
{
	TEST_ASSERT_EQ(node_of(gmem_host_page(g, page)), 1);
	TEST_ASSERT_EQ(gmem_host_pfn(gmem_host_page(g, page)), pfn + page);
	TEST_ASSERT_EQ(gmem_extent_pfn(g->fd, 0), pfn);
	gmem_host_check(g, page, GMEM_STEP_ALL);
}

/* Nothing that moves a process's memory moves pieces of a huge page. */
TEST_F_TIMEOUT(guest_memfd_numa_vm, stay, GMEM_TIMEOUT)
{
	unsigned long from = BIT(1), to = BIT(0);
	struct gmem_vm *g = &self->g;
	void *address = gmem_host_page(g, 7);
	int target = 0, status;
	u64 pfn;

	bind_vm(g, BIT(1));
	gmem_set_tags(g, 0, 16, 1);
	gmem_guest_write(g, 0, 16);
	expect_free(&self->t, 2, 1);
	pfn = gmem_extent_pfn(g->fd, 0);
	TEST_ASSERT(pfn, "No extent");
	gmem_convert(g, 7, 1, false);
	gmem_host_check(g, 7, GMEM_STEP_ALL);
	assert_stays(g, 7, pfn);

	TEST_ASSERT(migrate_pages(0, NODE_BITS, &from, &to) >= 0, "errno: %d", errno);
	assert_stays(g, 7, pfn);
	move_pages(0, 1, &address, &target, &status, MPOL_MF_MOVE_ALL);
	assert_stays(g, 7, pfn);
	mbind(g->shared, g->config.size, MPOL_BIND, &to, NODE_BITS, MPOL_MF_MOVE_ALL);
	assert_stays(g, 7, pfn);

	gmem_convert(g, 7, 1, true);
	gmem_guest_check(g, 0, 16, GMEM_STEP_ALL);
	TEST_ASSERT_EQ(gmem_extent_pfn(g->fd, 0), pfn);
	expect_free(&self->t, 2, 1);
}

TEST_HARNESS_MAIN
