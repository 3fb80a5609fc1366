// SPDX-License-Identifier: GPL-2.0-only
/*
 * Users of a guest_memfd's memory other than KVM: what they are told and when,
 * that they can refuse, go before the file or after it, and what becomes of pages
 * that they cannot let go.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <string.h>
#include <linux/falloc.h>

#include "guest_memfd_consumer.h"
#include "guest_memfd_dump.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
/* What a worker has to tell may be late: look again this often. */
#define NR_LOOKS	6000
#define LOOK_USEC	10000

FIXTURE(guest_memfd_consumer)
{
	struct gmem_vm g;
	u64 nr_hugepages;
	int consumer;
};

FIXTURE_SETUP(guest_memfd_consumer)
{
	struct gmem_config config = gmem_one_page_config(ORDER_2M);

	config.size = SZ_4M;
	self->nr_hugepages = hugetlb_pool_require(SZ_2M, 2);
	gmem_vm_create(&self->g, &config);
	gmem_guest_check(&self->g, 0, self->g.nr_pages, GMEM_STEP_SPREAD);
	self->consumer = gmem_consumer_open(self->g.fd);
}

FIXTURE_TEARDOWN(guest_memfd_consumer)
{
	if (self->consumer >= 0)
		kvm_close(self->consumer);
	gmem_vm_free(&self->g);
	hugetlb_pool_set(SZ_2M, self->nr_hugepages);
}

/* Exactly what changes, each part once, and after it was asked about. */
TEST_F_TIMEOUT(guest_memfd_consumer, told, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	int c = self->consumer;

	gmem_convert(g, 10, 20, false);
	gmem_consumer_assert_told(c, "prepare 10 30\ninvalidate 10 30\n");
	gmem_convert(g, 10, 20, false);
	gmem_consumer_assert_told(c, "%s", "");
	gmem_convert(g, 5, 30, false);
	gmem_consumer_assert_told(c, "prepare 5 10\nprepare 30 35\n"
				  "invalidate 5 10\ninvalidate 30 35\n");
	gmem_convert(g, 0, g->nr_pages, true);
	gmem_consumer_assert_told(c, "prepare 5 35\ninvalidate 5 35\n");
}

TEST_F_TIMEOUT(guest_memfd_consumer, told_of_hole, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	kvm_fallocate(g->fd, PUNCH, 7 * PAGE_SIZE, SZ_2M);
	gmem_consumer_assert_told(self->consumer, "prepare 7 519\ninvalidate 7 519\n");
}

TEST_F_TIMEOUT(guest_memfd_consumer, refuses, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	struct gmem_dump was;
	u64 error_offset;
	int error;

	gmem_convert(g, 10, 2, false);
	gmem_consumer_assert_told(self->consumer, "prepare 10 12\ninvalidate 10 12\n");
	gmem_consumer_command(self->consumer, "refuse %d", EXDEV);
	gmem_dump(g, &was);
	error = gmem_try_convert(g, 8, 10, false, &error_offset);
	TEST_ASSERT(error == EXDEV && error_offset == 8 * PAGE_SIZE,
		    "%s at 0x%lx, wanted EXDEV at page 8", strerror(error), error_offset);
	gmem_consumer_assert_told(self->consumer, "prepare 8 10\n");
	gmem_dump_assert_same(g, &was, GMEM_LOST_NOTHING, "A consumer refuses");
	gmem_dump_free(&was);

	gmem_consumer_command(self->consumer, "refuse %d", 0);
	gmem_convert(g, 8, 10, false);
}

/* Of two, the first has agreed when the second refuses. */
TEST_F_TIMEOUT(guest_memfd_consumer, second_refuses, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	int second = gmem_consumer_open(g->fd);
	int error;

	gmem_consumer_command(second, "refuse %d", EXDEV);
	error = gmem_try_convert(g, 8, 10, false, NULL);
	TEST_ASSERT(error == EXDEV, "%s, wanted EXDEV", strerror(error));
	gmem_consumer_assert_told(self->consumer, "prepare 8 18\nabort 8 18\n");
	gmem_consumer_assert_told(second, "prepare 8 18\n");
	kvm_close(second);
	gmem_convert(g, 8, 10, false);
	gmem_consumer_assert_told(self->consumer, "prepare 8 18\ninvalidate 8 18\n");
}

