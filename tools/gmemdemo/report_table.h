/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of steps that gmemdemo prints.  See report_table.c.
 */
#ifndef GMEMDEMO_REPORT_TABLE_H
#define GMEMDEMO_REPORT_TABLE_H

#include "counters.h"
#include "table.h"

struct libscols_table *report_table_new(int json);
void report_table_add(struct libscols_table *table, const char *step,
		      const struct leaves *leaves, const char *folios,
		      const struct pool *pool);

#endif /* GMEMDEMO_REPORT_TABLE_H */
