// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes of guest_memfd pages: KVM_SET_MEMORY_ATTRIBUTES2 and its promises
 * on contents, who may access what, and what KVM reports in either mode of
 * kvm.vm_memory_attributes.  Only the fixture of the mode that the kernel runs
 * in is run, unless asked for by name.  Errors are in guest_memfd_errors_test.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>
#include <pthread.h>

#include "guest_memfd_trace.h"
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"
#include "ucall_common.h"

#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE
#define ZERO		KVM_SET_MEMORY_ATTRIBUTES2_ZERO
#define PRESERVE	KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE
/* No offset in the file is this: it must survive what may not write it. */
#define UNTOUCHED	0x5a5a5a5a5a5a5a5aull
#define NR_DELETED	300
#define NR_READS	100

static void set_up(struct gmem_vm *g, u8 order, u64 flags, u64 *nr_hugepages)
{
	struct gmem_config config = {
		.order = order,
		.size = order ? gmem_page_size(order) : SZ_2M,
		.flags = flags,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};

	if (order)
		*nr_hugepages = hugetlb_pool_require(config.size, 1);
	gmem_vm_create(g, &config);
}

static void tear_down(struct gmem_vm *g, u64 nr_hugepages)
{
	u64 size = g->config.size;
	u8 order = g->config.order;

	gmem_vm_free(g);
	if (order)
		hugetlb_pool_set(size, nr_hugepages);
}

/* kvm.vm_memory_attributes=0 */
FIXTURE(file_attributes)
{
	struct gmem_vm g;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(file_attributes)
{
	u8 order;
	u64 flags;
};

FIXTURE_VARIANT_ADD(file_attributes, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(file_attributes, 4k_mmap) {
	.order = 0,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(file_attributes, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(file_attributes, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(file_attributes, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(file_attributes, 1g_mmap) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_SETUP(file_attributes)
{
	set_up(&self->g, variant->order, variant->flags, &self->nr_hugepages);
}

FIXTURE_TEARDOWN(file_attributes)
{
	tear_down(&self->g, self->nr_hugepages);
}

static void assert_errno(int got, int want, const char *what)
{
	TEST_ASSERT(got == want, "%s: %s, wanted %s", what, strerror(got),
		    strerror(want));
}

static void assert_offset(u64 got, u64 want, const char *what)
{
	TEST_ASSERT(got == want, "%s: error_offset 0x%lx, wanted 0x%lx", what,
		    got, want);
}

/* Set attributes of whole pages and check the error and its offset. */
static void set_pages(struct gmem_vm *g, u64 page, u64 nr, u64 attributes,
		      u64 flags, int want, u64 want_offset, const char *what)
{
	u64 error_offset = UNTOUCHED;
	int ret = gmem_set_attributes(g->fd, page * PAGE_SIZE, nr * PAGE_SIZE,
				      attributes, flags, &error_offset);

	assert_errno(ret, want, what);
	assert_offset(error_offset, want_offset, what);
}

static void make_shared(struct gmem_vm *g, u64 page, u64 nr, u64 flags)
{
	set_pages(g, page, nr, 0, flags, 0, UNTOUCHED, "Making pages shared");
}

static void make_private(struct gmem_vm *g, u64 page, u64 nr, u64 flags)
{
	set_pages(g, page, nr, PRIVATE, flags, 0, UNTOUCHED, "Making pages private");
}

TEST_F_TIMEOUT(file_attributes, capabilities, GMEM_TIMEOUT)
{
	struct kvm_memory_attributes vm_wide = {
		.address = GMEM_GPA,
		.size = PAGE_SIZE,
	};
	struct kvm_vm *vm = self->g.vm;

	TEST_ASSERT_EQ(KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES, 252);
	TEST_ASSERT_EQ(KVM_CAP_MEMORY_ATTRIBUTES2_FLAGS, 253);
	TEST_ASSERT_EQ(sizeof(struct kvm_memory_attributes2), 128ul);
	TEST_ASSERT_EQ((u64)vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES), PRIVATE);
	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_MEMORY_ATTRIBUTES2_FLAGS), ZERO | PRESERVE);
	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_MEMORY_ATTRIBUTES), 0);
	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_PRE_FAULT_MEMORY), 1);

	TEST_ASSERT(__vm_ioctl(vm, KVM_SET_MEMORY_ATTRIBUTES, &vm_wide) &&
		    errno == ENOTTY, "KVM_SET_MEMORY_ATTRIBUTES, errno: %d", errno);
}

