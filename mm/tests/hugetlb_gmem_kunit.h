/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit tests of mm/hugetlb_gmem*.c share
 *
 * A test file is an inode with a page cache of its own, and holds pages of the
 * real pools.  Books are what is counted of the pools, and must be as before when
 * the file is gone.  See Documentation/mm/hugetlb_gmem.rst.
 */
#ifndef _MM_TESTS_HUGETLB_GMEM_KUNIT_H
#define _MM_TESTS_HUGETLB_GMEM_KUNIT_H

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/sched.h>

#include "../hugetlb_gmem.h"

#define GMEM_KUNIT_2M	9
#define GMEM_KUNIT_1G	18

/* Under emulation most tests of 1G are. */
#define GMEM_KUNIT_SLOW(test_name, gen_params)	\
	KUNIT_CASE_PARAM_ATTR(test_name, gen_params, { .speed = KUNIT_SPEED_SLOW })

/* Each item is counted in pages or in huge pages, as the kernel has it. */
enum gmem_kunit_book {
	BOOK_POOL,
	BOOK_POOL_FREE,
	BOOK_POOL_RESERVED,
	BOOK_POOL_SURPLUS,
	BOOK_POOL_MAX,
	BOOK_NODE,
	BOOK_NODE_FREE,
	BOOK_NODE_SURPLUS,
	BOOK_NR_HUGETLB,
	BOOK_NR_MEMMAP,
	BOOK_CGROUP,
	BOOK_CGROUP_NODE,
	BOOK_CGROUP_RESERVED,
	BOOK_EXTENTS,		/* known by pfn */
	BOOK_HOST_SIZE,
	BOOK_HOST_NODE,
	BOOK_HOST,		/* what hugetlb_gmem counts of all files */
	NR_BOOKS = BOOK_HOST + HUGETLB_GMEM_NR_EXTENT_ITEMS,
};

struct gmem_kunit_books {
	long value[NR_BOOKS];
};

/**
 * struct gmem_kunit_file - a file on HugeTLB pages
 * @test:	the test it is made for
 * @inode:	NULL when it is closed
 * @gmem:	NULL without a reservation
 * @hstate:	the pool
 * @order:	of its pages
 * @books:	from before the file
 * @nr_poisoned: how often the file was told of a poisoned page
 * @poisoned:	index of the last one
 * @telling:	held while the file is told, or by who wants that to wait
 */
struct gmem_kunit_file {
	struct kunit		*test;
	struct inode		*inode;
	struct hugetlb_gmem	*gmem;
	struct hstate		*hstate;
	unsigned int		order;
	struct gmem_kunit_books	books;
	atomic_t		nr_poisoned;
	pgoff_t			poisoned;
	struct mutex		telling;	/* see above */
};

/**
 * struct gmem_kunit_pool_page - a free page of the pool, with its struct pages
 * @folio:	the next one that will be taken
 * @nr:		number of pages
 * @pages:	copy of its struct pages
 * @entries:	page-table entries of its vmemmap
 */
struct gmem_kunit_pool_page {
	struct folio	*folio;
	unsigned long	nr;
	struct page	*pages;
	u64		*entries;
};

/**
 * struct gmem_kunit_shape - a layout to be tested
 * @name:	what to call it
 * @order:	of the extent
 * @uniform:	if @nr_small is 0: the order of all folios
 * @nr_small:	how many blocks are small; the others form the largest folios
 * @small:	which ones, counted from the end if negative
 */
struct gmem_kunit_shape {
	const char	*name;
	u8		order;
	u8		uniform;
	u8		nr_small;
	s16		small[6];
};

/**
 * struct gmem_kunit_fallible - what fails if it gets no memory
 * @run:	returns 0 or an error
 * @check:	after an error: is everything as before?
 * @undo:	after success: make everything as before
 */
struct gmem_kunit_fallible {
	int (*run)(void *data);
	void (*check)(struct kunit *test, void *data);
	void (*undo)(void *data);
};

/* hugetlb_gmem_kunit_lib.c: suites, files, books, failures */
int gmem_kunit_suite_init(struct kunit_suite *suite);
void gmem_kunit_suite_exit(struct kunit_suite *suite);
int gmem_kunit_init(struct kunit *test);
const void *gmem_kunit_orders(struct kunit *test, const void *prev, char *desc);
unsigned int gmem_kunit_order(struct kunit *test);

