// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaks into the kernel log, if the kernel looks for them. An object counts
 * as leaked when two scans find no pointer to it and it is older than five
 * seconds (Documentation/dev-tools/kmemleak.rst), hence the pause if the first
 * scan took less.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define MIN_AGE		7	/* more than five, as time() drops fractions */

static bool scan(void)
{
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, "scan", 4) == 4;
	close(fd);
	return ok;
}

/* The scan itself only logs how many there are. */
static void copy_to_log(void)
{
	FILE *from = fopen(KMEMLEAK, "re");
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[512];

	while (from && log >= 0 && fgets(line, sizeof(line), from))
		if (write(log, line, strlen(line)) < 0)
			break;
	if (log >= 0)
		close(log);
	if (from)
		fclose(from);
}

static void report(void)
{
	time_t begin = time(NULL), spent;

	command_drop_priority();
	if (!scan())
		return;
	spent = time(NULL) - begin;
	if (spent < MIN_AGE)
		sleep(MIN_AGE - spent);
	scan();
	copy_to_log();
}

/* In a process of its own: scans are long, and the heart must beat on. */
void kmemleak_report(int port)
{
	struct command child = { .in = -1, .out = { -1, -1 } };

	if (access(KMEMLEAK, W_OK))
		return;
	port_send(port, FRAME_SCAN, NULL, 0);
	child.pid = fork();
	if (!child.pid) {
		report();
		_exit(0);
	}
	if (child.pid > 0)
		relay_run(port, &child);
}