/* Without private memory there is nothing to set. */
TEST_F_TIMEOUT(file_attributes, default_vm, GMEM_TIMEOUT)
{
	struct kvm_vm *vm = vm_create_barebones();
	u64 error_offset = UNTOUCHED;
	int fd = gmem_create(vm, SZ_2M, 0, 0);

	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES), 0);
	assert_errno(gmem_set_attributes(fd, 0, PAGE_SIZE, 0, 0, &error_offset),
		     EINVAL, "Shared in a default VM");
	assert_errno(gmem_set_attributes(fd, 0, PAGE_SIZE, PRIVATE, 0, &error_offset),
		     EINVAL, "Private in a default VM");
	assert_offset(error_offset, UNTOUCHED, "EINVAL");
	kvm_close(fd);
	kvm_vm_free(vm);
}

TEST_F_TIMEOUT(file_attributes, idempotent, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	struct gmem_leaves before, after;

	TEST_ASSERT_EQ(gmem_pre_fault(g, 0, g->nr_pages), 0);
	gmem_leaves_raw(g, &before);
	make_private(g, 0, g->nr_pages, 0);
	make_private(g, 3, 1, 0);
	gmem_leaves_raw(g, &after);
	gmem_assert_leaves(&after, before.nr_1g, before.nr_2m, before.nr_4k,
			   "Private made private");

	make_shared(g, 3, 1, 0);
	TEST_ASSERT_EQ(gmem_pre_fault(g, 0, g->nr_pages), 0);
	gmem_leaves_raw(g, &before);
	make_shared(g, 3, 1, 0);
	gmem_leaves_raw(g, &after);
	gmem_assert_leaves(&after, before.nr_1g, before.nr_2m, before.nr_4k,
			   "Shared made shared");

	/* All but one page of the range is in the target state already. */
	make_private(g, 0, g->nr_pages, 0);
	gmem_leaves_raw(g, &after);
	TEST_ASSERT(after.nr_2m >= before.nr_2m && after.nr_4k >= before.nr_4k - 1,
		    "Leaves dropped: pages_2m=%lu of %lu pages_4k=%lu of %lu",
		    after.nr_2m, before.nr_2m, after.nr_4k, before.nr_4k);
}

/* ZERO is for pages that change: one that is shared already keeps its data. */
TEST_F_TIMEOUT(file_attributes, content_flags, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page = g->nr_pages / 2 + 1;

	if (!gmem_has_mmap(g)) {
		set_pages(g, page, 1, 0, ZERO, EOPNOTSUPP, UNTOUCHED, "ZERO");
		return;
	}

	gmem_set_tags(g, page, 8, 1);
	gmem_guest_write(g, page, 8);
	make_shared(g, page + 1, 1, PRESERVE);
	gmem_host_check(g, page + 1, GMEM_STEP_ALL);
	make_shared(g, page, 4, ZERO);
	gmem_set_tags(g, page, 1, 0);
	gmem_set_tags(g, page + 2, 2, 0);
	gmem_host_check(g, page, GMEM_STEP_ALL);
	gmem_host_check(g, page + 1, GMEM_STEP_ALL);
	gmem_host_check(g, page + 2, GMEM_STEP_ALL);
	gmem_guest_check(g, page, 8, GMEM_STEP_ALL);

	gmem_set_tags(g, page, 4, 2);
	gmem_host_write(g, page);
	gmem_host_write(g, page + 1);
	gmem_host_write(g, page + 2);
	gmem_host_write(g, page + 3);
	make_private(g, page, 4, PRESERVE);
	gmem_guest_check(g, page, 8, GMEM_STEP_ALL);
}

