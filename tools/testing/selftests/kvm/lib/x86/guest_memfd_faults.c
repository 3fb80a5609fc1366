// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failing allocations for the selftests of guest_memfd: those it makes for
 * itself, by fail_hugetlb_gmem, or any of the kernel's, by failslab and
 * fail_page_alloc.  And demotions in an emulated S-EPT, by fail_sept_demote.
 *
 * Those of all the kernel go by /proc/self/fail-nth, which has one count for all kinds of
 * faults: a failure may hit an allocation that does without, or a copy from or
 * to user memory.
 *
 * See Documentation/mm/hugetlb_gmem.rst and
 * Documentation/fault-injection/fault-injection.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_faults.h"
#include "guest_memfd_util.h"

#define DEBUGFS		"/sys/kernel/debug/"

static int nth_fd = -1;
static int task_fd = -1;

static void set_fault(const char *capability, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", capability, name);
	TEST_ASSERT(!access(path, W_OK),
		    "No %s: set CONFIG_HUGETLB_GMEM_DEBUG, CONFIG_FAULT_INJECTION_DEBUG_FS and options of the fault",
		    path);
	gmem_write_file(path, value);
}

static void set_number(const char *capability, const char *name, u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", value);
	set_fault(capability, name, text);
}

static u64 get_number(const char *capability, const char *name)
{
	char path[128], text[32];
	ssize_t len;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", capability, name);
	len = read_text(path, text, sizeof(text));
	TEST_ASSERT(len > 0, "Reading %s: %ld", path, len);
	return strtoul(text, NULL, 0);
}

void gmem_fail_arm(const char *capability, u64 number, u64 times)
{
	set_number(capability, "interval", 1);
	set_number(capability, "verbose", 0);
	set_number(capability, "space", number);
	set_number(capability, "times", times);
	set_number(capability, "probability", 100);
}

u64 gmem_fail_disarm(const char *capability)
{
	set_number(capability, "probability", 0);
	return get_number(capability, "times");
}

static void only_this_task(const char *capability)
{
	set_fault(capability, "task-filter", "Y");
	gmem_write_file("/proc/self/make-it-fail", "1");
}

static void own_set_up(void)
{
	only_this_task("fail_hugetlb_gmem");
}

static void own_arm(u64 number)
{
	gmem_fail_arm("fail_hugetlb_gmem", number, 1);
}

static bool own_disarm(void)
{
	return !gmem_fail_disarm("fail_hugetlb_gmem");
}

const struct gmem_fault gmem_fault_own = {
	.name = "fail_hugetlb_gmem",
	.set_up = own_set_up,
	.arm = own_arm,
	.disarm = own_disarm,
};

u64 gmem_fault_own_counted(void)
{
	return GMEM_FAULT_COUNT - get_number("fail_hugetlb_gmem", "space");
}

static void demote_set_up(void)
{
	only_this_task(GMEM_FAIL_DEMOTE);
}

static void demote_arm(u64 number)
{
	gmem_fail_arm(GMEM_FAIL_DEMOTE, number, 1);
}

static bool demote_disarm(void)
{
	return !gmem_fail_disarm(GMEM_FAIL_DEMOTE);
}

const struct gmem_fault gmem_fault_demote = {
	.name = GMEM_FAIL_DEMOTE,
	.set_up = demote_set_up,
	.arm = demote_arm,
	.disarm = demote_disarm,
};

static void slab_twice_set_up(void)
{
	set_fault("failslab", "cache-filter", "N");
	set_fault("failslab", "ignore-gfp-wait", "N");
	set_fault("failslab", "task-filter", "Y");
	task_fd = open_path_or_exit("/proc/self/make-it-fail", O_RDWR);
}

/* To open a file takes memory, too. */
static void fail_task(bool on)
{
	TEST_ASSERT(pwrite(task_fd, on ? "1" : "0", 1, 0) == 1,
		    "Writing make-it-fail, errno: %d", errno);
}

static void slab_twice_arm(u64 bytes)
{
	gmem_fail_arm("failslab", bytes, 2);
	fail_task(true);
}