/*
 * A fault of the host unlocks a page after it has mapped it, when somebody else
 * may have unmapped it again: no reference tells of that.
 */
TEST_F_TIMEOUT(guest_memfd_consumer, locks, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page = 10, error_offset = -1;
	struct gmem_dump was;

	gmem_convert(g, page, 1, false);
	gmem_consumer_command(self->consumer, "hold %lu", page);
	gmem_consumer_command(self->consumer, "lock");
	gmem_dump(g, &was);
	TEST_ASSERT_EQ(gmem_try_convert(g, page, 1, true, &error_offset), EAGAIN);
	TEST_ASSERT_EQ(error_offset, page * PAGE_SIZE);
	TEST_ASSERT(fallocate(g->fd, PUNCH, 0, SZ_2M) && errno == EAGAIN,
		    "Punching an extent with a locked page, errno: %d", errno);
	gmem_dump_assert_same(g, &was, GMEM_LOST_SHARED, "A page is locked");
	gmem_dump_free(&was);

	gmem_consumer_command(self->consumer, "hold %d", -1);
	gmem_convert(g, page, 1, true);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "split"), 0);
}

/* Nor is a folio split that somebody has locked. */
TEST_F_TIMEOUT(guest_memfd_consumer, locks_whole, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 page = 600, error_offset = -1;

	gmem_consumer_command(self->consumer, "hold %lu", page);
	gmem_consumer_command(self->consumer, "lock");
	TEST_ASSERT_EQ(gmem_try_convert(g, page, 1, false, &error_offset), EAGAIN);
	TEST_ASSERT_EQ(error_offset, page * PAGE_SIZE);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "split"), 0);
	gmem_guest_check(g, 0, g->nr_pages, GMEM_STEP_SPREAD);

	gmem_consumer_command(self->consumer, "hold %d", -1);
	gmem_convert(g, page, 1, false);
	TEST_ASSERT_EQ(gmem_fdinfo(g->fd, "split"), 1);
}

TEST_F_TIMEOUT(guest_memfd_consumer, dies_first, GMEM_TIMEOUT)
{
	kvm_close(self->consumer);
	self->consumer = -1;
	gmem_convert(&self->g, 0, 3, false);
	gmem_convert(&self->g, 0, 3, true);
}

/* The memory is the pool's again when the last one who used it is gone. */
TEST_F_TIMEOUT(guest_memfd_consumer, dies_last, GMEM_TIMEOUT)
{
	struct gmem_config config = self->g.config;
	struct hugetlb_pool before, pool;

	hugetlb_pool_read(SZ_2M, &before);
	self->g.config.keeps_pages = true;
	gmem_vm_free(&self->g);
	hugetlb_pool_read(SZ_2M, &pool);
	TEST_ASSERT(pool.free == before.free, "Free pages: %lu, were %lu", pool.free,
		    before.free);
	kvm_close(self->consumer);
	self->consumer = -1;
	before.free += 2;
	before.resv = 0;
	hugetlb_pool_wait_eq(SZ_2M, &before);
	gmem_vm_create(&self->g, &config);
}

TEST_F_TIMEOUT(guest_memfd_consumer, bad_file, GMEM_TIMEOUT)
{
	int null = open_path_or_exit("/dev/null", O_RDONLY);
	int small = gmem_create(self->g.vm, SZ_4M, 0, 0);
	int second = gmem_consumer_open(self->g.fd);

	TEST_ASSERT(__gmem_consumer_command(second, "register %d", self->g.fd) == EBUSY,
		    "Registering again");
	kvm_close(second);
	second = __gmem_consumer_open();
	TEST_ASSERT(__gmem_consumer_command(second, "register %d", null) == EINVAL,
		    "Registering /dev/null");
	TEST_ASSERT(__gmem_consumer_command(second, "register %d", small) == EINVAL,
		    "Registering a file of base pages");
	TEST_ASSERT(__gmem_consumer_command(second, "register %d", 999) == EBADF,
		    "Registering a file that is not open");
	kvm_close(second);
	kvm_close(small);
	kvm_close(null);
}

