// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long the parts of a conversion take, from the tracepoints guest_memfd:*,
 * which tell it as duration_ns.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "switches.h"
#include "trace.h"

static const char *instance;

static void write_setting(const char *name, const char *text)
{
	size_t len = strlen(text);
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", instance, name);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		cannot_run("%s: %s: set CONFIG_TRACING, and CONFIG_HUGETLB_GMEM",
			   path, strerror(errno));
	close(fd);
}

void trace_start(void)
{
	if (!instance)
		instance = switch_trace_instance();
	write_setting("events/guest_memfd/enable", "1");
}

void trace_stop(void)
{
	write_setting("events/guest_memfd/enable", "0");
}

void trace_clear(void)
{
	write_setting("trace", "");
}

static void add_event(const char *line, struct parts *parts)
{
	const char *at = strstr(line, " duration_ns=");
	u64 duration;

	if (!at)
		return;
	duration = strtoull(strchr(at, '=') + 1, NULL, 10);
	if (strstr(line, ": gmem_prepare: "))
		parts->prepare += duration;
	else if (strstr(line, ": gmem_commit: "))
		parts->commit += duration;
	else if (strstr(line, ": gmem_split: ") || strstr(line, ": gmem_merge: "))
		parts->layout = duration;
}

void trace_read(struct parts *parts)
{
	char path[128], line[512], own[32];
	FILE *file;

	memset(parts, 0, sizeof(*parts));
	snprintf(own, sizeof(own), "-%d ", getpid());
	snprintf(path, sizeof(path), "%s/trace", instance);
	file = fopen(path, "r");
	if (!file)
		cannot_run("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (strstr(line, own))
			add_event(line, parts);
	}
	fclose(file);
}