static bool slab_twice_disarm(void)
{
	fail_task(false);
	return gmem_fail_disarm("failslab") < 2;
}

const struct gmem_fault gmem_fault_slab_twice = {
	.name = "failslab, twice",
	.set_up = slab_twice_set_up,
	.arm = slab_twice_arm,
	.disarm = slab_twice_disarm,
};

static const char * const commit_faults[] = { "failslab", "fail_page_alloc" };

void gmem_fail_commit_arm(void)
{
	int i;

	gmem_write_file("/proc/self/make-it-fail", "0");
	set_fault("hugetlb_gmem", "fail_commit", "Y");
	set_fault("failslab", "cache-filter", "N");
	set_fault("fail_page_alloc", "min-order", "0");
	set_fault("fail_page_alloc", "ignore-gfp-highmem", "N");
	for (i = 0; i < ARRAY_SIZE(commit_faults); i++) {
		set_fault(commit_faults[i], "ignore-gfp-wait", "N");
		set_fault(commit_faults[i], "task-filter", "Y");
		gmem_fail_arm(commit_faults[i], 0, GMEM_FAULT_COUNT);
		/* With the stack, should anybody ask for memory. */
		set_fault(commit_faults[i], "verbose", "2");
	}
}

u64 gmem_fail_commit_disarm(void)
{
	u64 nr = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(commit_faults); i++) {
		nr += GMEM_FAULT_COUNT - gmem_fail_disarm(commit_faults[i]);
		set_fault(commit_faults[i], "task-filter", "N");
	}
	set_fault("hugetlb_gmem", "fail_commit", "N");
	return nr;
}

/* Also allocations that may sleep, i.e. GFP_KERNEL. */
static void nth_set_up(bool slab, bool page)
{
	set_fault("fail_hugetlb_gmem", "verbose", "0");
	set_fault("fail_usercopy", "verbose", "0");
	set_fault("failslab", "verbose", "0");
	set_fault("failslab", "cache-filter", "N");
	set_fault("failslab", "ignore-gfp-wait", slab ? "N" : "Y");
	set_fault("fail_page_alloc", "verbose", "0");
	set_fault("fail_page_alloc", "min-order", "0");
	set_fault("fail_page_alloc", "ignore-gfp-highmem", page ? "N" : "Y");
	set_fault("fail_page_alloc", "ignore-gfp-wait", page ? "N" : "Y");
	nth_fd = open_path_or_exit("/proc/self/fail-nth", O_RDWR);
}

static void slab_set_up(void)
{
	nth_set_up(true, false);
}

static void page_set_up(void)
{
	nth_set_up(false, true);
}

static void nth_arm(u64 number)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%lu", number);

	TEST_ASSERT(pwrite(nth_fd, text, len, 0) == len,
		    "Writing fail-nth, errno: %d", errno);
}

/*
 * Until it is 0 the count goes on in here: reading copies to user memory, and
 * writing from it, so that either may be what fails.
 */
static bool nth_disarm(void)
{
	char text[32] = {};
	ssize_t len = pread(nth_fd, text, sizeof(text) - 1, 0);

	TEST_ASSERT(len > 0 || errno == EFAULT, "Reading fail-nth, errno: %d", errno);
	if (len > 0 && !atoi(text))
		return true;

	len = pwrite(nth_fd, "0", 1, 0);
	TEST_ASSERT(len == 1 || errno == EFAULT, "Writing fail-nth, errno: %d", errno);
	return false;
}

const struct gmem_fault gmem_fault_slab = {
	.name = "failslab",
	.copies_count = true,
	.set_up = slab_set_up,
	.arm = nth_arm,
	.disarm = nth_disarm,
};

const struct gmem_fault gmem_fault_page = {
	.name = "fail_page_alloc",
	.copies_count = true,
	.set_up = page_set_up,
	.arm = nth_arm,
	.disarm = nth_disarm,
};

u64 gmem_fault_next(u64 number)
{
	return number + (number < GMEM_NR_FAULTS_EACH ? 1 : number / 4);
}
