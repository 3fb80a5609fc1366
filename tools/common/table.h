/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables for people or as JSON.  See table.c.
 */
#ifndef TOOLS_COMMON_TABLE_H
#define TOOLS_COMMON_TABLE_H

#include <libsmartcols/libsmartcols.h>
#include <linux/types.h>

struct table_column {
	const char *name;
	int number;
};

/* All of these exit with one line if there is no memory. */
struct libscols_table *table_new(const char *name, int json,
				 const struct table_column *columns, int nr);
struct libscols_line *table_add_line(struct libscols_table *table);
void table_set_text(struct libscols_line *line, int column, const char *text);
void table_set_number(struct libscols_line *line, int column, u64 value);
/* A number with @decimals digits after the point. */
void table_set_real(struct libscols_line *line, int column, double value,
		    int decimals);
void table_print(struct libscols_table *table);

#endif /* TOOLS_COMMON_TABLE_H */
