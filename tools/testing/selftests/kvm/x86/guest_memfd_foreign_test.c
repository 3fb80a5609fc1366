// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest_memfd in the hands of others: passed to another process or kept over
 * exec(), without its VM's descriptor, of a VM that KVM has killed, without a
 * memslot, and closed in any order with what else holds the file.
 *
 * Then, its counters under the eyes of many: fdinfo, sysfs and debugfs are read
 * by threads and by another process while files come and go.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_check.h"
#include "guest_memfd_stage2.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PRIVATE		KVM_MEMORY_ATTRIBUTE_PRIVATE
#define KEEP		FALLOC_FL_KEEP_SIZE
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SYSFS		"/sys/kernel/mm/hugetlb_gmem"
#define DEBUGFS		"/sys/kernel/debug/hugetlb_gmem"
#define NR_EXTENTS	2
#define SIZE		(NR_EXTENTS * (u64)SZ_2M)
#define BLOCK_PAGES	(SZ_2M / PAGE_SIZE)

/* Option by which the program runs itself: try what is open as this number. */
#define AFTER_EXEC	"--after-exec"
#define STACK_SIZE	SZ_64K

static u32 nr_files = 50;

struct foreign {
	struct gmem_vm g;
	struct hugetlb_pool pool;
	u64 nr_hugepages;
	/* KVM_SET_MEMORY_ATTRIBUTES2 by those who may not, and those who may. */
	int denied;
	int allowed;
};

FIXTURE(guest_memfd_foreign)
{
	struct foreign foreign;
};

FIXTURE_SETUP(guest_memfd_foreign)
{
	struct gmem_config config = {
		.order = ORDER_2M,
		.size = SIZE,
		.flags = GUEST_MEMFD_FLAG_MMAP,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};
	struct foreign *f = &self->foreign;
	bool vm_wide = gmem_vm_wide_attributes();

	f->denied = vm_wide ? ENOTTY : EIO;
	f->allowed = vm_wide ? ENOTTY : 0;
	f->nr_hugepages = hugetlb_pool_require(SZ_2M, 2 * NR_EXTENTS);
	hugetlb_pool_read(SZ_2M, &f->pool);
	gmem_vm_create(&f->g, &config);
	gmem_set_tags(&f->g, 0, f->g.nr_pages, 1);
	gmem_guest_write(&f->g, BLOCK_PAGES - 8, 16);
}

FIXTURE_TEARDOWN(guest_memfd_foreign)
{
	struct foreign *f = &self->foreign;

	if (!f->g.dead)
		gmem_guest_check(&f->g, BLOCK_PAGES - 8, 16, GMEM_STEP_ALL);
	gmem_vm_free(&f->g);
	hugetlb_pool_assert_eq(SZ_2M, &f->pool);
	hugetlb_pool_set(SZ_2M, f->nr_hugepages);
}

static int share_page(int fd)
{
	return gmem_set_attributes(fd, 0, PAGE_SIZE, 0, 0, NULL);
}

static int make_private(int fd)
{
	return gmem_set_attributes(fd, 0, PAGE_SIZE, PRIVATE, 0, NULL);
}

/* Wait for a child, whose assertions are its exit status. */
static void wait_child(pid_t pid, int want)
{
	int status;

	TEST_ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid, "waitpid(), errno: %d",
		    errno);
	TEST_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == want,
		    "The child's status is 0x%x, wanted %d", status, want);
}

