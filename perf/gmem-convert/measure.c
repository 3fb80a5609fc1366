// SPDX-License-Identifier: GPL-2.0-only
/*
 * Convert parts of one extent that begins as one private folio, mapped by one
 * leaf, and take them back in the opposite order, so that it ends as it began.
 * The host touches none of it.  Take the time of each ioctl without tracing,
 * and then once more with tracing that of its parts.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <string.h>
#include <time.h>

#include "counters.h"
#include "error.h"
#include "measure.h"
#include "switches.h"
#include "trace.h"
#include "vm.h"

const char * const file_names[NR_FILES] = {
	[FILE_1G] = "1G",
	[FILE_2M] = "2M",
	[FILE_4K] = "4K",
};

enum where {
	FIRST_4K,
	NEXT_4K,
	OTHER_4K,
	BLOCK,
	EXTENT,
};

/* In the order of the measurement; the extent is whole before and after. */
static const struct {
	const char *name;
	enum where where;
	bool to_private;
	bool ends_whole;
	/* Take the time of its parts, too. */
	bool has_parts;
} steps[NR_STEPS] = {
	/* STEP_FIRST_4K */
	{ "first 4K",			FIRST_4K, false, false, true },
	{ "next 4K, same 2M block",	NEXT_4K,  false, false, false },
	{ "next 4K, another block",	OTHER_4K, false, false, false },
	{ "take back 4K, another block", OTHER_4K, true, false, false },
	{ "take back next 4K",		NEXT_4K,  true,  false, false },
	{ "take back first 4K",		FIRST_4K, true,  true,  true },
	{ "2M block",			BLOCK,    false, false, false },
	{ "take back 2M block",		BLOCK,    true,  true,  false },
	{ "whole extent",		EXTENT,   false, false, false },
	{ "take back whole extent",	EXTENT,   true,  true,  false },
};

const char *step_name(unsigned int step)
{
	return steps[step].name;
}

static const u64 page_sizes[NR_FILES] = {
	[FILE_1G] = SIZE_1G,
	[FILE_2M] = SIZE_2M,
	[FILE_4K] = PAGE_SIZE,
};

/* Samples of one file and way. */
struct samples {
	u64 of[NR_STEPS][NR_PARTS][MAX_REPEAT];
	u64 vmemmap_kb[NR_STEPS];
};

static void find_range(u64 size, enum where where, u64 *offset, u64 *len)
{
	u64 block = size / 3 & ~(SIZE_2M - 1);

	/* Nothing special about any of them: a third into what is around. */
	*offset = block + (SIZE_2M / 3 & ~(PAGE_SIZE - 1));
	*len = PAGE_SIZE;
	switch (where) {
	case FIRST_4K:
		break;
	case NEXT_4K:
		*offset += PAGE_SIZE;
		break;
	case OTHER_4K:
		*offset += block;
		break;
	case BLOCK:
		*offset = block;
		*len = SIZE_2M;
		break;
	case EXTENT:
		*offset = 0;
		*len = size;
		break;
	}
}

static bool has_step(const struct vm *vm, unsigned int step)
{
	return vm->size > SIZE_2M || (steps[step].where != OTHER_4K &&
				      steps[step].where != BLOCK);
}

static u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ul + now.tv_nsec;
}

/* Have all mapped as large as can be, as a guest that touches it would. */
static void map_whole(struct vm *vm, u64 missing)
{
	u64 want = vm->size / vm->page_size, got;
	struct leaves leaves;

	/* A leaf that is as large as the extent comes with any of its pages. */
	if (want == 1)
		vm_pre_fault(vm, GMEM_GPA + missing, PAGE_SIZE);
	else
		vm_pre_fault(vm, GMEM_GPA, vm->size);
	read_leaves(vm, &leaves);
	got = vm->page_size == SIZE_1G ? leaves.nr_1g :
	      vm->page_size == SIZE_2M ? leaves.nr_2m : leaves.nr_4k;
	if (got != want)
		die(EXIT_FAULT, "%lu leaves of %lu KiB instead of %lu, merges pending: %lu",
		    got, vm->page_size >> 10, want,
		    read_fdinfo(vm, "gmem-merge-pending"));
}

