// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a guest_memfd that somebody else holds: a pipe, a socket, a buffer
 * of an io_uring, a disk in the middle of a transfer.  They stand in the way of
 * conversions and holes, keep what they hold, also beyond the life of the file,
 * and when the last is let go, from wherever, the huge page is in the pool again.
 *
 * Needs root, debugfs, two CPUs, two pages of each size, a third of 1G for the
 * test of poison to lose, CONFIG_HWPOISON_INJECT and CONFIG_BLK_DEV_NULL_BLK.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <sys/wait.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>

#include "guest_memfd_pins.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"
#include "cgroup_util.h"

#define EXTENTS		"/sys/kernel/debug/hugetlb_gmem/extents"
#define ORPHAN_ALL	"/sys/kernel/debug/hugetlb_gmem/orphan"
#define SKB_DEFER_MAX	"/proc/sys/net/core/skb_defer_max"
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define NR_PINS		6
#define NSEC_PER_SEC	1000000000ul
/* Generous: the references may be dropped by a worker, or after an RCU. */
#define NR_LOOKS	6000
#define LOOK_USEC	10000

/* What this file is about: one huge page, split, some of it shared. */
struct owner {
	struct gmem_vm g;
	struct kvm_vm *other_vm;
	struct hugetlb_pool pool;
	struct hugetlb_counters counters;
	u64 page_size;
	u64 nr_hugepages;
	u64 nr_lost;
	u8 order;
};

/* Private contents, made shared, and held. */
static void pin_page(struct owner *o, struct gmem_pin *pin, u64 page)
{
	struct gmem_vm *g = &o->g;

	gmem_set_tags(g, page, 1, 1);
	gmem_guest_write(g, page, 1);
	gmem_convert(g, page, 1, false);
	gmem_host_check(g, page, GMEM_STEP_ALL);
	pin->tag = g->model->tags[page];
	pin->ops->take(pin, gmem_host_page(g, page));
}

static void owner_init(struct owner *o, u8 order)
{
	o->order = order;
	o->page_size = gmem_page_size(order);
	o->nr_hugepages = hugetlb_pool_require(o->page_size, 2);
	hugetlb_pool_read(o->page_size, &o->pool);
	hugetlb_counters_read(&o->counters);
	o->other_vm = vm_create_barebones_type(KVM_X86_SW_PROTECTED_VM);
}

static void owner_exit(struct owner *o)
{
	kvm_vm_free(o->other_vm);
	hugetlb_pool_wait_eq(o->page_size, &o->pool);
	hugetlb_counters_assert_lost(&o->counters, o->page_size, o->nr_lost);
	hugetlb_counters_free(&o->counters);
	hugetlb_pool_set(o->page_size, o->nr_hugepages);
}

static void owner_create(struct owner *o)
{
	struct gmem_config config = gmem_one_page_config(o->order);

	config.keeps_pages = true;
	gmem_vm_create(&o->g, &config);
}

/* The mapping, the file descriptor and the VM. */
static void close_in_order(struct owner *o, const char *order)
{
	struct gmem_vm *g = &o->g;

	for (; *order; order++) {
		if (*order == 'm')
			kvm_munmap(g->shared, g->config.size);
		else if (*order == 'f')
			kvm_close(g->fd);
		else
			kvm_vm_free(g->vm);
	}
}

static unsigned int count_orphans(void)
{
	FILE *file = fopen(EXTENTS, "r");
	unsigned int nr = 0;
	char line[512];

	TEST_ASSERT(file, "No %s: set CONFIG_HUGETLB_GMEM_DEBUG", EXTENTS);
	while (fgets(line, sizeof(line), file))
		nr += !strncmp(line, "ino=0 ", strlen("ino=0 "));
	fclose(file);
	return nr;
}

static void assert_held(struct owner *o)
{
	struct hugetlb_pool want = o->pool;

	want.free--;
	hugetlb_pool_assert_eq(o->page_size, &want);
	TEST_ASSERT_EQ(count_orphans(), 1);
}

