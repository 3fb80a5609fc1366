// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every error of KVM_SET_MEMORY_ATTRIBUTES2: which one it is if a call is wrong
 * in several ways, where error_offset points and when it is left alone, and
 * that the attributes, contents, folios and pool are what they were.
 *
 * ENOMEM is in guest_memfd_enomem_test, ENOTTY in guest_memfd_attributes_test.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <sys/wait.h>
#include <linux/falloc.h>

#include "guest_memfd_pins.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE
#define ZERO		KVM_SET_MEMORY_ATTRIBUTES2_ZERO
#define PRESERVE	KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE
#define UNTOUCHED	GMEM_UNTOUCHED
#define KEEP		FALLOC_FL_KEEP_SIZE

#define NR_EXTENTS	3
/* Of a range that begins and ends inside extents. */
#define BEFORE		200
#define AFTER		300

struct errors {
	struct gmem_vm g;
	struct gmem_snapshot before;
	u64 page_size;
	u64 nr_hugepages;
	/* Pages in an extent, and a range from the first extent to the last. */
	u64 extent;
	u64 first;
	u64 nr;
};

/* Contents around both ends of the range; what was never written is zero. */
static void fill(struct errors *e)
{
	struct gmem_vm *g = &e->g;
	u64 last = e->first + e->nr;

	gmem_set_tags(g, e->first - 64, 128, 1);
	gmem_guest_write(g, e->first - 64, 128);
	gmem_set_tags(g, last - 64, 128, 1);
	gmem_guest_write(g, last - 64, 128);
}

static void set_up(struct errors *e, u8 order)
{
	struct gmem_config config = gmem_one_page_config(order);
	struct hugetlb_pool pool;

	e->page_size = config.size;
	e->extent = e->page_size / PAGE_SIZE;
	e->first = e->extent - BEFORE;
	e->nr = BEFORE + e->extent + AFTER;
	config.size *= NR_EXTENTS;

	hugetlb_pool_read(e->page_size, &pool);
	e->nr_hugepages = pool.nr;
	if (order)
		hugetlb_pool_require(e->page_size, NR_EXTENTS);
	gmem_vm_create(&e->g, &config);
	kvm_fallocate(e->g.fd, KEEP, 0, config.size);
	fill(e);
}

/* Poisoned pages have left the pool.  Only those of 2M can be replaced. */
static void tear_down(struct errors *e)
{
	bool lost_1g = e->g.poisoned && e->page_size == SZ_1G;

	gmem_vm_free(&e->g);
	if (!lost_1g)
		hugetlb_pool_set(e->page_size, e->nr_hugepages);
}

/* What is wrong with the call alone. */
FIXTURE(guest_memfd_errors)
{
	struct errors errors;
};

FIXTURE_VARIANT(guest_memfd_errors)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_errors, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_errors, 2m) {
	.order = ORDER_2M,
};

FIXTURE_SETUP(guest_memfd_errors)
{
	set_up(&self->errors, variant->order);
}

FIXTURE_TEARDOWN(guest_memfd_errors)
{
	tear_down(&self->errors);
}

/* What the pages of the range are in the way of. */
FIXTURE(guest_memfd_obstacles)
{
	struct errors errors;
};

FIXTURE_VARIANT(guest_memfd_obstacles)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_obstacles, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_obstacles, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_obstacles, 1g) {
	.order = ORDER_1G,
};

FIXTURE_SETUP(guest_memfd_obstacles)
{
	set_up(&self->errors, variant->order);
}

FIXTURE_TEARDOWN(guest_memfd_obstacles)
{
	tear_down(&self->errors);
}

static void set_pages(struct gmem_vm *g, u64 page, u64 nr, u64 attributes,
		      int want, u64 want_offset, const char *what)
{
	u64 flags = PRESERVE, error_offset = UNTOUCHED;
	int ret = gmem_set_attributes(g->fd, page * PAGE_SIZE, nr * PAGE_SIZE,
				      attributes, flags, &error_offset);

	TEST_ASSERT(ret == want, "%s: %s, wanted %s", what, strerror(ret),
		    strerror(want));
	TEST_ASSERT(error_offset == want_offset,
		    "%s: error_offset 0x%lx, wanted 0x%lx", what, error_offset,
		    want_offset);
}

