// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every field of the ioctls of a guest_memfd on HugeTLB pages, at its edges and
 * beyond, from 64-bit and 32-bit callers.  Which error it has to be is said by
 * lib/x86/guest_memfd_contract.c, and after each call that fails nothing may
 * have changed: sizes, attributes, folios, pools, descriptors.
 *
 * What is in the way of a call that is well formed is in guest_memfd_errors_test,
 * random arguments are in guest_memfd_fuzz_test.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <sys/stat.h>
#include <linux/falloc.h>

#include "guest_memfd_contract.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE
#define ZERO		KVM_SET_MEMORY_ATTRIBUTES2_ZERO
#define PRESERVE	KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE
#define KEEP		FALLOC_FL_KEEP_SIZE

#define NR_EXTENTS	2
/* Pages with contents, around the end of the first extent. */
#define NR_WRITTEN	16
#define OTHER_SLOT	20
#define OTHER_GPA	(GMEM_GPA + 16 * (u64)SZ_1G)
/* The largest file there is. */
#define GIANT		(BIT_ULL(63) - PAGE_SIZE)

typedef int (*ioctl_fn_t)(int fd, unsigned long request, void *arg);

struct input {
	struct gmem_vm g;
	struct gmem_quick before;
	u64 page_size;
	u64 nr_hugepages;
	/* How the kernel is called. */
	ioctl_fn_t ioctl;
	/* Arguments end where a page does, and what follows is not mapped. */
	u8 *page;
	u64 nr_calls;
};

FIXTURE(guest_memfd_bad_input)
{
	struct input input;
};

FIXTURE_VARIANT(guest_memfd_bad_input)
{
	u8 order;
	u64 flags;
	unsigned long vm_type;
	bool compat;
};

FIXTURE_VARIANT_ADD(guest_memfd_bad_input, 2m) {
	.order = ORDER_2M,
	.vm_type = KVM_X86_SW_PROTECTED_VM,
};

FIXTURE_VARIANT_ADD(guest_memfd_bad_input, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
	.vm_type = KVM_X86_SW_PROTECTED_VM,
};

FIXTURE_VARIANT_ADD(guest_memfd_bad_input, 2m_mmap_compat) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
	.vm_type = KVM_X86_SW_PROTECTED_VM,
	.compat = true,
};

FIXTURE_VARIANT_ADD(guest_memfd_bad_input, 2m_default) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
};

FIXTURE_VARIANT_ADD(guest_memfd_bad_input, 1g_mmap) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
	.vm_type = KVM_X86_SW_PROTECTED_VM,
};

/* Return what the call returned, or minus an errno. */
static int native_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

/* As a 32-bit program does. */
static int compat_ioctl(int fd, unsigned long request, void *arg)
{
	long ret = 54;

	asm volatile("int $0x80" : "+a" (ret)
		     : "b" ((long)fd), "c" (request), "d" (arg)
		     : "r8", "r9", "r10", "r11", "memory");
	return (int)ret;
}

/* Two pages of 1G take their time to be zeroed, so that they have no memory. */
static bool has_contents(struct input *t)
{
	return t->g.config.order == ORDER_2M;
}

static void write_contents(struct input *t)
{
	u64 first = t->page_size / PAGE_SIZE - NR_WRITTEN / 2;

	if (!has_contents(t))
		return;
	gmem_set_tags(&t->g, first, NR_WRITTEN, 1);
	gmem_guest_write(&t->g, first, NR_WRITTEN);
}

static void check_contents(struct input *t)
{
	u64 first = t->page_size / PAGE_SIZE - NR_WRITTEN / 2;

	if (has_contents(t))
		gmem_guest_check(&t->g, first, NR_WRITTEN, GMEM_STEP_ALL);
}

FIXTURE_SETUP(guest_memfd_bad_input)
{
	struct gmem_config config = {
		.order = variant->order,
		.size = NR_EXTENTS * gmem_page_size(variant->order),
		.flags = variant->flags,
		.vm_type = variant->vm_type,
	};
	struct input *t = &self->input;
	int prot = PROT_READ | PROT_WRITE;

	t->ioctl = variant->compat ? compat_ioctl : native_ioctl;
	t->page = kvm_mmap(2 * PAGE_SIZE, prot,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1);
	kvm_munmap(t->page + PAGE_SIZE, PAGE_SIZE);
	t->page_size = gmem_page_size(variant->order);
	t->nr_hugepages = hugetlb_pool_require(t->page_size, NR_EXTENTS);
	gmem_vm_create(&t->g, &config);
	write_contents(t);
}