/* The worker that tells of poison may be the last who has the file. */
static void wait_orphan(void)
{
	int i;

	for (i = 0; i < NR_LOOKS && !count_orphans(); i++)
		usleep(LOOK_USEC);
}

/* Every page that can be had is taken, zeroed and given back. */
static void use_rest_of_pool(struct owner *o)
{
	u64 size = (o->pool.free - 1) * o->page_size;
	int fd = gmem_create(o->other_vm, size, 0, o->order);

	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size);
	kvm_close(fd);
}

static void assert_back(struct owner *o)
{
	hugetlb_pool_wait_eq(o->page_size, &o->pool);
	TEST_ASSERT_EQ(count_orphans(), 0);
}

FIXTURE(guest_memfd_pins)
{
	struct owner o;
	char skb_defer_max[32];
};

FIXTURE_VARIANT(guest_memfd_pins)
{
	u8 order;
	const struct gmem_pin_ops *ops;
};

FIXTURE_VARIANT_ADD(guest_memfd_pins, pipe_2m) {
	.order = ORDER_2M,
	.ops = &gmem_in_pipe,
};

FIXTURE_VARIANT_ADD(guest_memfd_pins, pipe_1g) {
	.order = ORDER_1G,
	.ops = &gmem_in_pipe,
};

FIXTURE_VARIANT_ADD(guest_memfd_pins, socket_2m) {
	.order = ORDER_2M,
	.ops = &gmem_in_socket,
};

FIXTURE_VARIANT_ADD(guest_memfd_pins, ring_2m) {
	.order = ORDER_2M,
	.ops = &gmem_in_ring,
};

FIXTURE_VARIANT_ADD(guest_memfd_pins, ring_1g) {
	.order = ORDER_1G,
	.ops = &gmem_in_ring,
};

FIXTURE_SETUP(guest_memfd_pins)
{
	owner_init(&self->o, variant->order);

	/* Else what a socket drops may wait for the next packet on its CPU. */
	TEST_ASSERT(read_text(SKB_DEFER_MAX, self->skb_defer_max,
			      sizeof(self->skb_defer_max)) > 0,
		    "Cannot read %s, errno: %d", SKB_DEFER_MAX, errno);
	gmem_write_file(SKB_DEFER_MAX, "0");
}

FIXTURE_TEARDOWN(guest_memfd_pins)
{
	gmem_write_file(SKB_DEFER_MAX, self->skb_defer_max);
	owner_exit(&self->o);
}

TEST_F_TIMEOUT(guest_memfd_pins, outlives_file, GMEM_TIMEOUT)
{
	const char *const orders[] = { "vfm", "mfv", "mvf", "fmv", "fvm", "vmf" };
	int i, nr = variant->order == ORDER_1G ? 1 : ARRAY_SIZE(orders);
	struct owner *o = &self->o;
	struct gmem_pin pin;

	for (i = 0; i < nr; i++) {
		owner_create(o);
		gmem_pin_open(&pin, variant->ops);
		pin_page(o, &pin, o->g.nr_pages / 2 + 3);
		close_in_order(o, orders[i]);
		assert_held(o);
		use_rest_of_pool(o);
		assert_held(o);
		gmem_pin_check(&pin);
		pin.ops->drop(&pin);
		assert_back(o);
	}
}

static int try_private(struct gmem_vm *g, u64 page, u64 nr, u64 *error_offset)
{
	*error_offset = -1ull;
	return gmem_try_convert(g, page, nr, true, error_offset);
}

static void assert_refused(struct gmem_vm *g, u64 page, u64 nr, u64 pinned)
{
	u64 error_offset;

	TEST_ASSERT_EQ(try_private(g, page, nr, &error_offset), EAGAIN);
	TEST_ASSERT_EQ(error_offset, pinned * PAGE_SIZE);
}

