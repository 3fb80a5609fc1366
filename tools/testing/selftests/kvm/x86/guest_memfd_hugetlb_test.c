// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_memfd on pages of the HugeTLB pools: what creation refuses, what is
 * reserved and allocated when, how stage 2 maps the memory of slots that do
 * and do not fit it, and that every page is back in the pool after close().
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <sys/stat.h>
#include <linux/falloc.h>

#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define NR_EXTENTS	2
#define KEEP		FALLOC_FL_KEEP_SIZE
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

struct files {
	/* Without a vCPU, for what needs no guest. */
	struct kvm_vm *vm;
	struct hugetlb_pool pool;
	u64 page_size;
	u64 size;
	u64 flags;
	u64 nr_hugepages;
	u8 order;
};

FIXTURE(guest_memfd_hugetlb)
{
	struct files files;
};

FIXTURE_VARIANT(guest_memfd_hugetlb)
{
	u8 order;
	u64 flags;
};

FIXTURE_VARIANT_ADD(guest_memfd_hugetlb, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_hugetlb, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_hugetlb, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_hugetlb, 1g_mmap) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_SETUP(guest_memfd_hugetlb)
{
	struct files *f = &self->files;

	f->order = variant->order;
	f->flags = variant->flags;
	f->page_size = gmem_page_size(f->order);
	f->size = NR_EXTENTS * f->page_size;
	f->nr_hugepages = hugetlb_pool_require(f->page_size, NR_EXTENTS);
	hugetlb_pool_read(f->page_size, &f->pool);
	f->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
}

FIXTURE_TEARDOWN(guest_memfd_hugetlb)
{
	struct files *f = &self->files;

	kvm_vm_free(f->vm);
	hugetlb_pool_assert_eq(f->page_size, &f->pool);
	hugetlb_pool_set(f->page_size, f->nr_hugepages);
}

static int create(struct files *f)
{
	return gmem_create(f->vm, f->size, f->flags, f->order);
}

static void create_vm(struct files *f, struct gmem_vm *g)
{
	struct gmem_config config = {
		.order = f->order,
		.size = f->size,
		.flags = f->flags,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};

	gmem_vm_create(g, &config);
}

/* The pool as it must be with @held pages taken and @resv reserved by us. */
static void assert_pool(struct files *f, u64 held, u64 resv)
{
	struct hugetlb_pool want = f->pool;

	want.free -= held;
	want.resv += resv;
	hugetlb_pool_assert_eq(f->page_size, &want);
}

static void assert_blocks(int fd, u64 bytes)
{
	struct stat st;

	TEST_ASSERT(!fstat(fd, &st), "fstat() failed, errno: %d", errno);
	TEST_ASSERT_EQ((u64)st.st_blocks * 512, bytes);
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, flags, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	u64 flags = vm_check_cap(f->vm, KVM_CAP_GUEST_MEMFD_FLAGS);

	TEST_ASSERT(flags & GUEST_MEMFD_FLAG_HUGETLB, "Flags are 0x%lx", flags);
	TEST_ASSERT(flags & GUEST_MEMFD_FLAG_MMAP, "Flags are 0x%lx", flags);
	TEST_ASSERT_EQ(!!(flags & GUEST_MEMFD_FLAG_INIT_SHARED),
		       !gmem_vm_wide_attributes());
	TEST_ASSERT_EQ(sizeof(struct kvm_create_guest_memfd), 64ul);
}

