// SPDX-License-Identifier: GPL-2.0-only
/*
 * A life of the stress test: a VM on one guest_memfd, threads that do random
 * operations on it, a model of what each should have done, and an end.
 *
 * Operations come in rounds.  In each the file is divided among the threads
 * anew, at pages in the midst of blocks and extents as well as at their ends:
 *
 *	block      |........|........|........|........|
 *	extent     |........ ........|........ ........|
 *	thread      0000 1111111 2222222222222 11 000000
 *
 * What a thread changes is its own, so that the model knows contents and
 * attributes of each page without asking who was first; what the kernel has to
 * change for it, layouts and mappings of what is around, belongs to several.  All
 * may read each other's pages, and must not rely on anything there.
 * Between rounds everything is quiet, and compared with the model.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_check.h"
#include "guest_memfd_layout.h"
#include "guest_memfd_sept.h"
#include "guest_memfd_stress.h"

#define NR_EXTENTS_2M	6
#define NR_EXTENTS_1G	2
#define NR_PAGES_4K	1024
#define NR_CHECKED	48
#define NR_REFUSED	8
#define NR_WAITS	60000
#define HEIR_ONE_IN	6
/* In which round something is, apart from the operations in it. */
#define HASH_ROUNDS	BIT_ULL(32)
#define HASH_CONFIG	BIT_ULL(40)

/* A step of splitmix64: each number has another. */
static u64 mix(u64 z)
{
	z += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u64 stress_hash(u64 seed, u64 number)
{
	return mix(mix(seed) ^ number);
}

static struct kvm_random_state random_state(u32 seed, u64 number)
{
	/* Any but 0, which gives nothing but zeroes. */
	return new_kvm_random_state(stress_hash(seed, number) % 0x7ffffffe + 1);
}

static bool one_in(struct kvm_random_state *rng, u32 nr)
{
	return kvm_random_u32(rng) % nr == 0;
}

struct stress_config stress_config(u32 seed, bool inject)
{
	struct kvm_random_state rng = random_state(seed, HASH_CONFIG);
	struct stress_config c = { .seed = seed, .inject = inject, .order = ORDER_2M };

	c.nr_pages = NR_EXTENTS_2M << ORDER_2M;
	if (one_in(&rng, 48)) {
		c.order = ORDER_1G;
		c.nr_pages = NR_EXTENTS_1G << ORDER_1G;
	} else if (one_in(&rng, 12)) {
		c.order = 0;
		c.nr_pages = NR_PAGES_4K;
	}
	c.flags = one_in(&rng, 8) ? 0 : GUEST_MEMFD_FLAG_MMAP;
	if (one_in(&rng, 5))
		c.flags |= GUEST_MEMFD_FLAG_INIT_SHARED;
	c.sept = one_in(&rng, 2);
	c.promote = one_in(&rng, 2);
	/* The pool can be given other pages for those that it loses. */
	c.poison = one_in(&rng, 6) && c.order == ORDER_2M && c.flags & GUEST_MEMFD_FLAG_MMAP;
	c.nr_ops = STRESS_LIFE;
	memset(c.selected, true, sizeof(c.selected));
	return c;
}

/* At 0, nowhere. */
int stress_bind(struct stress_world *w, struct stress_slot *s, gpa_t gpa)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = GMEM_SLOT + (s - w->slots),
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa ?: s->gpa,
		.memory_size = gpa ? s->nr * PAGE_SIZE : 0,
		.userspace_addr = (u64)w->mem + s->first * PAGE_SIZE,
		.guest_memfd = w->fd,
		.guest_memfd_offset = s->first * PAGE_SIZE,
	};

	if (__vm_ioctl(w->vm, KVM_SET_USER_MEMORY_REGION2, &region))
		return errno;
	s->bound = gpa;
	if (gpa)
		s->gpa = gpa;
	return 0;
}

