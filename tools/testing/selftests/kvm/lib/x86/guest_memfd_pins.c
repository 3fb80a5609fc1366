// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ways to hold a page of a guest_memfd without a mapping of it: in a pipe, in
 * the queue of a socket, as a registered buffer of an io_uring, on its way from
 * a disk.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <arpa/inet.h>
#include <unistd.h>
#include <asm/barrier.h>

#include "guest_memfd_pins.h"

#define CONFIGFS	"/sys/kernel/config"
#define DISK		CONFIGFS "/nullb/gmem"
#define NR_LOOKS	6000
#define LOOK_USEC	10000

static void pipe_open(struct gmem_pin *pin)
{
	TEST_ASSERT(!pipe(pin->fds), "pipe() failed, errno: %d", errno);
}

static void pipe_take(struct gmem_pin *pin, void *page)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE_SIZE };

	TEST_ASSERT(vmsplice(pin->fds[1], &iov, 1, 0) == PAGE_SIZE,
		    "vmsplice() failed, errno: %d", errno);
}

static void pipe_peek(struct gmem_pin *pin, void *buf)
{
	int copy[2];

	TEST_ASSERT(!pipe(copy), "pipe() failed, errno: %d", errno);
	TEST_ASSERT(tee(pin->fds[0], copy[1], PAGE_SIZE, 0) == PAGE_SIZE,
		    "tee() failed, errno: %d", errno);
	TEST_ASSERT(read(copy[0], buf, PAGE_SIZE) == PAGE_SIZE,
		    "read() of a pipe failed, errno: %d", errno);
	kvm_close(copy[0]);
	kvm_close(copy[1]);
}

static void close_both(struct gmem_pin *pin)
{
	kvm_close(pin->fds[0]);
	kvm_close(pin->fds[1]);
}

const struct gmem_pin_ops gmem_in_pipe = {
	.open = pipe_open,
	.take = pipe_take,
	.peek = pipe_peek,
	.drop = close_both,
};

/* TCP over lo: what is acknowledged is dropped in softirq. */
static void socket_open(struct gmem_pin *pin)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);

	pin->fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	TEST_ASSERT(!bind(listener, (void *)&addr, len) && !listen(listener, 1) &&
		    !getsockname(listener, (void *)&addr, &len) &&
		    !connect(pin->fds[1], (void *)&addr, len),
		    "Cannot connect over lo, errno: %d", errno);
	pin->fds[0] = accept(listener, NULL, NULL);
	TEST_ASSERT(pin->fds[0] >= 0, "accept() failed, errno: %d", errno);
	kvm_close(listener);
}

static void socket_take(struct gmem_pin *pin, void *page)
{
	struct gmem_pin pipe = {};

	pipe_open(&pipe);
	pipe_take(&pipe, page);
	TEST_ASSERT(splice(pipe.fds[0], NULL, pin->fds[1], NULL, PAGE_SIZE, 0) ==
		    PAGE_SIZE, "splice() to a socket failed, errno: %d", errno);
	close_both(&pipe);
}

static void socket_peek(struct gmem_pin *pin, void *buf)
{
	TEST_ASSERT(recv(pin->fds[0], buf, PAGE_SIZE, MSG_PEEK | MSG_WAITALL) ==
		    PAGE_SIZE, "recv() failed, errno: %d", errno);
}

static void socket_drop(struct gmem_pin *pin)
{
	u8 buf[PAGE_SIZE];

	TEST_ASSERT(recv(pin->fds[0], buf, PAGE_SIZE, MSG_WAITALL) == PAGE_SIZE,
		    "recv() failed, errno: %d", errno);
	close_both(pin);
}

const struct gmem_pin_ops gmem_in_socket = {
	.open = socket_open,
	.take = socket_take,
	.peek = socket_peek,
	.drop = socket_drop,
};

static void ring_open(struct gmem_pin *pin)
{
	pin->fds[0] = syscall(__NR_io_uring_setup, 1, &pin->params);
	TEST_ASSERT(pin->fds[0] >= 0, "io_uring_setup() failed, errno: %d", errno);
	TEST_ASSERT(pin->params.features & IORING_FEAT_SINGLE_MMAP,
		    "The rings are not in one piece");
	pin->fds[1] = memfd_create("ring", 0);
	TEST_ASSERT(pin->fds[1] >= 0, "memfd_create() failed, errno: %d", errno);
}