/* Whatever has been tried, the guest has its memory. */
FIXTURE_TEARDOWN(guest_memfd_bad_input)
{
	struct input *t = &self->input;

	check_contents(t);
	gmem_vm_free(&t->g);
	kvm_munmap(t->page, PAGE_SIZE);
	hugetlb_pool_set(t->page_size, t->nr_hugepages);
	ksft_print_msg("%lu calls\n", t->nr_calls);
}

static void *arguments_at_end(struct input *t, const void *args, size_t size)
{
	return memcpy(t->page + PAGE_SIZE - size, args, size);
}

static void assert_unchanged(struct input *t, const char *what)
{
	gmem_quick_assert_same(t->g.fd, &t->before, what);
}

static void describe_create(char text[256], const struct kvm_create_guest_memfd *args)
{
	snprintf(text, 256, "create { .size = 0x%llx, .flags = 0x%llx, .page_order = %u }",
		 args->size, args->flags, args->page_order);
}

/* Create, and close what should not be there, so that each call has the same. */
static void try_create(struct input *t, const struct kvm_create_guest_memfd *args)
{
	int want = gmem_contract_create(t->g.config.vm_type, args), fd;
	struct kvm_create_guest_memfd *at = arguments_at_end(t, args, sizeof(*args));
	struct stat st;
	char what[256];

	describe_create(what, args);
	fd = t->ioctl(t->g.vm->fd, KVM_CREATE_GUEST_MEMFD, at);
	t->nr_calls++;
	TEST_ASSERT(want ? fd == want : fd >= 0, "%s: %d, wanted %s", what, fd,
		    strerror(-want));
	TEST_ASSERT(!memcmp(at, args, sizeof(*args)), "%s: arguments changed", what);
	if (fd >= 0) {
		TEST_ASSERT(!fstat(fd, &st) && st.st_size == args->size && !st.st_blocks,
			    "%s: 0x%lx bytes, %lu blocks", what, st.st_size, st.st_blocks);
		kvm_close(fd);
	}
	assert_unchanged(t, what);
}

static const u64 create_sizes[] = {
	0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, SZ_2M - PAGE_SIZE, SZ_2M - 1,
	SZ_2M, SZ_2M + 1, SZ_2M + PAGE_SIZE, 2 * SZ_2M, SZ_1G - SZ_2M, SZ_1G,
	SZ_1G + SZ_2M, BIT_ULL(32), BIT_ULL(32) + SZ_2M, BIT_ULL(43), BIT_ULL(44) - SZ_2M,
	BIT_ULL(51), BIT_ULL(52), BIT_ULL(62), BIT_ULL(63) - SZ_1G, BIT_ULL(63) - SZ_2M,
	GIANT, BIT_ULL(63) - 1, BIT_ULL(63), BIT_ULL(63) + 1, BIT_ULL(63) + SZ_2M,
	BIT_ULL(63) + SZ_1G, -SZ_1G, -SZ_2M, -PAGE_SIZE, -1,
};

TEST_F_TIMEOUT(guest_memfd_bad_input, create_sizes, GMEM_TIMEOUT)
{
	static const u8 orders[] = { 0, ORDER_2M, ORDER_1G };
	struct input *t = &self->input;
	struct kvm_create_guest_memfd args = {};
	unsigned int i, j, flags;

	gmem_quick_read(t->g.fd, &t->before);
	for (i = 0; i < ARRAY_SIZE(create_sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(orders); j++) {
			for (flags = 0; flags < 8; flags++) {
				args.size = create_sizes[i];
				args.page_order = orders[j];
				args.flags = (flags & 3) |
					     (flags & 4 ? GUEST_MEMFD_FLAG_HUGETLB : 0);
				try_create(t, &args);
			}
		}
	}
}