/* The VM is not this process's, but the file is as good as any. */
static void use_passed_file(struct foreign *f, int fd)
{
	struct kvm_pre_fault_memory range = { .gpa = GMEM_GPA, .size = PAGE_SIZE };
	u8 *mem = kvm_mmap(SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	struct kvm_userspace_memory_region2 region = { .slot = GMEM_SLOT };
	char text[GMEM_FDINFO_SIZE];
	u64 blocks = gmem_blocks(fd);

	TEST_ASSERT_EQ(share_page(fd), f->denied);
	TEST_ASSERT_EQ(make_private(fd), f->denied);
	TEST_ASSERT(__gmem_create(f->g.vm, SZ_2M, 0, ORDER_2M) < 0 && errno == EIO,
		    "Creating a file, errno: %d", errno);
	TEST_ASSERT(__vm_ioctl(f->g.vm, KVM_SET_USER_MEMORY_REGION2, &region) &&
		    errno == EIO, "Deleting a slot, errno: %d", errno);
	TEST_ASSERT(__vcpu_ioctl(f->g.vcpu, KVM_PRE_FAULT_MEMORY, &range) &&
		    errno == EIO, "Pre-faulting, errno: %d", errno);

	TEST_ASSERT_EQ(gmem_host_access(mem, false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_blocks(fd), blocks);
	TEST_ASSERT(fallocate(fd, PUNCH, 1, PAGE_SIZE) && errno == EINVAL,
		    "fallocate(), errno: %d", errno);
	kvm_fallocate(fd, PUNCH, 0, PAGE_SIZE);
	kvm_fallocate(fd, KEEP, 0, SIZE);
	gmem_read_fdinfo(fd, text, sizeof(text));
	gmem_assert_sums(text);
	kvm_munmap(mem, SIZE);
}

TEST_F_TIMEOUT(guest_memfd_foreign, inherited, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	pid_t pid = fork();

	if (!pid) {
		use_passed_file(f, f->g.fd);
		_exit(0);
	}
	wait_child(pid, 0);
	TEST_ASSERT_EQ(share_page(f->g.fd), f->allowed);
	TEST_ASSERT_EQ(make_private(f->g.fd), f->allowed);
}

union fd_message {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static struct msghdr fd_header(struct iovec *vec, union fd_message *control)
{
	static char byte;

	*vec = (struct iovec) { .iov_base = &byte, .iov_len = 1 };
	return (struct msghdr) {
		.msg_iov = vec,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(*control),
	};
}

static void send_fd(int socket, int fd)
{
	union fd_message control;
	struct iovec vec;
	struct msghdr msg = fd_header(&vec, &control);
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	TEST_ASSERT_EQ(sendmsg(socket, &msg, 0), 1);
}

static int receive_fd(int socket)
{
	union fd_message control;
	struct iovec vec;
	struct msghdr msg = fd_header(&vec, &control);
	int fd;

	TEST_ASSERT_EQ(recvmsg(socket, &msg, 0), 1);
	TEST_ASSERT(CMSG_FIRSTHDR(&msg), "No descriptor in the message");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* A second file in a message: nobody has it open until it is taken. */
TEST_F_TIMEOUT(guest_memfd_foreign, in_message, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	struct hugetlb_pool pool;
	int sockets[2], fd;
	pid_t pid;

	TEST_ASSERT(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), "socketpair()");
	hugetlb_pool_read(SZ_2M, &pool);
	pid = fork();
	if (!pid) {
		fd = receive_fd(sockets[1]);
		use_passed_file(f, fd);
		_exit(0);
	}
	send_fd(sockets[0], f->g.fd);
	wait_child(pid, 0);

	/* One that nobody takes is gone with the socket. */
	fd = gmem_create(f->g.vm, SZ_2M, 0, ORDER_2M);
	kvm_fallocate(fd, KEEP, 0, SZ_2M);
	send_fd(sockets[0], fd);
	kvm_close(fd);
	TEST_ASSERT_EQ(hugetlb_pool_get(-1, SZ_2M, "free_hugepages"), pool.free - 1);
	kvm_close(sockets[0]);
	kvm_close(sockets[1]);
	hugetlb_pool_wait_eq(SZ_2M, &pool);
}

static int share_and_back(void *fd)
{
	int ret = share_page(*(int *)fd);

	return ret ?: make_private(*(int *)fd);
}

/* Whose VM it is goes by the address space, not by the process. */
TEST_F_TIMEOUT(guest_memfd_foreign, same_memory, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	u8 *stack = kvm_mmap(STACK_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int flags = CLONE_VM | CLONE_FILES | SIGCHLD;

	wait_child(clone(share_and_back, stack + STACK_SIZE, flags, &f->g.fd),
		   f->allowed);
	wait_child(clone(share_and_back, stack + STACK_SIZE, flags & ~CLONE_VM, &f->g.fd),
		   f->denied);
	kvm_munmap(stack, STACK_SIZE);
}

/* Child: become another program, which tries the descriptor that is left. */
static void exec_with(int fd, int flags)
{
	char number[16];

	TEST_ASSERT(!fcntl(fd, F_SETFD, flags), "fcntl(), errno: %d", errno);
	snprintf(number, sizeof(number), "%d", fd);
	execl("/proc/self/exe", "guest_memfd_foreign_test", AFTER_EXEC, number, NULL);
	_exit(255);
}

/* A file that is as nobody closes it on exec() by itself; the errno of a call. */
TEST_F_TIMEOUT(guest_memfd_foreign, exec, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	int flags[] = { 0, FD_CLOEXEC }, want[] = { f->denied, EBADF }, i;
	pid_t pid;

	TEST_ASSERT_EQ(fcntl(f->g.fd, F_GETFD), 0);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		pid = fork();
		if (!pid)
			exec_with(f->g.fd, flags[i]);
		wait_child(pid, want[i]);
	}
}

/* The file holds the VM, so that it is as good as ever. */
TEST_F_TIMEOUT(guest_memfd_foreign, without_vm_fd, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	struct kvm_vm *vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	int fd = gmem_create(vm, SIZE, GUEST_MEMFD_FLAG_MMAP, ORDER_2M);
	u8 *mem = kvm_mmap(SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	struct hugetlb_pool pool;

	hugetlb_pool_read(SZ_2M, &pool);
	kvm_vm_free(vm);
	kvm_fallocate(fd, KEEP, 0, SIZE);
	TEST_ASSERT_EQ(share_page(fd), f->allowed);
	TEST_ASSERT_EQ(gmem_host_access(mem, true), f->allowed ? BUS_ADRERR : 0);
	TEST_ASSERT_EQ(make_private(fd), f->allowed);
	TEST_ASSERT_EQ(gmem_host_access(mem, true), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_set_attributes(fd, 1, PAGE_SIZE, 0, 0, NULL),
		       gmem_vm_wide_attributes() ? ENOTTY : EINVAL);
	kvm_fallocate(fd, PUNCH, 0, SIZE);
	hugetlb_pool_assert_eq(SZ_2M, &pool);
	kvm_munmap(mem, SIZE);
	kvm_close(fd);
}

/* A VM that is dead takes no calls; its memory is a file's and goes with it. */
TEST_F_TIMEOUT(guest_memfd_foreign, dead_vm, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	struct gmem_vm *g = &f->g;
	struct kvm_userspace_memory_region2 region = { .slot = GMEM_SLOT };

	if (!gmem_vm_wide_attributes())
		gmem_convert(g, 0, 2, false);
	gmem_kill_vm(g);
	TEST_ASSERT_EQ(share_page(g->fd), f->denied);
	TEST_ASSERT(__gmem_create(g->vm, SZ_2M, 0, ORDER_2M) < 0 && errno == EIO,
		    "Creating a file, errno: %d", errno);
	TEST_ASSERT(__vm_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION2, &region) &&
		    errno == EIO, "Deleting a slot, errno: %d", errno);

	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, 1), true),
		       gmem_in_place(g) ? 0 : BUS_ADRERR);
	kvm_fallocate(g->fd, PUNCH, PAGE_SIZE, SIZE - PAGE_SIZE);
	TEST_ASSERT_EQ(gmem_blocks(g->fd), SZ_2M / 512);
	kvm_fallocate(g->fd, KEEP, 0, SIZE);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, 1), false),
		       gmem_in_place(g) ? 0 : BUS_ADRERR);
	kvm_fallocate(g->fd, PUNCH, 0, SIZE);
	TEST_ASSERT_EQ(gmem_blocks(g->fd), 0);
}