static void ring_take(struct gmem_pin *pin, void *page)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE_SIZE };

	pin->address = (u64)page;
	TEST_ASSERT(!syscall(__NR_io_uring_register, pin->fds[0],
			     IORING_REGISTER_BUFFERS, &iov, 1),
		    "IORING_REGISTER_BUFFERS failed, errno: %d", errno);
}

/* Have the ring write its buffer to the memfd. */
static void ring_peek(struct gmem_pin *pin, void *buf)
{
	struct io_uring_params *p = &pin->params;
	size_t ring_size = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	size_t sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
	int prot = PROT_READ | PROT_WRITE;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	u32 *head, *tail;
	u8 *ring;

	ring_size = max(ring_size, p->sq_off.array + p->sq_entries * sizeof(u32));
	ring = __kvm_mmap(ring_size, prot, MAP_SHARED, pin->fds[0], IORING_OFF_SQ_RING);
	sqe = __kvm_mmap(sqes_size, prot, MAP_SHARED, pin->fds[0], IORING_OFF_SQES);
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_WRITE_FIXED,
		.fd = pin->fds[1],
		.addr = pin->address,
		.len = PAGE_SIZE,
	};
	tail = (u32 *)(ring + p->sq_off.tail);
	*(u32 *)(ring + p->sq_off.array) = 0;
	/* The entry before the tail. */
	smp_store_release(tail, *tail + 1);
	TEST_ASSERT(syscall(__NR_io_uring_enter, pin->fds[0], 1, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) == 1,
		    "io_uring_enter() failed, errno: %d", errno);

	head = (u32 *)(ring + p->cq_off.head);
	cqe = (struct io_uring_cqe *)(ring + p->cq_off.cqes) + *head % p->cq_entries;
	TEST_ASSERT(cqe->res == PAGE_SIZE, "WRITE_FIXED: %d", cqe->res);
	/* Read the result before the kernel may use its place again. */
	smp_store_release(head, *head + 1);
	TEST_ASSERT(pread(pin->fds[1], buf, PAGE_SIZE, 0) == PAGE_SIZE,
		    "pread() failed, errno: %d", errno);
	kvm_munmap(sqe, sqes_size);
	kvm_munmap(ring, ring_size);
}

const struct gmem_pin_ops gmem_in_ring = {
	.open = ring_open,
	.take = ring_take,
	.peek = ring_peek,
	.drop = close_both,
};

void gmem_pin_open(struct gmem_pin *pin, const struct gmem_pin_ops *ops)
{
	*pin = (struct gmem_pin){ .ops = ops };
	ops->open(pin);
}

void gmem_pin_check(struct gmem_pin *pin)
{
	u64 words[GMEM_WORDS];
	unsigned int i;

	pin->ops->peek(pin, words);
	for (i = 0; i < GMEM_WORDS; i++)
		TEST_ASSERT(words[i] == gmem_word(pin->tag, i),
			    "Word %u of a page that is held: 0x%lx, wanted 0x%lx",
			    i, words[i], gmem_word(pin->tag, i));
}

void gmem_pin(struct gmem_vm *g, u64 page, struct gmem_pin *pin)
{
	gmem_pin_open(pin, &gmem_in_pipe);
	pin->tag = g->model->tags[page];
	pin->ops->take(pin, gmem_host_page(g, page));
}

void gmem_unpin(struct gmem_pin *pin)
{
	pin->ops->drop(pin);
}

int gmem_disk_open(u64 completion_nsec)
{
	char text[32];
	int fd, i;

	if (access(CONFIGFS "/nullb", F_OK))
		TEST_ASSERT(!mount("configfs", CONFIGFS, "configfs", 0, NULL),
			    "Cannot mount configfs, errno: %d", errno);
	TEST_ASSERT(!mkdir(DISK, 0700), "No null_blk, errno: %d: set CONFIG_BLK_DEV_NULL_BLK",
		    errno);
	snprintf(text, sizeof(text), "%lu", completion_nsec);
	gmem_write_file(DISK "/completion_nsec", text);
	gmem_write_file(DISK "/irqmode", "2");
	gmem_write_file(DISK "/size", "16");
	gmem_write_file(DISK "/power", "1");

	for (i = 0; i < NR_LOOKS; i++) {
		fd = open("/dev/gmem", O_RDWR | O_DIRECT);
		if (fd >= 0)
			break;
		usleep(LOOK_USEC);
	}
	TEST_ASSERT(fd >= 0, "Cannot open /dev/gmem, errno: %d", errno);
	return fd;
}

void gmem_disk_close(int fd)
{
	kvm_close(fd);
	TEST_ASSERT(!rmdir(DISK), "Cannot remove the disk, errno: %d", errno);
}