/* One bit more in a call that would succeed, and in one that fails later. */
TEST_F_TIMEOUT(guest_memfd_bad_input, create_bits, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	struct kvm_create_guest_memfd args;
	unsigned int bit, flags;

	gmem_quick_read(t->g.fd, &t->before);
	for (bit = 0; bit < 64; bit++) {
		for (flags = 0; flags < 4; flags++) {
			args = (struct kvm_create_guest_memfd) {
				.size = flags & 2 ? BIT_ULL(62) : t->page_size,
				.flags = BIT_ULL(bit) ^
					 (flags & 1 ? GUEST_MEMFD_FLAG_HUGETLB : 0),
				.page_order = t->g.config.order,
			};
			try_create(t, &args);
		}
	}
}

TEST_F_TIMEOUT(guest_memfd_bad_input, create_orders, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	struct kvm_create_guest_memfd args = {};
	unsigned int order;

	gmem_quick_read(t->g.fd, &t->before);
	for (order = 0; order < 256; order++) {
		args.page_order = order;
		args.flags = GUEST_MEMFD_FLAG_HUGETLB;
		args.size = t->page_size;
		try_create(t, &args);
		/* A multiple of any page there could be. */
		args.size = BIT_ULL(62);
		try_create(t, &args);
		args.flags = 0;
		try_create(t, &args);
	}
}

/* Each byte that must be 0, each bit of it; and all is ignored without the flag. */
TEST_F_TIMEOUT(guest_memfd_bad_input, create_reserved, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	struct kvm_create_guest_memfd args = {
		.size = t->page_size,
		.page_order = t->g.config.order,
	};
	u8 *bytes = (u8 *)&args;
	unsigned int i, bit;

	gmem_quick_read(t->g.fd, &t->before);
	for (i = offsetof(struct kvm_create_guest_memfd, pad); i < sizeof(args); i++) {
		for (bit = 0; bit < 8; bit++) {
			bytes[i] = BIT(bit);
			args.flags = GUEST_MEMFD_FLAG_HUGETLB;
			try_create(t, &args);
			args.flags = 0;
			try_create(t, &args);
		}
		bytes[i] = 0;
	}
	args.flags = GUEST_MEMFD_FLAG_HUGETLB;
	try_create(t, &args);
}

/* Addresses that no process has, of any size of an address. */
static void assert_efault_far(struct input *t, int fd, unsigned long request, int want)
{
	u64 bad[] = {
		0, 1, (u64)t->page + PAGE_SIZE, -1u, -PAGE_SIZE & ~0u,
		BIT_ULL(47) - PAGE_SIZE, BIT_ULL(47) - 1, BIT_ULL(47), BIT_ULL(56),
		BIT_ULL(63), BIT_ULL(63) - 8, -BIT_ULL(47), -SZ_2G, -PAGE_SIZE, -64, -1,
	};
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(bad); i++, t->nr_calls++) {
		/* What a 32-bit program passes is cut off: may be anything. */
		if (t->ioctl == compat_ioctl && bad[i] >= BIT_ULL(32))
			continue;
		ret = t->ioctl(fd, request, (void *)bad[i]);
		TEST_ASSERT(ret == -want, "Arguments at 0x%lx: %d, wanted %d", bad[i],
			    ret, -want);
	}
}

/* All but the last 1, 2, .. bytes of arguments can be read. */
static void assert_efault_near(struct input *t, int fd, unsigned long request,
			       const void *args, size_t size, int want)
{
	unsigned int i;
	u8 *at;
	int ret;

	for (i = 1; i < size; i++, t->nr_calls++) {
		at = t->page + PAGE_SIZE - size + i;
		memcpy(at, args, size - i);
		ret = t->ioctl(fd, request, at);
		TEST_ASSERT(ret == -want, "Without the last %u bytes: %d, wanted %d", i,
			    ret, -want);
		TEST_ASSERT(!memcmp(at, args, size - i), "%u bytes: changed", i);
	}
}

