/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Settings of the kernel that last as long as the program.  See switches.c.
 */
#ifndef GMEM_CONVERT_SWITCHES_H
#define GMEM_CONVERT_SWITCHES_H

#include <stdbool.h>

/* Must come first: whatever ends the program puts everything back. */
void switches_init(void);

/* Conversions merge at once. */
void switch_merge_delay_off(void);

/* Undo HVO to split, into folios of order 0. */
void switch_plain_split(bool on);

/* A tracefs instance, to be removed; returns its directory. */
const char *switch_trace_instance(void);

#endif /* GMEM_CONVERT_SWITCHES_H */
