// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of virt/kvm/gmem_layout.c in userspace
 *
 * All small extents, random large ones, the changes that happen most, and the
 * inputs that the fuzzer has kept.  README.md tells how to run them.
 */
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout_check.h"

#define NR_KINDS	3
#define LARGE		HUGETLB_GMEM_MAX_BLOCKS
#define MAX_LAYOUTS	1024

static uint64_t random_state;
static unsigned long count = 20000;
static const char *corpus = "corpus";

/* splitmix64 */
static uint64_t random_bits(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static unsigned int random_below(unsigned int limit)
{
	return random_bits() % limit;
}

/* The @number-th of all extents of @nr blocks. */
static void nth_kinds(u8 *kinds, unsigned int nr, unsigned int number)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		kinds[i] = number % NR_KINDS;
		number /= NR_KINDS;
	}
}

static unsigned int power(unsigned int base, unsigned int exponent)
{
	return exponent ? base * power(base, exponent - 1) : 1;
}

/* Different layouts of @nr blocks, into @layouts; their number, 0 if wrong. */
static unsigned int all_layouts(u8 (*layouts)[8], unsigned int nr)
{
	unsigned int number, i, nr_layouts = 0;
	u8 kinds[8], layout[8];

	for (number = 0; number < power(NR_KINDS, nr); number++) {
		nth_kinds(kinds, nr, number);
		if (check_build(kinds, nr, layout))
			return 0;
		for (i = 0; i < nr_layouts; i++) {
			if (!memcmp(layouts[i], layout, nr))
				break;
		}
		if (i == nr_layouts)
			memcpy(layouts[nr_layouts++], layout, nr);
	}
	return nr_layouts;
}

/* Each region is one folio or two halves: 1 + n * n, with 2 for one block. */
static const char *test_small_extents(void)
{
	static u8 layouts[MAX_LAYOUTS][8];
	unsigned int nr, i, j, nr_layouts, expected = 2;
	const char *problem;

	for (nr = 1; nr <= 8; nr *= 2) {
		nr_layouts = all_layouts(layouts, nr);
		if (nr_layouts != expected)
			return "the number of layouts is wrong";
		for (i = 0; i < nr_layouts; i++) {
			for (j = 0; j < nr_layouts; j++) {
				problem = check_steps(layouts[i], layouts[j], nr);
				if (problem)
					return problem;
			}
		}
		expected = 1 + expected * expected;
	}
	return NULL;
}

/* Runs of up to @longest blocks. */
static void random_kinds(u8 *kinds, unsigned int longest)
{
	unsigned int block = 0, length, kind;

	while (block < LARGE) {
		kind = random_below(NR_KINDS);
		for (length = 1 + random_below(longest); length && block < LARGE; length--)
			kinds[block++] = kind;
	}
}

static const char *test_random_extents(void)
{
	u8 from[LARGE], to[LARGE];
	const char *problem = NULL;
	unsigned long i;

	for (i = 0; !problem && i < count; i++) {
		random_kinds(from, 1U << random_below(10));
		random_kinds(to, 1U << random_below(10));
		problem = check_change(from, to, LARGE);
	}
	return problem;
}

/* What conversions do: now and then, a range of an extent changes. */
static const char *test_random_changes(void)
{
	u8 from[LARGE], to[LARGE];
	const char *problem = NULL;
	unsigned int block, length;
	unsigned long i;

	memset(from, GMEM_BLOCK_PRIVATE, LARGE);
	for (i = 0; !problem && i < count; i++) {
		memcpy(to, from, LARGE);
		block = random_below(LARGE);
		length = 1 + random_below(random_below(8) ? 2 : LARGE);
		length = length < LARGE - block ? length : LARGE - block;
		memset(to + block, random_below(NR_KINDS), length);
		problem = check_change(from, to, LARGE);
		memcpy(from, to, LARGE);
	}
	return problem;
}

static unsigned int count_folios(const u8 *layout, unsigned int order)
{
	unsigned int blocks = order ? 1U << (order - HUGETLB_GMEM_BLOCK_ORDER) : 1;
	unsigned int i, found = 0;

	for (i = 0; i < LARGE; i++)
		found += layout[i] == order;
	return found / blocks;
}

