// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of stage 2 for the selftests, written from the rules, not from the
 * kernel:
 *
 *  - what is unmapped is exactly a range;
 *  - a leaf that reaches out of it is split first, 1G to 2M and 2M to 4K, as
 *    often as it takes, and no other leaf is;
 *  - nothing else changes leaves but a fault.
 *
 * Each split of a private leaf is a DEMOTE to an S-EPT, and each private leaf
 * that is unmapped a REMOVE, which the emulation counts.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest_memfd_faults.h"
#include "guest_memfd_stage2.h"

#define SKIP_PRESPLIT	"/sys/kernel/debug/hugetlb_gmem/skip_presplit"
/* A memory failure is carried out by a worker: look this often. */
#define NR_LOOKS	3000
#define LOOK_USEC	10000

static const char * const level_names[] = {
	[PG_LEVEL_4K] = "4K", [PG_LEVEL_2M] = "2M", [PG_LEVEL_1G] = "1G",
};

static void save_parameters(struct gmem_stage2 *s)
{
	s->sept_before = gmem_sept_set(s->sept);
	s->promote_before = gmem_sept_promote(true);
}

static void restore_parameters(struct gmem_stage2 *s)
{
	gmem_sept_set(s->sept_before);
	gmem_sept_promote(s->promote_before);
}

void gmem_skip_presplit(bool on)
{
	TEST_ASSERT(!access(SKIP_PRESPLIT, W_OK),
		    "No " SKIP_PRESPLIT ": set CONFIG_HUGETLB_GMEM_DEBUG");
	gmem_write_file(SKIP_PRESPLIT, on ? "Y" : "N");
}

/* A test that failed has left them as it liked. */
static void reset_switches(void)
{
	gmem_skip_presplit(false);
	gmem_fail_disarm(GMEM_FAIL_DEMOTE);
	gmem_fail_disarm(GMEM_FAIL_BUSY);
	gmem_fail_disarm(GMEM_FAIL_REMOVE);
}

u8 gmem_stage2_huge(const struct gmem_stage2 *s)
{
	return s->g.config.order == ORDER_1G ? PG_LEVEL_1G : PG_LEVEL_2M;
}

u64 gmem_stage2_middle(const struct gmem_stage2 *s)
{
	return s->g.nr_pages / 2 + 131;
}

static u64 level_pages(u8 level)
{
	return PG_LEVEL_SIZE(level) / PAGE_SIZE;
}

void gmem_stage2_create_empty(struct gmem_stage2 *s, u8 order, u64 nr_extents,
			      u64 flags, bool sept)
{
	struct gmem_config config = {
		.order = order,
		.size = nr_extents * gmem_page_size(order),
		.flags = flags,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};

	memset(s, 0, sizeof(*s));
	s->sept = sept;
	save_parameters(s);
	reset_switches();
	s->nr_hugepages = hugetlb_pool_require(gmem_page_size(order), nr_extents);
	gmem_vm_create(&s->g, &config);
	s->level = calloc(s->g.nr_pages, sizeof(*s->level));
	s->shared = calloc(s->g.nr_pages, sizeof(*s->shared));
	TEST_ASSERT(s->level && s->shared, "Out of memory");
}

void gmem_stage2_fill(struct gmem_stage2 *s)
{
	struct gmem_vm *g = &s->g;

	gmem_set_tags(g, 0, g->nr_pages, 1);
	gmem_guest_write(g, 0, g->nr_pages);
	gmem_stage2_map(s, 0, g->nr_pages, gmem_stage2_huge(s), false);
	gmem_stage2_assert(s, "The guest wrote every page");
}

void gmem_stage2_create(struct gmem_stage2 *s, u8 order, u64 nr_extents, u64 flags,
			bool sept)
{
	gmem_stage2_create_empty(s, order, nr_extents, flags, sept);
	gmem_stage2_fill(s);
}

void gmem_stage2_free(struct gmem_stage2 *s)
{
	reset_switches();
	gmem_vm_free(&s->g);
	/* A page that is lost stays in the number that the pool has. */
	if (!s->g.poisoned)
		hugetlb_pool_set(gmem_page_size(s->g.config.order), s->nr_hugepages);
	restore_parameters(s);
	free(s->level);
	free(s->shared);
}

void gmem_stage2_map(struct gmem_stage2 *s, u64 page, u64 nr, u8 level, bool shared)
{
	memset(s->level + page, level, nr);
	memset(s->shared + page, shared, nr);
}

/* Split the leaf over both @page - 1 and @page, if it is one of @level. */
static bool split_level(struct gmem_stage2 *s, u64 page, u8 level)
{
	u64 nr = level_pages(level), first = page / nr * nr;

	if (page == first || page >= s->g.nr_pages || s->level[page] != level)
		return false;

	memset(s->level + first, level - 1, nr);
	s->demotes += !s->shared[page];
	return true;
}