static void assert_create(struct kvm_vm *vm, struct kvm_create_guest_memfd *args,
			  int want, const char *what)
{
	int fd = __vm_ioctl(vm, KVM_CREATE_GUEST_MEMFD, args);

	TEST_ASSERT(want ? fd < 0 && errno == want : fd >= 0,
		    "%s: fd %d errno %d (%s), wanted errno %d", what, fd, errno,
		    strerror(errno), want);
	if (fd >= 0)
		kvm_close(fd);
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, create_einval, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	const struct kvm_create_guest_memfd good = {
		.size = f->size,
		.flags = f->flags | GUEST_MEMFD_FLAG_HUGETLB,
		.page_order = f->order,
	};
	struct kvm_create_guest_memfd args;
	u8 orders[] = { 0, 1, 8, 10, 17, 19, 63, 64, 255 };
	int i;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		args = good;
		args.page_order = orders[i];
		assert_create(f->vm, &args, EINVAL, "No pool of that order");
	}

	args = good;
	args.size = 0;
	assert_create(f->vm, &args, EINVAL, "Size 0");
	args.size = f->size - PAGE_SIZE;
	assert_create(f->vm, &args, EINVAL, "Size 4K short of huge pages");
	args.size = f->size + f->page_size / 2;
	assert_create(f->vm, &args, EINVAL, "Size of half a huge page more");
	args.size = f->size + 1;
	assert_create(f->vm, &args, EINVAL, "Size of a byte more");
	args.size = -f->page_size;
	assert_create(f->vm, &args, EINVAL, "Negative size");

	args = good;
	args.flags |= BIT_ULL(63);
	assert_create(f->vm, &args, EINVAL, "Unknown flag");
	for (i = 0; i < ARRAY_SIZE(args.pad); i++) {
		args = good;
		args.pad[i] = 1;
		assert_create(f->vm, &args, EINVAL, "Padding not 0");
	}
	for (i = 0; i < ARRAY_SIZE(args.reserved); i++) {
		args = good;
		args.reserved[i] = 1;
		assert_create(f->vm, &args, EINVAL, "Reserved field not 0");
	}

	hugetlb_pool_assert_eq(f->page_size, &f->pool);
}

/* Without the flag nothing of this is looked at, as ever. */
TEST_F_TIMEOUT(guest_memfd_hugetlb, create_without_flag, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	struct kvm_create_guest_memfd args = {
		.size = PAGE_SIZE,
		.flags = f->flags,
		.page_order = f->order,
		.pad = { 1 },
		.reserved = { 1 },
	};

	assert_create(f->vm, &args, 0, "Huge page size without the flag");
	hugetlb_pool_assert_eq(f->page_size, &f->pool);
}

static u64 nr_overcommit(u64 page_size)
{
	char path[128];
	FILE *file;
	u64 nr;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_overcommit_hugepages",
		 page_size / SZ_1K);
	file = fopen(path, "r");
	TEST_ASSERT(file && fscanf(file, "%lu", &nr) == 1, "Cannot read '%s'", path);
	fclose(file);
	return nr;
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, create_enomem, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	u64 available = f->pool.free - f->pool.resv;
	struct kvm_create_guest_memfd args = {
		.size = (available + nr_overcommit(f->page_size) + 1) * f->page_size,
		.flags = f->flags | GUEST_MEMFD_FLAG_HUGETLB,
		.page_order = f->order,
	};
	int fd;

	assert_create(f->vm, &args, ENOMEM, "One page more than there are");
	hugetlb_pool_assert_eq(f->page_size, &f->pool);

	/* Memory that another file has only reserved is not there either. */
	fd = gmem_create(f->vm, f->page_size, f->flags, f->order);
	args.size -= f->page_size;
	assert_create(f->vm, &args, ENOMEM, "One page is reserved");
	assert_pool(f, 0, 1);
	kvm_close(fd);
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, reserve_and_allocate, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	int fd = create(f);

	assert_pool(f, 0, NR_EXTENTS);
	assert_blocks(fd, 0);

	kvm_fallocate(fd, KEEP, f->page_size + PAGE_SIZE, PAGE_SIZE);
	assert_pool(f, 1, NR_EXTENTS - 1);
	assert_blocks(fd, f->page_size);

	kvm_fallocate(fd, KEEP, 0, f->size);
	assert_pool(f, NR_EXTENTS, 0);
	assert_blocks(fd, f->size);

	kvm_close(fd);
	hugetlb_pool_assert_eq(f->page_size, &f->pool);
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, fallocate_errors, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	int fd = create(f);

	TEST_ASSERT(fallocate(fd, KEEP, 1, PAGE_SIZE) && errno == EINVAL, "Offset 1");
	TEST_ASSERT(fallocate(fd, KEEP, 0, 1) && errno == EINVAL, "Length 1");
	TEST_ASSERT(fallocate(fd, PUNCH, 1, PAGE_SIZE) && errno == EINVAL, "Hole at 1");
	TEST_ASSERT(fallocate(fd, KEEP, f->size, PAGE_SIZE) && errno == EINVAL,
		    "Past the end");
	TEST_ASSERT(fallocate(fd, 0, 0, PAGE_SIZE) && errno == EOPNOTSUPP,
		    "Without FALLOC_FL_KEEP_SIZE");
	assert_pool(f, 0, NR_EXTENTS);
	kvm_close(fd);
}

