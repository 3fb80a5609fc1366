// SPDX-License-Identifier: GPL-2.0-only
/*
 * Show the life of a huge page of guest_memfd: a guest fills private memory,
 * shares 4K of it, exchanges data with the host through it and takes it back.
 * After each step print how stage 2 maps the memory, which folios it is made
 * of and what the HugeTLB pool counts; check every byte at the end.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/compiler.h>

#include "counters.h"
#include "error.h"
#include "guest_run.h"
#include "report_table.h"
#include "state.h"

#define PROGRESS_SECONDS	2
#define MERGE_WAIT_MS		60000

/* More would not fit below the guest's 512 entries of 1G. */
#define SIZE_MAX_GUEST	(508 * SIZE_1G)

struct options {
	u64 page_size;
	u64 size;
	u64 seed;
	bool json;
};

static void usage(void)
{
	printf("Usage: gmemdemo [OPTION]...\n"
	       "Share 4K of a huge page of guest memory and take it back, and show what happens.\n\n"
	       "  -p, --page-size SIZE  2M or 1G, the size of the pages (default 1G)\n"
	       "  -s, --size SIZE       memory of the guest, with suffix M or G (default one page)\n"
	       "  -S, --seed NUMBER     seed of the pattern in memory (default 1)\n"
	       "  -J, --json            print the table as JSON\n"
	       "  -h, --help            show this help\n\n"
	       "Exit status: 0 all good, 1 a fault was found, 2 it cannot be run here.\n");
}

static u64 parse_size(const char *option, const char *text)
{
	char *end;
	u64 value = strtoull(text, &end, 0);

	switch (*end) {
	case 'G':
		value <<= 10;
		fallthrough;
	case 'M':
		value <<= 20;
		end++;
		break;
	}
	if (end == text || *end || !value)
		cannot_run("%s '%s' is no size: write 2M, 1G, 4G, ...", option, text);
	return value;
}

static void check_options(struct options *options)
{
	if (options->page_size != SIZE_2M && options->page_size != SIZE_1G)
		cannot_run("--page-size must be 2M or 1G");
	if (!options->size)
		options->size = options->page_size;
	if (options->size % options->page_size)
		cannot_run("--size must be a multiple of the page size, %lu MiB",
			   options->page_size >> 20);
	if (options->size > SIZE_MAX_GUEST)
		cannot_run("--size can be %lu GiB at most", SIZE_MAX_GUEST >> 30);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "page-size", required_argument, NULL, 'p' },
		{ "size", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'S' },
		{ "json", no_argument, NULL, 'J' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "p:s:S:Jh", longs, NULL)) != -1) {
		switch (c) {
		case 'p':
			options->page_size = parse_size("--page-size", optarg);
			break;
		case 's':
			options->size = parse_size("--size", optarg);
			break;
		case 'S':
			options->seed = strtoull(optarg, NULL, 0);
			break;
		case 'J':
			options->json = true;
			break;
		case 'h':
			usage();
			exit(0);
		default:
			exit(EXIT_CANNOT_RUN);
		}
	}
	if (optind < argc)
		cannot_run("'%s' is no option: see gmemdemo --help", argv[optind]);
	check_options(options);
}

static void step(struct guest *guest, struct libscols_table *table,
		 const char *name)
{
	char folios[256];
	struct leaves leaves;
	struct pool pool;

	read_gmem_leaves(&guest->vm, &leaves);
	read_folios(&guest->vm, folios, sizeof(folios));
	read_pool(guest->vm.page_size, &pool);
	report_table_add(table, name, &leaves, folios, &pool);
	fprintf(stderr, "gmemdemo: %s\n", name);
}

static void guest_failed(struct guest *guest, struct libscols_table *table)
{
	struct control *control = guest->control;

	table_print(table);
	printf("FAIL\n");
	if (control->failed_hypercall)
		die(EXIT_FAULT, "the guest's KVM_HC_MAP_GPA_RANGE returned %ld",
		    (long)control->failed_hypercall);
	die(EXIT_FAULT, "the guest found word %lu of page %lu to be 0x%lx, not 0x%lx",
	    control->bad_word, control->bad_page, control->bad_value,
	    control->want_value);
}

/* The kernel merges when merge_delay_ms has passed, 100 by default. */
static void wait_merged(struct guest *guest)
{
	unsigned int ms;

	for (ms = 0; read_fdinfo(&guest->vm, "gmem-merge-pending"); ms++) {
		if (ms == MERGE_WAIT_MS)
			die(EXIT_FAULT, "the huge page is not merged after %u s",
			    ms / 1000);
		usleep(1000);
	}
}