/* Contents and attributes are the file's, and survive its memslot. */
TEST_F_TIMEOUT(guest_memfd_foreign, without_slot, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	struct gmem_vm *g = &f->g;

	gmem_delete_slot(g);
	/* Attributes of the VM say that there is private memory. */
	TEST_ASSERT_EQ(gmem_pre_fault(g, 0, 1), gmem_vm_wide_attributes() ? EFAULT : ENOENT);
	TEST_ASSERT_EQ(gmem_blocks(g->fd), SIZE / 512);
	if (!gmem_vm_wide_attributes()) {
		gmem_convert(g, BLOCK_PAGES - 4, 8, false);
		gmem_host_check(g, BLOCK_PAGES - 4, GMEM_STEP_ALL);
		gmem_convert(g, BLOCK_PAGES, 4, true);
	}
	kvm_fallocate(g->fd, PUNCH, (BLOCK_PAGES + 2) * PAGE_SIZE, PAGE_SIZE);
	gmem_set_tags(g, BLOCK_PAGES + 2, 1, 0);
	gmem_add_slots(g);
	gmem_guest_check(g, BLOCK_PAGES - 8, 16, GMEM_STEP_ALL);
}

/* What holds a file, or did; each is let go once, in every order. */
enum holder {
	FD,
	DUP,
	MAPPING,
	VM,
	SLOT,
	NR_HOLDERS,
};