/* Extents that are wholly in the hole are back in the pool at once. */
TEST_F_TIMEOUT(guest_memfd_hugetlb, punch_whole_extents, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	int fd = create(f);

	kvm_fallocate(fd, KEEP, 0, f->size);
	kvm_fallocate(fd, PUNCH, 0, f->page_size);
	assert_pool(f, NR_EXTENTS - 1, 1);
	assert_blocks(fd, f->size - f->page_size);

	/* Nothing is left there to punch, and half of the next one stays. */
	kvm_fallocate(fd, PUNCH, 0, f->page_size + f->page_size / 2);
	assert_pool(f, NR_EXTENTS - 1, 1);

	kvm_fallocate(fd, PUNCH, 0, f->size);
	assert_pool(f, 0, NR_EXTENTS);
	assert_blocks(fd, 0);

	kvm_fallocate(fd, KEEP, 0, PAGE_SIZE);
	assert_pool(f, 1, NR_EXTENTS - 1);
	kvm_close(fd);
}

/* A hole inside an extent reads as zeroes, and the extent stays. */
TEST_F_TIMEOUT(guest_memfd_hugetlb, punch_part_of_extent, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	u64 per_extent = f->page_size / PAGE_SIZE;
	struct gmem_vm g;

	create_vm(f, &g);
	gmem_set_tags(&g, 0, g.nr_pages, 1);
	gmem_guest_write(&g, 0, g.nr_pages);
	assert_pool(f, NR_EXTENTS, 0);

	kvm_fallocate(g.fd, PUNCH, 3 * PAGE_SIZE, 2 * PAGE_SIZE);
	gmem_set_tags(&g, 3, 2, 0);
	assert_pool(f, NR_EXTENTS, 0);
	assert_blocks(g.fd, f->size);
	gmem_guest_check(&g, 0, g.nr_pages, GMEM_STEP_ALL);

	/* All of the first extent but one page, all of the second but one. */
	kvm_fallocate(g.fd, PUNCH, PAGE_SIZE, f->size - 2 * PAGE_SIZE);
	gmem_set_tags(&g, 1, g.nr_pages - 2, 0);
	assert_pool(f, NR_EXTENTS, 0);
	gmem_guest_check(&g, 0, g.nr_pages, GMEM_STEP_ALL);

	/* From the middle of the first extent to the end of the second. */
	kvm_fallocate(g.fd, PUNCH, PAGE_SIZE, f->size - PAGE_SIZE);
	gmem_set_tags(&g, per_extent, per_extent, 0);
	assert_pool(f, 1, 1);
	assert_blocks(g.fd, f->page_size);
	gmem_guest_check(&g, 0, g.nr_pages, GMEM_STEP_ALL);
	gmem_vm_free(&g);
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, pre_fault, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	bool is_1g = f->order == ORDER_1G;
	struct gmem_leaves leaves;
	struct gmem_vm g;

	create_vm(f, &g);
	TEST_ASSERT_EQ(gmem_pre_fault(&g, 0, 1), 0);
	gmem_leaves_raw(&g, &leaves);
	gmem_assert_leaves(&leaves, is_1g, !is_1g, 0, "First page pre-faulted");
	assert_pool(f, 1, NR_EXTENTS - 1);

	TEST_ASSERT_EQ(gmem_pre_fault(&g, 0, g.nr_pages), 0);
	gmem_leaves_raw(&g, &leaves);
	gmem_assert_leaves(&leaves, is_1g ? NR_EXTENTS : 0,
			   is_1g ? 0 : NR_EXTENTS, 0, "All pages pre-faulted");
	assert_pool(f, NR_EXTENTS, 0);

	/* A hole unmaps what it covers, and nothing else. */
	kvm_fallocate(g.fd, PUNCH, 0, f->page_size);
	gmem_leaves_raw(&g, &leaves);
	gmem_assert_leaves(&leaves, is_1g, !is_1g, 0, "First extent punched");
	gmem_vm_free(&g);
}