/* Read what the consumer is told, at once or in parts, until it ends with @want. */
static void wait_told(int consumer, const char *want)
{
	size_t want_len = strlen(want), len = 0;
	char text[16384] = {};
	ssize_t got;
	int i;

	for (i = 0; i < NR_LOOKS; i++) {
		got = read(consumer, text + len, sizeof(text) - 1 - len);
		TEST_ASSERT(got >= 0, "Reading from the consumer, errno: %d", errno);
		len += got;
		if (len >= want_len && !strcmp(text + len - want_len, want))
			return;
		usleep(LOOK_USEC);
	}
	TEST_FAIL("The consumer was not told\n%swanted\n%s", text, want);
}

/* Who refuses a page that is poisoned is not waited for without end. */
TEST_F_TIMEOUT(guest_memfd_consumer, refuses_poisoned, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	int second = gmem_consumer_open(g->fd);

	gmem_consumer_command(second, "refuse %d", EBUSY);
	gmem_poison(g, 600);
	wait_told(self->consumer, "abort 600 601\nprepare 600 601\ninvalidate 600 601\n");
	TEST_ASSERT_EQ(gmem_guest_run(g, GMEM_TOUCH, 600, 1, 0), EHWPOISON);
	gmem_guest_check(g, 0, 600, GMEM_STEP_SPREAD);
	gmem_guest_check(g, 601, g->nr_pages - 601, GMEM_STEP_SPREAD);
	kvm_close(second);
}

/* Pages that stay with whoever cannot let them go are nobody else's any more. */
TEST_F_TIMEOUT(guest_memfd_consumer, fails, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;
	u64 error_offset;
	int error;

	gmem_consumer_command(self->consumer, "fail");
	gmem_convert(g, 600, 2, false);
	kvm_close(self->consumer);
	self->consumer = -1;
	g->poisoned = BIT(1);

	TEST_ASSERT(gmem_probe(g, 600) == GMEM_POISONED, "Page 600 is not poisoned");
	TEST_ASSERT(gmem_probe(g, 601) == GMEM_POISONED, "Page 601 is not poisoned");
	error = gmem_try_convert(g, 590, 20, true, &error_offset);
	TEST_ASSERT(error == EHWPOISON && error_offset == 600 * PAGE_SIZE,
		    "%s at 0x%lx, wanted EHWPOISON at page 600", strerror(error), error_offset);
	TEST_ASSERT(gmem_fdinfo(g->fd, "poisoned") == 8, "gmem-poisoned: %lu",
		    gmem_fdinfo(g->fd, "poisoned"));
	gmem_guest_check(g, 0, 600, GMEM_STEP_SPREAD);
}

/* Nor the pool's, where they would have gone. */
TEST_F_TIMEOUT(guest_memfd_consumer, fails_in_hole, GMEM_TIMEOUT)
{
	struct gmem_vm *g = &self->g;

	gmem_consumer_command(self->consumer, "fail");
	kvm_fallocate(g->fd, PUNCH, SZ_2M, SZ_2M);
	kvm_close(self->consumer);
	self->consumer = -1;
	g->poisoned = BIT(1);

	TEST_ASSERT(gmem_fdinfo(g->fd, "poisoned") == SZ_2M / SZ_1K &&
		    gmem_fdinfo(g->fd, "allocated") == SZ_4M / SZ_1K,
		    "gmem-poisoned: %lu, gmem-allocated: %lu",
		    gmem_fdinfo(g->fd, "poisoned"), gmem_fdinfo(g->fd, "allocated"));
	gmem_guest_check(g, 0, SZ_2M / PAGE_SIZE, GMEM_STEP_SPREAD);
}

/* Not run by default: the kernel complains, see scripts/tests.table. */
TEST_F_TIMEOUT(guest_memfd_consumer, allocates, GMEM_TIMEOUT)
{
	gmem_consumer_command(self->consumer, "allocate");
	gmem_convert(&self->g, 0, 1, false);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SW_PROTECTED_VM));

	return test_harness_run(argc, argv);
}