static void wait_private(struct gmem_vm *g, u64 page, u64 nr)
{
	u64 error_offset;
	int ret, i;

	for (i = 0; i < NR_LOOKS; i++) {
		ret = try_private(g, page, nr, &error_offset);
		if (ret != EAGAIN)
			break;
		usleep(LOOK_USEC);
	}
	TEST_ASSERT(!ret, "Conversion after the page was let go: %s", strerror(ret));
}

/* What is in the way of a conversion and of a hole, and what is not. */
TEST_F_TIMEOUT(guest_memfd_pins, in_the_way, GMEM_TIMEOUT)
{
	struct owner *o = &self->o;
	struct gmem_vm *g = &o->g;
	struct hugetlb_pool want = o->pool;
	struct gmem_pin pin;
	u64 page;

	owner_create(o);
	page = g->nr_pages / 2 + 3;
	gmem_pin_open(&pin, variant->ops);
	pin_page(o, &pin, page);

	assert_refused(g, page, 1, page);
	assert_refused(g, 0, g->nr_pages, page);
	TEST_ASSERT(fallocate(g->fd, PUNCH, 0, o->page_size) && errno == EAGAIN,
		    "Hole over a page that is held, errno: %d", errno);
	gmem_host_check(g, page, GMEM_STEP_ALL);
	want.free--;
	hugetlb_pool_assert_eq(o->page_size, &want);

	/* The same page all the time: whoever holds it sees what is done to it. */
	kvm_fallocate(g->fd, PUNCH, page * PAGE_SIZE, PAGE_SIZE);
	pin.tag = 0;
	gmem_pin_check(&pin);
	gmem_set_tags(g, page, 2, 2);
	gmem_host_write(g, page);
	pin.tag = g->model->tags[page];
	gmem_guest_write(g, page + 1, 1);
	gmem_convert(g, page + 1, 1, false);
	gmem_convert(g, page + 1, 1, true);
	gmem_pin_check(&pin);
	gmem_guest_check(g, page, 2, GMEM_STEP_ALL);

	pin.ops->drop(&pin);
	wait_private(g, 0, g->nr_pages);
	gmem_guest_check(g, page, 2, GMEM_STEP_ALL);
	kvm_fallocate(g->fd, PUNCH, 0, o->page_size);
	want.free++;
	want.resv++;
	hugetlb_pool_assert_eq(o->page_size, &want);
	gmem_vm_free(g);
	assert_back(o);
}

static u64 page_of_pin(struct gmem_vm *g, int i)
{
	return g->nr_pages / NR_PINS * i + i;
}

static void pin_several(struct owner *o, const struct gmem_pin_ops *ops, struct gmem_pin *pins)
{
	int i;

	owner_create(o);
	for (i = 0; i < NR_PINS; i++) {
		gmem_pin_open(&pins[i], ops);
		pin_page(o, &pins[i], page_of_pin(&o->g, i));
	}
}

/* The last one counts, whichever it is and on whichever CPU it is dropped. */
TEST_F_TIMEOUT(guest_memfd_pins, several, GMEM_TIMEOUT)
{
	const int orders[][NR_PINS] = {
		{ 0, 1, 2, 3, 4, 5 },
		{ 5, 4, 3, 2, 1, 0 },
		{ 2, 5, 0, 4, 1, 3 },
	};
	int i, k, nr = variant->order == ORDER_1G ? 1 : ARRAY_SIZE(orders);
	struct owner *o = &self->o;
	struct gmem_pin pins[NR_PINS];

	for (i = 0; i < nr; i++) {
		pin_self_to_cpu(0);
		pin_several(o, variant->ops, pins);
		close_in_order(o, "vmf");
		for (k = 0; k < NR_PINS; k++) {
			assert_held(o);
			gmem_pin_check(&pins[orders[i][k]]);
			pin_self_to_cpu((k + 1) % 2);
			pins[orders[i][k]].ops->drop(&pins[orders[i][k]]);
		}
		assert_back(o);
	}
}

struct dropper {
	struct gmem_pin *pins;
	int nr;
	bool go;
};