struct held {
	struct kvm_vm *vm;
	int fd;
	int dup;
	void *mem;
	bool gone[NR_HOLDERS];
};

static void hold(struct held *h)
{
	h->vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
	h->fd = gmem_create(h->vm, SIZE, GUEST_MEMFD_FLAG_MMAP, ORDER_2M);
	h->dup = dup(h->fd);
	h->mem = kvm_mmap(SIZE, PROT_READ, MAP_SHARED, h->fd);
	vm_set_user_memory_region2(h->vm, GMEM_SLOT, KVM_MEM_GUEST_MEMFD, GMEM_GPA, SIZE,
				   h->mem, h->fd, 0);
	kvm_fallocate(h->fd, KEEP, 0, SZ_2M);
	memset(h->gone, 0, sizeof(h->gone));
}

static void let_go(struct held *h, enum holder holder)
{
	switch (holder) {
	case FD:
		return kvm_close(h->fd);
	case DUP:
		return kvm_close(h->dup);
	case MAPPING:
		return kvm_munmap(h->mem, SIZE);
	case VM:
		return kvm_vm_free(h->vm);
	default:
		/* That is also how a VM loses its slots. */
		if (!h->gone[VM])
			vm_set_user_memory_region2(h->vm, GMEM_SLOT, 0, GMEM_GPA, 0,
						   NULL, 0, 0);
	}
}

static void assert_held(struct held *h, const struct hugetlb_pool *pool)
{
	bool held = !h->gone[FD] || !h->gone[DUP] || !h->gone[MAPPING];
	struct hugetlb_pool want = *pool;

	if (held) {
		want.free--;
		want.resv += NR_EXTENTS - 1;
	}
	hugetlb_pool_assert_eq(SZ_2M, &want);
	if (!h->gone[FD] || !h->gone[DUP])
		TEST_ASSERT_EQ(gmem_blocks(h->gone[FD] ? h->dup : h->fd), SZ_2M / 512);
}

/* The order in which they go is the number's, in base NR_HOLDERS. */
static bool let_all_go(struct held *h, unsigned int order, const struct hugetlb_pool *pool)
{
	unsigned int seen = 0, i, rest;

	for (i = 0, rest = order; i < NR_HOLDERS; i++, rest /= NR_HOLDERS)
		seen |= BIT(rest % NR_HOLDERS);
	if (seen != BIT(NR_HOLDERS) - 1)
		return false;

	hold(h);
	for (i = 0, rest = order; i < NR_HOLDERS; i++, rest /= NR_HOLDERS) {
		let_go(h, rest % NR_HOLDERS);
		h->gone[rest % NR_HOLDERS] = true;
		assert_held(h, pool);
	}
	return true;
}

