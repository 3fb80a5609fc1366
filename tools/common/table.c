// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables for people or as JSON, by libsmartcols.
 */
#include "error.h"
#include "table.h"

static void must(int failed)
{
	if (failed)
		cannot_run("out of memory for a table");
}

static void add_column(struct libscols_table *table,
		       const struct table_column *column)
{
	struct libscols_column *added;

	added = scols_table_new_column(table, column->name, 0,
				       column->number ? SCOLS_FL_RIGHT : 0);
	must(!added);
	if (column->number)
		scols_column_set_json_type(added, SCOLS_JSON_NUMBER);
}

struct libscols_table *table_new(const char *name, int json,
				 const struct table_column *columns, int nr)
{
	struct libscols_table *table = scols_new_table();
	int i;

	must(!table);
	must(scols_table_set_name(table, name));
	must(scols_table_enable_json(table, json));
	/* Rows are for logs as well as for terminals: never cut them. */
	must(scols_table_enable_nowrap(table, 1));
	for (i = 0; i < nr; i++)
		add_column(table, &columns[i]);
	return table;
}

struct libscols_line *table_add_line(struct libscols_table *table)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	must(!line);
	return line;
}

void table_set_text(struct libscols_line *line, int column, const char *text)
{
	must(scols_line_set_data(line, column, text));
}

void table_set_number(struct libscols_line *line, int column, u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", value);
	table_set_text(line, column, text);
}

void table_set_real(struct libscols_line *line, int column, double value,
		    int decimals)
{
	char text[64];

	snprintf(text, sizeof(text), "%.*f", decimals, value);
	table_set_text(line, column, text);
}

void table_print(struct libscols_table *table)
{
	fflush(stderr);
	must(scols_print_table(table));
	scols_unref_table(table);
}