static void *drop_pins(void *arg)
{
	struct dropper *d = arg;
	int i;

	pin_self_to_cpu(1);
	while (!READ_ONCE(d->go))
		;
	for (i = 0; i < d->nr; i++)
		d->pins[i].ops->drop(&d->pins[i]);
	return NULL;
}

/* Drop pins while the file is closed, or half of them at the same time. */
TEST_F_TIMEOUT(guest_memfd_pins, races, GMEM_TIMEOUT)
{
	int i, k, nr = variant->order == ORDER_1G ? 2 : 20;
	struct owner *o = &self->o;
	struct gmem_pin pins[NR_PINS];
	pthread_t thread;

	for (i = 0; i < nr; i++) {
		struct dropper d = {
			.pins = pins,
			.nr = i % 2 ? NR_PINS : NR_PINS / 2,
		};

		pin_self_to_cpu(0);
		pin_several(o, variant->ops, pins);
		TEST_ASSERT(!pthread_create(&thread, NULL, drop_pins, &d), "No thread");
		if (i % 2)
			WRITE_ONCE(d.go, true);
		close_in_order(o, "vmf");
		WRITE_ONCE(d.go, true);
		for (k = d.nr; k < NR_PINS; k++)
			pins[k].ops->drop(&pins[k]);
		pthread_join(thread, NULL);
		assert_back(o);
	}
}

/*
 * Run @fn in a process of its own, and kill that when @fn has returned, with
 * @pin as it then is.
 */
static void run_and_kill(void (*fn)(struct owner *o, struct gmem_pin *pin),
			 struct owner *o, struct gmem_pin *pin)
{
	int ready[2], status;
	pid_t pid;

	TEST_ASSERT(!pipe(ready), "pipe() failed, errno: %d", errno);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno: %d", errno);
	if (!pid) {
		fn(o, pin);
		TEST_ASSERT_EQ(write(ready[1], pin, sizeof(*pin)), sizeof(*pin));
		for (;;)
			pause();
	}

	kvm_close(ready[1]);
	TEST_ASSERT(read(ready[0], pin, sizeof(*pin)) == sizeof(*pin),
		    "The process that was to pin failed");
	kvm_close(ready[0]);
	TEST_ASSERT(!kill(pid, SIGKILL), "kill() failed, errno: %d", errno);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFSIGNALED(status), "Wait status 0x%x", status);
}

static void create_and_pin(struct owner *o, struct gmem_pin *pin)
{
	owner_create(o);
	pin_page(o, pin, o->g.nr_pages - 1);
}

TEST_F_TIMEOUT(guest_memfd_pins, killed, GMEM_TIMEOUT)
{
	struct owner *o = &self->o;
	struct gmem_pin pin;

	gmem_pin_open(&pin, variant->ops);
	run_and_kill(create_and_pin, o, &pin);
	assert_held(o);
	gmem_pin_check(&pin);
	pin.ops->drop(&pin);
	assert_back(o);
}

FIXTURE(guest_memfd_page)
{
	struct owner o;
};

FIXTURE_VARIANT(guest_memfd_page)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_page, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_page, 1g) {
	.order = ORDER_1G,
};

FIXTURE_SETUP(guest_memfd_page)
{
	owner_init(&self->o, variant->order);
}

FIXTURE_TEARDOWN(guest_memfd_page)
{
	owner_exit(&self->o);
}

static void disk_read(struct owner *o, aio_context_t *context, int fd, u64 page)
{
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = fd,
		.aio_buf = (u64)gmem_host_page(&o->g, page),
		.aio_nbytes = PAGE_SIZE,
	}, *iocbs[] = { &iocb };

	TEST_ASSERT(!syscall(__NR_io_setup, 1, context), "io_setup() failed, errno: %d",
		    errno);
	gmem_convert(&o->g, page, 1, false);
	TEST_ASSERT(!gmem_host_access(gmem_host_page(&o->g, page), true),
		    "The host cannot write to a shared page");
	TEST_ASSERT(syscall(__NR_io_submit, *context, 1, iocbs) == 1,
		    "io_submit() failed, errno: %d", errno);
}