static void assert_efault(struct input *t, int fd, unsigned long request,
			  const void *args, size_t size, int want)
{
	assert_efault_far(t, fd, request, want);
	assert_efault_near(t, fd, request, args, size, want);

	TEST_ASSERT(!mprotect(t->page, PAGE_SIZE, PROT_NONE), "mprotect()");
	TEST_ASSERT_EQ(t->ioctl(fd, request, t->page), -want);
	TEST_ASSERT(!mprotect(t->page, PAGE_SIZE, PROT_READ | PROT_WRITE), "mprotect()");
	assert_unchanged(t, "Arguments that cannot be read");
}

TEST_F_TIMEOUT(guest_memfd_bad_input, create_efault, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	struct kvm_create_guest_memfd args = {
		.size = t->page_size,
		.flags = GUEST_MEMFD_FLAG_HUGETLB,
		.page_order = t->g.config.order,
	};

	gmem_quick_read(t->g.fd, &t->before);
	assert_efault(t, t->g.vm->fd, KVM_CREATE_GUEST_MEMFD, &args, sizeof(args), EFAULT);
	/* Where they can be read, and no byte written, they are good. */
	try_create(t, &args);
}

static void describe_attributes(char text[256], const struct kvm_memory_attributes2 *args)
{
	int len = snprintf(text, 256, "set { .offset = 0x%llx, .size = 0x%llx,",
			   args->offset, args->size);

	snprintf(text + len, 256 - len, " .attributes = 0x%llx, .flags = 0x%llx }",
		 args->attributes, args->flags);
}

/* Give back what was changed; the next call must leave it as it is then. */
static void undo_attributes(struct input *t, const struct kvm_memory_attributes2 *args)
{
	if (args->attributes != PRIVATE)
		TEST_ASSERT_EQ(gmem_set_attributes(t->g.fd, args->offset, args->size,
						   PRIVATE, 0, NULL), 0);
	write_contents(t);
	gmem_quick_read(t->g.fd, &t->before);
}

static void try_attributes(struct input *t, struct kvm_memory_attributes2 *args)
{
	int want = gmem_contract_set_attributes(&t->g.config, args), ret;
	struct kvm_memory_attributes2 *at;
	char what[256];

	args->error_offset = GMEM_UNTOUCHED;
	at = arguments_at_end(t, args, sizeof(*args));
	describe_attributes(what, args);
	if (!want)
		check_contents(t);
	ret = t->ioctl(t->g.fd, KVM_SET_MEMORY_ATTRIBUTES2, at);
	t->nr_calls++;
	TEST_ASSERT(ret == want, "%s: %d, wanted %d", what, ret, want);
	TEST_ASSERT(!memcmp(at, args, sizeof(*args)), "%s: arguments changed", what);
	if (want)
		assert_unchanged(t, what);
	else
		undo_attributes(t, args);
}

#define NR_EDGES	24

/* Offsets and sizes at which something ends: the file, an extent, a number. */
static void list_edges(struct input *t, u64 edges[NR_EDGES])
{
	u64 size = t->g.config.size;
	u64 list[NR_EDGES] = {
		0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, t->page_size - PAGE_SIZE,
		t->page_size, size - PAGE_SIZE, size - 1, size, size + 1,
		size + PAGE_SIZE, BIT_ULL(31), BIT_ULL(32), BIT_ULL(32) + PAGE_SIZE,
		BIT_ULL(44), BIT_ULL(62), BIT_ULL(63) - PAGE_SIZE, BIT_ULL(63) - 1,
		BIT_ULL(63), BIT_ULL(63) + PAGE_SIZE, -size, -PAGE_SIZE, -1,
	};

	memcpy(edges, list, sizeof(list));
}

TEST_F_TIMEOUT(guest_memfd_bad_input, attributes_ranges, GMEM_TIMEOUT)
{
	static const struct {
		u64 attributes, flags;
	} rest[] = {
		{ 0, 0 }, { PRIVATE, PRESERVE },
	};
	struct kvm_memory_attributes2 args = {};
	struct input *t = &self->input;
	unsigned int i, k;
	u64 edges[NR_EDGES];

	list_edges(t, edges);
	gmem_quick_read(t->g.fd, &t->before);
	for (k = 0; k < ARRAY_SIZE(rest); k++) {
		for (i = 0; i < NR_EDGES * NR_EDGES; i++) {
			args.offset = edges[i / NR_EDGES];
			args.size = edges[i % NR_EDGES];
			args.attributes = rest[k].attributes;
			args.flags = rest[k].flags;
			try_attributes(t, &args);
		}
	}
}