/* Without MMAP the file's own page is zeroed when it is private again. */
TEST_F_TIMEOUT(file_attributes, contents_without_mmap, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	if (gmem_has_mmap(g)) {
		TEST_ASSERT_EQ((u64)vm_check_cap(g->vm, KVM_CAP_MEMORY_ATTRIBUTES2_FLAGS) &
			       PRESERVE, PRESERVE);
		return;
	}

	gmem_set_tags(g, 0, 8, 1);
	gmem_guest_write(g, 0, 8);
	make_shared(g, 2, 3, 0);
	gmem_set_tags(g, 2, 3, 2);
	gmem_host_write(g, 2);
	gmem_host_write(g, 3);
	gmem_host_write(g, 4);
	gmem_guest_check(g, 0, 8, GMEM_STEP_ALL);

	make_private(g, 2, 2, 0);
	gmem_set_tags(g, 2, 2, 0);
	gmem_guest_check(g, 0, 8, GMEM_STEP_ALL);
}

/* An access that is refused allocates nothing. */
TEST_F_TIMEOUT(file_attributes, host_faults, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page = g->nr_pages / 4;

	if (!gmem_has_mmap(g)) {
		TEST_ASSERT(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, g->fd, 0) ==
			    MAP_FAILED && errno == ENODEV, "mmap(), errno: %d", errno);
		return;
	}

	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), true), BUS_ADRERR);
	if (variant->order)
		TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "allocated"), 0);
	make_shared(g, page, 1, 0);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), false), 0);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), true), 0);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page - 1), false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page + 1), true), BUS_ADRERR);
	make_private(g, page, 1, 0);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), true), BUS_ADRERR);
}

/* KVM looks for a page where its attribute says that it is. */
TEST_F_TIMEOUT(file_attributes, kvm_faults, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page = 7;

	gmem_set_tags(g, 0, 16, 1);
	gmem_guest_write(g, 0, 16);
	if (gmem_has_mmap(g)) {
		/* No mapping of the host's is needed for either. */
		kvm_madvise(g->shared, g->config.size, MADV_DONTNEED);
		make_shared(g, page, 1, PRESERVE);
		gmem_guest_check(g, 0, 16, GMEM_STEP_ALL);
		return;
	}

	TEST_ASSERT(!mprotect(g->shared, g->config.size, PROT_NONE), "mprotect()");
	gmem_guest_check(g, 0, 16, GMEM_STEP_ALL);
	make_shared(g, page, 1, 0);
	TEST_ASSERT_EQ(gmem_guest_run(g, GMEM_TOUCH, page, 1, 0), EFAULT);
	gmem_guest_check(g, page + 1, 1, GMEM_STEP_ALL);
	make_private(g, page, 1, 0);
	gmem_set_tags(g, page, 1, 0);
	gmem_guest_check(g, 0, 16, GMEM_STEP_ALL);
}

static void whole_file_in_place(struct gmem_vm *g)
{
	u64 last = g->nr_pages - 1;

	gmem_set_tags(g, 0, g->nr_pages, 1);
	gmem_guest_write(g, 0, g->nr_pages);
	make_shared(g, 0, g->nr_pages, PRESERVE);
	gmem_host_check(g, 0, GMEM_STEP_ALL);
	gmem_host_check(g, last, GMEM_STEP_ALL);
	gmem_set_tags(g, last, 1, 2);
	gmem_host_write(g, last);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);

	make_private(g, 0, g->nr_pages, PRESERVE);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, 0), false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, last), false), BUS_ADRERR);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

TEST_F_TIMEOUT(file_attributes, whole_file, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u8 order = g->config.order;
	struct gmem_leaves leaves;

	if (gmem_has_mmap(g)) {
		whole_file_in_place(g);
	} else {
		make_shared(g, 0, g->nr_pages, 0);
		make_private(g, 0, g->nr_pages, 0);
		gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
	}

	TEST_ASSERT_EQ(gmem_pre_fault(g, 0, g->nr_pages), 0);
	gmem_leaves(g, &leaves);
	gmem_assert_leaves(&leaves, order == ORDER_1G, order == ORDER_2M,
			   order ? 0 : g->nr_pages, "The file private again");
}

/* A file that starts shared is the host's to fill before the guest runs. */
TEST_F_TIMEOUT(file_attributes, init_shared, GMEM_TIMEOUT)
{
	struct gmem_config config = self->g.config;
	struct gmem_vm g;

	config.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	gmem_vm_free(&self->g);
	gmem_vm_create(&g, &config);
	gmem_set_tags(&g, 5, 3, 1);
	gmem_host_write(&g, 5);
	gmem_host_write(&g, 6);
	gmem_host_write(&g, 7);
	make_private(&g, 6, 1, PRESERVE);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(&g, 6), false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(&g, 5), false), 0);
	gmem_guest_check(&g, 0, g.nr_pages, GMEM_STEP_SPREAD);

	make_private(&g, 0, g.nr_pages, PRESERVE);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(&g, 5), false), BUS_ADRERR);
	gmem_guest_check(&g, 0, g.nr_pages, GMEM_STEP_SPREAD);
	self->g = g;
}

