// SPDX-License-Identifier: GPL-2.0-only
/*
 * One row for each step of the demonstration, for people or as JSON.
 *
 * See libsmartcols for how columns are laid out.
 */
#include <stdlib.h>
#include <libsmartcols/libsmartcols.h>

#include "error.h"
#include "report_table.h"

enum column {
	COLUMN_STEP,
	COLUMN_LEAVES_1G,
	COLUMN_LEAVES_2M,
	COLUMN_LEAVES_4K,
	COLUMN_POOL_TOTAL,
	COLUMN_POOL_FREE,
	COLUMN_POOL_RESERVED,
	COLUMN_FOLIOS,
	NR_COLUMNS,
};

static const struct {
	const char *name;
	int number;
} columns[NR_COLUMNS] = {
	[COLUMN_STEP]		= { "STEP", 0 },
	[COLUMN_LEAVES_1G]	= { "LEAVES-1G", 1 },
	[COLUMN_LEAVES_2M]	= { "LEAVES-2M", 1 },
	[COLUMN_LEAVES_4K]	= { "LEAVES-4K", 1 },
	[COLUMN_POOL_TOTAL]	= { "POOL", 1 },
	[COLUMN_POOL_FREE]	= { "FREE", 1 },
	[COLUMN_POOL_RESERVED]	= { "RESERVED", 1 },
	[COLUMN_FOLIOS]		= { "FOLIOS", 0 },
};

struct report_table {
	struct libscols_table *table;
};

static void must(int failed)
{
	if (failed)
		cannot_run("out of memory for the table of steps");
}

static void add_column(struct libscols_table *table, enum column i)
{
	struct libscols_column *column;

	column = scols_table_new_column(table, columns[i].name, 0,
					columns[i].number ? SCOLS_FL_RIGHT : 0);
	must(!column);
	if (columns[i].number)
		scols_column_set_json_type(column, SCOLS_JSON_NUMBER);
}

struct report_table *report_table_new(int json)
{
	struct report_table *report = calloc(1, sizeof(*report));
	int i;

	must(!report);
	report->table = scols_new_table();
	must(!report->table);
	must(scols_table_set_name(report->table, "steps"));
	must(scols_table_enable_json(report->table, json));
	/* Rows are for logs as well as for terminals: never cut them. */
	must(scols_table_enable_nowrap(report->table, 1));
	for (i = 0; i < NR_COLUMNS; i++)
		add_column(report->table, i);
	return report;
}

static void set_number(struct libscols_line *line, enum column column,
		       u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", value);
	must(scols_line_set_data(line, column, text));
}

void report_table_add(struct report_table *report, const char *step,
		      const struct leaves *leaves, const char *folios,
		      const struct pool *pool)
{
	struct libscols_line *line = scols_table_new_line(report->table, NULL);

	must(!line);
	must(scols_line_set_data(line, COLUMN_STEP, step));
	set_number(line, COLUMN_LEAVES_1G, leaves->nr_1g);
	set_number(line, COLUMN_LEAVES_2M, leaves->nr_2m);
	set_number(line, COLUMN_LEAVES_4K, leaves->nr_4k);
	set_number(line, COLUMN_POOL_TOTAL, pool->nr);
	set_number(line, COLUMN_POOL_FREE, pool->free);
	set_number(line, COLUMN_POOL_RESERVED, pool->resv);
	must(scols_line_set_data(line, COLUMN_FOLIOS, folios[0] ? folios : "-"));
}

void report_table_print(struct report_table *report)
{
	fflush(stderr);
	must(scols_print_table(report->table));
	scols_unref_table(report->table);
	free(report);
}
