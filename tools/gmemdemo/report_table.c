// SPDX-License-Identifier: GPL-2.0-only
/*
 * One row for each step of the demonstration, for people or as JSON.
 *
 * See libsmartcols for how columns are laid out.
 */
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

static const struct table_column columns[NR_COLUMNS] = {
	[COLUMN_STEP]		= { "STEP", 0 },
	[COLUMN_LEAVES_1G]	= { "LEAVES-1G", 1 },
	[COLUMN_LEAVES_2M]	= { "LEAVES-2M", 1 },
	[COLUMN_LEAVES_4K]	= { "LEAVES-4K", 1 },
	[COLUMN_POOL_TOTAL]	= { "POOL", 1 },
	[COLUMN_POOL_FREE]	= { "FREE", 1 },
	[COLUMN_POOL_RESERVED]	= { "RESERVED", 1 },
	[COLUMN_FOLIOS]		= { "FOLIOS", 0 },
};

struct libscols_table *report_table_new(int json)
{
	return table_new("steps", json, columns, NR_COLUMNS);
}

void report_table_add(struct libscols_table *table, const char *step,
		      const struct leaves *leaves, const char *folios,
		      const struct pool *pool)
{
	struct libscols_line *line = table_add_line(table);

	table_set_text(line, COLUMN_STEP, step);
	table_set_number(line, COLUMN_LEAVES_1G, leaves->nr_1g);
	table_set_number(line, COLUMN_LEAVES_2M, leaves->nr_2m);
	table_set_number(line, COLUMN_LEAVES_4K, leaves->nr_4k);
	table_set_number(line, COLUMN_POOL_TOTAL, pool->nr);
	table_set_number(line, COLUMN_POOL_FREE, pool->free);
	table_set_number(line, COLUMN_POOL_RESERVED, pool->resv);
	table_set_text(line, COLUMN_FOLIOS, folios[0] ? folios : "-");
}