static void make_shared(struct gmem_vm *g, u64 page, u64 nr)
{
	set_pages(g, page, nr, 0, 0, UNTOUCHED, "Making pages shared");
}

static void make_private(struct gmem_vm *g, u64 page, u64 nr)
{
	set_pages(g, page, nr, PRIVATE, 0, UNTOUCHED, "Making pages private");
}

/* A page that is not the first of anything, in the extent in the middle. */
static u64 middle_page(struct errors *e)
{
	return e->extent + e->extent / 2 + 7;
}

static void share_range(struct errors *e)
{
	make_shared(&e->g, e->first, e->nr);
	gmem_snapshot(&e->g, &e->before, e->first, e->nr);
}

/* With a page in the way, which what comes before EAGAIN must not depend on. */
static void share_and_pin(struct errors *e, struct gmem_pin *pin)
{
	make_shared(&e->g, e->first, e->nr);
	gmem_pin(&e->g, middle_page(e), pin);
	gmem_snapshot(&e->g, &e->before, e->first, e->nr);
}

static void assert_unchanged(struct errors *e,
			     const char *when)
{
	gmem_assert_unchanged(&e->g, &e->before, when);
}

static int set_attributes2(int fd, struct kvm_memory_attributes2 *args)
{
	return ioctl(fd, KVM_SET_MEMORY_ATTRIBUTES2, args) ? errno : 0;
}

static void assert_einval(int fd, const struct kvm_memory_attributes2 *bad,
			  const char *what)
{
	struct kvm_memory_attributes2 args = *bad, want;
	int ret;

	args.error_offset = UNTOUCHED;
	want = args;
	ret = set_attributes2(fd, &args);
	TEST_ASSERT(ret == EINVAL, "%s: %s, wanted EINVAL", what, strerror(ret));
	TEST_ASSERT(!memcmp(&args, &want, sizeof(args)), "%s: arguments changed", what);
}

static void test_einval_range(int fd, u64 size, u64 attributes)
{
	const struct {
		u64 offset, size;
		const char *what;
	} ranges[] = {
		{ 1, PAGE_SIZE, "Offset 1" },
		{ PAGE_SIZE / 2, PAGE_SIZE, "Offset of half a page" },
		{ size - 1, 1, "The last byte" },
		{ 0, 1, "Size 1" },
		{ 0, PAGE_SIZE + 8, "Size of a page and 8 bytes" },
		{ 0, 0, "Size 0" },
		{ size, 0, "Size 0 at the end" },
		{ size, PAGE_SIZE, "At the end" },
		{ size - PAGE_SIZE, 2 * PAGE_SIZE, "Past the end" },
		{ 0, size + PAGE_SIZE, "Larger than the file" },
		{ -PAGE_SIZE, PAGE_SIZE, "Wraps to 0" },
		{ -PAGE_SIZE, 2 * PAGE_SIZE, "Wraps to a page" },
		{ PAGE_SIZE, -PAGE_SIZE, "Size that wraps to 0" },
		{ 2 * PAGE_SIZE, -PAGE_SIZE, "Size that wraps to a page" },
		{ 0, BIT_ULL(63), "Size of 2^63" },
		{ 0, BIT_ULL(63) - PAGE_SIZE, "Size of a page less than 2^63" },
		{ PAGE_SIZE, BIT_ULL(63), "A page and 2^63" },
		{ BIT_ULL(63), PAGE_SIZE, "Offset of 2^63" },
		{ BIT_ULL(63) - PAGE_SIZE, PAGE_SIZE, "Up to 2^63" },
		{ BIT_ULL(63), BIT_ULL(63), "Offset and size of 2^63" },
		{ BIT_ULL(63), BIT_ULL(63) + PAGE_SIZE, "Both, wraps to a page" },
		{ BIT_ULL(32) * PAGE_SIZE, PAGE_SIZE, "Page 2^32" },
	};
	struct kvm_memory_attributes2 args = { .attributes = attributes };
	int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		args.offset = ranges[i].offset;
		args.size = ranges[i].size;
		assert_einval(fd, &args, ranges[i].what);
	}
}

