// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where vCPUs of CMD have shut down, and for a CMD that takes too long where they
 * exit: a line of the kernel log with addresses.  README.md, "Nested SVM", tells what
 * the host reads out of it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

/* A tracer of its own, whatever CMD traces. */
#define INSTANCE	"/sys/kernel/tracing/instances/init"
#define EVENT		INSTANCE "/events/kvm/kvm_exit/"
#define BUFFER_KB	"16"
/* SVM's. KVM resets the vCPU, so that nobody else knows where it was. */
#define SHUTDOWN	"exit_reason == 0x7f"
#define MICROSECONDS	100000
#define NR_ADDRESSES	4

struct addresses {
	unsigned long at[NR_ADDRESSES];
	int nr;
};

static void add_address(struct addresses *seen, unsigned long address)
{
	for (int i = 0; i < seen->nr; i++)
		if (seen->at[i] == address)
			return;
	if (seen->nr < NR_ADDRESSES)
		seen->at[seen->nr++] = address;
}

static void read_trace(struct addresses *seen)
{
	FILE *trace = fopen(INSTANCE "/trace", "re");
	unsigned long address;
	char line[512], *at;

	while (trace && fgets(line, sizeof(line), trace)) {
		at = strstr(line, " rip ");
		if (at && sscanf(at, " rip %lx", &address) == 1)
			add_address(seen, address);
	}
	if (trace)
		fclose(trace);
}

/* Append the name of the kernel's function that begins last before @address. */
static void append_symbol(FILE *to, unsigned long address)
{
	FILE *symbols = fopen("/proc/kallsyms", "re");
	char line[512], name[128], found[128] = "";
	unsigned long start, nearest = 0;

	while (symbols && fgets(line, sizeof(line), symbols)) {
		if (sscanf(line, "%lx %*c %127s", &start, name) == 2 &&
		    start <= address && start > nearest) {
			nearest = start;
			memcpy(found, name, sizeof(found));
		}
	}
	if (symbols)
		fclose(symbols);
	if (*found)
		fprintf(to, " (%s)", found);
}

static void report(const char *what)
{
	struct addresses seen = { .nr = 0 };
	char text[1024];
	FILE *to;

	read_trace(&seen);
	to = seen.nr ? fmemopen(text, sizeof(text), "w") : NULL;
	if (!to)
		return;
	fprintf(to, PORT_NAME ": vCPUs %s at", what);
	for (int i = 0; i < seen.nr; i++) {
		fprintf(to, "%s %#lx", i ? "," : "", seen.at[i]);
		/* Below is what a guest has, not the kernel. */
		if (seen.at[i] >> 63)
			append_symbol(to, seen.at[i]);
	}
	fprintf(to, "\n");
	fclose(to);
	log_put("/dev/kmsg", text);
}

/* Without tracefs or KVM there is nothing to see. */
void vcpus_watch(void)
{
	if (mkdir(INSTANCE, 0700) || access(EVENT, F_OK))
		return;
	log_put(INSTANCE "/buffer_size_kb", BUFFER_KB);
	log_put(EVENT "filter", SHUTDOWN);
	log_put(EVENT "enable", "1");
}

void vcpus_report_shutdowns(void)
{
	report("have shut down");
}

void vcpus_report_exits(void)
{
	if (access(EVENT, F_OK))
		return;
	log_put(EVENT "filter", "0");
	usleep(MICROSECONDS);
	log_put(EVENT "enable", "0");
	report("exit");
}
