/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long the parts of a conversion take.  See trace.c.
 */
#ifndef GMEM_CONVERT_TRACE_H
#define GMEM_CONVERT_TRACE_H

#include <linux/types.h>

/* Durations of all events of one conversion, in nanoseconds. */
struct parts {
	u64 prepare;
	u64 commit;
	/* Within commit: all steps of an extent are one pass, and tell its time. */
	u64 layout;
};

void trace_start(void);
void trace_stop(void);
/* Forget what was traced, read it. */
void trace_clear(void);
void trace_read(struct parts *parts);

#endif /* GMEM_CONVERT_TRACE_H */