static void test_einval_bits(int fd)
{
	struct kvm_memory_attributes2 args = { .size = PAGE_SIZE };
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		args.attributes = BIT_ULL(bit);
		if (args.attributes != PRIVATE)
			assert_einval(fd, &args, "Unknown attribute");
		args.attributes |= PRIVATE;
		if (args.attributes != PRIVATE)
			assert_einval(fd, &args, "Private and an unknown attribute");
		args.attributes = 0;

		args.flags = BIT_ULL(bit);
		if (args.flags & ~(ZERO | PRESERVE)) {
			assert_einval(fd, &args, "Unknown flag");
			args.flags |= PRESERVE;
			assert_einval(fd, &args, "Preserve and an unknown flag");
		}
		args.flags = 0;
	}
}

static void test_einval_fields(int fd)
{
	struct kvm_memory_attributes2 args = { .size = PAGE_SIZE };
	u8 *reserved = (u8 *)args.reserved;
	int i;

	for (i = 0; i < sizeof(args.reserved); i++) {
		reserved[i] = 1;
		assert_einval(fd, &args, "Reserved byte of 1");
		reserved[i] = 0;
	}

	args.flags = ZERO | PRESERVE;
	assert_einval(fd, &args, "Zero and preserve");
	args.attributes = PRIVATE;
	assert_einval(fd, &args, "Zero and preserve, to private");
	args.flags = ZERO;
	assert_einval(fd, &args, "Zero to private");
}

TEST_F_TIMEOUT(guest_memfd_errors, einval, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	int fd = e->g.fd;

	share_range(e);
	test_einval_range(fd, e->g.config.size, 0);
	test_einval_range(fd, e->g.config.size, PRIVATE);
	test_einval_bits(fd);
	test_einval_fields(fd);
	assert_unchanged(e, "EINVAL");
}

/* What no pool can hold is refused for what is wrong with it first. */
TEST_F_TIMEOUT(guest_memfd_errors, create, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	struct kvm_create_guest_memfd args = {
		.size = SZ_1G * 65536ull,
		.flags = GUEST_MEMFD_FLAG_HUGETLB | GUEST_MEMFD_FLAG_MMAP,
		.page_order = ORDER_2M,
	};

	gmem_snapshot(&e->g, &e->before, e->first, e->nr);
	TEST_ASSERT(__vm_ioctl(e->g.vm, KVM_CREATE_GUEST_MEMFD, &args) < 0 &&
		    errno == ENOMEM, "64T of 2M pages, errno: %d", errno);
	args.pad[6] = 1;
	TEST_ASSERT(__vm_ioctl(e->g.vm, KVM_CREATE_GUEST_MEMFD, &args) < 0 &&
		    errno == EINVAL, "And padding, errno: %d", errno);
	args.pad[6] = 0;
	args.size += PAGE_SIZE;
	TEST_ASSERT(__vm_ioctl(e->g.vm, KVM_CREATE_GUEST_MEMFD, &args) < 0 &&
		    errno == EINVAL, "And 4K, errno: %d", errno);
	assert_unchanged(e, "Files that are not created");
}