/* Whether the one transfer has ended: wait for @min. */
static long disk_events(aio_context_t context, long min)
{
	struct timespec none = {};
	struct io_event event;
	long nr = syscall(__NR_io_getevents, context, min, 1, &event,
			  min ? NULL : &none);

	TEST_ASSERT(nr >= 0, "io_getevents() failed, errno: %d", errno);
	TEST_ASSERT(!nr || event.res == PAGE_SIZE, "Read of %lld bytes", event.res);
	return nr;
}

/* False if the disk was too fast for us to see the page held. */
static bool test_direct_io(struct owner *o, unsigned int seconds)
{
	int fd = gmem_disk_open(seconds * NSEC_PER_SEC);
	aio_context_t context = 0;
	u64 page, error_offset;
	struct hugetlb_pool pool;
	int refused;
	bool seen;

	owner_create(o);
	page = o->g.nr_pages / 4;
	disk_read(o, &context, fd, page);
	refused = try_private(&o->g, 0, o->g.nr_pages, &error_offset);
	close_in_order(o, "mfv");
	hugetlb_pool_read(o->page_size, &pool);
	seen = !disk_events(context, 0);
	if (seen) {
		TEST_ASSERT_EQ(refused, EAGAIN);
		TEST_ASSERT_EQ(error_offset, page * PAGE_SIZE);
		TEST_ASSERT_EQ(pool.free, o->pool.free - 1);
		TEST_ASSERT_EQ(disk_events(context, 1), 1);
	}
	assert_back(o);
	TEST_ASSERT(!syscall(__NR_io_destroy, context), "io_destroy() failed");
	gmem_disk_close(fd);
	return seen;
}

/* The last reference is the disk's, whose timer's interrupt drops it. */
TEST_F_TIMEOUT(guest_memfd_page, direct_io, GMEM_TIMEOUT)
{
	unsigned int seconds = 1;

	/* Requests time out after 30 s. */
	while (!test_direct_io(&self->o, seconds)) {
		seconds *= 2;
		TEST_ASSERT(seconds <= 16, "Too slow to see a transfer in flight");
	}
}

static void create_and_read(struct owner *o, struct gmem_pin *pin)
{
	aio_context_t context = 0;

	owner_create(o);
	disk_read(o, &context, pin->fds[0], 0);
}

/* Whether the transfer has ended by then or not. */
TEST_F_TIMEOUT(guest_memfd_page, direct_io_killed, GMEM_TIMEOUT)
{
	struct gmem_pin disk = { .fds = { gmem_disk_open(1 * NSEC_PER_SEC) } };

	run_and_kill(create_and_read, &self->o, &disk);
	assert_back(&self->o);
	gmem_disk_close(disk.fds[0]);
}

/*
 * Run the code of orphans for a page that is whole, for one that is split, and
 * for one of which munlock() holds a part until its batch is drained.
 */
TEST_F_TIMEOUT(guest_memfd_page, orphan_all, GMEM_TIMEOUT)
{
	enum { WHOLE, SPLIT, LOCKED, NR } state;
	struct owner *o = &self->o;
	struct gmem_vm *g = &o->g;
	u64 page;

	for (state = WHOLE; state < NR; state++) {
		owner_create(o);
		page = g->nr_pages / 3;
		/* The page is as good as before. */
		gmem_set_tags(g, page, 8, 0);
		gmem_guest_check(g, page, 8, GMEM_STEP_ALL);
		gmem_set_tags(g, page, 8, 1);
		gmem_guest_write(g, page, 8);
		if (state != WHOLE)
			gmem_convert(g, page, 1, false);
		TEST_ASSERT_EQ(gmem_count_folios(g->fd, o->order), state == WHOLE);
		if (state == LOCKED)
			TEST_ASSERT(!mlock(gmem_host_page(g, page), PAGE_SIZE),
				    "mlock() failed, errno: %d", errno);

		gmem_write_file(ORPHAN_ALL, "Y");
		gmem_vm_free(g);
		gmem_write_file(ORPHAN_ALL, "N");
		if (state == LOCKED)
			gmem_write_file("/proc/sys/vm/drop_caches", "1");
		else
			hugetlb_pool_assert_eq(o->page_size, &o->pool);
		assert_back(o);
	}
}