/* What one VM left in the pages is not there for the next one to read. */
TEST_F_TIMEOUT(guest_memfd_hugetlb, zeroed, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	struct gmem_vm g;

	create_vm(f, &g);
	gmem_set_tags(&g, 0, g.nr_pages, 1);
	gmem_guest_write(&g, 0, g.nr_pages);
	gmem_vm_free(&g);
	hugetlb_pool_assert_eq(f->page_size, &f->pool);

	create_vm(f, &g);
	gmem_set_tags(&g, 0, g.nr_pages, 0);
	gmem_guest_check(&g, 0, g.nr_pages, GMEM_STEP_ALL);
	gmem_vm_free(&g);
}

/* close() returns the pages although the slot and the VM are still there. */
TEST_F_TIMEOUT(guest_memfd_hugetlb, close_returns_pages, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_SW_PROTECTED_VM,
	};
	struct kvm_pre_fault_memory range = {
		.gpa = GMEM_GPA,
		.size = f->page_size,
	};
	int fd;

	vm = vm_create_shape_with_one_vcpu(shape, &vcpu, NULL);
	fd = gmem_create(vm, f->size, f->flags, f->order);
	vm_set_user_memory_region2(vm, GMEM_SLOT, KVM_MEM_GUEST_MEMFD, GMEM_GPA,
				   f->size, NULL, fd, 0);
	if (gmem_vm_wide_attributes())
		vm_mem_set_private(vm, GMEM_GPA, f->size);
	vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
	assert_pool(f, 1, NR_EXTENTS - 1);

	kvm_close(fd);
	hugetlb_pool_assert_eq(f->page_size, &f->pool);
	kvm_vm_free(vm);
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, mmap, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	int fd = create(f);
	u64 offset = f->page_size - PAGE_SIZE;
	u8 *mem = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, offset);

	if (!(f->flags & GUEST_MEMFD_FLAG_MMAP)) {
		TEST_ASSERT(mem == MAP_FAILED && errno == ENODEV,
			    "mmap() without the flag, errno: %d", errno);
		kvm_close(fd);
		return;
	}

	TEST_ASSERT(mem != MAP_FAILED, "mmap() of 8K, errno: %d", errno);
	TEST_ASSERT(gmem_host_access(mem, false), "The host can read private memory");
	TEST_ASSERT(gmem_host_access(mem + PAGE_SIZE, true),
		    "The host can write private memory");
	assert_pool(f, 0, NR_EXTENTS);

	/* The mapping holds the file, and with it the reservation. */
	kvm_close(fd);
	assert_pool(f, 0, NR_EXTENTS);
	kvm_munmap(mem, 2 * PAGE_SIZE);
	hugetlb_pool_assert_eq(f->page_size, &f->pool);
}

