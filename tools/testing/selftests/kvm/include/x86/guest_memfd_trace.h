/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events of guest_memfd:, see lib/x86/guest_memfd_trace.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_TRACE_H
#define SELFTEST_KVM_GUEST_MEMFD_TRACE_H

#include <linux/types.h>

/* Forget what has been recorded. */
void gmem_trace_empty(void);
/* The same, and record events from now on: "", or "/" and the name of one. */
void gmem_trace_begin(const char *event);
/* What has been recorded, to be freed; all events, and it goes on. */
char *gmem_trace_read(void);
/* The same, and record no more of @event. */
char *gmem_trace_end(const char *event);

/*
 * Make calls of a function of the kernel the event GMEM_TRACE_PROBE, whose path for
 * the above is GMEM_TRACE_PROBE_PATH; NULL for none.  The event is to be off.
 */
#define GMEM_TRACE_PROBE	"probe"
#define GMEM_TRACE_PROBE_PATH	"_test/" GMEM_TRACE_PROBE
void gmem_trace_probe(const char *function);

/* Lines of @event that contain @with. */
u64 gmem_trace_count(const char *trace, const char *event, const char *with);

#endif /* SELFTEST_KVM_GUEST_MEMFD_TRACE_H */