struct reader {
	struct kvm_vcpu *vcpu;
	bool stop;
};

static void guest_read(struct gmem_model *model)
{
	int i;

	for (;;) {
		for (i = 0; i < NR_READS; i++)
			READ_ONCE(*(u64 *)GMEM_GPA);
		GUEST_SYNC(0);
	}
}

/* Without a slot the memory is a device's, and never is it of the wrong kind. */
static void *run_reader(void *arg)
{
	struct reader *r = arg;
	struct kvm_run *run = r->vcpu->run;
	struct ucall uc;
	int ret;

	while (!READ_ONCE(r->stop)) {
		ret = __vcpu_run(r->vcpu) ? errno : 0;
		TEST_ASSERT(!ret, "KVM_RUN: %s, %s", strerror(ret),
			    exit_reason_str(run->exit_reason));
		if (run->exit_reason != KVM_EXIT_MMIO)
			TEST_ASSERT_EQ(get_ucall(r->vcpu, &uc), UCALL_SYNC);
	}
	return NULL;
}

/* While a slot is being deleted it is there, but no longer knows its file. */
TEST_F_TIMEOUT(file_attributes, slot_deleted, GMEM_TIMEOUT)
{
	struct gmem_config config = self->g.config;
	struct reader r = {};
	struct gmem_vm g;
	u64 nr_hugepages;
	pthread_t thread;
	int i;

	if (!gmem_has_mmap(&self->g))
		return;

	if (variant->order)
		nr_hugepages = hugetlb_pool_require(config.size, 1);
	config.flags |= GUEST_MEMFD_FLAG_INIT_SHARED;
	config.guest_code = guest_read;
	gmem_vm_create(&g, &config);
	r.vcpu = g.vcpu;
	kvm_pthread_create(&thread, NULL, run_reader, &r);
	for (i = 0; i < NR_DELETED; i++) {
		gmem_delete_slot(&g);
		gmem_add_slots(&g);
	}
	WRITE_ONCE(r.stop, true);
	kvm_pthread_join(thread, NULL);
	gmem_vm_free(&g);
	if (variant->order)
		hugetlb_pool_set(config.size, nr_hugepages);
}

/*
 * Attributes of a dying file are freed after a grace period, and that depends on
 * how many there were: the tree's nodes may be full or not.
 */
TEST_F_TIMEOUT(file_attributes, many_ranges, GMEM_TIMEOUT)
{
	unsigned int nr, i;
	u64 offset;
	int fd;

	/* With huge pages there is no difference. */
	if (self->g.config.order)
		return;

	for (nr = 50; nr < 400; nr += 5) {
		fd = gmem_create(self->g.vm, SZ_4M, 0, 0);
		for (i = 0, offset = 0; i < nr; i++, offset += 2 * PAGE_SIZE)
			TEST_ASSERT_EQ(gmem_set_attributes(fd, offset, PAGE_SIZE,
							   0, 0, NULL), 0);
		kvm_close(fd);
	}
}

/* kvm.vm_memory_attributes=1 */
FIXTURE(vm_attributes)
{
	struct gmem_vm g;
	u64 nr_hugepages;
};

FIXTURE_VARIANT(vm_attributes)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(vm_attributes, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(vm_attributes, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(vm_attributes, 1g) {
	.order = ORDER_1G,
};

FIXTURE_SETUP(vm_attributes)
{
	set_up(&self->g, variant->order, 0, &self->nr_hugepages);
}

FIXTURE_TEARDOWN(vm_attributes)
{
	tear_down(&self->g, self->nr_hugepages);
}

TEST_F_TIMEOUT(vm_attributes, capabilities, GMEM_TIMEOUT)
{
	struct kvm_vm *vm = self->g.vm;

	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES), 0);
	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_MEMORY_ATTRIBUTES2_FLAGS), 0);
	TEST_ASSERT_EQ((u64)vm_check_cap(vm, KVM_CAP_MEMORY_ATTRIBUTES), PRIVATE);
	TEST_ASSERT_EQ(vm_check_cap(vm, KVM_CAP_PRE_FAULT_MEMORY), 1);
	TEST_ASSERT(!(vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_FLAGS) &
		      GUEST_MEMFD_FLAG_INIT_SHARED), "INIT_SHARED is offered");
}