/*
 * The order of the folio at @block if only @small is small: as large as the
 * highest bit in which the two differ allows.
 */
static unsigned int order_beside(unsigned int block, unsigned int small)
{
	unsigned int distance = block ^ small;
	unsigned int order = HUGETLB_GMEM_BLOCK_ORDER;

	if (!distance)
		return HUGETLB_GMEM_SMALL;
	while (distance >>= 1)
		order++;
	return order;
}

/* One small block leaves one folio of each order from 9 to 17. */
static const char *test_first_4k(void)
{
	u8 kinds[LARGE], layout[LARGE], whole[LARGE];
	unsigned int block, i, order;

	memset(whole, HUGETLB_GMEM_MAX_ORDER, LARGE);
	for (block = 0; block < LARGE; block++) {
		memset(kinds, GMEM_BLOCK_PRIVATE, LARGE);
		kinds[block] = GMEM_BLOCK_SMALL;
		gmem_layout_build(layout, kinds, LARGE);
		for (i = 0; i < LARGE; i++) {
			if (layout[i] != order_beside(i, block))
				return "a folio is not the largest beside the page";
		}
		for (order = HUGETLB_GMEM_BLOCK_ORDER;
		     order < HUGETLB_GMEM_MAX_ORDER; order++) {
			if (count_folios(layout, order) != 1)
				return "not one folio of each order is left";
		}
		if (gmem_layout_steps(whole, layout, LARGE, NULL) != 1)
			return "the split is not one step";
	}
	return NULL;
}

/* What stands for a kind in the examples. */
static const char letters[] = {
	[GMEM_BLOCK_SMALL]	= '.',
	[GMEM_BLOCK_PRIVATE]	= 'p',
	[GMEM_BLOCK_SHARED]	= 's',
	'\0'
};

/* Extents of 8 blocks. */
static const struct {
	const char *kinds;
	u8 layout[8];
} examples[] = {
	{ ".ppppppp", { 0, 9, 10, 10, 11, 11, 11, 11 } },
	{ "pppppppp", { 12, 12, 12, 12, 12, 12, 12, 12 } },
	{ "ssssssss", { 12, 12, 12, 12, 12, 12, 12, 12 } },
	{ "........", { 0, 0, 0, 0, 0, 0, 0, 0 } },
	{ "psspsps.", { 9, 9, 9, 9, 9, 9, 9, 0 } },
	{ "psssspps", { 9, 9, 10, 10, 9, 9, 9, 9 } },
	{ "p.ppssss", { 9, 0, 10, 10, 11, 11, 11, 11 } },
	{ ".pppppp.", { 0, 9, 10, 10, 10, 10, 9, 0 } },
};

static const char *test_examples(void)
{
	u8 kinds[8], layout[8];
	unsigned int i, block;

	for (i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		for (block = 0; block < 8; block++)
			kinds[block] = strchr(letters, examples[i].kinds[block]) - letters;
		gmem_layout_build(layout, kinds, 8);
		if (memcmp(layout, examples[i].layout, 8)) {
			printf("# example %s\n", examples[i].kinds);
			return "the layout is not that of the example";
		}
	}
	return NULL;
}

/* The first small block becomes big and the last one small. */
static const char *test_moved_block(void)
{
	u8 kinds[LARGE], from[LARGE], to[LARGE];
	struct hugetlb_gmem_step steps[LARGE];

	memset(kinds, GMEM_BLOCK_PRIVATE, LARGE);
	kinds[0] = GMEM_BLOCK_SMALL;
	gmem_layout_build(from, kinds, LARGE);
	kinds[0] = GMEM_BLOCK_PRIVATE;
	kinds[LARGE - 1] = GMEM_BLOCK_SMALL;
	gmem_layout_build(to, kinds, LARGE);
	if (gmem_layout_steps(from, to, LARGE, steps) != 2)
		return "not a step for each half";
	if (steps[0].block != 0 || steps[0].order != 17 || steps[0].split)
		return "the first half is not merged";
	if (steps[1].block != LARGE / 2 || steps[1].order != 17 || !steps[1].split)
		return "the second half is not split";
	return NULL;
}