TEST_F_TIMEOUT(guest_memfd_foreign, all_orders, GMEM_TIMEOUT)
{
	unsigned int order, nr = 0, end = 1, i;
	struct hugetlb_pool pool;
	struct held h;

	hugetlb_pool_read(SZ_2M, &pool);
	for (i = 0; i < NR_HOLDERS; i++)
		end *= NR_HOLDERS;
	for (order = 0; order < end; order++)
		nr += let_all_go(&h, order, &pool);
	TEST_ASSERT_EQ(nr, 120);
}

/* Conversions of one VM's memory are nothing to another that is there, too. */
TEST_F_TIMEOUT(guest_memfd_foreign, two_vms, GMEM_TIMEOUT)
{
	struct foreign *f = &self->foreign;
	struct gmem_config config = f->g.config;
	char before[GMEM_FDINFO_SIZE], after[GMEM_FDINFO_SIZE];
	struct gmem_vm other;
	char *was, *is;

	was = gmem_leaves_text(&f->g, "");
	gmem_read_fdinfo(f->g.fd, before, sizeof(before));
	gmem_vm_create(&other, &config);
	gmem_set_tags(&other, 0, other.nr_pages, 2);
	gmem_guest_write(&other, 0, 16);
	gmem_convert(&other, 3, 5, false);
	kvm_fallocate(other.fd, PUNCH, SZ_2M, SZ_2M);
	gmem_vm_free(&other);

	is = gmem_leaves_text(&f->g, "");
	gmem_read_fdinfo(f->g.fd, after, sizeof(after));
	gmem_check_assert_same(was, is, "Beside another VM");
	TEST_ASSERT(!strcmp(before, after), "fdinfo is\n%sand was\n%s", after, before);
	free(was);
	free(is);
}

/* Readers */
struct watched {
	pid_t pid;
	bool stop;
	/* What was read: by threads of this process, by another one. */
	u64 nr_fdinfo[2];
	u64 nr_sysfs;
	u64 nr_debugfs;
};

/* The number of entries read that are a guest_memfd's; others come and go. */
static u64 read_all_fdinfo(pid_t pid)
{
	char path[64], text[GMEM_FDINFO_SIZE];
	struct dirent *entry;
	ssize_t len;
	u64 nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	TEST_ASSERT(dir, "Opening %s, errno: %d", path, errno);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", pid, entry->d_name);
		len = read_text(path, text, sizeof(text));
		if (len <= 0 || !strstr(text, "\ngmem-size:\t"))
			continue;
		gmem_assert_sums(text);
		/* The map is last, and ends a line. */
		TEST_ASSERT(strstr(text, "\ngmem-map:\t") && text[strlen(text) - 1] == '\n',
			    "Incomplete:\n%s", text);
		nr++;
	}
	closedir(dir);
	return nr;
}

static void read_sysfs(void)
{
	char path[64 + sizeof(SYSFS)], text[64], *end;
	struct dirent *entry;
	DIR *dir = opendir(SYSFS);

	TEST_ASSERT(dir, "Opening " SYSFS ", errno: %d", errno);
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), SYSFS "/%.60s", entry->d_name);
		TEST_ASSERT(read_text(path, text, sizeof(text)) > 1, "Reading %s", path);
		/* A number that was negative would be most of an u64. */
		TEST_ASSERT(strtoull(text, &end, 10) < BIT_ULL(62) && *end == '\n',
			    "%s has '%s'", path, text);
	}
	closedir(dir);
}

/* Each extent has its line, with all of its pages in folios. */
static void read_extents(void)
{
	FILE *file = fopen(DEBUGFS "/extents", "r");
	unsigned int order;
	char line[512];

	TEST_ASSERT(file, "No " DEBUGFS "/extents: set CONFIG_HUGETLB_GMEM_DEBUG");
	while (fgets(line, sizeof(line), file))
		TEST_ASSERT(sscanf(line, "ino=%*u index=%*u pfn=%*u order=%u", &order) == 1 &&
			    order == ORDER_2M && strstr(line, " folios=") &&
			    strchr(line, '\n'), "Unknown line: %s", line);
	fclose(file);
}