TEST_F_TIMEOUT(vm_attributes, enotty, GMEM_TIMEOUT)
{
	set_pages(&self->g, 0, 1, 0, 0, ENOTTY, UNTOUCHED, "To shared");
	set_pages(&self->g, 0, 1, PRIVATE, 0, ENOTTY, UNTOUCHED, "To private");
	set_pages(&self->g, 0, 0, -1ull, -1ull, ENOTTY, UNTOUCHED, "Nonsense");
}

/* Private and shared pages are different memory, and both keep their data. */
TEST_F_TIMEOUT(vm_attributes, contents, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	gmem_set_tags(g, 0, 16, 1);
	gmem_guest_write(g, 0, 16);
	gmem_convert(g, 3, 2, false);
	gmem_set_tags(g, 3, 2, 2);
	gmem_host_write(g, 3);
	gmem_host_write(g, 4);
	gmem_guest_check(g, 0, 16, GMEM_STEP_ALL);
	gmem_convert(g, 3, 2, true);
	gmem_set_tags(g, 3, 2, 1);
	gmem_guest_check(g, 0, 16, GMEM_STEP_ALL);
	gmem_convert(g, 4, 1, false);
	gmem_set_tags(g, 4, 1, 2);
	gmem_guest_check(g, 0, 16, GMEM_STEP_ALL);
}

static u64 end_count(void)
{
	char *trace = gmem_trace_end(GMEM_TRACE_PROBE_PATH);
	u64 count = gmem_trace_count(trace, GMEM_TRACE_PROBE, "");

	free(trace);
	return count;
}

/* How often a conversion has KVM turn faults away. */
static u64 count_invalidations(struct gmem_vm *g, u64 page, u64 nr, bool to_private)
{
	gmem_trace_begin(GMEM_TRACE_PROBE_PATH);
	gmem_convert(g, page, nr, to_private);
	return end_count();
}

/* The same behind all memslots, where KVM never does so of its own. */
static u64 count_invalidations_nowhere(struct gmem_vm *g)
{
	gpa_t gpa = GMEM_GPA + 2 * g->config.size;

	gmem_trace_begin(GMEM_TRACE_PROBE_PATH);
	vm_mem_set_private(g->vm, gpa, PAGE_SIZE);
	vm_mem_set_shared(g->vm, gpa, PAGE_SIZE);
	return end_count();
}

/*
 * Once more than KVM does anyway if a leaf may have to be split first.  What it does
 * anyway is 0 if the compiler has put that function into its caller.
 */
TEST_F_TIMEOUT(vm_attributes, invalidations, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 last = g->nr_pages - 1;
	u64 nowhere, whole, whole_back, inside, start, end;

	gmem_trace_probe("kvm_mmu_invalidate_start");
	nowhere = count_invalidations_nowhere(g);
	whole = count_invalidations(g, 0, g->nr_pages, false);
	whole_back = count_invalidations(g, 0, g->nr_pages, true);
	inside = count_invalidations(g, 5, 3, false);
	start = count_invalidations(g, 0, 8, true);
	end = count_invalidations(g, last, 1, false);
	/* Before what ends the test: a probe that stays makes the next one fail. */
	gmem_trace_probe(NULL);

	TEST_ASSERT_EQ(nowhere, 0);
	TEST_ASSERT(whole < 2, "All of a slot: %lu", whole);
	TEST_ASSERT_EQ(whole_back, whole);
	TEST_ASSERT_EQ(inside, whole + !!variant->order);
	TEST_ASSERT_EQ(start, inside);
	TEST_ASSERT_EQ(end, inside);
}

/* Add "-f FIXTURE" for the mode, unless the caller chooses what to run. */
int main(int argc, char **argv)
{
	char *args[4] = { argv[0] };

	if (argc > 1)
		return test_harness_run(argc, argv);

	args[1] = "-f";
	args[2] = gmem_vm_wide_attributes() ? "vm_attributes" : "file_attributes";
	return test_harness_run(3, args);
}
