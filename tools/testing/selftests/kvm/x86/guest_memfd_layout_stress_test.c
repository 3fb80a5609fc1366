// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random conversions against a model of which folios there should be: most in a
 * file of several 2M pages, one in fifty in a file of one 1G page.  After each,
 * compare folios by size and memory for struct pages with the model, and the
 * contents of all pages of the blocks that it touched with what was written,
 * private ones by their physical address.  From time to time have the kernel
 * check all folios and struct pages.  A thread looks at the same pages by
 * mincore() and /proc/kpageflags all the while.  When all is private again,
 * every page of struct pages must be back.
 *
 * The seed is printed, and the same seed repeats the same conversions.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <pthread.h>
#include <time.h>
#include <linux/falloc.h>
#include <linux/kernel-page-flags.h>

#include "guest_memfd_check.h"
#include "guest_memfd_layout.h"
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define KPAGEFLAGS		"/proc/kpageflags"
#define NR_2M			8
#define LARGE_EVERY		50
#define CHECK_EVERY		1000
#define GUEST_EVERY		250
#define NR_GUEST		64
/* Shared pages that the host looks at after each conversion. */
#define NR_HOST			4
#define NR_FLAGS		8192

static u32 nr_changes = 300;
static u32 seed = 1;

struct file {
	struct gmem_vm g;
	struct gmem_layout layout;
	/* Of each extent, its memory by physical address. */
	const u64 *memory[NR_2M];
	u64 pfn[NR_2M];
	u64 nr_extents;
};

struct stress {
	struct file small;
	struct file large;
	struct kvm_random_state rng;
	u64 nr_hugepages[2];
	u64 memmap;
	u64 nr_again;
	u32 generation;
	char *tails;
	bool stop;
	u64 rounds;
};

FIXTURE(guest_memfd_layout_stress)
{
	struct stress s;
};

static u64 random_below(struct stress *s, u64 end)
{
	return kvm_random_u64_in_range(&s->rng, 0, end - 1);
}

static u64 extent_pages(const struct file *f)
{
	return BIT_ULL(f->layout.order);
}

static void file_create(struct file *f, u8 order, u64 nr_extents)
{
	struct gmem_config config = gmem_one_page_config(order);
	struct gmem_vm *g = &f->g;
	u64 i;

	config.size *= nr_extents;
	gmem_vm_create(g, &config);
	TEST_ASSERT(!fallocate(g->fd, FALLOC_FL_KEEP_SIZE, 0, config.size),
		    "fallocate() failed, errno: %d", errno);
	gmem_layout_init(&f->layout, order, g->nr_pages, gmem_hvo_get());
	f->nr_extents = nr_extents;
	for (i = 0; i < nr_extents; i++) {
		f->pfn[i] = gmem_extent_pfn(g->fd, i << order);
		f->memory[i] = gmem_map_pfn(f->pfn[i], extent_pages(f));
	}
	gmem_set_tags(g, 0, g->nr_pages, 1);
	gmem_guest_write(g, 0, g->nr_pages);
}

static void file_free(struct file *f)
{
	u64 i;

	for (i = 0; i < f->nr_extents; i++)
		kvm_munmap((void *)f->memory[i], extent_pages(f) * PAGE_SIZE);
	gmem_layout_free(&f->layout);
	gmem_vm_free(&f->g);
}

FIXTURE_SETUP(guest_memfd_layout_stress)
{
	struct stress *s = &self->s;

	s->rng = new_kvm_random_state(seed);
	s->generation = 1;
	s->nr_hugepages[0] = hugetlb_pool_require(SZ_2M, NR_2M);
	s->nr_hugepages[1] = hugetlb_pool_require(SZ_1G, 1);
	file_create(&s->small, ORDER_2M, NR_2M);
	file_create(&s->large, ORDER_1G, 1);
	s->memmap = hugetlb_memmap_pages();
	s->tails = gmem_check_tails();
}

FIXTURE_TEARDOWN(guest_memfd_layout_stress)
{
	struct stress *s = &self->s;

	free(s->tails);
	file_free(&s->large);
	file_free(&s->small);
	hugetlb_pool_set(SZ_2M, s->nr_hugepages[0]);
	hugetlb_pool_set(SZ_1G, s->nr_hugepages[1]);
}

/* Whatever happens to folios, these pages stay pages of a guest_memfd. */
static void scan_mincore(struct file *f)
{
	unsigned char *vec = malloc(f->g.nr_pages);
	u64 i;

	TEST_ASSERT(vec, "Out of memory");
	TEST_ASSERT(!mincore(f->g.shared, f->g.config.size, vec),
		    "mincore(), errno: %d", errno);
	for (i = 0; i < f->g.nr_pages; i++)
		TEST_ASSERT(vec[i] & 1, "mincore() misses page %lu", i);
	free(vec);
}

