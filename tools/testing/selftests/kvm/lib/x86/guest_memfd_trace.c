// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints of guest_memfd for the selftests: record what happens meanwhile,
 * and count it.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup_util.h"
#include "guest_memfd_trace.h"
#include "guest_memfd_util.h"

#define TRACING		"/sys/kernel/tracing/"
#define TRACE_SIZE	65536

static void set_event(const char *event, bool on)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "events/guest_memfd%s/enable", event);
	gmem_write_file(path, on ? "1" : "0");
}

void gmem_trace_empty(void)
{
	/* Opening it so empties it. */
	kvm_close(open_path_or_exit(TRACING "trace", O_WRONLY | O_TRUNC));
}

void gmem_trace_begin(const char *event)
{
	gmem_trace_empty();
	set_event(event, true);
}

char *gmem_trace_read(void)
{
	char *trace = malloc(TRACE_SIZE);

	TEST_ASSERT(trace, "Out of memory");
	TEST_ASSERT(read_text(TRACING "trace", trace, TRACE_SIZE) > 0, "No trace");
	return trace;
}

char *gmem_trace_end(const char *event)
{
	set_event(event, false);
	return gmem_trace_read();
}

void gmem_trace_probe(const char *function)
{
	char probe[128];

	if (function)
		snprintf(probe, sizeof(probe), "p:guest_memfd" GMEM_TRACE_PROBE_PATH " %s",
			 function);
	else
		snprintf(probe, sizeof(probe), "-:guest_memfd" GMEM_TRACE_PROBE_PATH);
	gmem_write_file(TRACING "kprobe_events", probe);
}

u64 gmem_trace_count(const char *trace, const char *event, const char *with)
{
	const char *at = trace, *end;
	char name[64];
	u64 nr = 0;

	snprintf(name, sizeof(name), " %s: ", event);
	while ((at = strstr(at, name))) {
		end = strchrnul(at, '\n');
		if (memmem(at, end - at, with, strlen(with)))
			nr++;
		at = end;
	}
	return nr;
}
