/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the guest's init share. README.md explains the whole.
 */
#ifndef VM_INIT_H
#define VM_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "proto.h"

/* What to run and where, as the host sent it. Strings live as long as init. */
struct config {
	char **argv;
	char **envp;
	char **binds;		/* host directories wanted below a tmpfs */
	const char *cwd;
	const char *out;	/* writable host directory, or NULL */
	const char *cgroup;	/* "v1" or "v2" */
	bool tty;
	struct winsize winsize;
};

/* port.c */
int port_open(void);
void port_read(int port, void *buf, size_t len);
void port_send(int port, enum frame_type type, const void *data, size_t len);
__attribute__((noreturn, format(printf, 2, 3)))
void port_fail(int port, const char *fmt, ...);

/* config.c */
void config_receive(int port, struct config *config);

/* mounts.c */
void mounts_early(void);
void mounts_root(int port, const struct config *config);
void mounts_flush(const struct config *config);

/* command.c */
struct command {
	pid_t pid;
	int in;			/* write end of CMD's stdin, or -1 */
	int out[2];		/* read ends of its stdout and stderr, or -1 */
	bool tty;		/* in and out[0] are one pseudo-terminal */
};

void command_drop_priority(void);
void command_start(int port, const struct config *config, struct command *cmd);

/* relay.c */
int relay_run(int port, struct command *cmd);

/* log.c */
void log_put(const char *path, const char *text);
void log_dump_tasks(void);
void log_end(void);

/* vcpus.c */
void vcpus_watch(void);
void vcpus_report_shutdowns(void);
void vcpus_report_exits(void);

/* kmemleak.c */
void kmemleak_report(int port);

#endif