static void map_memory(struct stress_world *w)
{
	int prot = PROT_READ | PROT_WRITE;
	u64 size = w->nr_pages * PAGE_SIZE;

	if (stress_has_mmap(w)) {
		w->mem = kvm_mmap(size, prot, MAP_SHARED, w->fd);
		return;
	}
	w->mem = kvm_mmap(size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	kvm_madvise(w->mem, size, MADV_NOHUGEPAGE);
}

static void add_slots(struct stress_world *w, struct kvm_random_state *rng)
{
	u64 i, first = 0, left;
	struct stress_slot *s;

	for (i = 0; i < STRESS_NR_SLOTS; i++) {
		s = &w->slots[i];
		left = w->nr_pages - first - (STRESS_NR_SLOTS - i - 1);
		s->first = first;
		s->nr = i == STRESS_NR_SLOTS - 1 ? left :
			kvm_random_u64_in_range(rng, 1, left);
		s->owner = -1;
		TEST_ASSERT(!stress_bind(w, s, GMEM_GPA + first * PAGE_SIZE),
			    "Binding slot %lu, errno: %d", i, errno);
		first += s->nr;
	}
}

static void add_guests(struct stress_world *w)
{
	u64 size = align_up(sizeof(struct stress_guest), PAGE_SIZE), i;
	struct stress_thread *t;

	vm_userspace_mem_region_add(w->vm, VM_MEM_SRC_ANONYMOUS, GMEM_MODEL_GPA,
				    GMEM_MODEL_SLOT, STRESS_NR_THREADS * size / PAGE_SIZE, 0);
	virt_map(w->vm, GMEM_MODEL_GPA, GMEM_MODEL_GPA, STRESS_NR_THREADS * size / PAGE_SIZE);
	/* Both places of the slots, of which one is a page off. */
	virt_map_level(w->vm, GMEM_GPA, GMEM_GPA, align_up(w->nr_pages * PAGE_SIZE, SZ_2M),
		       PG_LEVEL_2M);
	virt_map_level(w->vm, GMEM_GPA + SZ_4G, GMEM_GPA + SZ_4G,
		       align_up((w->nr_pages + 1) * PAGE_SIZE, SZ_2M), PG_LEVEL_2M);
	for (i = 0; i < STRESS_NR_THREADS; i++) {
		t = &w->threads[i];
		t->guest = addr_gpa2hva(w->vm, GMEM_MODEL_GPA + i * size);
		stress_guest_init(t);
	}
}

static void create_vm(struct stress_world *w)
{
	const struct stress_config *c = w->config;
	struct vm_shape shape = { .mode = VM_MODE_DEFAULT, .type = KVM_X86_SW_PROTECTED_VM };
	struct kvm_random_state rng = random_state(c->seed, HASH_CONFIG + 1);

	w->vm = __vm_create(shape, STRESS_NR_THREADS, w->nr_pages * PAGE_SIZE / SZ_2M * 2 + 8);
	w->fd = gmem_create(w->vm, w->nr_pages * PAGE_SIZE, c->flags, c->order);
	map_memory(w);
	add_slots(w, &rng);
	add_guests(w);
}

static void create_threads(struct stress_world *w)
{
	u32 i;

	for (i = 0; i < STRESS_NR_THREADS; i++) {
		w->threads[i].w = w;
		w->threads[i].id = i;
	}
}

static void create(struct stress_world *w)
{
	const struct stress_config *c = w->config;
	u64 page;

	w->nr_pages = c->nr_pages;
	w->pages = calloc(w->nr_pages, sizeof(*w->pages));
	TEST_ASSERT(w->pages, "Out of memory");
	for (page = 0; page < w->nr_pages; page++)
		w->pages[page].private = !(c->flags & GUEST_MEMFD_FLAG_INIT_SHARED);
	pthread_mutex_init(&w->lock, NULL);
	pthread_rwlock_init(&w->fork_lock, NULL);
	pthread_barrier_init(&w->barrier, NULL, STRESS_NR_THREADS + 1);
	create_threads(w);
	create_vm(w);
}

static int compare_pages(const void *a, const void *b)
{
	u64 left = *(const u64 *)a, right = *(const u64 *)b;

	return left < right ? -1 : left > right;
}

/* Near each other as often as not, at ends of blocks and in their midst. */
static u64 random_cut(struct stress_world *w, struct kvm_random_state *rng, u64 hot)
{
	u64 page = kvm_random_u64_in_range(rng, 0, w->nr_pages);

	if (kvm_random_bool(rng))
		page = min_t(u64, w->nr_pages, hot + kvm_random_u32(rng) % GMEM_BLOCK_PAGES);
	if (one_in(rng, 3))
		page = page / GMEM_BLOCK_PAGES * GMEM_BLOCK_PAGES;
	if (one_in(rng, 4))
		page = page / stress_extent_pages(w) * stress_extent_pages(w);
	return page;
}

/* The first few segments have an owner each, so that nobody goes without. */
static void divide(struct stress_world *w)
{
	struct kvm_random_state rng = random_state(w->config->seed, HASH_ROUNDS + w->round);
	u64 cuts[STRESS_NR_CUTS + 2] = {}, hot, first = kvm_random_u32(&rng);
	u32 i, nr = one_in(&rng, 10) ? 2 : kvm_random_u32(&rng) % (STRESS_NR_CUTS - 3) + 5;
	struct stress_segment *s;

	hot = kvm_random_u64_in_range(&rng, 0, w->nr_pages - 1) & ~(GMEM_BLOCK_PAGES - 1ul);
	cuts[1] = w->nr_pages;
	for (i = 2; i < nr; i++)
		cuts[i] = random_cut(w, &rng, hot);
	qsort(cuts, nr, sizeof(*cuts), compare_pages);

	w->nr_segments = 0;
	for (i = 1; i < nr; i++) {
		if (cuts[i] == cuts[i - 1])
			continue;
		s = &w->segments[w->nr_segments];
		s->first = cuts[i - 1];
		s->nr = cuts[i] - cuts[i - 1];
		s->owner = (w->nr_segments < STRESS_NR_THREADS ? first + w->nr_segments :
			    kvm_random_u32(&rng)) % STRESS_NR_THREADS;
		w->nr_segments++;
	}
	for (i = 0; i < STRESS_NR_SLOTS; i++)
		w->slots[i].owner = one_in(&rng, 4) ? kvm_random_u32(&rng) % STRESS_NR_THREADS : -1;
}

static void do_operation(struct stress_thread *t, u32 number)
{
	const struct stress_config *c = t->w->config;
	struct stress_shared *shared = t->w->shared;
	u32 kind = stress_kind(c, number);
	enum stress_result result;

	t->op = number;
	t->rng = random_state(c->seed, HASH_ROUNDS * 2 + number);
	WRITE_ONCE(shared->current[t->id], number);
	__atomic_fetch_add(&shared->nr_begun, 1, __ATOMIC_RELAXED);
	result = stress_do(t, kind);
	__atomic_fetch_add(&shared->counts[kind][result], 1, __ATOMIC_RELAXED);
	WRITE_ONCE(shared->current[t->id], -1);
}

static void do_round(struct stress_thread *t)
{
	const struct stress_config *c = t->w->config;
	u32 i, end = min_t(u32, c->nr_ops, (t->w->round + 1) * STRESS_ROUND);

	for (i = t->w->round * STRESS_ROUND + t->id; i < end; i += STRESS_NR_THREADS) {
		/* In the midst of what the others do. */
		if (i >= c->kill_at)
			kill(getpid(), SIGKILL);
		if (c->selected[i])
			do_operation(t, i);
	}
}

static u32 nr_rounds(const struct stress_config *c)
{
	return (c->nr_ops + STRESS_ROUND - 1) / STRESS_ROUND;
}

static void *run_thread(void *data)
{
	struct stress_thread *t = data;
	u32 i;

	t->make_it_fail = open_path_or_exit("/proc/thread-self/make-it-fail", O_RDWR);
	for (i = 0; i < nr_rounds(t->w->config); i++) {
		pthread_barrier_wait(&t->w->barrier);
		do_round(t);
		pthread_barrier_wait(&t->w->barrier);
	}
	kvm_close(t->make_it_fail);
	return NULL;
}

/* Take the file's word where the model cannot know, and there alone. */
static void settle(struct stress_world *w)
{
	u64 nr = stress_extent_pages(w), i;

	for (i = 0; w->config->order && i < w->nr_pages / nr; i++) {
		if (w->extents[i].uncertain)
			w->extents[i].allocated = gmem_extent_pfn(w->fd, i * nr);
		w->extents[i].uncertain = false;
	}
}

static bool any_poison(const struct stress_world *w)
{
	u32 i;

	for (i = 0; i < STRESS_NR_EXTENTS; i++) {
		if (w->extents[i].poisoned)
			return true;
	}
	return false;
}

/* What fdinfo must say, in pages; without poison. */
struct counted {
	u64 allocated;
	u64 private;
	u64 collateral;
	/* Blocks that must be small, and that may be: the host may have been there. */
	u64 small;
	u64 maybe_small;
};

static void count_block(struct stress_world *w, u64 first, struct counted *c)
{
	u64 page, private = 0;

	for (page = first; page < first + GMEM_BLOCK_PAGES; page++)
		private += w->pages[page].private;
	c->allocated += GMEM_BLOCK_PAGES;
	c->private += private;
	/* Without a mapping nobody needs small folios. */
	if (!stress_has_mmap(w))
		return;
	if (private && private < GMEM_BLOCK_PAGES) {
		c->collateral += private;
		c->small++;
	} else if (!private) {
		c->maybe_small++;
	}
}

static void count(struct stress_world *w, struct counted *c)
{
	u64 page;

	memset(c, 0, sizeof(*c));
	for (page = 0; page < w->nr_pages; page += GMEM_BLOCK_PAGES) {
		if (w->extents[page / stress_extent_pages(w)].allocated)
			count_block(w, page, c);
	}
}

static void wait_for_merges(struct stress_world *w)
{
	u32 i;

	for (i = 0; gmem_fdinfo(w->fd, "merge-pending"); i++) {
		TEST_ASSERT(i < NR_WAITS, "Still waiting for a merge");
		usleep(1000);
	}
}

static void assert_kb(const char *text, const char *key, u64 pages)
{
	u64 kb = gmem_fdinfo_value(text, key);

	TEST_ASSERT(kb == pages * PAGE_SIZE / SZ_1K, "%s is %lu kB, wanted %lu pages:\n%s",
		    key, kb, pages, text);
}

static void check_counters(struct stress_world *w)
{
	char text[GMEM_FDINFO_SIZE];
	struct counted c;
	struct stat st;
	u64 small;

	count(w, &c);
	wait_for_merges(w);
	gmem_read_fdinfo(w->fd, text, sizeof(text));
	assert_kb(text, "allocated", c.allocated);
	assert_kb(text, "private", c.private);
	assert_kb(text, "shared", c.allocated - c.private);
	assert_kb(text, "collateral", c.collateral);
	small = gmem_fdinfo_value(text, "folios-4K") / GMEM_BLOCK_PAGES;
	TEST_ASSERT(small >= c.small && small <= c.small + c.maybe_small,
		    "%lu small blocks, wanted %lu, and up to %lu more:\n%s", small, c.small,
		    c.maybe_small, text);
	TEST_ASSERT(!fstat(w->fd, &st) && st.st_blocks == c.allocated * PAGE_SIZE / 512,
		    "st_blocks is %lu with %lu pages", (u64)st.st_blocks, c.allocated);
}

/* All other orders, if it is certain which blocks are small. */
static void check_layout(struct stress_world *w)
{
	struct gmem_layout l;
	struct counted c;
	u64 page;

	count(w, &c);
	if (c.maybe_small || c.allocated != w->nr_pages || !stress_has_mmap(w))
		return;
	gmem_layout_init(&l, w->config->order, w->nr_pages, gmem_hvo_get());
	for (page = 0; page < w->nr_pages; page++) {
		if (!w->pages[page].private)
			gmem_layout_convert(&l, page, 1, false);
	}
	gmem_layout_assert(&l, w->fd);
	gmem_layout_free(&l);
}

static void check_list(struct stress_thread *t, u64 *pages, u32 *nr)
{
	if (*nr)
		stress_guest_access(t, pages, *nr, STRESS_CHECK, GMEM_STEP_SPREAD);
	*nr = 0;
}

/* By the guest, and those that are shared by the host as well. */
static void check_pages(struct stress_world *w, u64 first, u64 step, bool host)
{
	struct stress_thread *t = &w->threads[0];
	u64 page, pages[STRESS_LIST];
	u32 nr = 0, nr_refused = 0;

	for (page = first; page < w->nr_pages; page += step) {
		if (stress_guest_may(t, page))
			pages[nr++] = page;
		if (nr == STRESS_LIST)
			check_list(t, pages, &nr);
		/* To be refused takes time. */
		if (host && (!w->pages[page].private || nr_refused++ < NR_REFUSED))
			stress_host_access(t, w->mem + page * PAGE_SIZE, page, false);
	}
	check_list(t, pages, &nr);
}

static void check(struct stress_world *w)
{
	struct kvm_random_state rng = random_state(w->config->seed, HASH_CONFIG + 2 + w->round);
	u64 step = max_t(u64, 1, w->nr_pages / NR_CHECKED) | 1;
	struct gmem_vm g = { .vm = w->vm };
	u32 i;

	for (i = 0; i < STRESS_NR_SLOTS; i++)
		w->slots[i].owner = -1;
	settle(w);
	if (w->config->order && !any_poison(w)) {
		check_counters(w);
		check_layout(w);
	}
	/* Where the host looks, blocks become small: often, let them be. */
	check_pages(w, kvm_random_u32(&rng) % step, step, one_in(&rng, 3));
	if (w->config->sept)
		TEST_ASSERT_EQ(gmem_sept_stat(&g, "sept_violations"), 0);
}

static void run_rounds(struct stress_world *w)
{
	u32 i, nr = nr_rounds(w->config);

	for (i = 0; i < STRESS_NR_THREADS; i++)
		kvm_pthread_create(&w->threads[i].thread, NULL, run_thread, &w->threads[i]);
	for (w->round = 0; w->round < nr; w->round++) {
		w->shared->round = w->round;
		divide(w);
		w->quiet = false;
		pthread_barrier_wait(&w->barrier);
		pthread_barrier_wait(&w->barrier);
		w->quiet = true;
		check(w);
	}
	for (i = 0; i < STRESS_NR_THREADS; i++)
		kvm_pthread_join(w->threads[i].thread, NULL);
}

/* Everything, as far as there is time for it. */
static void check_all(struct stress_world *w)
{
	u64 step = w->config->order == ORDER_1G ? GMEM_BLOCK_PAGES - 3 : 3;
	u32 i;

	for (i = 0; i < STRESS_NR_SLOTS; i++) {
		if (!w->slots[i].bound)
			TEST_ASSERT(!stress_bind(w, &w->slots[i], w->slots[i].gpa),
				    "Binding slot %u, errno: %d", i, errno);
	}
	check_pages(w, w->config->seed % step, step, true);
	if (w->config->order && !any_poison(w))
		free(gmem_check_extents(w->fd));
}

static void drop_pins(struct stress_world *w)
{
	struct stress_thread *t;

	for (t = w->threads; t < w->threads + STRESS_NR_THREADS; t++) {
		while (t->nr_held) {
			t->nr_held--;
			stress_check_held(t, &t->held[t->nr_held]);
			gmem_unpin(&t->held[t->nr_held].pin);
		}
	}
}

static void unmap_all(struct stress_world *w)
{
	struct stress_thread *t;

	for (t = w->threads; t < w->threads + STRESS_NR_THREADS; t++) {
		if (t->map)
			kvm_munmap(t->map, t->map_nr * PAGE_SIZE);
	}
	kvm_munmap(w->mem, w->nr_pages * PAGE_SIZE);
}

/* Slots outlive the file, and have nothing more to offer. */
static void end_file_first(struct stress_world *w)
{
	struct stress_thread *t = &w->threads[0];
	u64 page;

	unmap_all(w);
	kvm_close(w->fd);
	for (page = 0; page < w->nr_pages && !stress_guest_may(t, page); page++)
		;
	if (page < w->nr_pages && !w->has_heir && (w->pages[page].private || stress_has_mmap(w)))
		TEST_ASSERT_EQ(stress_guest_try(t, page), EFAULT);
	kvm_vm_free(w->vm);
}

/* The file outlives the VM's descriptors, and is what it was. */
static void end_vm_first(struct stress_world *w)
{
	u64 page, offset = 0;
	int ret;

	kvm_vm_free(w->vm);
	for (page = 0; page < w->nr_pages; page += NR_CHECKED)
		stress_host_access(&w->threads[0], w->mem + page * PAGE_SIZE, page, false);
	ret = gmem_set_attributes(w->fd, 0, w->nr_pages * PAGE_SIZE, 0, 0, &offset);
	TEST_ASSERT(!ret || (ret == EHWPOISON && any_poison(w)), "Sharing all: %s", strerror(ret));
	unmap_all(w);
	kvm_close(w->fd);
}

static void end_mapping_first(struct stress_world *w)
{
	unmap_all(w);
	kvm_vm_free(w->vm);
	kvm_close(w->fd);
}

static void end(struct stress_world *w)
{
	static void (*const ways[])(struct stress_world *w) = {
		end_file_first, end_vm_first, end_mapping_first, NULL,
	};
	struct kvm_random_state rng = random_state(w->config->seed, HASH_CONFIG + 3);
	u32 way = kvm_random_u32(&rng) % ARRAY_SIZE(ways);

	if (kvm_random_bool(&rng))
		drop_pins(w);
	/* Else have exit() close everything. */
	if (!ways[way])
		return;
	ways[way](w);
	/* Pages in here have outlived the file. */
	drop_pins(w);
}

/* A process that has everything, does nothing, and is the last to go. */
static void leave_heir(void)
{
	int fds[2];
	char byte;

	TEST_ASSERT(!pipe(fds), "pipe(), errno: %d", errno);
	if (!fork()) {
		close(fds[1]);
		/* Returns when all others are gone, however they went. */
		if (read(fds[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(fds[0]);
}

void stress_live(const struct stress_config *config, struct stress_shared *shared,
		 int disk)
{
	static struct stress_world w;
	char *cgroup = cg_name_indexed(STRESS_CGROUP, "life", shared->nr_cgroups);

	TEST_ASSERT(!cg_create(cgroup) && !cg_enter_current(cgroup), "Cannot enter %s", cgroup);
	free(cgroup);
	/* What the program itself needs must not be what fails. */
	TEST_ASSERT(!mlockall(MCL_CURRENT), "mlockall(), errno: %d", errno);
	stress_catch_signal();
	w.config = config;
	w.shared = shared;
	w.disk = disk;
	create(&w);
	w.has_heir = stress_hash(config->seed, HASH_CONFIG + 4) % HEIR_ONE_IN == 0;
	if (w.has_heir)
		leave_heir();
	run_rounds(&w);
	check_all(&w);
	end(&w);
}
