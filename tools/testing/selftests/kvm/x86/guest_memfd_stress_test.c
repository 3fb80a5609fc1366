// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on guest_memfds by several threads, against a model.
 *
 * Operations come in lives of 1920: a process with a VM and one file, which ends
 * in one of many ways, or is killed in the midst of it.  Each life has its seed,
 * one more than that of the life before it; and when it is over, all counters of
 * the pools must be what they were, no huge page be charged to a cgroup, and the
 * kernel have warned of nothing.
 *
 * If a life fails, repeat it with fewer operations as long as it fails still, and
 * print how to repeat that:
 *
 *	make test T=stress:debug:mode0 SEED=17 OPS=3-3,40-52
 *
 * A number for OPS is how many operations to do, in as many lives as it takes; a
 * list says which ones to do of one life.  Seeds repeat what each thread does,
 * not when.  T is the test as it failed; TEST in the environment is its name.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_sept.h"
#include "guest_memfd_stress.h"
#include "guest_memfd_trace.h"
#include "kselftest.h"

#define NR_WAITS	6000
#define WAIT_US		10000
#define PROGRESS_SECONDS	20
#define ALARM_SECONDS	4
/* Lives with the same seed, each of which has lost a vCPU. */
#define NR_AGAIN	5
/* To look for a shorter way to the same failure. */
#define NR_SHORTER	40
/* From so many operations on, each kind must have been done. */
#define NR_FOR_ALL	20000
/* Of all lives, one in so many. */
#define KILL_ONE_IN	6
#define NO_DELAY_ONE_IN	2
#define MERGE_DELAY_MS	5
#define DISK_NSEC	1000000

static struct stress_shared *shared;
static struct hugetlb_counters counters;
static u64 nr_2m;
static int disk;
static u64 tainted;
static bool quiet;

/* What the command line asks for. */
struct request {
	u32 seed;
	const char *ops;
	u32 nr_ops;
	bool inject;
	/* @ops are those of one life. */
	bool is_list;
};

static const char * const faults[] = {
	"failslab", "fail_page_alloc", "fail_hugetlb_gmem", "fail_sept_demote",
	"fail_sept_busy", "fail_function",
};

/* What fail_function makes steps of a conversion return. */
static const struct {
	const char *function;
	const char *retval;
	int error;
} functions[] = {
	{ "hugetlb_gmem_prepare_relayout", "hugetlb_gmem_prepare_relayout/retval", -ENOMEM },
	{ "kvm_arch_gmem_split", "kvm_arch_gmem_split/retval", -EBUSY },
};

static void set_fault(const char *fault, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", fault, name);
	gmem_write_file(path, value);
}

static void set_functions(void)
{
	char text[32];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		set_fault("fail_function", "inject", functions[i].function);
		snprintf(text, sizeof(text), "0x%lx", (long)functions[i].error);
		set_fault("fail_function", functions[i].retval, text);
	}
}

/* Of the allocations of threads that ask for it, fail one in a hundred. */
static void set_faults(bool on)
{
	u32 i;

	/* A blank takes all functions out again. */
	if (on)
		set_functions();
	else
		set_fault("fail_function", "inject", " ");
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		set_fault(faults[i], "task-filter", "Y");
		set_fault(faults[i], "verbose", "0");
		set_fault(faults[i], "interval", "1");
		set_fault(faults[i], "times", "-1");
		set_fault(faults[i], "probability", on ? "1" : "0");
	}
	for (i = 0; i < 2; i++)
		set_fault(faults[i], "ignore-gfp-wait", "N");
	set_fault("fail_page_alloc", "min-order", "0");
	set_fault("fail_page_alloc", "ignore-gfp-highmem", "N");
}

/* Orphans come back by a worker, and after whoever held them. */
static bool counters_are_back(void)
{
	struct hugetlb_counters now;
	bool same = hugetlb_counters_wait_eq(&counters, &now);

	if (!same)
		ksft_print_msg("counters are\n%swere\n%s", now.text, counters.text);
	hugetlb_counters_free(&now);
	return same;
}

/* Poisoned pages are gone for good: give the pool others. */
static bool check_counters(void)
{
	hugetlb_pool_set(SZ_2M, nr_2m);
	return counters_are_back();
}

static bool is_uncharged(const char *file)
{
	long bytes = 0;
	u32 i;

	for (i = 0; i < NR_WAITS; i++) {
		bytes = cg_read_long(STRESS_CGROUP, file);
		if (!bytes)
			return true;
		usleep(WAIT_US);
	}
	ksft_print_msg("%s is still %ld\n", file, bytes);
	return false;
}