/* Each bit of each word, alone and with others that are good or bad. */
TEST_F_TIMEOUT(guest_memfd_bad_input, attributes_bits, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	struct kvm_memory_attributes2 args;
	u64 *words = (u64 *)&args, good;
	unsigned int word, bit, kind;

	gmem_quick_read(t->g.fd, &t->before);
	for (kind = 0; kind < 2; kind++) {
		for (word = 0; word < sizeof(args) / sizeof(*words); word++) {
			if (&words[word] == (u64 *)&args.error_offset)
				continue;
			for (bit = 0; bit < 64; bit++) {
				args = (struct kvm_memory_attributes2) {
					.offset = PAGE_SIZE,
					.size = 2 * PAGE_SIZE,
					.attributes = kind ? PRIVATE : 0,
					.flags = kind ? 0 : ZERO,
				};
				good = words[word];
				words[word] = good ^ BIT_ULL(bit);
				try_attributes(t, &args);
			}
		}
	}
}

TEST_F_TIMEOUT(guest_memfd_bad_input, attributes_efault, GMEM_TIMEOUT)
{
	struct kvm_memory_attributes2 args = { .size = PAGE_SIZE };
	int want = gmem_vm_wide_attributes() ? ENOTTY : EFAULT;
	struct input *t = &self->input;

	gmem_quick_read(t->g.fd, &t->before);
	assert_efault(t, t->g.fd, KVM_SET_MEMORY_ATTRIBUTES2, &args, sizeof(args), want);
}

/* Whoever does nothing wrong need not let error_offset be written. */
TEST_F_TIMEOUT(guest_memfd_bad_input, attributes_read_only, GMEM_TIMEOUT)
{
	struct kvm_memory_attributes2 args = { .size = PAGE_SIZE }, *at;
	struct input *t = &self->input;
	int want = gmem_contract_set_attributes(&t->g.config, &args);
	int einval = gmem_vm_wide_attributes() ? ENOTTY : EINVAL;

	gmem_quick_read(t->g.fd, &t->before);
	at = arguments_at_end(t, &args, sizeof(args));
	at->attributes = 2;
	TEST_ASSERT(!mprotect(t->page, PAGE_SIZE, PROT_READ), "mprotect()");
	TEST_ASSERT_EQ(t->ioctl(t->g.fd, KVM_SET_MEMORY_ATTRIBUTES2, at), -einval);
	assert_unchanged(t, "A mistake in arguments that cannot be written");

	TEST_ASSERT(!mprotect(t->page, PAGE_SIZE, PROT_READ | PROT_WRITE), "mprotect()");
	at->attributes = 0;
	TEST_ASSERT(!mprotect(t->page, PAGE_SIZE, PROT_READ), "mprotect()");
	TEST_ASSERT_EQ(t->ioctl(t->g.fd, KVM_SET_MEMORY_ATTRIBUTES2, at), want);
	TEST_ASSERT(!mprotect(t->page, PAGE_SIZE, PROT_READ | PROT_WRITE), "mprotect()");
	if (!want)
		undo_attributes(t, &args);
}

static void assert_unknown(struct input *t, int fd, unsigned long request, int want)
{
	int ret = t->ioctl(fd, request, t->page);

	t->nr_calls++;
	TEST_ASSERT(ret == -want, "Request 0x%lx: %d, wanted %d", request, ret, -want);
}