static void read_parts(u64 (*of)[MAX_REPEAT], unsigned int round, u64 total)
{
	struct parts parts;

	trace_read(&parts);
	of[PART_TRACED][round] = total;
	of[PART_PREPARE][round] = parts.prepare;
	of[PART_COMMIT][round] = parts.commit;
	of[PART_LAYOUT][round] = parts.layout;
	of[PART_REST][round] = total - parts.prepare - parts.commit;
}

static void run_step(struct vm *vm, unsigned int step, struct samples *samples,
		     unsigned int round, bool traced)
{
	u64 offset, len, start, total;

	find_range(vm->size, steps[step].where, &offset, &len);
	if (traced)
		trace_clear();
	start = now_ns();
	vm_convert(vm, offset, len, steps[step].to_private, 0);
	total = now_ns() - start;

	if (traced)
		read_parts(samples->of[step], round, total);
	else
		samples->of[step][PART_IOCTL][round] = total;
	samples->vmemmap_kb[step] = read_fdinfo(vm, "gmem-vmemmap");
	if (steps[step].ends_whole)
		map_whole(vm, offset);
}

static void run_round(struct vm *vm, struct samples *samples,
		      unsigned int round, bool traced)
{
	unsigned int step;

	for (step = 0; step < NR_STEPS; step++) {
		if (has_step(vm, step) && (!traced || steps[step].has_parts))
			run_step(vm, step, samples, round, traced);
	}
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

static void summarize(u64 *samples, unsigned int nr, struct summary *summary)
{
	qsort(samples, nr, sizeof(*samples), compare);
	summary->min = samples[0];
	summary->median = (samples[(nr - 1) / 2] + samples[nr / 2]) / 2;
}

static void summarize_step(struct samples *samples, unsigned int step,
			   unsigned int nr, struct result *result)
{
	unsigned int part;

	result->measured = true;
	result->has_parts = steps[step].has_parts;
	result->vmemmap_kb = samples->vmemmap_kb[step];
	for (part = 0; part < NR_PARTS; part++) {
		if (part == PART_IOCTL || result->has_parts)
			summarize(samples->of[step][part], nr,
				  &result->parts[part]);
	}
}

/* All rounds of one file by one way. */
static void measure_way(struct vm *vm, enum way which, unsigned int repeat,
			struct result (*results)[NR_WAYS])
{
	struct samples *samples = malloc(sizeof(*samples));
	unsigned int round, step;

	if (!samples)
		cannot_run("out of memory for %u repetitions", repeat);

	/* The first one finds caches cold, of slabs too: it does not count. */
	run_round(vm, samples, 0, false);
	for (round = 0; round < repeat; round++)
		run_round(vm, samples, round, false);
	trace_start();
	for (round = 0; round < repeat; round++)
		run_round(vm, samples, round, true);
	trace_stop();

	for (step = 0; step < NR_STEPS; step++) {
		if (has_step(vm, step))
			summarize_step(samples, step, repeat,
				       &results[step][which]);
	}
	free(samples);
}

static void measure_file(enum file_type file, unsigned int repeat, bool plain,
			 struct results *results)
{
	u64 page_size = page_sizes[file];
	struct vm vm = {};

	fprintf(stderr, "%s: pages of %s\n", program_invocation_short_name,
		file_names[file]);
	vm_create(&vm);
	vm_add_gmem(&vm, page_size, file == FILE_4K ? SIZE_2M : page_size);
	map_whole(&vm, 0);

	measure_way(&vm, WAY_THIS, repeat, results->of[file]);
	if (plain && file != FILE_4K) {
		switch_plain_split(true);
		measure_way(&vm, WAY_PLAIN, repeat, results->of[file]);
		switch_plain_split(false);
	}
	vm_destroy(&vm);
}

void measure(struct results *results, unsigned int repeat, bool plain)
{
	unsigned int file;

	/* Before anything takes long. */
	check_pool(SIZE_1G, 1);
	check_pool(SIZE_2M, 1);
	if (plain)
		switch_plain_split(false);
	switch_merge_delay_off();
	for (file = 0; file < NR_FILES; file++)
		measure_file(file, repeat, plain, results);
}

double plain_ratio(const struct result *ways, enum part part)
{
	u64 this = ways[WAY_THIS].parts[part].median;

	if (!this || !ways[WAY_PLAIN].measured)
		return 0;
	return (double)ways[WAY_PLAIN].parts[part].median / this;
}