/* What is charged to a cgroup that is gone is charged to its parent. */
static bool check_cgroups(void)
{
	char *cgroup;
	u32 i;

	for (i = 0; i <= shared->nr_cgroups; i++) {
		cgroup = cg_name_indexed(STRESS_CGROUP, "life", i);
		if (!access(cgroup, F_OK))
			TEST_ASSERT(!cg_destroy(cgroup), "Cannot remove %s", cgroup);
		free(cgroup);
	}
	return is_uncharged("hugetlb.2MB.current") && is_uncharged("hugetlb.2MB.rsvd.current") &&
	       is_uncharged("hugetlb.1GB.current") && is_uncharged("hugetlb.1GB.rsvd.current");
}

/* Else what a socket drops may wait for the next packet on its CPU. */
static void set_up_sockets(void)
{
	gmem_write_file("/proc/sys/net/core/skb_defer_max", "0");
}

static void set_up_cgroups(void)
{
	TEST_ASSERT(!cg_write("/sys/fs/cgroup", "cgroup.subtree_control", "+hugetlb +memory") &&
		    !cg_create(STRESS_CGROUP) &&
		    !cg_write(STRESS_CGROUP, "cgroup.subtree_control", "+hugetlb +memory"),
		    "No cgroup v2 with hugetlb and memory");
}

static void report_current(const struct stress_config *c)
{
	s32 number;
	u32 i;

	for (i = 0; i < STRESS_NR_THREADS; i++) {
		number = READ_ONCE(shared->current[i]);
		if (number >= 0)
			ksft_print_msg("thread %u is at operation %d: %s\n", i, number,
				       stress_kind_name(stress_kind(c, number)));
	}
}

/* Interrupt wait(), no more. */
static void ring(int signal)
{
}

/* Off while anything but wait() runs: the kernel stops resizing a pool for it. */
static void set_alarm_clock(u32 seconds)
{
	struct itimerval timer = { { seconds }, { seconds } };
	struct sigaction action = { .sa_handler = ring };

	TEST_ASSERT(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &timer, NULL),
		    "No timer, errno: %d", errno);
}

/* If nothing has begun since the last time, have vCPUs that run be looked at. */
static void look_at_vcpus(pid_t pid, u32 *nr_begun)
{
	u32 i, now = READ_ONCE(shared->nr_begun);
	pid_t tid;

	for (i = 0; now == *nr_begun && i < STRESS_NR_THREADS; i++) {
		tid = READ_ONCE(shared->running[i]);
		if (tid)
			tgkill(pid, tid, STRESS_SIGNAL);
	}
	*nr_begun = now;
}

static void report_life(const struct stress_config *c)
{
	ksft_print_msg("seed %u, %u operations begun, round %u\n", c->seed, shared->nr_begun,
		       shared->round);
	report_current(c);
}

/* Return the status of the life's process, with all its children gone. */
static int wait_for_all(const struct stress_config *c, pid_t pid)
{
	u32 alarms = 0, nr_begun = 0;
	int status, result = 0;
	pid_t gone;

	set_alarm_clock(ALARM_SECONDS);
	for (;;) {
		gone = wait(&status);
		if (gone == pid)
			result = status;
		if (gone >= 0)
			continue;
		if (errno == ECHILD)
			break;
		TEST_ASSERT(errno == EINTR, "wait(), errno: %d", errno);
		look_at_vcpus(pid, &nr_begun);
		if (++alarms % (PROGRESS_SECONDS / ALARM_SECONDS) == 0)
			report_life(c);
	}
	set_alarm_clock(0);
	return result;
}

/* Changes when the kernel first warns. */
static u64 read_tainted(void)
{
	char text[32];

	TEST_ASSERT(read_text("/proc/sys/kernel/tainted", text, sizeof(text)) > 0,
		    "Cannot read what taints the kernel");
	return strtoul(text, NULL, 10);
}

enum outcome {
	GOOD,
	FAILED,
	/* Whatever is done next will find it, too. */
	LEFT_TRACES,
	/* By the emulator. */
	LOST_VCPU,
};

static pid_t start(const struct stress_config *c)
{
	pid_t pid;

	memset(shared->current, -1, sizeof(shared->current));
	memset(shared->running, 0, sizeof(shared->running));
	shared->nr_begun = 0;
	shared->round = 0;
	shared->nr_cgroups = 0;
	gmem_sept_set(c->sept);
	gmem_sept_promote(c->promote);
	gmem_set_merge_delay(c->merge_delay);
	/* An old exit explains nothing. */
	gmem_trace_empty();
	fflush(NULL);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork(), errno: %d", errno);
	if (!pid) {
		if (quiet && (!freopen("/dev/null", "w", stdout) ||
			      !freopen("/dev/null", "w", stderr)))
			_exit(1);
		stress_live(c, shared, disk);
		exit(0);
	}
	return pid;
}

static enum outcome live_once(const struct stress_config *c)
{
	int status = wait_for_all(c, start(c)), expected = c->kill_at < c->nr_ops ? SIGKILL : 0;
	u64 now = read_tainted();