/* Requests that are the right one but for a bit, or belong to another file. */
TEST_F_TIMEOUT(guest_memfd_bad_input, requests, GMEM_TIMEOUT)
{
	static const unsigned long others[] = {
		KVM_CREATE_GUEST_MEMFD, KVM_SET_MEMORY_ATTRIBUTES,
		KVM_SET_USER_MEMORY_REGION2, KVM_PRE_FAULT_MEMORY, KVM_RUN,
		KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_CHECK_EXTENSION, KVM_GET_STATS_FD,
	};
	struct input *t = &self->input;
	unsigned int i;

	gmem_quick_read(t->g.fd, &t->before);
	memset(t->page, 0, PAGE_SIZE);
	for (i = 0; i < 32; i++)
		assert_unknown(t, t->g.fd, KVM_SET_MEMORY_ATTRIBUTES2 ^ BIT(i), ENOTTY);
	for (i = 0; i < 256; i++) {
		if (i != _IOC_NR(KVM_SET_MEMORY_ATTRIBUTES2))
			assert_unknown(t, t->g.fd, _IOWR(KVMIO, i, struct kvm_memory_attributes2),
				       ENOTTY);
	}
	for (i = 0; i < ARRAY_SIZE(others); i++)
		assert_unknown(t, t->g.fd, others[i], ENOTTY);

	assert_unknown(t, t->g.vm->fd, KVM_SET_MEMORY_ATTRIBUTES2, ENOTTY);
	for (i = 0; i < 32; i++) {
		/* Neighbours that exist: KVM_SET_MEMORY_ATTRIBUTES has another size. */
		assert_unknown(t, t->g.vm->fd, KVM_CREATE_GUEST_MEMFD ^ BIT(i), ENOTTY);
	}
	assert_unchanged(t, "Unknown requests");
}

/* The largest file, with pages of 4K: to its very end, and not a page further. */
TEST_F_TIMEOUT(guest_memfd_bad_input, giant, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	u64 last = GIANT - PAGE_SIZE, i;
	struct gmem_config giant = t->g.config;
	struct kvm_memory_attributes2 tries[] = {
		{ .offset = 0, .size = GIANT },
		{ .offset = last, .size = PAGE_SIZE, .attributes = PRIVATE },
		{ .offset = PAGE_SIZE, .size = GIANT - PAGE_SIZE, .attributes = PRIVATE },
		{ .offset = last, .size = 2 * PAGE_SIZE },
		{ .offset = PAGE_SIZE, .size = GIANT },
		{ .offset = GIANT, .size = PAGE_SIZE },
		{ .offset = last, .size = -last },
		{ .offset = 0, .size = GIANT, .attributes = PRIVATE },
	};
	int fd = gmem_create(t->g.vm, GIANT, t->g.config.flags, 0), want;

	giant.size = GIANT;
	kvm_fallocate(fd, KEEP, last, PAGE_SIZE);
	TEST_ASSERT(fallocate(fd, KEEP, last, 2 * PAGE_SIZE) && errno == EFBIG,
		    "Past the end, errno: %d", errno);
	gmem_quick_read(t->g.fd, &t->before);
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		want = gmem_contract_set_attributes(&giant, &tries[i]);
		TEST_ASSERT(t->ioctl(fd, KVM_SET_MEMORY_ATTRIBUTES2,
				     arguments_at_end(t, &tries[i], sizeof(tries[i]))) == want,
			    "Attempt %lu, wanted %d", i, want);
	}
	kvm_fallocate(fd, KEEP | FALLOC_FL_PUNCH_HOLE, 0, GIANT);
	assert_unchanged(t, "Another file");
	kvm_close(fd);
}

/* Slots */
struct regions {
	struct gmem_slots slots;
	struct gmem_bindable files[3];
	unsigned int nr_files;
};

static int set_region(struct input *t, const struct kvm_userspace_memory_region2 *args)
{
	return t->ioctl(t->g.vm->fd, KVM_SET_USER_MEMORY_REGION2,
			arguments_at_end(t, args, sizeof(*args)));
}

/* With a guest_memfd, a slot can only be deleted, and then not once more. */
static void delete_region(struct input *t, struct kvm_userspace_memory_region2 args)
{
	TEST_ASSERT_EQ(set_region(t, &args),
		       args.flags & KVM_MEM_GUEST_MEMFD ? -EINVAL : 0);
	args.memory_size = 0;
	TEST_ASSERT_EQ(set_region(t, &args), 0);
	TEST_ASSERT_EQ(set_region(t, &args), -EINVAL);
}