/* A page is a head, a tail, or a folio of its own, and nobody else's. */
static void check_flags(u64 pfn, u64 flags)
{
	const u64 refused = BIT_ULL(KPF_HUGE) | BIT_ULL(KPF_LRU) | BIT_ULL(KPF_ANON) |
			    BIT_ULL(KPF_BUDDY) | BIT_ULL(KPF_SLAB) | BIT_ULL(KPF_NOPAGE);
	const u64 both = BIT_ULL(KPF_COMPOUND_HEAD) | BIT_ULL(KPF_COMPOUND_TAIL);

	TEST_ASSERT(!(flags & refused) && (flags & both) != both,
		    "Page frame 0x%lx has flags 0x%lx", pfn, flags);
}

static void scan_flags(int fd, u64 pfn, u64 nr, u64 *flags)
{
	u64 size = nr * sizeof(*flags), i;

	TEST_ASSERT(pread(fd, flags, size, pfn * sizeof(*flags)) == size,
		    "Reading " KPAGEFLAGS ", errno: %d", errno);
	for (i = 0; i < nr; i++)
		check_flags(pfn + i, flags[i]);
}

static void scan_file(struct file *f, int fd, u64 *flags, bool *stop)
{
	u64 i, page, nr = min_t(u64, extent_pages(f), NR_FLAGS);

	scan_mincore(f);
	for (i = 0; i < f->nr_extents; i++) {
		for (page = 0; page < extent_pages(f) && !READ_ONCE(*stop); page += nr)
			scan_flags(fd, f->pfn[i] + page, nr, flags);
	}
}

static void *scan(void *data)
{
	int fd = open_path_or_exit(KPAGEFLAGS, O_RDONLY);
	static u64 flags[NR_FLAGS];
	struct stress *s = data;

	while (!READ_ONCE(s->stop)) {
		scan_file(&s->small, fd, flags, &s->stop);
		scan_file(&s->large, fd, flags, &s->stop);
		WRITE_ONCE(s->rounds, s->rounds + 1);
	}
	close(fd);
	return NULL;
}

/* A small block, from a random one on; there may be none. */
static bool find_small(struct stress *s, struct file *f, u64 *first, u64 *nr)
{
	u64 nr_blocks = f->g.nr_pages / GMEM_BLOCK_PAGES, i, block;

	block = random_below(s, nr_blocks);
	for (i = 0; i < nr_blocks; i++, block = (block + 1) % nr_blocks) {
		if (f->layout.blocks[block] != GMEM_BLOCK_SMALL)
			continue;
		*first = block * GMEM_BLOCK_PAGES;
		*nr = GMEM_BLOCK_PAGES;
		return true;
	}
	return false;
}

/* Let every magnitude be as likely as any other, up to the whole file. */
static void random_range(struct stress *s, struct file *f, u64 *first, u64 *nr)
{
	u64 nr_pages = f->g.nr_pages, magnitude;

	magnitude = BIT_ULL(random_below(s, __builtin_ctzl(nr_pages) + 1));
	*nr = magnitude;
	if (__kvm_random_bool(&s->rng, 50))
		*nr += random_below(s, magnitude);
	*nr = min_t(u64, *nr, nr_pages);
	*first = random_below(s, nr_pages - *nr + 1);
	if (__kvm_random_bool(&s->rng, 40))
		*first = *first / magnitude * magnitude;
}

static void convert(struct stress *s, struct file *f, u64 first, u64 nr, bool to_private)
{
	s->nr_again += gmem_convert_patiently(&f->g, first, nr, to_private);
	gmem_layout_convert(&f->layout, first, nr, to_private);
}

static void check_page(struct file *f, u64 page, unsigned int word)
{
	const u64 *memory = f->memory[page >> f->layout.order];
	u64 in_extent = page & (extent_pages(f) - 1);
	u64 want = gmem_word(f->g.model->tags[page], word);
	u64 is = READ_ONCE(memory[in_extent * GMEM_WORDS + word]);

	TEST_ASSERT(is == want, "Page %lu, extents of order %u, %s, word %u: 0x%lx, wanted 0x%lx",
		    page, f->layout.order,
		    f->layout.private[page] ? "private" : "shared", word, is, want);
}

/* One word of each page is enough to know that it is the page. */
static void check_blocks(struct stress *s, struct file *f, u64 first, u64 nr)
{
	u64 page = round_down(first, GMEM_BLOCK_PAGES);
	u64 end = round_up(first + nr, GMEM_BLOCK_PAGES);
	unsigned int word = random_below(s, GMEM_WORDS);

	for (; page < end; page++)
		check_page(f, page, word);
}

/* Read a shared page by the mapping, and write it for later looks. */
static void use_shared(struct stress *s, struct file *f, u64 page)
{
	gmem_host_check(&f->g, page, GMEM_STEP_SPREAD);
	gmem_set_tags(&f->g, page, 1, ++s->generation);
	gmem_host_write(&f->g, page);
	gmem_layout_map(&f->layout, page);
}