void gmem_stage2_split_once(struct gmem_stage2 *s, u64 page)
{
	if (!split_level(s, page, PG_LEVEL_1G))
		split_level(s, page, PG_LEVEL_2M);
}

void gmem_stage2_split(struct gmem_stage2 *s, u64 page)
{
	split_level(s, page, PG_LEVEL_1G);
	split_level(s, page, PG_LEVEL_2M);
}

void gmem_stage2_unmap(struct gmem_stage2 *s, u64 page, u64 nr)
{
	u64 end = page + nr, step;

	gmem_stage2_split(s, page);
	gmem_stage2_split(s, end);
	for (; page < end; page += step) {
		step = 1;
		if (!s->level[page])
			continue;
		step = level_pages(s->level[page]);
		s->removes += !s->shared[page];
		memset(s->level + page, 0, step);
	}
}

static void count_leaves(const struct gmem_stage2 *s, struct gmem_leaves *leaves)
{
	u64 page, pages[PG_LEVEL_1G + 1] = {};

	for (page = 0; page < s->g.nr_pages; page++)
		pages[s->level[page]]++;
	leaves->nr_1g = pages[PG_LEVEL_1G] / level_pages(PG_LEVEL_1G);
	leaves->nr_2m = pages[PG_LEVEL_2M] / level_pages(PG_LEVEL_2M);
	leaves->nr_4k = pages[PG_LEVEL_4K];
}

static u64 run_end(const struct gmem_stage2 *s, u64 page)
{
	u64 end = page + 1;

	while (end < s->g.nr_pages && s->level[end] == s->level[page] &&
	       s->shared[end] == s->shared[page])
		end++;
	return end;
}

/* The lines that gmem_leaves should have. */
static char *model_text(const struct gmem_stage2 *s)
{
	u64 first = GMEM_GPA / PAGE_SIZE, page, end;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	TEST_ASSERT(out, "open_memstream(), errno: %d", errno);
	for (page = 0; page < s->g.nr_pages; page = end) {
		end = run_end(s, page);
		if (s->level[page])
			fprintf(out, "0x%lx %s %lu %s\n", first + page,
				level_names[s->level[page]],
				(end - page) / level_pages(s->level[page]),
				s->shared[page] ? "shared" : "private");
	}
	fclose(out);
	return text;
}

char *gmem_leaves_text(struct gmem_vm *g, const char *kind)
{
	FILE *in = gmem_debugfs_open(g, "gmem_leaves"), *out;
	char line[128], *text;
	size_t size;

	out = open_memstream(&text, &size);
	TEST_ASSERT(out, "open_memstream(), errno: %d", errno);
	while (fgets(line, sizeof(line), in)) {
		if (strstr(line, kind))
			fputs(line, out);
	}
	fclose(in);
	fclose(out);
	return text;
}

static void assert_text(struct gmem_stage2 *s, const char *when)
{
	char *want = model_text(s), *is = gmem_leaves_text(&s->g, "");

	TEST_ASSERT(!strcmp(want, is), "%s: leaves\n%swanted\n%s", when, is, want);
	free(want);
	free(is);
}

static void assert_sept(struct gmem_stage2 *s, const char *when)
{
	struct gmem_sept sept;

	if (!s->sept)
		return;
	gmem_sept_read(&s->g, &sept);
	TEST_ASSERT(!sept.violations && sept.demotes == s->demotes &&
		    sept.removes == s->removes,
		    "%s: %lu violations, demotes %lu removes %lu, wanted %lu %lu",
		    when, sept.violations, sept.demotes, sept.removes,
		    s->demotes, s->removes);
}

void gmem_stage2_assert(struct gmem_stage2 *s, const char *when)
{
	struct gmem_leaves want, is;

	count_leaves(s, &want);
	gmem_leaves(&s->g, &is);
	gmem_assert_leaves(&is, want.nr_1g, want.nr_2m, want.nr_4k, when);
	assert_text(s, when);
	assert_sept(s, when);
}

void gmem_stage2_wait(struct gmem_stage2 *s, const char *when)
{
	struct gmem_leaves want, is;
	unsigned int i;

	count_leaves(s, &want);
	for (i = 0; i < NR_LOOKS; i++) {
		gmem_leaves(&s->g, &is);
		if (!memcmp(&is, &want, sizeof(is)))
			break;
		usleep(LOOK_USEC);
	}
	gmem_stage2_assert(s, when);
}

void gmem_guest_check_around(struct gmem_vm *g, u64 page, u64 nr)
{
	gmem_guest_check(g, 0, page, GMEM_STEP_SPREAD);
	gmem_guest_check(g, page + nr, g->nr_pages - page - nr, GMEM_STEP_SPREAD);
}
