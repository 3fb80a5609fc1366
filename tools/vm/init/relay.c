// SPDX-License-Identifier: GPL-2.0-only
/*
 * While CMD runs: its output to the host, the host's input to it, a heartbeat
 * each second, orphans reaped. When CMD ends everything it left is killed, and
 * the loop goes on until that is gone, so that its exit is in the kernel log.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

struct relay {
	int port;
	struct command *cmd;
	int signals;
	int timer;
	int status;		/* of CMD, once it has ended */
	bool ended;
	bool alone;		/* no process but init is left */
	/* Input that CMD has not taken yet. No frame is read meanwhile. */
	char input[FRAME_DATA_MAX];
	size_t input_len;
	size_t input_done;
};

static void close_input(struct relay *relay)
{
	if (relay->cmd->in >= 0 && !relay->cmd->tty)
		close(relay->cmd->in);
	relay->cmd->in = -1;
	relay->input_len = 0;
}

/* CMD may have closed its stdin: then the rest of the input is dropped. */
static void push_input(struct relay *relay)
{
	ssize_t n;

	n = write(relay->cmd->in, relay->input + relay->input_done,
		  relay->input_len - relay->input_done);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			close_input(relay);
		return;
	}
	relay->input_done += n;
	if (relay->input_done == relay->input_len)
		relay->input_len = 0;
}

static void take_input(struct relay *relay, size_t len)
{
	if (relay->cmd->in < 0)
		return;
	if (!len) {
		close_input(relay);
		return;
	}
	relay->input_len = len;
	relay->input_done = 0;
	push_input(relay);
}

static void take_frame(struct relay *relay)
{
	struct winsize winsize;
	struct frame frame;

	port_read(relay->port, &frame, sizeof(frame));
	if (frame.len > sizeof(relay->input))
		port_fail(relay->port, "init: frame of %u bytes", frame.len);
	port_read(relay->port, relay->input, frame.len);
	if (frame.type == FRAME_STDIN) {
		take_input(relay, frame.len);
	} else if (frame.type == FRAME_DUMP) {
		log_dump_tasks();
	} else if (frame.type == FRAME_WINSIZE && relay->cmd->tty &&
		   frame.len == sizeof(winsize)) {
		memcpy(&winsize, relay->input, sizeof(winsize));
		ioctl(relay->cmd->out[0], TIOCSWINSZ, &winsize);
	}
}

/* Return false when there is nothing to read, now (in the drain) or ever. */
static bool push_output(struct relay *relay, int which)
{
	static const enum frame_type types[] = { FRAME_STDOUT, FRAME_STDERR };
	static char data[FRAME_DATA_MAX];
	ssize_t n;

	n = read(relay->cmd->out[which], data, sizeof(data));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		/* A terminal says EIO once no process has it open. */
		if (relay->cmd->tty)
			close_input(relay);
		close(relay->cmd->out[which]);
		relay->cmd->out[which] = -1;
		return false;
	}
	port_send(relay->port, types[which], data, n);
	return true;
}

static void drain_output(struct relay *relay)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (relay->cmd->out[i] < 0)
			continue;
		fcntl(relay->cmd->out[i], F_SETFL, O_NONBLOCK);
		while (push_output(relay, i))
			;
	}
}

static void reap(struct relay *relay)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(relay->signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != relay->cmd->pid)
			continue;
		relay->status = status;
		relay->ended = true;
		kill(-1, SIGKILL);
		port_send(relay->port, FRAME_ENDED, NULL, 0);
	}
	if (relay->ended && pid < 0 && errno == ECHILD)
		relay->alone = true;
}

static void beat(struct relay *relay)
{
	uint64_t ticks;

	if (read(relay->timer, &ticks, sizeof(ticks)) > 0)
		port_send(relay->port, FRAME_BEAT, NULL, 0);
}

/* Wait for one of: a signal, the timer, the port, CMD's output, room for input. */
static void relay_step(struct relay *relay)
{
	struct pollfd fds[] = {
		{ relay->signals, POLLIN },
		{ relay->timer, POLLIN },
		{ relay->input_len ? -1 : relay->port, POLLIN },
		{ relay->cmd->out[0], POLLIN },
		{ relay->cmd->out[1], POLLIN },
		{ relay->input_len ? relay->cmd->in : -1, POLLOUT },
	};

	if (poll(fds, sizeof(fds) / sizeof(*fds), -1) < 0)
		return;
	if (fds[1].revents)
		beat(relay);
	if (fds[3].revents)
		push_output(relay, 0);
	if (fds[4].revents)
		push_output(relay, 1);
	if (fds[5].revents && relay->input_len)
		push_input(relay);
	if (fds[2].revents & POLLIN)
		take_frame(relay);
	if (fds[0].revents)
		reap(relay);
}

static void relay_open(struct relay *relay)
{
	const struct itimerspec second = { { 1, 0 }, { 1, 0 } };
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	relay->signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	relay->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (relay->signals < 0 || relay->timer < 0 ||
	    timerfd_settime(relay->timer, 0, &second, NULL))
		port_fail(relay->port, "init: no signalfd or timerfd: %s",
			  strerror(errno));
}

/* Return CMD's wait status. */
int relay_run(int port, struct command *cmd)
{
	static struct relay relay;

	memset(&relay, 0, sizeof(relay));
	relay.port = port;
	relay.cmd = cmd;
	relay_open(&relay);
	while (!relay.alone)
		relay_step(&relay);
	drain_output(&relay);
	close(relay.signals);
	close(relay.timer);
	return relay.status;
}