/* The first and the last page of a block are where mistakes would be. */
static u64 random_page(struct stress *s, u64 first, u64 nr)
{
	u64 page = first + random_below(s, nr);

	if (__kvm_random_bool(&s->rng, 25))
		page = round_down(page, GMEM_BLOCK_PAGES);
	else if (__kvm_random_bool(&s->rng, 33))
		page = round_down(page, GMEM_BLOCK_PAGES) + GMEM_BLOCK_PAGES - 1;
	return clamp(page, first, first + nr - 1);
}

static void use_some(struct stress *s, struct file *f, u64 first, u64 nr)
{
	u64 page, i;

	for (i = 0; i < NR_HOST; i++) {
		page = random_page(s, first, nr);
		if (!f->layout.private[page])
			use_shared(s, f, page);
	}
}

/*
 * A wholly shared block that is small without a mapping becomes big again by a
 * worker, sooner or later: have it mapped, so that the model knows.
 */
static void map_small(struct stress *s, struct file *f, u64 first, u64 nr)
{
	u64 page = first;

	while (page < first + nr) {
		if (gmem_layout_shared_small(&f->layout, page))
			use_shared(s, f, page);
		page = round_down(page, GMEM_BLOCK_PAGES) + GMEM_BLOCK_PAGES;
	}
}

static void change(struct stress *s, struct file *f)
{
	bool to_private = __kvm_random_bool(&s->rng, 35);
	u64 first, nr;

	/* Pages of a block that is small already change no layout: take it back. */
	if (__kvm_random_bool(&s->rng, 40) && find_small(s, f, &first, &nr))
		to_private = true;
	else
		random_range(s, f, &first, &nr);
	convert(s, f, first, nr, to_private);
	if (__kvm_random_bool(&s->rng, 50))
		use_some(s, f, first, nr);
	map_small(s, f, first, nr);
	gmem_layout_assert(&f->layout, f->g.fd);
	check_blocks(s, f, first, nr);
}

static void check_all(struct stress *s, u32 done, time_t start)
{
	char *tails = gmem_check_tails();

	gmem_check_assert_same(s->tails, tails, "Shared struct pages");
	free(tails);
	check_blocks(s, &s->small, 0, s->small.g.nr_pages);
	check_blocks(s, &s->large, 0, s->large.g.nr_pages);
	ksft_print_msg("seed %u: %u of %u changes, %.1f/s, %lu repeated, %lu scans\n",
		       seed, done, nr_changes,
		       (double)done / max_t(time_t, time(NULL) - start, 1),
		       s->nr_again, READ_ONCE(s->rounds));
}

/* The guest finds the same memory, and stage 2 has leaves to be zapped. */
static void check_guest(struct stress *s, struct file *f)
{
	u64 i;

	for (i = 0; i < NR_GUEST; i++)
		f->g.model->list[i] = random_below(s, f->g.nr_pages);
	gmem_guest_check_list(&f->g, NR_GUEST, GMEM_STEP_ALL);
}

static void take_back(struct stress *s, struct file *f)
{
	convert(s, f, 0, f->g.nr_pages, true);
	gmem_layout_assert(&f->layout, f->g.fd);
	TEST_ASSERT_EQ(gmem_fdinfo(f->g.fd, "vmemmap"), 0);
	TEST_ASSERT_EQ(gmem_fdinfo(f->g.fd, "whole"), f->nr_extents);
	ksft_print_msg("order %u: %lu blocks split, %lu merged\n", f->layout.order,
		       gmem_fdinfo(f->g.fd, "splits"), gmem_fdinfo(f->g.fd, "merges"));
}

TEST_F_TIMEOUT(guest_memfd_layout_stress, random, 8 * GMEM_TIMEOUT)
{
	struct stress *s = &self->s;
	time_t start = time(NULL);
	pthread_t thread;
	struct file *f;
	u32 i;

	kvm_pthread_create(&thread, NULL, scan, s);
	for (i = 1; i <= nr_changes; i++) {
		f = i % LARGE_EVERY ? &s->small : &s->large;
		change(s, f);
		if (i % GUEST_EVERY == 0) {
			check_guest(s, &s->small);
			check_guest(s, &s->large);
		}
		if (i % CHECK_EVERY == 0 || i == nr_changes)
			check_all(s, i, start);
	}

	take_back(s, &s->small);
	take_back(s, &s->large);
	check_all(s, nr_changes, start);
	while (!READ_ONCE(s->rounds))
		usleep(1000);
	WRITE_ONCE(s->stop, true);
	kvm_pthread_join(thread, NULL);
	TEST_ASSERT_EQ(hugetlb_memmap_pages(), s->memmap);
	gmem_guest_check(&s->small.g, 0, s->small.g.nr_pages, GMEM_STEP_SPREAD);
	gmem_guest_check(&s->large.g, 0, s->large.g.nr_pages, GMEM_STEP_SPREAD);
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-n", "conversions", .number = &nr_changes },
		{ "-s", "seed", .number = &seed },
		{}
	};

	argc = gmem_take_options(argc, argv, options);
	return test_harness_run(argc, argv);
}
