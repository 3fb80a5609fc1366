// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls on a guest_memfd on HugeTLB pages: good arguments of which some
 * fields have been replaced, flipped or moved.  Each must return what
 * lib/x86/guest_memfd_contract.c says.  A call that succeeds is followed in a
 * model of the file, or undone; after each call the file's counters and those of
 * the pool must be the model's, and from time to time attributes and contents
 * of pages are compared.
 *
 * The seed is printed, and the same seed repeats the same calls.  A call that
 * fails the test is printed as a C initializer.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <linux/falloc.h>

#include "guest_memfd_check.h"
#include "guest_memfd_contract.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE
#define ZERO		KVM_SET_MEMORY_ATTRIBUTES2_ZERO
#define PRESERVE	KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE
#define KEEP		FALLOC_FL_KEEP_SIZE
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

#define NR_EXTENTS	4
#define MAX_MUTATIONS	3
#define OTHER_SLOT	20
#define OTHER_GPA	(GMEM_GPA + 16 * (u64)SZ_1G)
#define OTHER_SIZE	((u64)SZ_2M)
/* Look at pages every so many calls, and at struct pages. */
#define PROBE_EVERY	50
#define CHECK_EVERY	1000
#define NR_PROBES	24

static u32 nr_calls = 2000;
static u32 seed = 1;

/* What kinds of calls there are, and what became of them. */
enum fuzz_call {
	CREATE,
	SET_ATTRIBUTES,
	REGION,
	PRE_FAULT,
	FALLOCATE,
	NR_CALLS,
};

static const char * const names[] = {
	"KVM_CREATE_GUEST_MEMFD", "KVM_SET_MEMORY_ATTRIBUTES2",
	"KVM_SET_USER_MEMORY_REGION2", "KVM_PRE_FAULT_MEMORY", "fallocate",
};

struct fallocate_args {
	u64 offset;
	u64 len;
	u32 mode;
	u32 unused;
};

union args {
	u64 words[16];
	struct kvm_create_guest_memfd create;
	struct kvm_memory_attributes2 attributes;
	struct kvm_userspace_memory_region2 region;
	struct kvm_pre_fault_memory pre_fault;
	struct fallocate_args fallocate;
};

/* Of the arguments' words, those that are looked at. */
static const unsigned int nr_words[] = {
	sizeof(struct kvm_create_guest_memfd) / 8,
	sizeof(struct kvm_memory_attributes2) / 8,
	offsetof(struct kvm_userspace_memory_region2, pad1) / 8 + 1,
	offsetof(struct kvm_pre_fault_memory, padding) / 8,
	sizeof(struct fallocate_args) / 8,
};

struct fuzz {
	struct gmem_vm g;
	struct kvm_random_state rng;
	struct gmem_slots slots;
	struct gmem_bindable files[2];
	struct hugetlb_pool pool;
	u64 nr_hugepages;
	u64 extent_pages;
	/* The model: by extent, by page. */
	bool allocated[NR_EXTENTS];
	bool *private;
	/* Contents are not promised; until they are written again. */
	bool *unknown;
	u32 generation;

	u64 nr_good[NR_CALLS];
	u64 nr_bad[NR_CALLS];
	u64 nr_skipped;
};

FIXTURE(guest_memfd_fuzz)
{
	struct fuzz fuzz;
};

FIXTURE_VARIANT(guest_memfd_fuzz)
{
	u64 flags;
};