TEST_F_TIMEOUT(guest_memfd_errors, efault_in, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	u8 *mem = kvm_mmap(2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct kvm_memory_attributes2 args = { .size = PAGE_SIZE };
	u8 *half = mem + PAGE_SIZE - sizeof(args) / 2;
	int fd = e->g.fd;

	share_range(e);
	kvm_munmap(mem + PAGE_SIZE, PAGE_SIZE);
	memcpy(half, &args, sizeof(args) / 2);
	TEST_ASSERT_EQ(set_attributes2(fd, NULL), EFAULT);
	TEST_ASSERT_EQ(set_attributes2(fd, (void *)-PAGE_SIZE), EFAULT);
	TEST_ASSERT_EQ(set_attributes2(fd, (void *)(mem + PAGE_SIZE)), EFAULT);
	TEST_ASSERT_EQ(set_attributes2(fd, (void *)half), EFAULT);
	TEST_ASSERT(!memcmp(half, &args, sizeof(args) / 2), "Arguments changed");
	assert_unchanged(e, "EFAULT");
	kvm_munmap(mem, PAGE_SIZE);
}

/* What is never written may be read-only: error_offset, unless there is one. */
TEST_F_TIMEOUT(guest_memfd_errors, efault_out, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	struct kvm_memory_attributes2 *args =
		kvm_mmap(PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct gmem_vm *g = &e->g;
	struct gmem_pin pin;

	*args = (struct kvm_memory_attributes2) {
		.offset = e->first * PAGE_SIZE,
		.size = e->nr * PAGE_SIZE,
		.attributes = PRIVATE,
		.flags = PRESERVE,
		.error_offset = UNTOUCHED,
	};
	TEST_ASSERT(!mprotect(args, PAGE_SIZE, PROT_READ), "mprotect()");

	share_and_pin(e, &pin);
	TEST_ASSERT_EQ(set_attributes2(g->fd, args), EFAULT);
	assert_unchanged(e, "EFAULT of error_offset");

	gmem_unpin(&pin);
	TEST_ASSERT_EQ(set_attributes2(g->fd, args), 0);
	TEST_ASSERT_EQ(gmem_probe(g, e->first), GMEM_PRIVATE);
	TEST_ASSERT_EQ((u64)args->error_offset, UNTOUCHED);
	kvm_munmap(args, PAGE_SIZE);
}

/* Arguments in the very memory that is converted. */
TEST_F_TIMEOUT(guest_memfd_errors, arguments_in_file, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	struct kvm_memory_attributes2 *args, good = {
		.offset = e->first * PAGE_SIZE,
		.size = e->nr * PAGE_SIZE,
		.attributes = PRIVATE,
		.flags = PRESERVE,
		.error_offset = UNTOUCHED,
	};
	struct gmem_vm *g = &e->g;
	u64 pinned = middle_page(e);
	struct gmem_pin pin;

	args = (void *)gmem_host_page(g, e->first + 1);
	make_shared(g, e->first, e->nr);
	gmem_pin(g, pinned, &pin);
	*args = good;
	TEST_ASSERT_EQ(set_attributes2(g->fd, args), EAGAIN);
	TEST_ASSERT_EQ((u64)args->error_offset, pinned * PAGE_SIZE);

	*args = good;
	gmem_unpin(&pin);
	TEST_ASSERT_EQ(set_attributes2(g->fd, args), 0);
	TEST_ASSERT_EQ(gmem_probe(g, e->first + 1), GMEM_PRIVATE);
	TEST_ASSERT_EQ(set_attributes2(g->fd, args), EFAULT);
}

TEST_F_TIMEOUT(guest_memfd_errors, eopnotsupp, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	const struct {
		u64 attributes, flags;
		int want;
	} cases[] = {
		{ 0, ZERO, EOPNOTSUPP },
		{ 0, PRESERVE, EOPNOTSUPP },
		{ PRIVATE, PRESERVE, EOPNOTSUPP },
		{ PRIVATE, ZERO, EINVAL },
		{ 0, ZERO | PRESERVE, EINVAL },
	};
	int fd = gmem_create(e->g.vm, SZ_2M, 0, 0), i;
	u64 error_offset = UNTOUCHED;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		TEST_ASSERT_EQ(gmem_set_attributes(fd, 0, PAGE_SIZE, cases[i].attributes,
						   cases[i].flags, &error_offset),
			       cases[i].want);
		TEST_ASSERT_EQ(gmem_set_attributes(fd, 1, PAGE_SIZE, cases[i].attributes,
						   cases[i].flags, &error_offset),
			       EINVAL);
	}
	TEST_ASSERT_EQ(error_offset, UNTOUCHED);
	kvm_close(fd);
}

/* Return the error of a call that writes no error_offset. */
static int set_untouched(int fd, struct kvm_memory_attributes2 *args)
{
	int ret;

	if (args)
		args->error_offset = UNTOUCHED;
	ret = set_attributes2(fd, args);
	if (args)
		TEST_ASSERT_EQ((u64)args->error_offset, UNTOUCHED);
	return ret;
}

static int set_in_child(int fd, struct kvm_memory_attributes2 *args)
{
	int status;
	pid_t pid = fork();

	TEST_ASSERT(pid >= 0, "fork() failed, errno: %d", errno);
	if (!pid)
		_exit(set_untouched(fd, args));

	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFEXITED(status), "Wait status 0x%x", status);
	return WEXITSTATUS(status);
}

