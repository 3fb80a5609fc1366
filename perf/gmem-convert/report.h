/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Print what was measured.  See report.c.
 */
#ifndef GMEM_CONVERT_REPORT_H
#define GMEM_CONVERT_REPORT_H

#include "measure.h"

/* @unit: nanoseconds or instructions. */
void report_tables(const struct results *results, const char *unit,
		   unsigned int repeat);
void report_raw(const struct results *results, const char *unit);

#endif /* GMEM_CONVERT_REPORT_H */
