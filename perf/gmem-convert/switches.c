// SPDX-License-Identifier: GPL-2.0-only
/*
 * Settings of the kernel that last as long as the program: merges without
 * delay, the plain way to split, and a tracefs instance of its own.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "switches.h"

#define MERGE_DELAY	"/sys/kernel/mm/hugetlb_gmem/merge_delay_ms"
#define PLAIN_SPLIT	"/sys/kernel/debug/hugetlb_gmem/plain_split"
#define TRACE_INSTANCE	"/sys/kernel/tracing/instances/gmem-convert"

static struct {
	const char *path;
	char old[32];
	ssize_t len;
} saved[2];

static unsigned int nr_saved;
static bool instance_made;

/* Also called by a signal handler: no stdio. */
static bool write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return written;
}

static void put_back(void)
{
	while (nr_saved) {
		nr_saved--;
		write_file(saved[nr_saved].path, saved[nr_saved].old,
			   saved[nr_saved].len);
	}
	if (instance_made)
		rmdir(TRACE_INSTANCE);
	instance_made = false;
}

static void put_back_and_die(int signal)
{
	put_back();
	raise(signal);
}

void switches_init(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGPIPE, SIGTERM, 0 };
	struct sigaction action = {
		.sa_handler = put_back_and_die,
		.sa_flags = SA_RESETHAND | SA_NODEFER,
	};
	unsigned int i;

	atexit(put_back);
	for (i = 0; signals[i]; i++)
		sigaction(signals[i], &action, NULL);
}

static void save(const char *path, const char *hint)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		cannot_run("%s: %s: %s", path, strerror(errno), hint);
	saved[nr_saved].path = path;
	saved[nr_saved].len = read(fd, saved[nr_saved].old,
				   sizeof(saved[nr_saved].old));
	close(fd);
	if (saved[nr_saved].len <= 0)
		cannot_run("%s cannot be read", path);
	nr_saved++;
}

void switch_merge_delay_off(void)
{
	save(MERGE_DELAY, "set CONFIG_HUGETLB_GMEM");
	if (!write_file(MERGE_DELAY, "0", 1))
		cannot_run("%s: %s: run as root", MERGE_DELAY, strerror(errno));
}

void switch_plain_split(bool on)
{
	static bool is_saved;

	if (!is_saved)
		save(PLAIN_SPLIT, "set CONFIG_HUGETLB_GMEM_DEBUG, or give --no-plain");
	is_saved = true;
	if (!write_file(PLAIN_SPLIT, on ? "Y" : "N", 1))
		cannot_run("%s: %s", PLAIN_SPLIT, strerror(errno));
}

const char *switch_trace_instance(void)
{
	if (mkdir(TRACE_INSTANCE, 0700))
		cannot_run("%s: %s: %s", TRACE_INSTANCE, strerror(errno),
			   errno == EEXIST ? "rmdir it, or wait for the other gmem-convert" :
			   "set CONFIG_TRACING and mount tracefs");
	instance_made = true;
	return TRACE_INSTANCE;
}
