// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kill a process that waits in KVM_SET_MEMORY_ATTRIBUTES2: with a fatal signal
 * before the point of no return, nothing has changed.
 *
 * The process waits because the parent, which has the file too, holds it up: it
 * allocates the other huge page of the file meanwhile, as long as the lock is held
 * without a break.  An attempt counts if that was still under way when the signal
 * had been sent, so that no conversion could have begun; others are repeated.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <linux/falloc.h>

#include "cgroup_util.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define KEEP		FALLOC_FL_KEEP_SIZE
#define NR_EXTENTS	2
#define ATTEMPTS	20
#define PAGE		7
#define EXTENT		((u64)SZ_1G)
#define SIZE		(NR_EXTENTS * EXTENT)

/* Between the process that is killed and its parent. */
struct talk {
	int fd;
	bool go;
};

struct eintr {
	struct talk *talk;
	struct hugetlb_counters counters;
	u64 nr_hugepages;
	pid_t pid;
	int fd;
	pthread_t thread;
};

FIXTURE(guest_memfd_eintr)
{
	struct eintr eintr;
};

FIXTURE_VARIANT(guest_memfd_eintr)
{
	bool to_private;
};

FIXTURE_VARIANT_ADD(guest_memfd_eintr, to_shared) {
	.to_private = false,
};

FIXTURE_VARIANT_ADD(guest_memfd_eintr, to_private) {
	.to_private = true,
};

FIXTURE_SETUP(guest_memfd_eintr)
{
	struct eintr *e = &self->eintr;

	gmem_set_merge_delay(0);
	hugetlb_counters_read(&e->counters);
	e->nr_hugepages = hugetlb_pool_require(EXTENT, NR_EXTENTS);
	e->talk = kvm_mmap(PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1);
}

FIXTURE_TEARDOWN(guest_memfd_eintr)
{
	struct eintr *e = &self->eintr;

	kvm_munmap(e->talk, PAGE_SIZE);
	hugetlb_pool_set(EXTENT, e->nr_hugepages);
	hugetlb_counters_assert_eq(&e->counters);
	hugetlb_counters_free(&e->counters);
}

static int set_page(int fd, bool to_private)
{
	return gmem_set_attributes(fd, PAGE * PAGE_SIZE, PAGE_SIZE,
				   to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
				   0, NULL);
}

/* Only the process that made the VM may convert its memory. */
static void convert_when_told(struct talk *talk, bool to_private)
{
	struct kvm_vm *vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	int fd = gmem_create(vm, SIZE, GUEST_MEMFD_FLAG_MMAP, ORDER_1G);

	kvm_fallocate(fd, KEEP, 0, PAGE_SIZE);
	if (to_private)
		TEST_ASSERT_EQ(set_page(fd, false), 0);
	WRITE_ONCE(talk->fd, fd);
	while (!READ_ONCE(talk->go))
		usleep(100);
	set_page(fd, to_private);
	for (;;)
		pause();
}

/* The child's file, in this process. */
static int get_file(pid_t pid, struct talk *talk)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), fd;

	TEST_ASSERT(pidfd >= 0, "pidfd_open() failed, errno: %d", errno);
	while (READ_ONCE(talk->fd) < 0) {
		TEST_ASSERT(!waitpid(pid, NULL, WNOHANG), "The child has failed");
		usleep(1000);
	}
	fd = syscall(SYS_pidfd_getfd, pidfd, talk->fd, 0);
	TEST_ASSERT(fd >= 0, "pidfd_getfd() failed, errno: %d", errno);
	kvm_close(pidfd);
	return fd;
}

/* Holds the lock that a conversion takes, from before the pool gives the page. */
static void *allocate(void *data)
{
	struct eintr *e = data;

	kvm_fallocate(e->fd, KEEP, EXTENT, SIZE - EXTENT);
	return NULL;
}

static void start_allocation(struct eintr *e)
{
	u64 nr_free = hugetlb_pool_get(-1, EXTENT, "free_hugepages");

	TEST_ASSERT(!pthread_create(&e->thread, NULL, allocate, e),
		    "pthread_create() failed");
	while (hugetlb_pool_get(-1, EXTENT, "free_hugepages") == nr_free)
		sched_yield();
}

/* The file has the page before the lock is released, and not before it is zeroed. */
static bool is_allocating(struct eintr *e)
{
	return gmem_blocks(e->fd) * 512 < SIZE;
}

static bool in_ioctl(pid_t pid)
{
	char text[256];

	return proc_read_text(pid, false, "syscall", text, sizeof(text)) > 0 &&
	       atoi(text) == SYS_ioctl;
}

/* Return true if the conversion has not had a chance before the signal. */
static bool kill_in_ioctl(struct eintr *e)
{
	bool in_time;
	int status;

	WRITE_ONCE(e->talk->go, true);
	while (!in_ioctl(e->pid) && is_allocating(e))
		sched_yield();
	in_time = in_ioctl(e->pid);
	TEST_ASSERT(!kill(e->pid, SIGKILL), "kill(), errno: %d", errno);
	in_time = in_time && is_allocating(e);

	TEST_ASSERT(!pthread_join(e->thread, NULL), "pthread_join() failed");
	TEST_ASSERT_EQ(waitpid(e->pid, &status, 0), e->pid);
	TEST_ASSERT(WIFSIGNALED(status), "Wait status 0x%x", status);
	return in_time;
}

/* All of it has changed, or nothing; return true if it has. */
static bool has_changed(int fd, bool to_private)
{
	u8 *mem = kvm_mmap(EXTENT, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	bool shared = !gmem_host_access(mem + PAGE * PAGE_SIZE, false);

	TEST_ASSERT_EQ(gmem_host_access(mem + (PAGE - 1) * PAGE_SIZE, false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(mem + (PAGE + 1) * PAGE_SIZE, false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_count_folios(fd, 0), shared ? 512 : 0);
	TEST_ASSERT_EQ(gmem_count_folios(fd, ORDER_2M), shared);
	TEST_ASSERT_EQ(gmem_count_folios(fd, ORDER_1G), NR_EXTENTS - shared);
	TEST_ASSERT_EQ(gmem_blocks(fd) * 512, SIZE);
	kvm_munmap(mem, EXTENT);
	return shared == !to_private;
}

static bool attempt(struct eintr *e, bool to_private)
{
	bool in_time, changed;

	*e->talk = (struct talk){ .fd = -1 };
	e->pid = fork();
	TEST_ASSERT(e->pid >= 0, "fork() failed, errno: %d", errno);
	if (!e->pid)
		convert_when_told(e->talk, to_private);

	e->fd = get_file(e->pid, e->talk);
	start_allocation(e);
	in_time = kill_in_ioctl(e);
	changed = has_changed(e->fd, to_private);
	TEST_ASSERT(!in_time || !changed, "Converted after a fatal signal");
	TEST_ASSERT_EQ(set_page(e->fd, to_private), EIO);
	kvm_close(e->fd);
	return in_time;
}

TEST_F_TIMEOUT(guest_memfd_eintr, killed, GMEM_TIMEOUT)
{
	int i;

	for (i = 0; i < ATTEMPTS; i++) {
		if (attempt(&self->eintr, variant->to_private))
			return;
	}
	TEST_FAIL("The allocation was faster than the signal %d times", ATTEMPTS);
}

TEST_HARNESS_MAIN