/* Whoever may not convert learns no more than what is wrong with the call. */
static void test_eio(struct errors *e, int fd_without_mmap,
		     int (*set)(int fd, struct kvm_memory_attributes2 *args))
{
	struct kvm_memory_attributes2 args = {
		.size = e->g.config.size,
		.attributes = PRIVATE,
	};
	int fd = e->g.fd;

	TEST_ASSERT_EQ(set(fd, &args), EIO);
	args.attributes = 0;
	TEST_ASSERT_EQ(set(fd, &args), EIO);

	TEST_ASSERT_EQ(set(fd, NULL), EFAULT);
	args.reserved[10] = 1;
	TEST_ASSERT_EQ(set(fd, &args), EINVAL);
	args = (struct kvm_memory_attributes2) { .size = PAGE_SIZE, .flags = ZERO };
	TEST_ASSERT_EQ(set(fd_without_mmap, &args), EOPNOTSUPP);
}

TEST_F_TIMEOUT(guest_memfd_errors, eio_other_process, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	struct gmem_vm *g = &e->g;
	int fd = gmem_create(g->vm, SZ_2M, 0, 0);
	struct gmem_pin pin;

	share_and_pin(e, &pin);
	test_eio(e, fd, set_in_child);
	assert_unchanged(e, "Calls from another process");
	gmem_unpin(&pin);
	kvm_close(fd);
}

TEST_F_TIMEOUT(guest_memfd_errors, eio_dead_vm, GMEM_TIMEOUT)
{
	static char before[GMEM_FDINFO_SIZE], after[GMEM_FDINFO_SIZE];
	struct errors *e = &self->errors;
	struct gmem_vm *g = &e->g;
	int fd = gmem_create(g->vm, SZ_2M, 0, 0);
	struct gmem_pin pin;

	share_and_pin(e, &pin);
	gmem_read_fdinfo(g->fd, before, sizeof(before));
	gmem_kill_vm(g);
	test_eio(e, fd, set_untouched);
	gmem_read_fdinfo(g->fd, after, sizeof(after));
	TEST_ASSERT(!strcmp(before, after), "fdinfo\n%swas\n%s", after, before);
	assert_unchanged(e, "Calls for a dead VM");
	gmem_unpin(&pin);
	kvm_close(fd);
}

/* ioctl() as a 32-bit program calls it. */
static int compat_ioctl(int fd, unsigned long request, void *arg)
{
	long ret = 54;

	asm volatile("int $0x80" : "+a" (ret)
		     : "b" ((long)fd), "c" (request), "d" (arg)
		     : "r8", "r9", "r10", "r11", "memory");
	return (int)ret;
}