struct gmem_kunit_file *gmem_kunit_new_file(struct kunit *test,
					    unsigned int order, unsigned long nr);
int gmem_kunit_reserve(struct gmem_kunit_file *file);
struct gmem_kunit_file *gmem_kunit_create(struct kunit *test,
					  unsigned int order, unsigned long nr);
void gmem_kunit_close(struct gmem_kunit_file *file);
void gmem_kunit_close_clean(struct gmem_kunit_file *file);
int gmem_kunit_alloc(struct hugetlb_gmem_extent *extent);
struct hugetlb_gmem_extent *gmem_kunit_fill(struct gmem_kunit_file *file,
					    unsigned long i);
/* What keeps a folio as it is, with a reference, or with the lock alone. */
struct gmem_kunit_hold {
	void		(*take)(struct folio *folio);
	void		(*drop)(struct folio *folio);
	int		nr_refs;
};

extern const struct gmem_kunit_hold gmem_kunit_reference, gmem_kunit_lock;

void gmem_kunit_punch(struct gmem_kunit_file *file, unsigned long i);
void gmem_kunit_count(struct hugetlb_gmem_extent *extent);

struct hugetlb_cgroup *gmem_kunit_cgroup(void);
void gmem_kunit_read_books(struct kunit *test, struct hstate *h,
			   struct gmem_kunit_books *books);
void gmem_kunit_expect_books(struct kunit *test, struct hstate *h,
			     const struct gmem_kunit_books *books);
void gmem_kunit_await_books(struct kunit *test, struct hstate *h,
			    const struct gmem_kunit_books *books);
void gmem_kunit_file_books(struct gmem_kunit_file *file, unsigned long nr,
			   unsigned long nr_filled,
			   struct gmem_kunit_books *books);
void gmem_kunit_expect_counters(struct gmem_kunit_file *file);

bool gmem_kunit_all_allocations_fail(void);
void gmem_kunit_fail_each(struct kunit *test,
			  const struct gmem_kunit_fallible *fallible,
			  void *data, unsigned int nr_own);

#ifdef CONFIG_FAULT_INJECTION
static inline void gmem_kunit_fail_nth(unsigned int nth)
{
	current->fail_nth = nth;
}

/* How many allocations were left until the one to fail, which now does not. */
static inline unsigned int gmem_kunit_fail_none(void)
{
	unsigned int left = current->fail_nth;

	current->fail_nth = 0;
	return left;
}
#else
static inline void gmem_kunit_fail_nth(unsigned int nth)
{
}

static inline unsigned int gmem_kunit_fail_none(void)
{
	return 1;
}
#endif

/* hugetlb_gmem_kunit_pages.c: layouts, struct pages, contents */
void gmem_kunit_shape_layout(const struct gmem_kunit_shape *shape, u8 *layout);
unsigned int gmem_kunit_steps(const u8 *from, const u8 *to,
			      unsigned int nr_blocks,
			      struct hugetlb_gmem_step *steps);
struct hugetlb_gmem_relayout *
gmem_kunit_new_relayout(struct hugetlb_gmem_extent *extent, const u8 *to);
int gmem_kunit_try_relayout(struct hugetlb_gmem_extent *extent, const u8 *to,
			    bool merge, struct hugetlb_gmem_changes *changes);
void gmem_kunit_relayout(struct kunit *test, struct hugetlb_gmem_extent *extent,
			 const u8 *to);
void gmem_kunit_share_first(struct kunit *test,
			    struct hugetlb_gmem_extent *extent);

void gmem_kunit_expect_layout(struct kunit *test,
			      struct hugetlb_gmem_extent *extent,
			      const u8 *layout);
void gmem_kunit_next_page(struct kunit *test, struct hstate *h,
			  struct gmem_kunit_pool_page *page);
void gmem_kunit_expect_page(struct kunit *test,
			    const struct gmem_kunit_pool_page *page);
unsigned long gmem_kunit_own_vmemmap(struct hugetlb_gmem_extent *extent);
void gmem_kunit_write(struct hugetlb_gmem_extent *extent, u64 salt);
void gmem_kunit_expect_contents(struct kunit *test,
				struct hugetlb_gmem_extent *extent, u64 salt);
void gmem_kunit_expect_zeroes(struct kunit *test,
			      struct hugetlb_gmem_extent *extent);

#endif /* _MM_TESTS_HUGETLB_GMEM_KUNIT_H */
