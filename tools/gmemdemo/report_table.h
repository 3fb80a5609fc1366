/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of steps that gmemdemo prints.  See report_table.c.
 */
#ifndef GMEMDEMO_REPORT_TABLE_H
#define GMEMDEMO_REPORT_TABLE_H

#include "counters.h"

struct report_table;

struct report_table *report_table_new(int json);
void report_table_add(struct report_table *table, const char *step,
		      const struct leaves *leaves, const char *folios,
		      const struct pool *pool);
void report_table_print(struct report_table *table);

#endif /* GMEMDEMO_REPORT_TABLE_H */