static void try_region(struct input *t, struct regions *r,
		       const struct kvm_userspace_memory_region2 *args)
{
	int want = gmem_contract_region(t->g.vm, &r->slots, r->files, r->nr_files, args);
	int ret = set_region(t, args);

	t->nr_calls++;
	TEST_ASSERT(ret == want,
		    "Slot %u flags 0x%x gpa 0x%llx size 0x%llx address 0x%llx fd %d offset 0x%llx: %d, wanted %d",
		    args->slot, args->flags, args->guest_phys_addr, args->memory_size,
		    args->userspace_addr, (int)args->guest_memfd,
		    args->guest_memfd_offset, ret, want);
	if (!ret)
		delete_region(t, *args);
	assert_unchanged(t, "A slot");
}

static struct kvm_userspace_memory_region2 good_region(struct input *t, int fd)
{
	return (struct kvm_userspace_memory_region2) {
		.slot = OTHER_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = OTHER_GPA,
		.memory_size = t->page_size,
		.userspace_addr = (u64)t->page,
		.guest_memfd = fd,
	};
}

static void try_region_numbers(struct input *t, struct regions *r, int fd)
{
	struct kvm_userspace_memory_region2 args;
	u64 edges[NR_EDGES];
	unsigned int i, j;

	list_edges(t, edges);
	for (i = 0; i < NR_EDGES; i++) {
		args = good_region(t, fd);
		args.guest_phys_addr = edges[i];
		try_region(t, r, &args);
		args.guest_phys_addr = OTHER_GPA;
		args.userspace_addr = edges[i];
		try_region(t, r, &args);
		for (j = 0; j < NR_EDGES; j++) {
			args = good_region(t, fd);
			args.guest_memfd_offset = edges[i];
			args.memory_size = edges[j];
			try_region(t, r, &args);
		}
	}
}

static void try_region_bits(struct input *t, struct regions *r, int fd)
{
	static const u32 slots[] = {
		BIT(15), BIT(16), BIT(16) + OTHER_SLOT, 0x7ffa, 0x7ffb, 0x7ffc, 0x7ffd,
		0x7fff, 0xffff, 0x1ffff, 0x7fffffff, 0x80000000, 0xffffffff, GMEM_SLOT,
	};
	struct kvm_userspace_memory_region2 args;
	unsigned int i;

	for (i = 0; i < 32; i++) {
		args = good_region(t, fd);
		args.flags ^= BIT(i);
		args.memory_size = PAGE_SIZE;
		try_region(t, r, &args);
		args.flags |= KVM_MEM_GUEST_MEMFD;
		try_region(t, r, &args);
	}
	for (i = 0; i < ARRAY_SIZE(slots); i++) {
		args = good_region(t, fd);
		args.slot = slots[i];
		try_region(t, r, &args);
	}
}

/* A file that cannot be bound, and parts of one that is bound already. */
static void try_region_files(struct input *t, struct regions *r, int foreign)
{
	struct kvm_userspace_memory_region2 args;
	int closed = dup(STDIN_FILENO);
	int fds[] = {
		-1, 0, t->g.vm->fd, t->g.vcpu->fd, foreign, closed, INT_MAX, INT_MIN,
	};
	unsigned int i;

	kvm_close(closed);
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		args = good_region(t, fds[i]);
		try_region(t, r, &args);
		/* What is wrong with the numbers comes first, what is taken as well. */
		args.guest_memfd_offset = 1;
		try_region(t, r, &args);
		args = good_region(t, fds[i]);
		args.guest_phys_addr = GMEM_GPA + t->page_size;
		try_region(t, r, &args);
	}
	for (i = 0; i < 3; i++) {
		args = good_region(t, t->g.fd);
		args.guest_memfd_offset = i * t->page_size / 2 / PAGE_SIZE * PAGE_SIZE;
		try_region(t, r, &args);
		args.memory_size = PAGE_SIZE;
		try_region(t, r, &args);
	}
}

