// SPDX-License-Identifier: GPL-2.0-only
/*
 * Print what was measured: tables for people, or a line for each number, to be
 * kept and compared.
 */
#include <stdio.h>
#include <sys/utsname.h>

#include "report.h"
#include "table.h"

static const char * const way_names[NR_WAYS] = { "this", "plain" };

static const char * const part_names[NR_PARTS] = {
	[PART_IOCTL]	= "ioctl",
	[PART_TRACED]	= "ioctl, traced",
	[PART_PREPARE]	= "prepare",
	[PART_COMMIT]	= "commit",
	[PART_LAYOUT]	= "of commit: split or merge",
	[PART_REST]	= "neither",
};

typedef void (*row_fn_t)(struct libscols_table *table, unsigned int file,
			 unsigned int step, const struct result *ways);

static void add_rows(const struct results *results, row_fn_t row,
		     struct libscols_table *table)
{
	unsigned int file, step;

	for (file = 0; file < NR_FILES; file++) {
		for (step = 0; step < NR_STEPS; step++) {
			const struct result *ways = results->of[file][step];

			if (ways[WAY_THIS].measured)
				row(table, file, step, ways);
		}
	}
}

static void set_ratio(struct libscols_line *line, int column,
		      const struct result *ways, enum part part)
{
	double ratio = plain_ratio(ways, part);

	if (ratio)
		table_set_real(line, column, ratio, 1);
}

enum step_column {
	STEP_PAGES,
	STEP_NAME,
	STEP_MIN,
	STEP_MEDIAN,
	STEP_VMEMMAP,
	NR_STEP_COLUMNS_THIS,
	STEP_PLAIN_MIN = NR_STEP_COLUMNS_THIS,
	STEP_PLAIN_MEDIAN,
	STEP_PLAIN_VMEMMAP,
	STEP_RATIO,
	NR_STEP_COLUMNS,
};

static const struct table_column step_columns[NR_STEP_COLUMNS] = {
	[STEP_PAGES]		= { "PAGES", 0 },
	[STEP_NAME]		= { "STEP", 0 },
	[STEP_MIN]		= { "MIN", 1 },
	[STEP_MEDIAN]		= { "MEDIAN", 1 },
	[STEP_VMEMMAP]		= { "VMEMMAP-KB", 1 },
	[STEP_PLAIN_MIN]	= { "PLAIN-MIN", 1 },
	[STEP_PLAIN_MEDIAN]	= { "PLAIN-MEDIAN", 1 },
	[STEP_PLAIN_VMEMMAP]	= { "PLAIN-VMEMMAP-KB", 1 },
	[STEP_RATIO]		= { "PLAIN/THIS", 1 },
};

static void add_step(struct libscols_table *table, unsigned int file,
		     unsigned int step, const struct result *ways)
{
	const struct result *this = &ways[WAY_THIS], *plain = &ways[WAY_PLAIN];
	struct libscols_line *line = table_add_line(table);

	table_set_text(line, STEP_PAGES, file_names[file]);
	table_set_text(line, STEP_NAME, step_name(step));
	table_set_number(line, STEP_MIN, this->parts[PART_IOCTL].min);
	table_set_number(line, STEP_MEDIAN, this->parts[PART_IOCTL].median);
	table_set_number(line, STEP_VMEMMAP, this->vmemmap_kb);
	if (!plain->measured)
		return;
	table_set_number(line, STEP_PLAIN_MIN, plain->parts[PART_IOCTL].min);
	table_set_number(line, STEP_PLAIN_MEDIAN, plain->parts[PART_IOCTL].median);
	table_set_number(line, STEP_PLAIN_VMEMMAP, plain->vmemmap_kb);
	set_ratio(line, STEP_RATIO, ways, PART_IOCTL);
}

enum part_column {
	PARTS_PAGES,
	PARTS_STEP,
	PARTS_NAME,
	PARTS_MEDIAN,
	NR_PART_COLUMNS_THIS,
	PARTS_PLAIN_MEDIAN = NR_PART_COLUMNS_THIS,
	PARTS_RATIO,
	NR_PART_COLUMNS,
};

static const struct table_column part_columns[NR_PART_COLUMNS] = {
	[PARTS_PAGES]		= { "PAGES", 0 },
	[PARTS_STEP]		= { "STEP", 0 },
	[PARTS_NAME]		= { "PART", 0 },
	[PARTS_MEDIAN]		= { "MEDIAN", 1 },
	[PARTS_PLAIN_MEDIAN]	= { "PLAIN-MEDIAN", 1 },
	[PARTS_RATIO]		= { "PLAIN/THIS", 1 },
};

static void add_parts(struct libscols_table *table, unsigned int file,
		      unsigned int step, const struct result *ways)
{
	struct libscols_line *line;
	unsigned int part;

	if (!ways[WAY_THIS].has_parts)
		return;
	for (part = PART_TRACED; part < NR_PARTS; part++) {
		line = table_add_line(table);
		table_set_text(line, PARTS_PAGES, file_names[file]);
		table_set_text(line, PARTS_STEP, step_name(step));
		table_set_text(line, PARTS_NAME, part_names[part]);
		table_set_number(line, PARTS_MEDIAN,
				 ways[WAY_THIS].parts[part].median);
		if (!ways[WAY_PLAIN].measured)
			continue;
		table_set_number(line, PARTS_PLAIN_MEDIAN,
				 ways[WAY_PLAIN].parts[part].median);
		set_ratio(line, PARTS_RATIO, ways, part);
	}
}

void report_tables(const struct results *results, const char *unit,
		   unsigned int repeat)
{
	bool plain = results->of[FILE_1G][STEP_FIRST_4K][WAY_PLAIN].measured;
	struct libscols_table *table;
	struct utsname system;

	uname(&system);
	printf("KVM_SET_MEMORY_ATTRIBUTES2 in %s, %u repetitions, Linux %s\n\n",
	       unit, repeat, system.release);
	table = table_new("steps", false, step_columns,
			  plain ? NR_STEP_COLUMNS : NR_STEP_COLUMNS_THIS);
	add_rows(results, add_step, table);
	table_print(table);

	printf("\nWhere they go\n\n");
	fflush(stdout);
	table = table_new("parts", false, part_columns,
			  plain ? NR_PART_COLUMNS : NR_PART_COLUMNS_THIS);
	add_rows(results, add_parts, table);
	table_print(table);
}

static void print_result(unsigned int file, unsigned int step, enum way which,
			 const struct result *result, const char *unit)
{
	unsigned int part;

	for (part = 0; part < NR_PARTS; part++) {
		if (part == PART_IOCTL || result->has_parts)
			printf("%s\t%s\t%s\t%s\t%s\t%lu\t%lu\t%lu\n",
			       file_names[file], step_name(step),
			       way_names[which], part_names[part], unit,
			       result->parts[part].min,
			       result->parts[part].median, result->vmemmap_kb);
	}
}

void report_raw(const struct results *results, const char *unit)
{
	unsigned int file, step, i;

	printf("pages\tstep\tway\tpart\tunit\tmin\tmedian\tvmemmap_kb\n");
	for (file = 0; file < NR_FILES; file++) {
		for (step = 0; step < NR_STEPS; step++) {
			for (i = 0; i < NR_WAYS; i++) {
				if (results->of[file][step][i].measured)
					print_result(file, step, i,
						     &results->of[file][step][i],
						     unit);
			}
		}
	}
}