	if (now != tainted) {
		ksft_print_msg("tainted is 0x%lx, was 0x%lx\n", now, tainted);
		return LEFT_TRACES;
	}
	if (!check_cgroups() || !check_counters())
		return LEFT_TRACES;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STRESS_LOST_VCPU)
		return LOST_VCPU;
	return status == expected ? GOOD : FAILED;
}

static enum outcome live(const struct stress_config *c)
{
	enum outcome outcome = live_once(c);
	u32 i;

	for (i = 0; outcome == LOST_VCPU && i < NR_AGAIN; i++) {
		ksft_print_msg("seed %u once more\n", c->seed);
		outcome = live_once(c);
	}
	return outcome;
}

static void print_list(const struct stress_config *c)
{
	u32 i, end, nr = 0;

	for (i = 0; i < STRESS_LIFE; i = end) {
		for (end = i + 1; end < STRESS_LIFE && c->selected[end] == c->selected[i]; end++)
			;
		if (!c->selected[i])
			continue;
		/* A number by itself would be how many. */
		printf("%s%u-%u", nr++ ? "," : "", i, end - 1);
	}
	printf("\n");
}

static u32 nr_selected(const struct stress_config *c)
{
	u32 i, nr = 0;

	for (i = 0; i < STRESS_LIFE; i++)
		nr += c->selected[i];
	return nr;
}

/* A life that is repeated gets no further: it may be killed before, not after. */
static void end_with_selected(struct stress_config *c)
{
	for (c->nr_ops = STRESS_LIFE; c->nr_ops && !c->selected[c->nr_ops - 1]; c->nr_ops--)
		;
}

/* The same without @nr of the operations selected, from the @from-th on. */
static struct stress_config without(const struct stress_config *c, u32 from, u32 nr)
{
	struct stress_config less = *c;
	u32 i, at = 0;

	for (i = 0; i < STRESS_LIFE; i++) {
		if (c->selected[i] && at++ - from < nr)
			less.selected[i] = false;
	}
	end_with_selected(&less);
	return less;
}

/* Leave out a half, quarters, and so on, of what is left, while it fails still. */
static void shorten(struct stress_config *c)
{
	u32 chunk = nr_selected(c) / 2, from = 0, tries;
	struct stress_config less;

	/* At least one stays, to be named. */
	for (tries = 0; tries < NR_SHORTER && chunk && nr_selected(c) > 1; tries++) {
		less = without(c, from, chunk);
		if (nr_selected(&less) && live(&less) != GOOD)
			*c = less;
		else
			from += chunk;
		if (from >= nr_selected(c)) {
			from = 0;
			chunk /= 2;
		}
	}
}

static void report_failure(struct stress_config *c, enum outcome outcome)
{
	const char *name = getenv("TEST");
	u32 i;

	ksft_print_msg("seed %u failed: order %u, flags 0x%lx%s%s\n", c->seed, c->order,
		       c->flags, c->sept ? ", S-EPT" : "", c->poison ? ", poison" : "");
	report_current(c);
	/* Nobody has got further than this. */
	for (i = min_t(u32, c->nr_ops, (shared->round + 1) * STRESS_ROUND); i < STRESS_LIFE; i++)
		c->selected[i] = false;
	ksft_print_msg("to repeat: make test T=%s SEED=%u OPS=", name ?: "stress", c->seed);
	print_list(c);
	fflush(stdout);
	if (outcome == LEFT_TRACES)
		return;
	quiet = true;
	shorten(c);
	ksft_print_msg("at the least: SEED=%u OPS=", c->seed);
	print_list(c);
}

static void select_list(struct stress_config *c, const char *list)
{
	char *at = (char *)list;
	u32 first, last;

	memset(c->selected, false, sizeof(c->selected));
	do {
		first = strtoul(at, &at, 10);
		last = *at == '-' ? strtoul(at + 1, &at, 10) : first;
		TEST_ASSERT(first <= last && last < STRESS_LIFE && (!*at || *at == ','),
			    "OPS=%s is no list of numbers below %u", list, STRESS_LIFE);
		while (first <= last)
			c->selected[first++] = true;
	} while (*at++);
	end_with_selected(c);
}

static void report_progress(const struct request *r, u32 lives, u32 done, time_t start)
{
	static time_t last;
	time_t now = time(NULL);

	if (now - last < PROGRESS_SECONDS)
		return;
	last = now;
	ksft_print_msg("%ld s, %u lives, %u of %u operations\n", now - start, lives, done,
		       r->nr_ops);
}