TEST_F_TIMEOUT(guest_memfd_bad_input, regions, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	int dup_fd = dup(t->g.fd), fd, foreign;
	struct kvm_vm *other = vm_create_barebones_type(t->g.config.vm_type);
	struct regions r = {};

	/* Another file with pages of 4K: all huge pages are taken. */
	fd = gmem_create(t->g.vm, t->page_size, t->g.config.flags, 0);
	foreign = gmem_create(other, t->page_size, t->g.config.flags, 0);
	gmem_contract_slots(&t->g, &r.slots);
	r.files[r.nr_files++] = (struct gmem_bindable) { t->g.fd, t->g.config.size };
	r.files[r.nr_files++] = (struct gmem_bindable) { fd, t->page_size };

	gmem_quick_read(t->g.fd, &t->before);
	try_region_numbers(t, &r, fd);
	try_region_numbers(t, &r, t->g.fd);
	try_region_bits(t, &r, fd);
	try_region_files(t, &r, foreign);
	kvm_close(foreign);
	kvm_close(fd);
	kvm_close(dup_fd);
	kvm_vm_free(other);
}

/* KVM_PRE_FAULT_MEMORY: nothing is allocated for what fails. */
static void try_pre_fault(struct input *t, const struct gmem_slots *slots,
			  const struct kvm_pre_fault_memory *args)
{
	struct kvm_pre_fault_memory *at = arguments_at_end(t, args, sizeof(*args));
	int want = gmem_contract_pre_fault(slots, args), ret;

	do {
		ret = t->ioctl(t->g.vcpu->fd, KVM_PRE_FAULT_MEMORY, at);
	} while (ret == -EINTR || ret == -EAGAIN);
	t->nr_calls++;
	TEST_ASSERT(ret == want, "gpa 0x%llx size 0x%llx flags 0x%llx: %d, wanted %d",
		    args->gpa, args->size, args->flags, ret, want);
	if (want) {
		TEST_ASSERT(!memcmp(at, args, sizeof(*args)), "Arguments changed");
		assert_unchanged(t, "KVM_PRE_FAULT_MEMORY");
		return;
	}
	TEST_ASSERT(at->size < args->size && at->gpa + at->size == args->gpa + args->size,
		    "0x%llx of 0x%llx bytes are left, from 0x%llx on", at->size,
		    args->size, at->gpa);
}

TEST_F_TIMEOUT(guest_memfd_bad_input, pre_fault, GMEM_TIMEOUT)
{
	struct input *t = &self->input;
	struct kvm_pre_fault_memory args;
	struct gmem_slots slots;
	unsigned int i, j, bit;
	u64 edges[NR_EDGES];

	gmem_contract_slots(&t->g, &slots);
	list_edges(t, edges);
	kvm_fallocate(t->g.fd, KEEP, 0, t->g.config.size);
	gmem_quick_read(t->g.fd, &t->before);
	for (i = 0; i < NR_EDGES * NR_EDGES; i++) {
		j = i / NR_EDGES;
		args = (struct kvm_pre_fault_memory) {
			.gpa = edges[j],
			.size = edges[i % NR_EDGES],
		};
		try_pre_fault(t, &slots, &args);
		args.gpa += GMEM_GPA;
		try_pre_fault(t, &slots, &args);
	}
	for (bit = 0; bit < 64; bit++) {
		args = (struct kvm_pre_fault_memory) {
			.gpa = GMEM_GPA ^ BIT_ULL(bit),
			.size = PAGE_SIZE,
		};
		try_pre_fault(t, &slots, &args);
		args.gpa = GMEM_GPA;
		args.flags = BIT_ULL(bit);
		try_pre_fault(t, &slots, &args);
	}
	assert_unchanged(t, "Memory that is there");
}

/* Nothing is looked at that is called padding, now that it is good for nothing. */
TEST_F_TIMEOUT(guest_memfd_bad_input, pre_fault_padding, GMEM_TIMEOUT)
{
	struct kvm_pre_fault_memory args = { .gpa = GMEM_GPA, .size = PAGE_SIZE };
	struct input *t = &self->input;
	struct gmem_slots slots;

	gmem_contract_slots(&t->g, &slots);
	memset(args.padding, 0xff, sizeof(args.padding));
	kvm_fallocate(t->g.fd, KEEP, 0, PAGE_SIZE);
	gmem_quick_read(t->g.fd, &t->before);
	try_pre_fault(t, &slots, &args);
	args.size = 0;
	try_pre_fault(t, &slots, &args);
}

TEST_HARNESS_MAIN