static void show_progress(struct guest *guest, const char *doing)
{
	static time_t shown;
	time_t now = time(NULL);

	if (now - shown < PROGRESS_SECONDS)
		return;
	shown = now;
	fprintf(stderr, "gmemdemo: %s: %lu%%\n", doing,
		guest->control->done * 100 / guest->control->nr_pages);
}

/* Run the guest up to @want, and show on standard error how far it is. */
static void run_until(struct guest *guest, struct libscols_table *table,
		      enum report want, const char *doing)
{
	enum report got;

	while ((got = guest_run(guest)) == REPORT_PROGRESS)
		show_progress(guest, doing);

	if (got == REPORT_FAILED)
		guest_failed(guest, table);
	if (got != want)
		die(EXIT_FAULT, "the guest reported step %u instead of %u", got, want);
}

/* Read what the guest left in the shared page, and write over it. */
static void exchange(struct guest *guest)
{
	struct control *control = guest->control;
	u64 page = control->shared_page;
	u64 *words = guest_host_page(guest, page);
	u64 bad = first_bad_word(words, control->seed, page, WRITER_GUEST);

	if (bad != WORDS_PER_PAGE)
		die(EXIT_FAULT, "the host found word %lu of the shared page to be 0x%lx, not 0x%lx",
		    bad, words[bad],
		    pattern(control->seed, page, WRITER_GUEST, bad));
	write_page(words, control->seed, page, WRITER_HOST);
}

static void expect_host_faults(struct guest *guest, u64 page, const char *which)
{
	if (!guest_host_access_faults(guest, page))
		die(EXIT_FAULT, "the host can read page %lu, %s", page, which);
}

static void demonstrate(struct guest *guest, struct libscols_table *table)
{
	u64 page = guest->control->shared_page;

	step(guest, table, "created");
	run_until(guest, table, REPORT_FILLED, "the guest fills private memory");
	expect_host_faults(guest, page, "which is private");
	step(guest, table, "filled by the guest");

	run_until(guest, table, REPORT_SHARED, "the guest shares 4K and checks every byte");
	step(guest, table, "4K shared");
	expect_host_faults(guest, page + 1, "the private neighbour of the shared one");

	run_until(guest, table, REPORT_EXCHANGED, "the guest waits");
	exchange(guest);
	step(guest, table, "data exchanged");

	run_until(guest, table, REPORT_TAKEN_BACK, "the guest takes the page back");
	expect_host_faults(guest, page, "which is private again");
	step(guest, table, "4K taken back");
	wait_merged(guest);
	step(guest, table, "merged");
	run_until(guest, table, REPORT_TOUCHED, "the guest touches it");
	step(guest, table, "touched by the guest");

	run_until(guest, table, REPORT_CHECKED, "the guest checks every byte");
	step(guest, table, "every byte checked");
}

/* Closing the file gives every page back to the pool. */
static bool pool_is_back(const struct options *options, const struct pool *before,
			 struct libscols_table *table)
{
	struct leaves none = {};
	struct pool after;

	read_pool(options->page_size, &after);
	report_table_add(table, "closed", &none, "", &after);
	return !memcmp(before, &after, sizeof(after));
}

int main(int argc, char **argv)
{
	struct options options = { .page_size = SIZE_1G, .seed = 1 };
	struct libscols_table *table;
	struct pool before;
	struct guest guest = {};
	bool back;

	parse_options(argc, argv, &options);
	guest_create(&guest);
	read_pool(options.page_size, &before);
	check_pool(options.page_size, options.size / options.page_size);
	vm_add_gmem(&guest.vm, options.page_size, options.size);
	guest_start(&guest, options.seed, options.page_size / PAGE_SIZE / 3);

	fprintf(stderr, "gmemdemo: %lu MiB of private memory in pages of %lu MiB, seed %lu\n",
		options.size >> 20, options.page_size >> 20, options.seed);
	table = report_table_new(options.json);
	demonstrate(&guest, table);
	vm_destroy(&guest.vm);
	back = pool_is_back(&options, &before, table);
	table_print(table);

	if (!back)
		die(EXIT_FAULT, "FAIL: the pool is not what it was before");
	if (!options.json)
		printf("PASS: every byte is right, and the pool is what it was before\n");
	return 0;
}
