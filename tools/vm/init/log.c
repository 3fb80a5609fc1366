// SPDX-License-Identifier: GPL-2.0-only
/*
 * What init itself says in the kernel log. README.md, "The kernel log", tells
 * what the host reads out of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

void log_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror(path);
	if (fd >= 0)
		close(fd);
}

/* The host reads the console until this line: all before it is then there. */
void log_end(void)
{
	log_put("/dev/kmsg", PORT_NAME ": end of log\n");
}

/* For a command that takes too long: where every processor, task and vCPU stands. */
void log_dump_tasks(void)
{
	log_put("/proc/sysrq-trigger", "l");
	log_put("/proc/sysrq-trigger", "w");
	vcpus_report_exits();
	log_end();
}
