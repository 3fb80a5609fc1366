// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's file systems: the host's root, read-only over 9p, with the
 * guest's own proc, sys, dev, run and tmp over it. README.md shows the result.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define ROOT	"/newroot"

struct mount {
	const char *type;
	const char *where;
	unsigned long flags;
	const char *data;
	bool optional;		/* the kernel, or the host, may lack it */
};

#define NSD	(MS_NOSUID | MS_NODEV)
#define NSDX	(NSD | MS_NOEXEC)

/* In order: a mount may need a directory of one before it. */
static const struct mount mounts[] = {
	{ "proc",	"/proc",		NSDX,	NULL },
	{ "sysfs",	"/sys",			NSDX,	NULL },
	{ "devtmpfs",	"/dev",			MS_NOSUID, "mode=0755" },
	{ "devpts",	"/dev/pts",		MS_NOSUID | MS_NOEXEC,
						"gid=5,mode=620,ptmxmode=666" },
	{ "tmpfs",	"/dev/shm",		NSD,	"mode=1777" },
	{ "hugetlbfs",	"/dev/hugepages",	NSD,	"mode=1777", true },
	{ "mqueue",	"/dev/mqueue",		NSDX,	NULL, true },
	{ "tmpfs",	"/tmp",			NSD,	"mode=1777" },
	{ "tmpfs",	"/run",			NSD,	"mode=0755" },
	{ "tmpfs",	"/var/tmp",		NSD,	"mode=1777", true },
	{ "debugfs",	"/sys/kernel/debug",	NSDX,	NULL, true },
	{ "tracefs",	"/sys/kernel/tracing",	NSDX,	NULL, true },
};

/* Make every missing directory of path, below the guest's root. */
static int make_path(const char *path)
{
	char part[PATH_MAX];
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(part, 0755) && errno != EEXIST && errno != EROFS)
			return -1;
		*slash = '/';
	}
	return mkdir(part, 0755) && errno != EEXIST && errno != EROFS ? -1 : 0;
}

/* proc and sys for finding the port; both are mounted again in the root. */
void mounts_early(void)
{
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("sysfs", "/sys", "sysfs", NSDX, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
}

/*
 * Files do not change under a test, so cache=loose: programs start at the
 * speed of the page cache. Two views of one superblock: the tmpfs mounts will
 * hide parts of the first, which mount_binds() takes from the second.
 */
static void mount_host(int port)
{
	if (make_path(ROOT) || make_path("/host") ||
	    mount("host", "/host", "9p", MS_RDONLY,
		  "trans=virtio,version=9p2000.L,msize=512000,cache=loose"))
		port_fail(port, "init: cannot mount the host's root: %s",
			  strerror(errno));
	if (mount("/host", ROOT, NULL, MS_BIND, NULL))
		port_fail(port, "init: cannot bind the host's root: %s",
			  strerror(errno));
}

static void mount_tables(int port)
{
	char path[PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		const struct mount *m = &mounts[i];

		snprintf(path, sizeof(path), "%s%s", ROOT, m->where);
		make_path(path);
		if (mount(m->type, path, m->type, m->flags, m->data) && !m->optional)
			port_fail(port, "init: cannot mount %s on %s: %s", m->type,
				  m->where, strerror(errno));
	}
}

/* A mount point for what the host has at from: same kind, or the link itself. */
static int make_mount_point(const char *from, const char *to, bool *link)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;
	int fd;

	if (lstat(from, &st))
		return -1;
	*link = S_ISLNK(st.st_mode);
	if (S_ISDIR(st.st_mode))
		return make_path(to);
	if (*link) {
		n = readlink(from, target, sizeof(target) - 1);
		if (n < 0)
			return -1;
		target[n] = 0;
		return symlink(target, to);
	}
	fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

/* Show what one of the tmpfs mounts hides, but for what is gone by now. */
static void mount_binds(int port, char **binds)
{
	char from[PATH_MAX], to[PATH_MAX];
	bool link = false;

	for (; binds && *binds; binds++) {
		snprintf(from, sizeof(from), "/host%s", *binds);
		snprintf(to, sizeof(to), "%s%s", ROOT, *binds);
		if (faccessat(AT_FDCWD, from, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)
			continue;
		if (make_mount_point(from, to, &link) ||
		    (!link && mount(from, to, NULL, MS_BIND, NULL)))
			port_fail(port, "init: cannot show %s: %s", *binds,
				  strerror(errno));
	}
}

static void mount_out(int port, const char *out)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", ROOT, out);
	if (make_path(path) ||
	    mount("out", path, "9p", NSD,
		  "trans=virtio,version=9p2000.L,msize=512000,cache=mmap"))
		port_fail(port, "init: cannot mount %s: %s", out, strerror(errno));
}

/* Version 1: one folder per controller that the kernel has. */
static void mount_cgroup_v1(int port)
{
	char line[256], name[64], path[PATH_MAX];
	FILE *file;

	if (mount("tmpfs", ROOT "/sys/fs/cgroup", "tmpfs", NSDX, "mode=0755"))
		port_fail(port, "init: cannot mount /sys/fs/cgroup: %s",
			  strerror(errno));
	file = fopen(ROOT "/proc/cgroups", "re");
	if (!file)
		port_fail(port, "init: no version 1 control groups in this kernel");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s", name) != 1 || name[0] == '#')
			continue;
		snprintf(path, sizeof(path), ROOT "/sys/fs/cgroup/%s", name);
		mkdir(path, 0755);
		if (mount("cgroup", path, "cgroup", NSDX, name))
			rmdir(path);
	}
	fclose(file);
}

static void mount_cgroup(int port, const char *version)
{
	if (!strcmp(version, "v1"))
		mount_cgroup_v1(port);
	else if (mount("cgroup2", ROOT "/sys/fs/cgroup", "cgroup2", NSDX, NULL))
		port_fail(port, "init: cannot mount control groups: %s",
			  strerror(errno));
}

static void make_links(void)
{
	static const char * const links[][2] = {
		{ "/proc/self/fd",	"/dev/fd" },
		{ "/proc/self/fd/0",	"/dev/stdin" },
		{ "/proc/self/fd/1",	"/dev/stdout" },
		{ "/proc/self/fd/2",	"/dev/stderr" },
	};
	size_t i;

	for (i = 0; i < sizeof(links) / sizeof(*links); i++)
		if (symlink(links[i][0], links[i][1]) && errno != EEXIST)
			perror(links[i][1]);
}

void mounts_root(int port, const struct config *config)
{
	mount_host(port);
	mount_tables(port);
	mount_binds(port, config->binds);
	if (config->out)
		mount_out(port, config->out);
	mount_cgroup(port, config->cgroup);
	if (chdir(ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot("."))
		port_fail(port, "init: cannot enter the root: %s", strerror(errno));
	make_links();
	/* The directory may be one that only the host has, such as its /tmp. */
	if (chdir(config->cwd))
		port_fail(port, "init: cannot enter %s: %s", config->cwd,
			  strerror(errno));
}

/* Write back what a program mapped and left dirty. */
void mounts_flush(const struct config *config)
{
	int fd;

	if (!config->out)
		return;
	fd = open(config->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	syncfs(fd);
	close(fd);
}
