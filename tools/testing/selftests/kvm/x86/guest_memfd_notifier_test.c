// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the VMM does to its own mapping of a slot concerns shared memory alone:
 * no call of it unmaps private memory from stage 2, of which the S-EPT emulation
 * would not forgive the loss.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "guest_memfd_stage2.h"
#include "kvm_test_harness.h"

#define BLOCK_PAGES	(SZ_2M / PAGE_SIZE)
#define READ_WRITE	(PROT_READ | PROT_WRITE)
#define NR_DELETED	50
/* Memory that nobody uses. */
#define OTHER_SLOT	(GMEM_SECOND_SLOT + 1)
#define OTHER_GPA	(64ul * SZ_1G)

FIXTURE(guest_memfd_notifier)
{
	struct gmem_stage2 s;
};

FIXTURE_VARIANT(guest_memfd_notifier)
{
	u8 order;
	u64 flags;
};

/* Shared memory is elsewhere. */
FIXTURE_VARIANT_ADD(guest_memfd_notifier, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_notifier, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_notifier, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_notifier, 1g_mmap) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_SETUP(guest_memfd_notifier)
{
	u64 nr = variant->order == ORDER_1G ? 1 : 3;

	gmem_stage2_create(&self->s, variant->order, nr, variant->flags, true);
}

FIXTURE_TEARDOWN(guest_memfd_notifier)
{
	gmem_stage2_free(&self->s);
}

static void discard(struct gmem_vm *g)
{
	kvm_madvise(g->shared, g->config.size, MADV_DONTNEED);
}

static void map_anew(struct gmem_vm *g)
{
	int flags = gmem_has_mmap(g) ? MAP_SHARED :
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *mem;

	kvm_munmap(g->shared, g->config.size);
	mem = mmap(g->shared, g->config.size, READ_WRITE, MAP_FIXED_NOREPLACE | flags,
		   gmem_has_mmap(g) ? g->fd : -1, 0);
	TEST_ASSERT(mem == g->shared, "mmap() at %p: %p, errno: %d", g->shared, mem, errno);
}

static void protect(struct gmem_vm *g)
{
	TEST_ASSERT(!mprotect(g->shared, g->config.size, PROT_NONE),
		    "mprotect(PROT_NONE), errno: %d", errno);
	TEST_ASSERT(!mprotect(g->shared, g->config.size, READ_WRITE),
		    "mprotect(), errno: %d", errno);
}

static const struct vmm_call {
	const char *name;
	void (*call)(struct gmem_vm *g);
	/* Shared memory that is not the file's is lost. */
	bool drops;
} calls[] = {
	{ "madvise(MADV_DONTNEED)", discard, true },
	{ "munmap() and mmap()", map_anew, true },
	{ "mprotect()", protect, false },
};

struct range {
	u64 page;
	u64 nr;
};

static void assert_private(struct gmem_stage2 *s, const char *want, const char *when)
{
	char *is = gmem_leaves_text(&s->g, "private");
	struct gmem_sept sept;

	TEST_ASSERT(!strcmp(want, is), "%s: private leaves\n%swere\n%s", when, is, want);
	free(is);
	gmem_sept_read(&s->g, &sept);
	TEST_ASSERT(!sept.violations, "%s: %lu violations", when, sept.violations);
}

static void lose_shared(struct gmem_stage2 *s, const struct range *shared, unsigned int nr)
{
	if (gmem_has_mmap(&s->g))
		return;
	for (; nr--; shared++)
		gmem_set_tags(&s->g, shared->page, shared->nr, 0);
}

/* The guest has not run yet when leaves are compared: they were not restored. */
static void call_all(struct gmem_stage2 *s, const struct range *shared, unsigned int nr)
{
	char *before = gmem_leaves_text(&s->g, "private");
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		calls[i].call(&s->g);
		assert_private(s, before, calls[i].name);
		if (calls[i].drops)
			lose_shared(s, shared, nr);
		gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
		assert_private(s, before, "The guest read all pages");
	}
	free(before);
}

TEST_F_TIMEOUT(guest_memfd_notifier, private, GMEM_TIMEOUT)
{
	call_all(&self->s, NULL, 0);
	gmem_stage2_assert(&self->s, "All private");
}

/* Both sides have touched it, so that there is something to be unmapped. */
static void share(struct gmem_stage2 *s, const struct range *range)
{
	struct gmem_vm *g = &s->g;
	u64 page;

	gmem_convert(g, range->page, range->nr, false);
	gmem_set_tags(g, range->page, range->nr, 2);
	if (!gmem_host_reaches(g)) {
		gmem_guest_write(g, range->page, range->nr);
		return;
	}
	for (page = range->page; page < range->page + range->nr; page++)
		gmem_host_write(g, page);
	gmem_guest_check(g, range->page, range->nr, GMEM_STEP_ALL);
}

static void check_host(struct gmem_stage2 *s, const struct range *range)
{
	u64 page;

	if (!gmem_host_reaches(&s->g))
		return;
	for (page = range->page; page < range->page + range->nr; page++)
		gmem_host_check(&s->g, page, GMEM_STEP_SPREAD);
}

