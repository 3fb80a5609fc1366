// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process 1 of the virtual machine that tools/vm/run boots: report in, build
 * the root, run one command, tell the host how it ended. README.md explains it.
 */
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

/*
 * Ahead of every ordinary process, so that a busy guest still has a heartbeat;
 * behind real-time ones, so that a guest which runs nothing else has none.
 */
static void raise_priority(void)
{
	const struct sched_param lowest = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO, &lowest))
		perror("init: sched_setscheduler");
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		perror("init: lo");
	if (fd >= 0)
		close(fd);
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(void)
{
	struct config config;
	struct command cmd;
	int port, status;

	block_signals();
	mounts_early();
	port = port_open();
	config_receive(port, &config);
	mounts_root(port, &config);
	loopback_up();
	if (sethostname("vm", 2))
		perror("init: sethostname");
	vcpus_watch();
	raise_priority();
	command_start(port, &config, &cmd);
	port_send(port, FRAME_STARTED, NULL, 0);
	status = relay_run(port, &cmd);
	mounts_flush(&config);
	kmemleak_report(port);
	vcpus_report_shutdowns();
	log_end();
	port_send(port, FRAME_EXIT, &status, sizeof(status));
	for (;;)
		pause();
}