static void *watch_fdinfo(void *data)
{
	struct watched *w = data;

	while (!READ_ONCE(w->stop))
		__atomic_add_fetch(&w->nr_fdinfo[0], read_all_fdinfo(w->pid),
				   __ATOMIC_RELAXED);
	return NULL;
}

static void *watch_host(void *data)
{
	struct watched *w = data;

	while (!READ_ONCE(w->stop)) {
		read_sysfs();
		WRITE_ONCE(w->nr_sysfs, w->nr_sysfs + 1);
		read_extents();
		free(gmem_check_tails());
		WRITE_ONCE(w->nr_debugfs, w->nr_debugfs + 1);
	}
	return NULL;
}

static void watch_from_outside(struct watched *w)
{
	while (!READ_ONCE(w->stop))
		WRITE_ONCE(w->nr_fdinfo[1], w->nr_fdinfo[1] + read_all_fdinfo(w->pid));
	_exit(0);
}

/* A file's life: filled, split, touched, merged, punched, and closed. */
static void live(struct foreign *f, struct kvm_random_state *rng)
{
	u64 page = kvm_random_u64_in_range(rng, 0, SIZE / PAGE_SIZE - 8);
	int fd = gmem_create(f->g.vm, SIZE, GUEST_MEMFD_FLAG_MMAP, ORDER_2M), ret;
	u8 *mem = kvm_mmap(SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	gmem_set_merge_delay(kvm_random_bool(rng) ? 1 : 0);
	kvm_fallocate(fd, KEEP, 0, kvm_random_bool(rng) ? SIZE : SZ_2M);
	ret = gmem_set_attributes(fd, page * PAGE_SIZE, 8 * PAGE_SIZE, 0, 0, NULL);
	TEST_ASSERT_EQ(ret, f->allowed);
	gmem_host_access(mem + page * PAGE_SIZE, true);
	ret = gmem_set_attributes(fd, 0, SIZE, kvm_random_bool(rng) ? PRIVATE : 0, 0, NULL);
	TEST_ASSERT_EQ(ret, f->allowed);
	kvm_munmap(mem, SIZE);
	kvm_fallocate(fd, PUNCH, kvm_random_bool(rng) ? PAGE_SIZE : 0, SZ_2M);
	kvm_close(fd);
}

static bool has_seen_enough(struct watched *w)
{
	return READ_ONCE(w->nr_fdinfo[0]) > 10 && READ_ONCE(w->nr_fdinfo[1]) > 10 &&
	       READ_ONCE(w->nr_sysfs) > 2 && READ_ONCE(w->nr_debugfs) > 2;
}

TEST_F_TIMEOUT(guest_memfd_foreign, readers, GMEM_TIMEOUT)
{
	struct kvm_random_state rng = new_kvm_random_state(1);
	struct foreign *f = &self->foreign;
	struct watched *w = kvm_mmap(sizeof(*w), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1);
	pthread_t threads[3];
	unsigned int i;
	pid_t pid;

	w->pid = getpid();
	pid = fork();
	if (!pid)
		watch_from_outside(w);
	kvm_pthread_create(&threads[0], NULL, watch_fdinfo, w);
	kvm_pthread_create(&threads[1], NULL, watch_fdinfo, w);
	kvm_pthread_create(&threads[2], NULL, watch_host, w);
	for (i = 0; i < nr_files || !has_seen_enough(w); i++)
		live(f, &rng);

	WRITE_ONCE(w->stop, true);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		kvm_pthread_join(threads[i], NULL);
	wait_child(pid, 0);
	ksft_print_msg("fdinfo read %lu times by threads, %lu from outside\n",
		       w->nr_fdinfo[0], w->nr_fdinfo[1]);
	ksft_print_msg("sysfs %lu times, debugfs %lu times\n", w->nr_sysfs, w->nr_debugfs);
	kvm_munmap(w, sizeof(*w));
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-n", "files that come and go", .number = &nr_files },
		{}
	};

	if (argc == 3 && !strcmp(argv[1], AFTER_EXEC))
		return share_page(atoi(argv[2]));

	argc = gmem_take_options(argc, argv, options);
	return test_harness_run(argc, argv);
}
