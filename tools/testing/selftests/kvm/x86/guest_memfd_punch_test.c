// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holes in a guest_memfd, and memory for it: FALLOC_FL_PUNCH_HOLE of extents
 * and parts of them that are private, shared or both, whole or split, pinned,
 * poisoned or neither; what fallocate() refuses and allocates; what the host
 * may map; and st_blocks, the pool and what reads as zeroes all along.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <linux/falloc.h>

#include "guest_memfd_pins.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define KEEP		FALLOC_FL_KEEP_SIZE
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define NR_EXTENTS	3
/* Pages of each extent that have contents: the first ones, and the last ones. */
#define NR_FIRST	88
#define NR_LAST		8
/* The page of an extent that may be in the way, and what is mixed around it. */
#define OBSTACLE	43
#define NR_AROUND	12

/* What all extents hold. */
enum content {
	/* One folio. */
	ALL_PRIVATE,
	ALL_SHARED,
	/* Split: touched by the host, or some pages are shared. */
	ALL_TOUCHED,
	MIXED,
	NR_CONTENTS,
};

/* What is in the way, in the extent in the middle. */
enum obstacle {
	NOTHING,
	PINNED,
	POISONED,
	NR_OBSTACLES,
};

static const char * const content_names[] = {
	"private", "shared", "touched by the host", "mixed",
};

static const char * const obstacle_names[] = { "free", "pinned", "poisoned" };

struct hole {
	u64 first;
	u64 end;
};

struct punch {
	struct gmem_vm g;
	struct hugetlb_pool pool;
	u64 page_size;
	u64 nr_hugepages;
	/* Pages in an extent; of base pages, any 2M are taken for one. */
	u64 extent;
	bool lost_1g;
};

static void create(struct punch *p, u8 order)
{
	struct gmem_config config = gmem_one_page_config(order);

	config.size *= NR_EXTENTS;
	if (order) {
		hugetlb_pool_require(p->page_size, NR_EXTENTS);
		hugetlb_pool_read(p->page_size, &p->pool);
	}
	gmem_vm_create(&p->g, &config);
}

static void set_up(struct punch *p, u8 order)
{
	struct gmem_config config = gmem_one_page_config(order);

	p->page_size = config.size;
	p->extent = p->page_size / PAGE_SIZE;
	hugetlb_pool_read(p->page_size, &p->pool);
	p->nr_hugepages = p->pool.nr;
	create(p, order);
}

/* Poisoned pages have left the pool.  Only those of 2M can be replaced. */
static void tear_down(struct punch *p)
{
	gmem_vm_free(&p->g);
	if (!p->lost_1g)
		hugetlb_pool_set(p->page_size, p->nr_hugepages);
}

FIXTURE(guest_memfd_punch)
{
	struct punch punch;
};

FIXTURE_VARIANT(guest_memfd_punch)
{
	u8 order;
};

FIXTURE_VARIANT_ADD(guest_memfd_punch, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_punch, 2m) {
	.order = ORDER_2M,
};

FIXTURE_SETUP(guest_memfd_punch)
{
	set_up(&self->punch, variant->order);
}

FIXTURE_TEARDOWN(guest_memfd_punch)
{
	tear_down(&self->punch);
}

/* Zeroing 1G takes its time: one file for what is most different. */
FIXTURE(guest_memfd_punch_1g)
{
	struct punch punch;
};

FIXTURE_SETUP(guest_memfd_punch_1g)
{
	set_up(&self->punch, ORDER_1G);
}

FIXTURE_TEARDOWN(guest_memfd_punch_1g)
{
	tear_down(&self->punch);
}

/* The pool and st_blocks when @nr_held extents have memory. */
static void assert_held(struct punch *p, u64 nr_held,
			const char *when)
{
	struct hugetlb_pool want = p->pool;
	u64 blocks = gmem_blocks(p->g.fd);

	if (!p->g.config.order) {
		TEST_ASSERT(!blocks, "%s: st_blocks %lu", when, blocks);
		return;
	}

	TEST_ASSERT(blocks * 512 == nr_held * p->page_size,
		    "%s: st_blocks %lu, wanted %lu extents", when, blocks, nr_held);
	want.free -= nr_held;
	want.resv += NR_EXTENTS - nr_held;
	hugetlb_pool_assert_eq(p->page_size, &want);
}

