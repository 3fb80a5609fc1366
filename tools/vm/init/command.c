// SPDX-License-Identifier: GPL-2.0-only
/*
 * Start CMD with pipes, or a terminal of its own, in place of the caller's
 * stdin, stdout and stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

/* The ends of CMD's stdin, stdout and stderr that it keeps. */
struct child_end {
	int fd[3];
};

static void open_pipes(int port, struct command *cmd, struct child_end *end)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		port_fail(port, "init: cannot make pipes: %s", strerror(errno));
	*end = (struct child_end){ { in[0], out[1], err[1] } };
	cmd->in = in[1];
	cmd->out[0] = out[0];
	cmd->out[1] = err[0];
}

static void open_terminal(int port, const struct config *config,
			  struct command *cmd, struct child_end *end)
{
	int master, slave;

	if (openpty(&master, &slave, NULL, NULL, &config->winsize))
		port_fail(port, "init: cannot open a terminal: %s", strerror(errno));
	fcntl(master, F_SETFD, FD_CLOEXEC);
	*end = (struct child_end){ { slave, slave, slave } };
	cmd->in = master;
	cmd->out[0] = master;
	cmd->out[1] = -1;
}

void command_drop_priority(void)
{
	const struct sched_param normal = { 0 };

	if (sched_setscheduler(0, SCHED_OTHER, &normal))
		perror("init: sched_setscheduler");
}

/* Leave nothing of init's in CMD but the file descriptors meant for it. */
static void become_command(const struct config *config, const struct child_end *end)
{
	sigset_t none;
	int i;

	setsid();
	for (i = 0; i < 3; i++)
		dup2(end->fd[i], i);
	if (config->tty)
		ioctl(0, TIOCSCTTY, 0);
	closefrom(3);
	command_drop_priority();
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	environ = config->envp;
	execvp(config->argv[0], config->argv);
}

/* The shell's statuses: 127 if there is no such command, else 126. */
static void command_exec(const struct config *config, const struct child_end *end)
{
	int error;

	become_command(config, end);
	error = errno;
	fprintf(stderr, "tools/vm/run: cannot run %s: %s\n", config->argv[0],
		strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

void command_start(int port, const struct config *config, struct command *cmd)
{
	struct child_end end;

	cmd->tty = config->tty;
	if (config->tty)
		open_terminal(port, config, cmd, &end);
	else
		open_pipes(port, cmd, &end);
	fcntl(cmd->in, F_SETFL, O_NONBLOCK);
	cmd->pid = fork();
	if (cmd->pid < 0)
		port_fail(port, "init: cannot fork: %s", strerror(errno));
	if (!cmd->pid)
		command_exec(config, &end);
	close(end.fd[0]);
	if (!config->tty) {
		close(end.fd[1]);
		close(end.fd[2]);
	}
}