TEST_F_TIMEOUT(guest_memfd_errors, compat, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	struct kvm_memory_attributes2 *args =
		kvm_mmap(PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1);
	struct gmem_vm *g = &e->g;
	u64 pinned = middle_page(e);
	struct gmem_pin pin;

	*args = (struct kvm_memory_attributes2) {
		.offset = e->first * PAGE_SIZE,
		.size = e->nr * PAGE_SIZE,
		.flags = PRESERVE,
		.error_offset = UNTOUCHED,
	};
	TEST_ASSERT_EQ(compat_ioctl(g->fd, KVM_SET_MEMORY_ATTRIBUTES2, args), 0);
	TEST_ASSERT_EQ((u64)args->error_offset, UNTOUCHED);
	gmem_pin(g, pinned, &pin);
	gmem_snapshot(g, &e->before, e->first, e->nr);
	TEST_ASSERT_EQ(gmem_probe(g, e->first), GMEM_SHARED);

	args->attributes = PRIVATE;
	TEST_ASSERT_EQ(compat_ioctl(g->fd, KVM_SET_MEMORY_ATTRIBUTES2, args), -EAGAIN);
	TEST_ASSERT_EQ((u64)args->error_offset, pinned * PAGE_SIZE);
	args->reserved[0] = 1;
	TEST_ASSERT_EQ(compat_ioctl(g->fd, KVM_SET_MEMORY_ATTRIBUTES2, args), -EINVAL);
	args->reserved[0] = 0;
	TEST_ASSERT_EQ(compat_ioctl(g->fd, KVM_SET_MEMORY_ATTRIBUTES2, NULL), -EFAULT);
	TEST_ASSERT_EQ(compat_ioctl(g->fd, KVM_CREATE_VCPU, NULL), -ENOTTY);
	assert_unchanged(e, "Errors of a 32-bit call");

	gmem_unpin(&pin);
	TEST_ASSERT_EQ(compat_ioctl(g->fd, KVM_SET_MEMORY_ATTRIBUTES2, args), 0);
	TEST_ASSERT_EQ(gmem_probe(g, e->first), GMEM_PRIVATE);
	kvm_munmap(args, PAGE_SIZE);
}

/* The lowest of the pins in the range is reported, whatever the extent. */
static void test_pins(struct errors *e, const u64 *pages,
		      int nr)
{
	struct gmem_vm *g = &e->g;
	struct gmem_pin pins[8];
	int i;

	for (i = 0; i < nr; i++)
		gmem_pin(g, pages[i], &pins[i]);
	gmem_snapshot(g, &e->before, e->first, e->nr);
	for (i = 0; i < nr; i++) {
		set_pages(g, e->first, e->nr, PRIVATE, EAGAIN,
			  pages[i] * PAGE_SIZE, "Pins in the range");
		/* Just that page, and from it on. */
		set_pages(g, pages[i], 1, PRIVATE, EAGAIN,
			  pages[i] * PAGE_SIZE, "The pinned page");
		set_pages(g, pages[i], e->first + e->nr - pages[i], PRIVATE,
			  EAGAIN, pages[i] * PAGE_SIZE, "Range from the pinned page");
		assert_unchanged(e, "EAGAIN");
		gmem_unpin(&pins[i]);
	}
}

/* The lowest of the pins in the range, whatever extent it is in. */
static void test_pins_inside(struct errors *e)
{
	struct gmem_vm *g = &e->g;
	u64 last = e->first + e->nr - 1;
	u64 pages[] = { e->first + 9, e->extent, middle_page(e), last };

	make_shared(g, e->first, e->nr);
	test_pins(e, pages, ARRAY_SIZE(pages));
	make_private(g, e->first, e->nr);
	gmem_guest_check(g, e->first - 64, 128, GMEM_STEP_ALL);
	gmem_guest_check(g, last - 63, 128, GMEM_STEP_ALL);
}

/* Pins outside the range do not matter, not even in the same block of 2M. */
static void test_pins_outside(struct errors *e)
{
	struct gmem_vm *g = &e->g;
	u64 page = e->extent + 20;
	struct gmem_pin low, high;

	make_shared(g, page, 8);
	gmem_pin(g, page, &low);
	gmem_pin(g, page + 7, &high);
	make_private(g, page + 1, 6);
	make_shared(g, page + 2, 2);
	make_private(g, page + 8, g->nr_pages - page - 8);
	make_shared(g, page + 8, 512);
	make_private(g, page + 8, 512);
	make_private(g, page + 1, 6);
	TEST_ASSERT_EQ(gmem_probe(g, page), GMEM_SHARED);
	TEST_ASSERT_EQ(gmem_probe(g, page + 1), GMEM_PRIVATE);
	TEST_ASSERT_EQ(gmem_probe(g, page + 7), GMEM_SHARED);

	set_pages(g, page, 8, PRIVATE, EAGAIN, page * PAGE_SIZE, "Two pins");
	gmem_unpin(&low);
	set_pages(g, page, 8, PRIVATE, EAGAIN, (page + 7) * PAGE_SIZE, "One pin");
	gmem_unpin(&high);
	make_private(g, page, 8);
}