/* A VM type without private memory has shared files in either mode. */
TEST_F_TIMEOUT(guest_memfd_hugetlb, init_shared_default_vm, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	struct kvm_vm *vm = vm_create_barebones();
	u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	int fd = gmem_create(vm, f->size, flags, f->order);
	u8 *mem = kvm_mmap(f->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	u64 middle = f->page_size + f->page_size / 2;

	TEST_ASSERT_EQ(gmem_host_access(mem + middle, false), 0);
	TEST_ASSERT_EQ(mem[middle], 0);
	assert_pool(f, 1, NR_EXTENTS - 1);
	memset(mem + middle - PAGE_SIZE, 0xaa, 2 * PAGE_SIZE);
	TEST_ASSERT_EQ(mem[middle - 1], 0xaa);
	TEST_ASSERT_EQ(mem[middle + PAGE_SIZE], 0);

	kvm_fallocate(fd, PUNCH, middle, PAGE_SIZE);
	TEST_ASSERT_EQ(mem[middle], 0);
	TEST_ASSERT_EQ(mem[middle - 1], 0xaa);
	assert_pool(f, 1, NR_EXTENTS - 1);

	kvm_fallocate(fd, PUNCH, f->page_size, f->page_size);
	assert_pool(f, 0, NR_EXTENTS);
	TEST_ASSERT_EQ(mem[middle - 1], 0);

	kvm_munmap(mem, f->size);
	kvm_close(fd);
	kvm_vm_free(vm);
}

TEST_F_TIMEOUT(guest_memfd_hugetlb, init_shared, GMEM_TIMEOUT)
{
	struct files *f = &self->files;
	u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	int fd = __gmem_create(f->vm, f->size, flags, f->order);

	if (gmem_vm_wide_attributes()) {
		TEST_ASSERT(fd < 0 && errno == EINVAL,
			    "INIT_SHARED of a VM with private memory: fd %d errno %d",
			    fd, errno);
		return;
	}
	TEST_ASSERT(fd >= 0, "INIT_SHARED: errno %d", errno);
	assert_pool(f, 0, NR_EXTENTS);
	kvm_close(fd);
}

/* Slots whose place in memory or in the file does not fit huge pages. */
struct layout {
	u8 order;
	/* The slot, relative to GMEM_GPA and in bytes. */
	u64 gpa;
	u64 offset;
	u64 size;
	/* What is pre-faulted, relative to the slot. */
	u64 start;
	u64 len;
	struct gmem_leaves want;
};

FIXTURE(guest_memfd_layout)
{
	struct gmem_vm g;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(guest_memfd_layout)
{
	struct layout layout;
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 1g_offset_4k) {
	.layout = {
		.order = ORDER_1G,
		.offset = PAGE_SIZE,
		.size = SZ_1G,
		.len = SZ_4M,
		.want = { .nr_4k = 1024 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 1g_offset_2m) {
	.layout = {
		.order = ORDER_1G,
		.offset = SZ_2M,
		.size = SZ_1G,
		.len = SZ_8M,
		.want = { .nr_2m = 4 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 1g_gpa_4k) {
	.layout = {
		.order = ORDER_1G,
		.gpa = PAGE_SIZE,
		.size = SZ_1G,
		.len = SZ_4M,
		.want = { .nr_4k = 1024 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 1g_gpa_2m) {
	.layout = {
		.order = ORDER_1G,
		.gpa = SZ_2M,
		.size = SZ_1G,
		.len = SZ_8M,
		.want = { .nr_2m = 4 },
	},
};

/* Misaligned alike: whole 2M blocks and the whole second 1G fit after all. */
FIXTURE_VARIANT_ADD(guest_memfd_layout, 1g_gpa_and_offset_4k) {
	.layout = {
		.order = ORDER_1G,
		.gpa = PAGE_SIZE,
		.offset = PAGE_SIZE,
		.size = SZ_2G - PAGE_SIZE,
		.len = SZ_2G - PAGE_SIZE,
		.want = { .nr_1g = 1, .nr_2m = 511, .nr_4k = 511 },
	},
};

/* The slot ends inside the huge page. */
FIXTURE_VARIANT_ADD(guest_memfd_layout, 1g_short_slot) {
	.layout = {
		.order = ORDER_1G,
		.size = SZ_4M + 3 * PAGE_SIZE,
		.len = SZ_4M + 3 * PAGE_SIZE,
		.want = { .nr_2m = 2, .nr_4k = 3 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 1g_fits) {
	.layout = {
		.order = ORDER_1G,
		.gpa = SZ_1G,
		.offset = SZ_1G,
		.size = SZ_1G,
		.start = SZ_512M,
		.len = PAGE_SIZE,
		.want = { .nr_1g = 1 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 2m_offset_4k) {
	.layout = {
		.order = ORDER_2M,
		.offset = PAGE_SIZE,
		.size = SZ_2M,
		.len = SZ_2M,
		.want = { .nr_4k = 512 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 2m_gpa_4k) {
	.layout = {
		.order = ORDER_2M,
		.gpa = PAGE_SIZE,
		.size = SZ_4M,
		.len = SZ_4M,
		.want = { .nr_4k = 1024 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 2m_gpa_and_offset_4k) {
	.layout = {
		.order = ORDER_2M,
		.gpa = PAGE_SIZE,
		.offset = PAGE_SIZE,
		.size = SZ_4M - PAGE_SIZE,
		.len = SZ_4M - PAGE_SIZE,
		.want = { .nr_2m = 1, .nr_4k = 511 },
	},
};

FIXTURE_VARIANT_ADD(guest_memfd_layout, 2m_short_slot) {
	.layout = {
		.order = ORDER_2M,
		.size = SZ_2M + 5 * PAGE_SIZE,
		.len = SZ_2M + 5 * PAGE_SIZE,
		.want = { .nr_2m = 1, .nr_4k = 5 },
	},
};

/* No 1G page of the pool, so no 1G leaf: these are two extents of 2M. */
FIXTURE_VARIANT_ADD(guest_memfd_layout, 2m_fits) {
	.layout = {
		.order = ORDER_2M,
		.gpa = SZ_2M,
		.offset = SZ_2M,
		.size = SZ_2M,
		.start = SZ_1M,
		.len = PAGE_SIZE,
		.want = { .nr_2m = 1 },
	},
};

FIXTURE_SETUP(guest_memfd_layout)
{
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_SW_PROTECTED_VM,
	};
	u64 page_size = gmem_page_size(variant->layout.order);
	struct gmem_vm *g = &self->g;

	self->nr_hugepages = hugetlb_pool_require(page_size, NR_EXTENTS);
	g->vm = vm_create_shape_with_one_vcpu(shape, &g->vcpu, NULL);
	g->fd = gmem_create(g->vm, NR_EXTENTS * page_size, 0, variant->layout.order);
}

FIXTURE_TEARDOWN(guest_memfd_layout)
{
	kvm_close(self->g.fd);
	kvm_vm_free(self->g.vm);
	hugetlb_pool_set(gmem_page_size(variant->layout.order), self->nr_hugepages);
}

static void test_layout(struct gmem_vm *g, const struct layout *l, u64 misalign)
{
	gpa_t gpa = GMEM_GPA + l->gpa;
	u64 mapped = l->size + SZ_1G + PAGE_SIZE;
	void *mem = kvm_mmap(mapped, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	struct gmem_leaves leaves;

	vm_set_user_memory_region2(g->vm, GMEM_SLOT, KVM_MEM_GUEST_MEMFD, gpa,
				   l->size, align_ptr_up(mem, SZ_1G) + misalign,
				   g->fd, l->offset);
	if (gmem_vm_wide_attributes())
		vm_mem_set_private(g->vm, gpa, l->size);

	TEST_ASSERT_EQ(gmem_pre_fault(g, (l->gpa + l->start) / PAGE_SIZE,
				      l->len / PAGE_SIZE), 0);
	gmem_leaves_raw(g, &leaves);
	gmem_assert_leaves(&leaves, l->want.nr_1g, l->want.nr_2m, l->want.nr_4k,
			   "Pre-faulted");
	vm_set_user_memory_region2(g->vm, GMEM_SLOT, 0, gpa, 0, NULL, 0, 0);
	kvm_munmap(mem, mapped);
}

TEST_F_TIMEOUT(guest_memfd_layout, leaves, GMEM_TIMEOUT)
{
	test_layout(&self->g, &variant->layout, 0);
}

/* The userspace address does not matter, whatever its alignment. */
TEST_F_TIMEOUT(guest_memfd_layout, leaves_misaligned_hva, GMEM_TIMEOUT)
{
	test_layout(&self->g, &variant->layout, PAGE_SIZE);
}

TEST_HARNESS_MAIN
