/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the benchmark does and what it finds.  See measure.c.
 */
#ifndef GMEM_CONVERT_MEASURE_H
#define GMEM_CONVERT_MEASURE_H

#include <stdbool.h>
#include <linux/types.h>

#define MAX_REPEAT	1000

enum way {
	WAY_THIS,
	/* HVO undone, folios of order 0. */
	WAY_PLAIN,
	NR_WAYS,
};

enum part {
	PART_IOCTL,
	/* The same with tracing, which the others are parts of. */
	PART_TRACED,
	PART_PREPARE,
	PART_COMMIT,
	/* Within commit: splits and merges, with the folios frozen. */
	PART_LAYOUT,
	/* Neither prepare nor commit. */
	PART_REST,
	NR_PARTS,
};

enum file_type {
	FILE_1G,
	FILE_2M,
	/* Without HugeTLB, for comparison. */
	FILE_4K,
	NR_FILES,
};

#define NR_STEPS	10

struct summary {
	u64 min;
	u64 median;
};

struct result {
	bool measured;
	/* Of parts other than the ioctl only if @has_parts. */
	bool has_parts;
	struct summary parts[NR_PARTS];
	/* Memory of struct pages after the step, beyond that of whole extents. */
	u64 vmemmap_kb;
};

struct results {
	struct result of[NR_FILES][NR_STEPS][NR_WAYS];
};

/* The step that --check is about. */
#define STEP_FIRST_4K	0

extern const char * const file_names[NR_FILES];
const char *step_name(unsigned int step);

/* The median of ioctls by the plain way over that of this one; 0 if unknown. */
double plain_ratio(const struct result *ways, enum part part);

void measure(struct results *results, unsigned int repeat, bool plain);

#endif /* GMEM_CONVERT_MEASURE_H */