static u64 obstacle_page(struct punch *p)
{
	return p->extent + OBSTACLE;
}

static bool is_shared(enum content content, u64 page)
{
	return content == ALL_SHARED || content == ALL_TOUCHED ||
	       (content == MIXED && page >= OBSTACLE - NR_AROUND &&
		page < OBSTACLE + NR_AROUND);
}

static void write_pages(struct gmem_vm *g, u64 page, u64 nr, u32 generation)
{
	gmem_set_tags(g, page, nr, generation);
	gmem_guest_write(g, page, nr);
}

static void fill_extent(struct punch *p, u64 page,
			enum content content)
{
	struct gmem_vm *g = &p->g;
	u64 i;

	write_pages(g, page, NR_FIRST, content + 1);
	write_pages(g, page + p->extent - NR_LAST, NR_LAST, content + 1);
	if (content == MIXED)
		gmem_convert(g, page + OBSTACLE - NR_AROUND, 2 * NR_AROUND, false);
	for (i = 0; i < NR_FIRST && content >= ALL_TOUCHED; i++) {
		if (is_shared(content, i))
			gmem_host_check(g, page + i, GMEM_STEP_SPREAD);
	}
}

/* Give all extents memory and contents, from whatever they were. */
static void fill(struct punch *p, enum content content)
{
	struct gmem_vm *g = &p->g;
	u64 e;

	/* What was shared merges on the way. */
	gmem_convert(g, 0, g->nr_pages, true);
	if (content == ALL_SHARED || content == ALL_TOUCHED)
		gmem_convert(g, 0, g->nr_pages, false);
	for (e = 0; e < NR_EXTENTS; e++)
		fill_extent(p, e * p->extent, content);
	if (g->config.order)
		TEST_ASSERT_EQ(gmem_count_folios(g->fd, g->config.order),
			       content < ALL_TOUCHED ? NR_EXTENTS : 0);
	assert_held(p, NR_EXTENTS, "Filled");
}

static bool inside(const struct hole *hole, u64 first, u64 end)
{
	return hole->first <= first && end <= hole->end;
}

static u64 nr_held_after(struct punch *p,
			 const struct hole *hole, enum obstacle obstacle)
{
	u64 e, nr = 0;

	for (e = 0; e < NR_EXTENTS; e++)
		nr += !inside(hole, e * p->extent, (e + 1) * p->extent) ||
		      (e == 1 && obstacle == POISONED);
	return nr;
}

/* The attribute is as it was, and so are contents if the hole is elsewhere. */
static void check_page(struct gmem_vm *g, u64 page, bool shared)
{
	if (shared)
		gmem_host_check(g, page, GMEM_STEP_SPREAD);
	else
		TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), false),
			       BUS_ADRERR);
}

static void check_extent(struct punch *p, u64 first,
			 enum content content, u64 poisoned)
{
	struct gmem_vm *g = &p->g;
	u64 i, page, nr = 0;

	for (i = 0; i < NR_FIRST + NR_LAST; i++) {
		page = i < NR_FIRST ? i : p->extent - NR_LAST + i - NR_FIRST;
		if (first + page == poisoned) {
			TEST_ASSERT_EQ(gmem_probe(g, poisoned), GMEM_POISONED);
		} else {
			check_page(g, first + page, is_shared(content, page));
			g->model->list[nr++] = first + page;
		}
	}
	gmem_guest_check_list(g, nr, GMEM_STEP_SPREAD);
}

static int punch(struct gmem_vm *g, const struct hole *hole)
{
	return fallocate(g->fd, PUNCH, hole->first * PAGE_SIZE,
			 (hole->end - hole->first) * PAGE_SIZE) ? errno : 0;
}

/* An extent that would go has a page that cannot: nothing changes. */
static void punch_eagain(struct punch *p,
			 const struct hole *hole, const char *when)
{
	static struct gmem_snapshot before;
	int ret;

	gmem_snapshot(&p->g, &before, obstacle_page(p), 1);
	ret = punch(&p->g, hole);
	TEST_ASSERT(ret == EAGAIN, "%s: %s, wanted EAGAIN", when, strerror(ret));
	gmem_assert_unchanged(&p->g, &before, when);
}