static const char *test_uniform(void)
{
	u8 kinds[LARGE], layout[LARGE];

	memset(kinds, GMEM_BLOCK_PRIVATE, LARGE);
	gmem_layout_build(layout, kinds, LARGE);
	if (count_folios(layout, HUGETLB_GMEM_MAX_ORDER) != 1)
		return "a private extent is not one folio";
	memset(kinds, GMEM_BLOCK_SHARED, LARGE);
	gmem_layout_build(layout, kinds, LARGE);
	if (count_folios(layout, HUGETLB_GMEM_MAX_ORDER) != 1)
		return "a shared extent is not one folio";
	if (gmem_layout_steps(layout, layout, LARGE, NULL))
		return "there are steps to the same layout";
	memset(kinds, GMEM_BLOCK_PRIVATE, LARGE / 2);
	gmem_layout_build(layout, kinds, LARGE);
	if (count_folios(layout, HUGETLB_GMEM_MAX_ORDER - 1) != 2)
		return "two halves of different kind are not two folios";
	return NULL;
}

static const char *replay(const char *name)
{
	static u8 data[1 << 16];
	const char *problem;
	char path[4096];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", corpus, name);
	file = fopen(path, "rb");
	if (!file)
		return "cannot open an input of the corpus";
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	problem = check_input(data, size);
	if (problem)
		printf("# input %s\n", path);
	return problem;
}

static const char *test_corpus(void)
{
	const char *problem = NULL;
	unsigned int replayed = 0;
	struct dirent *entry;
	DIR *dir = opendir(corpus);

	if (!dir)
		return "cannot open the corpus: give --corpus DIR";
	while (!problem && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		problem = replay(entry->d_name);
		replayed++;
	}
	closedir(dir);
	printf("# %u inputs\n", replayed);
	return replayed ? problem : "the corpus is empty";
}

static const struct {
	const char *name;
	const char *(*run)(void);
} tests[] = {
	{ "first_4k", test_first_4k },
	{ "moved_block", test_moved_block },
	{ "uniform", test_uniform },
	{ "examples", test_examples },
	{ "small_extents", test_small_extents },
	{ "random_extents", test_random_extents },
	{ "random_changes", test_random_changes },
	{ "corpus", test_corpus },
};

#define NR_TESTS	(sizeof(tests) / sizeof(*tests))

static void usage(const char *program, FILE *stream)
{
	fprintf(stream,
		"%s [--seed N] [--count N] [--corpus DIR]\n"
		"  -s, --seed N      of the random tests (default 1)\n"
		"  -n, --count N     extents in each random test (default 20000)\n"
		"  -c, --corpus DIR  inputs that the fuzzer has kept (default corpus)\n"
		"  -h, --help        this text\n", program);
}

static unsigned long number_option(const char *program, const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 0);

	if (!*text || *end || *text == '-') {
		fprintf(stderr, "%s: '%s' is not a number: see --help\n", program, text);
		exit(2);
	}
	return number;
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'n' },
		{ "corpus", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int option;

	random_state = 1;
	while ((option = getopt_long(argc, argv, "s:n:c:h", options, NULL)) != -1) {
		switch (option) {
		case 's':
			random_state = number_option(argv[0], optarg);
			break;
		case 'n':
			count = number_option(argv[0], optarg);
			break;
		case 'c':
			corpus = optarg;
			break;
		case 'h':
			usage(argv[0], stdout);
			exit(0);
		default:
			usage(argv[0], stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		usage(argv[0], stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned int i, failed = 0;
	const char *problem;

	parse_options(argc, argv);
	printf("KTAP version 1\n1..%zu\n# seed %llu, %lu extents\n", NR_TESTS,
	       (unsigned long long)random_state, count);
	for (i = 0; i < NR_TESTS; i++) {
		problem = tests[i].run();
		failed += !!problem;
		printf("%s %u %s%s%s\n", problem ? "not ok" : "ok", i + 1,
		       tests[i].name, problem ? " # " : "", problem ?: "");
		fflush(stdout);
	}
	printf("# %zu passed, %u failed, 0 skipped\n", NR_TESTS - failed, failed);
	return !!failed;
}