static void report_counts(void)
{
	u32 kind;

	ksft_print_msg("%-14s %9s %9s %9s %9s\n", "operation", "done", "again", "refused",
		       "skipped");
	for (kind = 0; stress_kind_name(kind); kind++)
		ksft_print_msg("%-14s %9lu %9lu %9lu %9lu\n", stress_kind_name(kind),
			       shared->counts[kind][STRESS_DONE],
			       shared->counts[kind][STRESS_AGAIN],
			       shared->counts[kind][STRESS_REFUSED],
			       shared->counts[kind][STRESS_SKIPPED]);
}

static bool all_kinds_done(void)
{
	u32 kind;

	for (kind = 0; stress_kind_name(kind); kind++) {
		if (!shared->counts[kind][STRESS_DONE] && !shared->counts[kind][STRESS_REFUSED]) {
			ksft_print_msg("never done: %s\n", stress_kind_name(kind));
			return false;
		}
	}
	return true;
}

/* What a life has besides what it does. */
static void set_odds(struct stress_config *c)
{
	u64 fate = stress_hash(c->seed, BIT_ULL(48));

	c->nr_2m = nr_2m;
	c->merge_delay = fate % NO_DELAY_ONE_IN ? MERGE_DELAY_MS : 0;
	fate /= NO_DELAY_ONE_IN;
	c->kill_at = STRESS_LIFE;
	if (fate % KILL_ONE_IN == 0)
		c->kill_at = fate / KILL_ONE_IN % STRESS_LIFE;
}

static bool run_all(const struct request *r)
{
	u32 lives = 0, done = 0;
	time_t start = time(NULL);
	struct stress_config c;
	enum outcome outcome;

	while (done < r->nr_ops) {
		c = stress_config(r->seed + lives++, r->inject);
		set_odds(&c);
		c.nr_ops = min_t(u32, STRESS_LIFE, r->nr_ops - done);
		if (r->is_list)
			select_list(&c, r->ops);
		outcome = live(&c);
		if (outcome != GOOD) {
			report_failure(&c, outcome);
			return false;
		}
		done += shared->nr_begun ?: c.nr_ops;
		if (r->is_list)
			break;
		report_progress(r, lives, done, start);
	}
	ksft_print_msg("%u lives, %u operations in %ld s\n", lives, done, time(NULL) - start);
	report_counts();
	return r->nr_ops < NR_FOR_ALL || all_kinds_done();
}

static void help(const char *name, int status)
{
	printf("usage: %s [-i] [-n OPERATIONS | -n LIST] [-s SEED]\n"
	       "  -i  let one in a hundred allocations fail\n"
	       "  -n  how many operations (default 2000), or which ones of one life: 3,40-52\n"
	       "  -s  seed of the first life (default 1)\n"
	       "SEED and OPS in the environment go before -s and -n.\n", name);
	exit(status);
}

static void take_ops(struct request *r, const char *ops)
{
	r->ops = ops;
	r->is_list = strpbrk(ops, ",-");
	r->nr_ops = r->is_list ? STRESS_LIFE : atoi_positive("operations", ops);
}

static void parse(struct request *r, int argc, char **argv)
{
	int opt;

	*r = (struct request){ .seed = 1 };
	take_ops(r, "2000");
	while ((opt = getopt(argc, argv, "hin:s:")) != -1) {
		switch (opt) {
		case 'i':
			r->inject = true;
			break;
		case 'n':
			take_ops(r, optarg);
			break;
		case 's':
			r->seed = atoi_positive("seed", optarg);
			break;
		case 'h':
			help(argv[0], 0);
			break;
		default:
			help(argv[0], 1);
		}
	}
	if (getenv("SEED"))
		r->seed = atoi_positive("SEED", getenv("SEED"));
	if (getenv("OPS"))
		take_ops(r, getenv("OPS"));
}

int main(int argc, char **argv)
{
	struct request r;
	bool good;

	parse(&r, argc, argv);
	ksft_print_header();
	ksft_set_plan(1);
	ksft_print_msg("seed %u, operations: %s%s\n", r.seed, r.ops,
		       r.inject ? ", with faults" : "");
	shared = kvm_mmap(sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	TEST_ASSERT(!prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl(), errno: %d", errno);
	set_up_cgroups();
	set_up_sockets();
	disk = gmem_disk_open(DISK_NSEC);
	hugetlb_pool_require(SZ_2M, 8);
	hugetlb_pool_require(SZ_1G, 2);
	nr_2m = hugetlb_pool_get(-1, SZ_2M, "nr_hugepages");
	hugetlb_counters_read(&counters);
	tainted = read_tainted();
	stress_trace_shutdowns(true);
	if (r.inject)
		set_faults(true);
	good = run_all(&r);
	if (r.inject)
		set_faults(false);
	stress_trace_shutdowns(false);
	gmem_disk_close(disk);
	cg_destroy(STRESS_CGROUP);
	ksft_test_result(good, "stress\n");
	ksft_finished();
}