static void punch_done(struct punch *p,
		       const struct hole *hole, enum content content,
		       enum obstacle obstacle, const char *when)
{
	u64 e, poisoned = obstacle == POISONED ? obstacle_page(p) : -1ul;
	struct gmem_vm *g = &p->g;
	int ret = punch(g, hole);

	TEST_ASSERT(!ret, "%s: %s", when, strerror(ret));
	assert_held(p, nr_held_after(p, hole, obstacle), when);
	gmem_set_tags(g, hole->first, hole->end - hole->first, 0);
	for (e = 0; e < NR_EXTENTS; e++)
		check_extent(p, e * p->extent, content, poisoned);
	assert_held(p, NR_EXTENTS, "Touched again");
}

static void punch_pinned(struct punch *p,
			 const struct hole *hole, enum content content,
			 const char *when)
{
	u64 page = obstacle_page(p);
	struct gmem_vm *g = &p->g;
	struct gmem_pin pin;

	gmem_pin(g, page, &pin);
	if (g->config.order && inside(hole, p->extent, 2 * p->extent)) {
		punch_eagain(p, hole, when);
		gmem_unpin(&pin);
		punch_done(p, hole, content, NOTHING, when);
		return;
	}

	punch_done(p, hole, content, PINNED, when);
	/* A huge page's part is zeroed in place; a base page has left the file. */
	if (g->config.order)
		pin.tag = g->model->tags[page];
	gmem_pin_check(&pin);
	gmem_unpin(&pin);
}

/* A new file for the next, as poison stays. */
static void punch_poisoned(struct punch *p,
			   const struct hole *hole, enum content content,
			   const char *when)
{
	u8 order = p->g.config.order;

	gmem_poison(&p->g, obstacle_page(p));
	punch_done(p, hole, content, POISONED, when);
	gmem_vm_free(&p->g);
	p->lost_1g = order == ORDER_1G;
	create(p, order);
}

static void punch_one(struct punch *p,
		      const struct hole *hole, enum content content,
		      enum obstacle obstacle)
{
	char when[128];

	snprintf(when, sizeof(when), "Hole of pages 0x%lx..0x%lx, %s, %s",
		 hole->first, hole->end - 1, content_names[content],
		 obstacle_names[obstacle]);
	fill(p, content);
	switch (obstacle) {
	case PINNED:
		punch_pinned(p, hole, content, when);
		break;
	case POISONED:
		punch_poisoned(p, hole, content, when);
		break;
	default:
		punch_done(p, hole, content, obstacle, when);
		break;
	}
}

/* A folio of many pages cannot be pinned, and a base page has no extent. */
static bool is_possible(u8 order, enum content content, enum obstacle obstacle)
{
	return !(obstacle == PINNED && content < ALL_TOUCHED) &&
	       !(obstacle == POISONED && !order);
}

static void punch_each(struct punch *p,
		       const struct hole *hole)
{
	u8 order = p->g.config.order;
	enum obstacle obstacle;
	enum content content;

	for (content = 0; content < NR_CONTENTS; content++) {
		for (obstacle = 0; obstacle < NR_OBSTACLES; obstacle++) {
			if (is_possible(order, content, obstacle))
				punch_one(p, hole, content, obstacle);
		}
	}
}

TEST_F_TIMEOUT(guest_memfd_punch, one_extent, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	struct hole hole = { p->extent, 2 * p->extent };

	punch_each(p, &hole);
}

TEST_F_TIMEOUT(guest_memfd_punch, part_of_extent, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	u64 page = obstacle_page(p);
	struct hole over = { page - 2, page + 4 }, behind = { page + 1, page + 7 };

	punch_each(p, &over);
	punch_each(p, &behind);
}

/* Without the first or the last page of the extent. */
TEST_F_TIMEOUT(guest_memfd_punch, most_of_extent, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	struct hole without_first = { p->extent + 1, 2 * p->extent };
	struct hole without_last = { p->extent, 2 * p->extent - 1 };

	punch_each(p, &without_first);
	punch_each(p, &without_last);
}

TEST_F_TIMEOUT(guest_memfd_punch, several_extents, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	struct hole inside = { OBSTACLE + 2, 2 * p->extent + OBSTACLE + 2 };
	struct hole all = { 0, NR_EXTENTS * p->extent };

	punch_each(p, &inside);
	punch_each(p, &all);
}