FIXTURE_VARIANT_ADD(guest_memfd_fuzz, 2m) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_fuzz, 2m_mmap) {
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_SETUP(guest_memfd_fuzz)
{
	struct gmem_config config = {
		.order = ORDER_2M,
		.size = NR_EXTENTS * SZ_2M,
		.flags = variant->flags,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};
	struct fuzz *f = &self->fuzz;
	int fd;

	ksft_print_msg("seed %u\n", seed);
	f->rng = new_kvm_random_state(seed);
	f->extent_pages = SZ_2M / PAGE_SIZE;
	/* Two more, for files to be created. */
	f->nr_hugepages = hugetlb_pool_require(SZ_2M, NR_EXTENTS + 2);
	hugetlb_pool_read(SZ_2M, &f->pool);
	gmem_vm_create(&f->g, &config);
	f->private = calloc(f->g.nr_pages, sizeof(*f->private));
	f->unknown = calloc(f->g.nr_pages, sizeof(*f->unknown));
	TEST_ASSERT(f->private && f->unknown, "Out of memory");
	memset(f->private, true, f->g.nr_pages);

	fd = gmem_create(f->g.vm, OTHER_SIZE, variant->flags, 0);
	f->files[0] = (struct gmem_bindable) { f->g.fd, config.size };
	f->files[1] = (struct gmem_bindable) { fd, OTHER_SIZE };
	gmem_contract_slots(&f->g, &f->slots);
}

FIXTURE_TEARDOWN(guest_memfd_fuzz)
{
	struct fuzz *f = &self->fuzz;

	kvm_close(f->files[1].fd);
	gmem_vm_free(&f->g);
	hugetlb_pool_assert_eq(SZ_2M, &f->pool);
	hugetlb_pool_set(SZ_2M, f->nr_hugepages);
	free(f->private);
	free(f->unknown);
}

static u64 below(struct fuzz *f, u64 end)
{
	return kvm_random_u64_in_range(&f->rng, 0, end - 1);
}

/* Good arguments */
static u64 some_pages(struct fuzz *f, u64 *page)
{
	u64 nr;

	*page = below(f, f->g.nr_pages);
	nr = 1 + below(f, f->g.nr_pages - *page);
	return kvm_random_bool(&f->rng) ? 1 + below(f, min_t(u64, nr, 64)) : nr;
}

static void good_create(struct fuzz *f, struct kvm_create_guest_memfd *args)
{
	args->flags = f->g.config.flags | GUEST_MEMFD_FLAG_HUGETLB;
	args->page_order = ORDER_2M;
	args->size = SZ_2M * (1 + below(f, 2));
}

static void good_attributes(struct fuzz *f, struct kvm_memory_attributes2 *args)
{
	u64 page, nr = some_pages(f, &page);

	args->offset = page * PAGE_SIZE;
	args->size = nr * PAGE_SIZE;
	args->attributes = kvm_random_bool(&f->rng) ? PRIVATE : 0;
	if (f->g.config.flags & GUEST_MEMFD_FLAG_MMAP)
		args->flags = __kvm_random_bool(&f->rng, 80) ? PRESERVE :
			      args->attributes || kvm_random_bool(&f->rng) ? 0 : ZERO;
	args->error_offset = GMEM_UNTOUCHED;
}

static void good_region(struct fuzz *f, struct kvm_userspace_memory_region2 *args)
{
	args->slot = OTHER_SLOT;
	args->flags = KVM_MEM_GUEST_MEMFD;
	args->guest_phys_addr = OTHER_GPA;
	args->memory_size = PAGE_SIZE * (1 + below(f, OTHER_SIZE / PAGE_SIZE));
	args->userspace_addr = align_up((u64)f->g.shared, SZ_2M);
	args->guest_memfd = f->files[1].fd;
	args->guest_memfd_offset = OTHER_SIZE - args->memory_size;
}

static void good_pre_fault(struct fuzz *f, struct kvm_pre_fault_memory *args)
{
	u64 page, nr = some_pages(f, &page);

	args->gpa = GMEM_GPA + page * PAGE_SIZE;
	args->size = nr * PAGE_SIZE;
}

static void good_fallocate(struct fuzz *f, struct fallocate_args *args)
{
	u64 page, nr = some_pages(f, &page);

	args->offset = page * PAGE_SIZE;
	args->len = nr * PAGE_SIZE;
	args->mode = kvm_random_bool(&f->rng) ? KEEP : PUNCH;
}

static void good_args(struct fuzz *f, enum fuzz_call call, union args *args)
{
	memset(args, 0, sizeof(*args));
	switch (call) {
	case CREATE:
		return good_create(f, &args->create);
	case SET_ATTRIBUTES:
		return good_attributes(f, &args->attributes);
	case REGION:
		return good_region(f, &args->region);
	case PRE_FAULT:
		return good_pre_fault(f, &args->pre_fault);
	default:
		return good_fallocate(f, &args->fallocate);
	}
}

/* An edge, and sometimes a few bytes or pages beside it. */
static u64 edge(struct fuzz *f)
{
	u64 size = f->g.config.size;
	u64 edges[] = {
		0, 1, 2, 4, 9, 16, 18, 255, PAGE_SIZE, SZ_2M, SZ_1G, size, GMEM_GPA,
		GMEM_GPA + size, OTHER_GPA, OTHER_SIZE, BIT_ULL(31), BIT_ULL(32), BIT_ULL(40),
		BIT_ULL(47), BIT_ULL(52), BIT_ULL(56), BIT_ULL(62), BIT_ULL(63), -size, -1,
		f->g.fd, f->files[1].fd, f->g.vm->fd,
	};
	u64 value = edges[below(f, ARRAY_SIZE(edges))];

	switch (below(f, 6)) {
	case 0:
		return value + PAGE_SIZE;
	case 1:
		return value - PAGE_SIZE;
	case 2:
		return value + below(f, 17) - 8;
	default:
		return value;
	}
}

static void mutate(struct fuzz *f, enum fuzz_call call, union args *args)
{
	u64 *word = &args->words[below(f, nr_words[call])];
	u32 *half = (u32 *)word + below(f, 2);

	switch (below(f, 8)) {
	case 0:
	case 1:
		*word ^= BIT_ULL(below(f, 64));
		break;
	case 2:
	case 3:
		*word = edge(f);
		break;
	case 4:
		*half = edge(f);
		break;
	case 5:
		*word += (below(f, 9) - 4) * PAGE_SIZE;
		break;
	case 6:
		*word = args->words[below(f, nr_words[call])];
		break;
	case 7:
		*word = kvm_random_u64(&f->rng);
		break;
	}
}

static void describe(char *text, size_t size, enum fuzz_call call, const union args *args)
{
	int len = snprintf(text, size, "seed %u: u64 words[] = { ", seed);
	unsigned int i;

	for (i = 0; i < nr_words[call]; i++)
		len += snprintf(text + len, size - len, "0x%llx, ",
				(unsigned long long)args->words[i]);
	snprintf(text + len, size - len, "}; %s", names[call]);
}

/* What the contract says, and what the kernel does */
static int expect(struct fuzz *f, enum fuzz_call call, const union args *args)
{
	const struct fallocate_args *fallocate = &args->fallocate;

	switch (call) {
	case CREATE:
		return gmem_contract_create(f->g.config.vm_type, &args->create);
	case SET_ATTRIBUTES:
		return gmem_contract_set_attributes(&f->g.config, &args->attributes);
	case REGION:
		return gmem_contract_region(f->g.vm, &f->slots, f->files,
					    ARRAY_SIZE(f->files), &args->region);
	case PRE_FAULT:
		return gmem_contract_pre_fault(&f->slots, &args->pre_fault);
	default:
		return gmem_contract_fallocate(f->g.config.size, fallocate->mode,
					       fallocate->offset, fallocate->len);
	}
}

static int pre_fault_once(struct fuzz *f, struct kvm_pre_fault_memory *args)
{
	int ret;

	do {
		ret = __vcpu_ioctl(f->g.vcpu, KVM_PRE_FAULT_MEMORY, args);
	} while (ret && (errno == EINTR || errno == EAGAIN));
	return ret;
}

/* Less than 0 with errno, or what the call returns. */
static int make_call(struct fuzz *f, enum fuzz_call call, union args *args)
{
	switch (call) {
	case CREATE:
		return __vm_ioctl(f->g.vm, KVM_CREATE_GUEST_MEMFD, &args->create);
	case SET_ATTRIBUTES:
		return ioctl(f->g.fd, KVM_SET_MEMORY_ATTRIBUTES2, &args->attributes);
	case REGION:
		return __vm_ioctl(f->g.vm, KVM_SET_USER_MEMORY_REGION2, &args->region);
	case PRE_FAULT:
		return pre_fault_once(f, &args->pre_fault);
	default:
		return fallocate(f->g.fd, args->fallocate.mode, args->fallocate.offset,
				 args->fallocate.len);
	}
}

/* Follow in the model */
static void allocate_pages(struct fuzz *f, u64 first, u64 nr)
{
	u64 i;

	for (i = first / f->extent_pages; i * f->extent_pages < first + nr; i++)
		f->allocated[i] = true;
}

static void follow_attributes(struct fuzz *f, const struct kvm_memory_attributes2 *args)
{
	u64 page = args->offset / PAGE_SIZE, end = page + args->size / PAGE_SIZE;
	bool private = args->attributes;

	for (; page < end; page++) {
		if (f->private[page] == private)
			continue;
		f->private[page] = private;
		if (args->flags & PRESERVE)
			continue;
		/* Unspecified, unless zeroes are asked for or the file had no part in it. */
		f->unknown[page] = !(args->flags & ZERO) && gmem_has_mmap(&f->g);
		gmem_set_tags(&f->g, page, 1, 0);
	}
}

/* Memory of other slots is no matter here. */
static void follow_pre_fault(struct fuzz *f, const struct kvm_pre_fault_memory *was,
			     const struct kvm_pre_fault_memory *is)
{
	u64 first = (was->gpa - GMEM_GPA) / PAGE_SIZE, i;

	if (was->gpa < GMEM_GPA || was->gpa >= GMEM_GPA + f->g.config.size)
		return;
	for (i = first; i < f->g.nr_pages && GMEM_GPA + i * PAGE_SIZE < is->gpa; i++) {
		/* Shared memory is in the file with FLAG_MMAP alone. */
		if (f->private[i] || gmem_in_place(&f->g))
			allocate_pages(f, i, 1);
	}
}

static void follow_punch(struct fuzz *f, u64 first, u64 nr)
{
	u64 end = min_t(u64, first + nr, f->g.nr_pages), i;

	for (i = 0; i < NR_EXTENTS; i++) {
		if (first <= i * f->extent_pages && end >= (i + 1) * f->extent_pages)
			f->allocated[i] = false;
	}
	for (i = first; i < end; i++) {
		/* Shared memory of the slot is not in the file. */
		if (!gmem_has_mmap(&f->g) && !f->private[i])
			continue;
		gmem_set_tags(&f->g, i, 1, 0);
		f->unknown[i] = false;
	}
}

static void follow_fallocate(struct fuzz *f, const struct fallocate_args *args)
{
	u64 first = args->offset / PAGE_SIZE, nr = args->len / PAGE_SIZE;

	if (args->mode == KEEP)
		allocate_pages(f, first, nr);
	else
		follow_punch(f, first, nr);
}

static void undo_create(const struct kvm_create_guest_memfd *args, int fd)
{
	struct stat st;

	TEST_ASSERT(!fstat(fd, &st) && st.st_size == args->size,
		    "A file of 0x%lx bytes", st.st_size);
	kvm_close(fd);
}

static void undo_region(struct fuzz *f, struct kvm_userspace_memory_region2 args)
{
	args.memory_size = 0;
	vm_ioctl(f->g.vm, KVM_SET_USER_MEMORY_REGION2, &args);
}

static void follow(struct fuzz *f, enum fuzz_call call, const union args *was,
		   const union args *is, int ret)
{
	switch (call) {
	case CREATE:
		return undo_create(&was->create, ret);
	case SET_ATTRIBUTES:
		return follow_attributes(f, &was->attributes);
	case REGION:
		return undo_region(f, was->region);
	case PRE_FAULT:
		return follow_pre_fault(f, &was->pre_fault, &is->pre_fault);
	default:
		return follow_fallocate(f, &was->fallocate);
	}
}

/* Compare with the model */
static void assert_counters(struct fuzz *f, const char *when)
{
	u64 nr_allocated = 0, nr_private = 0, i;
	struct hugetlb_pool want = f->pool;
	char text[GMEM_FDINFO_SIZE];

	for (i = 0; i < f->g.nr_pages; i++) {
		nr_allocated += f->allocated[i / f->extent_pages];
		nr_private += f->allocated[i / f->extent_pages] && f->private[i];
	}
	gmem_read_fdinfo(f->g.fd, text, sizeof(text));
	TEST_ASSERT(gmem_fdinfo_value(text, "allocated") * SZ_1K == nr_allocated * PAGE_SIZE &&
		    gmem_fdinfo_value(text, "private") * SZ_1K == nr_private * PAGE_SIZE,
		    "%s: wanted %lu pages, %lu private, not\n%s", when, nr_allocated,
		    nr_private, text);
	TEST_ASSERT(gmem_blocks(f->g.fd) == nr_allocated * (PAGE_SIZE / 512),
		    "%s: %lu blocks", when, gmem_blocks(f->g.fd));

	want.free -= nr_allocated / f->extent_pages;
	want.resv += NR_EXTENTS - nr_allocated / f->extent_pages;
	hugetlb_pool_assert_eq(SZ_2M, &want);
}

static void probe_host(struct fuzz *f, u64 page)
{
	int code;

	if (!gmem_in_place(&f->g) || !f->allocated[page / f->extent_pages])
		return;

	code = gmem_host_access(gmem_host_page(&f->g, page), false);
	TEST_ASSERT(!code == !f->private[page], "Page %lu is %s, and the host gets %d",
		    page, f->private[page] ? "private" : "shared", code);
	if (!f->private[page] && !f->unknown[page])
		gmem_host_check(&f->g, page, GMEM_STEP_SPREAD);
}

/* Random pages, and both sides of where attributes change. */
static void probe_pages(struct fuzz *f)
{
	u64 nr = 0, i, page;

	for (i = 0; i < NR_PROBES; i++) {
		page = below(f, f->g.nr_pages);
		while (kvm_random_bool(&f->rng) && page + 1 < f->g.nr_pages &&
		       f->private[page] == f->private[page + 1])
			page++;
		probe_host(f, page);
		/* Without FLAG_MMAP, shared memory is that of the slot. */
		if (f->allocated[page / f->extent_pages] && !f->unknown[page] &&
		    (f->private[page] || gmem_in_place(&f->g)))
			f->g.model->list[nr++] = page;
	}
	gmem_guest_check_list(&f->g, nr, GMEM_STEP_SPREAD);
}

/* New contents for a few pages, wherever there is memory. */
static void write_pages(struct fuzz *f)
{
	u64 page = below(f, f->g.nr_pages - NR_PROBES), i;

	for (i = page; i < page + NR_PROBES; i++) {
		if (!f->allocated[i / f->extent_pages] ||
		    (!f->private[i] && !gmem_in_place(&f->g)))
			continue;
		gmem_set_tags(&f->g, i, 1, ++f->generation);
		gmem_guest_write(&f->g, i, 1);
		f->unknown[i] = false;
	}
}

static void assert_model(struct fuzz *f, u32 nr)
{
	if (nr % PROBE_EVERY)
		return;
	probe_pages(f);
	write_pages(f);
	if (!(nr % CHECK_EVERY))
		free(gmem_check_extents(f->g.fd));
}

/* A slot that the guest needs would be gone. */
static bool is_harmful(struct fuzz *f, enum fuzz_call call, const union args *args, int want)
{
	return call == REGION && !want && !args->region.memory_size;
}

static void fuzz_once(struct fuzz *f)
{
	enum fuzz_call call = below(f, NR_CALLS);
	unsigned int i, nr = below(f, MAX_MUTATIONS + 1);
	union args args, was;
	char text[1024];
	int want, ret;

	good_args(f, call, &args);
	for (i = 0; i < nr; i++)
		mutate(f, call, &args);
	was = args;
	want = expect(f, call, &args);
	if (is_harmful(f, call, &args, want)) {
		f->nr_skipped++;
		return;
	}

	describe(text, sizeof(text), call, &args);
	ret = make_call(f, call, &args);
	TEST_ASSERT(want ? ret < 0 && errno == -want : ret >= 0,
		    "%s: %d, %s, wanted %s", text, ret, strerror(ret < 0 ? errno : 0),
		    strerror(-want));
	TEST_ASSERT((!want && call == PRE_FAULT) || !memcmp(&was, &args, sizeof(was)),
		    "%s: arguments changed", text);
	if (want)
		f->nr_bad[call]++;
	else
		f->nr_good[call]++;
	if (!want)
		follow(f, call, &was, &args, ret);
	assert_counters(f, text);
}

TEST_F_TIMEOUT(guest_memfd_fuzz, calls, 8 * GMEM_TIMEOUT)
{
	struct fuzz *f = &self->fuzz;
	u32 i;

	for (i = 1; i <= nr_calls; i++) {
		fuzz_once(f);
		assert_model(f, i);
	}
	for (i = 0; i < NR_CALLS; i++)
		ksft_print_msg("%s: %lu succeed, %lu fail\n", names[i], f->nr_good[i],
			       f->nr_bad[i]);
	ksft_print_msg("%lu not tried\n", f->nr_skipped);
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-n", "calls", .number = &nr_calls },
		{ "-s", "seed", .number = &seed },
		{}
	};

	argc = gmem_take_options(argc, argv, options);
	return test_harness_run(argc, argv);
}