static void create_and_pin_in_cgroup(struct owner *o, struct gmem_pin *pin)
{
	TEST_ASSERT(!cg_enter_current((void *)pin->address), "Cannot enter the cgroup");
	create_and_pin(o, pin);
}

/* Moving a charge, and dropping it, may take a while. */
static void wait_usage(struct owner *o, const char *cgroup, const char *what, u64 bytes)
{
	char name[64], want[32];
	int i;

	snprintf(name, sizeof(name), "hugetlb.%s.%scurrent",
		 o->order == ORDER_1G ? "1GB" : "2MB", what);
	snprintf(want, sizeof(want), "%lu\n", bytes);
	for (i = 0; i < 60; i++) {
		if (!cg_read_strcmp_wait(cgroup, name, want))
			return;
	}
	TEST_FAIL("%s/%s is not %s", cgroup, name, want);
}

/* A page is charged for as long as it is held; its cgroup may go before. */
TEST_F_TIMEOUT(guest_memfd_page, cgroup, GMEM_TIMEOUT)
{
	struct owner *o = &self->o;
	char root[PATH_MAX], *parent, *child;
	struct gmem_pin pin;

	TEST_ASSERT(!cg_find_unified_root(root, sizeof(root), NULL), "No cgroup v2");
	parent = cg_name(root, "guest_memfd_pins");
	child = cg_name(parent, "child");
	TEST_ASSERT(!cg_write(root, "cgroup.subtree_control", "+hugetlb") &&
		    !cg_create(parent) &&
		    !cg_write(parent, "cgroup.subtree_control", "+hugetlb") &&
		    !cg_create(child), "Cannot make cgroups with hugetlb in %s", root);

	gmem_pin_open(&pin, &gmem_in_pipe);
	pin.address = (u64)child;
	run_and_kill(create_and_pin_in_cgroup, o, &pin);
	assert_held(o);
	wait_usage(o, child, "", o->page_size);
	wait_usage(o, child, "rsvd.", o->page_size);
	TEST_ASSERT(!cg_destroy(child), "Cannot remove %s, errno: %d", child, errno);
	wait_usage(o, parent, "", o->page_size);

	pin.ops->drop(&pin);
	assert_back(o);
	wait_usage(o, parent, "", 0);
	wait_usage(o, parent, "rsvd.", 0);
	TEST_ASSERT(!cg_destroy(parent), "Cannot remove %s, errno: %d", parent, errno);
	free(child);
	free(parent);
}

/*
 * The page fails while it is mapped, or when only a pipe has it.  Either way the
 * huge page is lost, but not before the pipe has let go.
 */
TEST_F_TIMEOUT(guest_memfd_page, poison, GMEM_TIMEOUT)
{
	int i, nr = variant->order == ORDER_1G ? 1 : 2;
	struct owner *o = &self->o;
	struct gmem_vm *g = &o->g;
	struct gmem_pin pin;
	u64 page, pfn;

	for (i = 0; i < nr; i++) {
		gmem_pin_open(&pin, &gmem_in_pipe);
		create_and_pin(o, &pin);
		page = g->nr_pages - 1;
		pfn = gmem_pfn(g, page);
		if (i)
			gmem_poison_mapped(g, page);
		close_in_order(o, "fmv");
		if (i)
			wait_orphan();
		assert_held(o);
		if (!i)
			gmem_poison_pfn(g, page, pfn);
		use_rest_of_pool(o);
		assert_held(o);

		pin.ops->drop(&pin);
		o->pool.nr--;
		o->pool.free--;
		o->nr_lost++;
		assert_back(o);
	}
}

TEST_HARNESS_MAIN