/* The lengths and modes that base pages refuse, too. */
TEST_F_TIMEOUT(guest_memfd_punch, refused, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	u64 size = p->g.config.size;
	const struct {
		int mode;
		u64 offset, len;
		int want;
	} cases[] = {
		{ 0, 0, PAGE_SIZE, EOPNOTSUPP },
		{ FALLOC_FL_PUNCH_HOLE, 0, PAGE_SIZE, EOPNOTSUPP },
		{ FALLOC_FL_ZERO_RANGE | KEEP, 0, PAGE_SIZE, EOPNOTSUPP },
		{ FALLOC_FL_COLLAPSE_RANGE, 0, PAGE_SIZE, EOPNOTSUPP },
		{ FALLOC_FL_INSERT_RANGE, 0, PAGE_SIZE, EOPNOTSUPP },
		{ KEEP, 1, PAGE_SIZE, EINVAL },
		{ KEEP, 0, 1, EINVAL },
		{ KEEP, 0, 0, EINVAL },
		{ KEEP, size, PAGE_SIZE, EINVAL },
		{ KEEP, size - PAGE_SIZE, 2 * PAGE_SIZE, EINVAL },
		{ KEEP, 0, size + PAGE_SIZE, EINVAL },
		{ KEEP, BIT_ULL(63), PAGE_SIZE, EINVAL },
		{ KEEP, 0, BIT_ULL(63), EINVAL },
		{ KEEP, BIT_ULL(63) - PAGE_SIZE, PAGE_SIZE, EFBIG },
		{ PUNCH, 1, PAGE_SIZE, EINVAL },
		{ PUNCH, PAGE_SIZE / 2, PAGE_SIZE, EINVAL },
		{ PUNCH, 0, PAGE_SIZE - 1, EINVAL },
		{ PUNCH, 0, 0, EINVAL },
		{ PUNCH, BIT_ULL(63), PAGE_SIZE, EINVAL },
		/* Nothing is there, which is what was asked for. */
		{ PUNCH, size, PAGE_SIZE, 0 },
		{ PUNCH, size + p->page_size, 16 * p->page_size, 0 },
	};
	static struct gmem_snapshot before;
	struct gmem_vm *g = &p->g;
	int i, ret;

	assert_held(p, 0, "At first");
	fill(p, MIXED);
	gmem_snapshot(g, &before, obstacle_page(p), 1);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ret = fallocate(g->fd, cases[i].mode, cases[i].offset, cases[i].len);
		ret = ret ? errno : 0;
		TEST_ASSERT(ret == cases[i].want,
			    "fallocate(0x%x, 0x%lx, 0x%lx): %s, wanted %s",
			    cases[i].mode, cases[i].offset, cases[i].len,
			    strerror(ret), strerror(cases[i].want));
	}
	gmem_assert_unchanged(g, &before, "Calls of fallocate()");

	/* Over the end, what there is of it goes. */
	kvm_fallocate(g->fd, PUNCH, size - p->page_size, 2 * p->page_size);
	assert_held(p, NR_EXTENTS - 1, "Hole over the end");
}

/* What allocates and what gives back, seen in st_blocks and in the pool. */
TEST_F_TIMEOUT(guest_memfd_punch, held, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	struct gmem_vm *g = &p->g;
	u64 extent = p->extent, i;

	assert_held(p, 0, "At first");
	kvm_fallocate(g->fd, KEEP, (extent - 1) * PAGE_SIZE, 2 * PAGE_SIZE);
	assert_held(p, 2, "Two pages of two extents");
	kvm_fallocate(g->fd, KEEP, 0, 2 * p->page_size);
	assert_held(p, 2, "What has memory");
	gmem_convert(g, 2 * extent + 5, 1, false);
	assert_held(p, 2, "Conversion of what has no memory");
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, 2 * extent + 5), true), 0);
	assert_held(p, NR_EXTENTS, "The host's touch");

	gmem_convert(g, 7, 1, false);
	assert_held(p, NR_EXTENTS, "Split");
	gmem_convert(g, 7, 1, true);
	assert_held(p, NR_EXTENTS, "Merged");
	for (i = 0; i < NR_EXTENTS; i++) {
		kvm_fallocate(g->fd, PUNCH, i * p->page_size, p->page_size);
		assert_held(p, NR_EXTENTS - i - 1, "Hole of an extent");
		kvm_fallocate(g->fd, PUNCH, i * p->page_size, p->page_size);
		assert_held(p, NR_EXTENTS - i - 1, "The hole again");
	}
	TEST_ASSERT_EQ(gmem_pre_fault(g, extent, 1), 0);
	assert_held(p, 1, "KVM's fault");
	/* Attributes outlive the memory. */
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, 2 * extent + 5), false), 0);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, 2 * extent + 6), false), BUS_ADRERR);
	assert_held(p, 2, "The host's touch of one page of two");
}