/* A page, and a range over the end of a block. */
TEST_F_TIMEOUT(guest_memfd_notifier, shared, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	const struct range shared[] = {
		{ 5, 1 },
		{ 2 * BLOCK_PAGES - 100, 200 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(shared); i++)
		share(s, &shared[i]);
	call_all(s, shared, ARRAY_SIZE(shared));

	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		check_host(s, &shared[i]);
		gmem_convert(&s->g, shared[i].page, shared[i].nr, true);
	}
	discard(&s->g);
	gmem_guest_check(&s->g, 0, 5, GMEM_STEP_ALL);
	gmem_guest_write(&s->g, 0, s->g.nr_pages);
}

/* The host's memory may be huge, too, but lies a page beside where gfns want it. */
TEST_F_TIMEOUT(guest_memfd_notifier, huge_elsewhere, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->s.g;
	u64 page, nr = 3 * BLOCK_PAGES;
	char *text;

	if (gmem_has_mmap(g))
		return;

	kvm_madvise(g->shared_base, g->config.size + SZ_4M, MADV_HUGEPAGE);
	gmem_convert(g, 0, nr, false);
	gmem_set_tags(g, 0, nr, 2);
	for (page = 0; page < nr; page++)
		gmem_host_write(g, page);
	gmem_guest_check(g, 0, nr, GMEM_STEP_ALL);

	text = gmem_leaves_text(g, "shared");
	TEST_ASSERT(*text && !strstr(text, " 2M "), "Shared leaves:\n%s", text);
	free(text);
}

/* With all of it shared there are leaves that may go, and must. */
TEST_F_TIMEOUT(guest_memfd_notifier, all_shared, GMEM_TIMEOUT)
{
	struct gmem_stage2 *s = &self->s;
	struct gmem_vm *g = &s->g;
	struct range half = { 0, g->nr_pages / 2 };

	if (!gmem_in_place(g))
		return;

	gmem_convert(g, half.page, half.nr, false);
	gmem_host_check(g, 3, GMEM_STEP_ALL);
	call_all(s, &half, 1);
	check_host(s, &half);
}

struct discarder {
	u8 *mem;
	struct kvm_vm *vm;
	void *other;
	bool stop;
};

/* Parts of two blocks, so that no leaf is wholly in there. */
static void *discard_parts(void *data)
{
	struct discarder *d = data;

	while (!READ_ONCE(d->stop))
		kvm_madvise(d->mem + (BLOCK_PAGES - 20) * PAGE_SIZE, 300 * PAGE_SIZE,
			    MADV_DONTNEED);
	return NULL;
}

/* While a slot is being deleted it is there, but no longer knows its file. */
TEST_F_TIMEOUT(guest_memfd_notifier, slot_deleted, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->s.g;
	struct discarder d = { .mem = g->shared };
	struct gmem_sept sept;
	pthread_t thread;
	int i;

	kvm_pthread_create(&thread, NULL, discard_parts, &d);
	for (i = 0; i < NR_DELETED; i++) {
		gmem_delete_slot(g);
		gmem_add_slots(g);
		TEST_ASSERT_EQ(gmem_pre_fault(g, 0, g->nr_pages), 0);
	}
	WRITE_ONCE(d.stop, true);
	kvm_pthread_join(thread, NULL);

	gmem_sept_read(g, &sept);
	TEST_ASSERT_EQ(sept.violations, 0);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

/* Who changes memslots holds slots_lock for the most part. */
static void *change_slots(void *data)
{
	struct discarder *d = data;

	while (!READ_ONCE(d->stop)) {
		vm_set_user_memory_region(d->vm, OTHER_SLOT, 0, OTHER_GPA, PAGE_SIZE,
					  d->other);
		vm_set_user_memory_region(d->vm, OTHER_SLOT, 0, OTHER_GPA, 0, NULL);
	}
	return NULL;
}

static void reopen(struct gmem_vm *g)
{
	kvm_close(g->fd);
	gmem_delete_slot(g);
	g->fd = gmem_create(g->vm, g->config.size, g->config.flags, g->config.order);
	gmem_add_slots(g);
}

/*
 * A file that is being closed waits for slots_lock before it unmaps its memory, and
 * no longer says which of it is private.
 */
TEST_F_TIMEOUT(guest_memfd_notifier, file_closed, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->s.g;
	struct discarder d = { .mem = g->shared, .vm = g->vm };
	pthread_t discarder, changer;
	struct gmem_sept sept;
	int i;

	/* A mapping would keep the file open. */
	if (gmem_has_mmap(g))
		return;

	/* A notifier may hold the closed file until the next one has its pages. */
	hugetlb_pool_require(gmem_page_size(variant->order), g->config.size /
			     gmem_page_size(variant->order));
	d.other = kvm_mmap(PAGE_SIZE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	kvm_pthread_create(&discarder, NULL, discard_parts, &d);
	kvm_pthread_create(&changer, NULL, change_slots, &d);
	for (i = 0; i < NR_DELETED; i++) {
		TEST_ASSERT_EQ(gmem_pre_fault(g, 0, g->nr_pages), 0);
		reopen(g);
	}
	WRITE_ONCE(d.stop, true);
	kvm_pthread_join(discarder, NULL);
	kvm_pthread_join(changer, NULL);
	kvm_munmap(d.other, PAGE_SIZE);

	gmem_sept_read(g, &sept);
	TEST_ASSERT_EQ(sept.violations, 0);
	gmem_set_tags(g, 0, g->nr_pages, 0);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);
}

TEST_HARNESS_MAIN