TEST_F_TIMEOUT(guest_memfd_obstacles, pins, GMEM_TIMEOUT)
{
	test_pins_inside(&self->errors);
	test_pins_outside(&self->errors);
}

/* Only what changes is looked at, however pinned or poisoned the rest is. */
static void test_set_already(struct errors *e, u64 pinned, u64 poisoned)
{
	struct gmem_vm *g = &e->g;
	u64 end = e->first + e->nr;

	gmem_snapshot(g, &e->before, e->first, e->nr);
	make_shared(g, e->first, e->nr);
	make_shared(g, pinned, 1);
	make_shared(g, poisoned, 1);
	make_private(g, 0, e->first);
	TEST_ASSERT_EQ(gmem_probe(g, poisoned), GMEM_POISONED);
	assert_unchanged(e, "What was set already");

	/* Pages change beside them, and back with them in the range. */
	make_private(g, poisoned + 1, 1);
	make_private(g, pinned - 1, 1);
	make_shared(g, e->first, e->nr);
	TEST_ASSERT_EQ(gmem_probe(g, pinned - 1), GMEM_SHARED);
	make_private(g, poisoned + 1, end - poisoned - 2);
	TEST_ASSERT_EQ(gmem_probe(g, end - 2), GMEM_PRIVATE);
	make_shared(g, e->first, e->nr);
}

/* References come first, then poison, wherever they are. */
static void test_pin_and_poison(struct errors *e, u64 pinned, u64 low, u64 high)
{
	struct gmem_vm *g = &e->g;
	u64 end = e->first + e->nr;

	gmem_snapshot(g, &e->before, e->first, e->nr);
	set_pages(g, e->first, e->nr, PRIVATE, EAGAIN, pinned * PAGE_SIZE,
		  "A pin behind poison");
	set_pages(g, e->first, e->nr - 1, PRIVATE, EHWPOISON, low * PAGE_SIZE,
		  "Two poisoned pages");
	set_pages(g, low + 1, end - low - 2, PRIVATE, EHWPOISON,
		  high * PAGE_SIZE, "The higher one");
	set_pages(g, high, 1, PRIVATE, EHWPOISON, high * PAGE_SIZE, "Just it");
	assert_unchanged(e, "EHWPOISON");
}

TEST_F_TIMEOUT(guest_memfd_obstacles, poison, GMEM_TIMEOUT)
{
	struct errors *e = &self->errors;
	struct gmem_vm *g = &e->g;
	u64 high = middle_page(e), low = high - 5, end = e->first + e->nr;
	struct gmem_pin pin;

	make_shared(g, e->first, e->nr);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, low), true), 0);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, high), true), 0);
	gmem_poison(g, high);
	gmem_poison(g, low);
	gmem_pin(g, end - 1, &pin);

	test_set_already(e, end - 1, high);
	test_pin_and_poison(e, end - 1, low, high);
	gmem_unpin(&pin);
	gmem_snapshot(g, &e->before, e->first, e->nr);
	set_pages(g, e->first, e->nr, PRIVATE, EHWPOISON, low * PAGE_SIZE,
		  "Unpinned");
	assert_unchanged(e, "EHWPOISON without a pin");
	make_private(g, e->first, low - e->first);
	make_private(g, high + 1, end - high - 1);
	gmem_guest_check(g, e->first - 64, 128, GMEM_STEP_ALL);
}

TEST_HARNESS_MAIN