static u8 *map(struct gmem_vm *g, u64 page, u64 nr)
{
	void *mem = mmap(NULL, nr * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED, g->fd, page * PAGE_SIZE);

	TEST_ASSERT(mem != MAP_FAILED, "mmap() of %lu pages at 0x%lx, errno: %d",
		    nr, page, errno);
	return mem;
}

TEST_F_TIMEOUT(guest_memfd_punch, mmap, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	struct gmem_vm *g = &p->g;
	u64 page = p->extent - 1, size = g->config.size;
	u8 *two, *last, *past;

	TEST_ASSERT(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE, g->fd, 0) ==
		    MAP_FAILED && errno == EINVAL, "MAP_PRIVATE, errno: %d", errno);
	TEST_ASSERT(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, g->fd, 512) ==
		    MAP_FAILED && errno == EINVAL, "Offset 512, errno: %d", errno);

	/* Two pages of two extents, and a second mapping of the same. */
	two = map(g, page, 2);
	gmem_convert(g, page, 2, false);
	memset(two, 0xaa, 2 * PAGE_SIZE);
	TEST_ASSERT_EQ(*(u8 *)gmem_host_page(g, page), 0xaa);
	TEST_ASSERT_EQ(*(u8 *)gmem_host_page(g, page + 1), 0xaa);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page + 2), false), BUS_ADRERR);
	kvm_fallocate(g->fd, PUNCH, page * PAGE_SIZE, PAGE_SIZE);
	TEST_ASSERT_EQ(two[0] | *(u8 *)gmem_host_page(g, page), 0);
	TEST_ASSERT_EQ(two[PAGE_SIZE], 0xaa);
	kvm_fallocate(g->fd, PUNCH, p->page_size, p->page_size);
	TEST_ASSERT_EQ(two[PAGE_SIZE] | *(u8 *)gmem_host_page(g, page + 1), 0);
	kvm_munmap(two, 2 * PAGE_SIZE);

	/* The last page, the first after it, and one far from it. */
	last = map(g, g->nr_pages - 1, 2);
	past = map(g, 2 * g->nr_pages + 3, 1);
	TEST_ASSERT_EQ(gmem_host_access(last, true), BUS_ADRERR);
	gmem_convert(g, g->nr_pages - 1, 1, false);
	TEST_ASSERT_EQ(gmem_host_access(last, true), 0);
	TEST_ASSERT_EQ(gmem_host_access(last + PAGE_SIZE, true), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(past, false), BUS_ADRERR);
	assert_held(p, NR_EXTENTS, "Pages of all extents touched");
	kvm_munmap(past, PAGE_SIZE);
	kvm_munmap(last, 2 * PAGE_SIZE);
	TEST_ASSERT_EQ(size, g->nr_pages * PAGE_SIZE);
}

TEST_F_TIMEOUT(guest_memfd_punch_1g, holes, GMEM_TIMEOUT)
{
	struct punch *p = &self->punch;
	u64 page = obstacle_page(p);
	struct hole part = { page - 2, page + 4 };
	struct hole one = { p->extent, 2 * p->extent };
	struct hole inside = { OBSTACLE + 2, 2 * p->extent + OBSTACLE + 2 };

	punch_one(p, &part, ALL_PRIVATE, NOTHING);
	punch_one(p, &part, ALL_SHARED, NOTHING);
	punch_one(p, &part, MIXED, PINNED);
	punch_one(p, &one, MIXED, PINNED);
	punch_one(p, &inside, MIXED, POISONED);
}

TEST_HARNESS_MAIN
