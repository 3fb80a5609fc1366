// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest and the host write and read the same pages all the time, while one
 * thread converts ranges of them back and forth and another one punches holes.
 * Nobody waits for anybody, except in the kernel.  What is found in a page tells
 * whether all is well:
 *
 *  - Each side writes words of its own, with a number that it counts up.  Having
 *    written, it looks how many destructions of the page (punched, or zeroed on
 *    the way from private to shared) had begun by then, and makes that known.
 *    Whoever looks at the page first reads how many were complete: one more of
 *    these than of those, and a destruction that is over began after the words
 *    were there.  Then the words may not be found, by the host least of all: all
 *    that the guest has written while a page was private is destroyed before the
 *    page is shared.
 *  - If no destruction has begun since, and the page was not converted, then the
 *    words that one wrote must still be there, whatever happened to pages nearby.
 *  - Words name their page, and are never found in another.
 *  - A page that was private from before an access of the host until after it
 *    cannot have let the host in; one that was shared must have.
 *
 * Counts are published such that a look at the wrong moment misses a mistake,
 * and never finds one that is none: destructions count as begun before they
 * begin, and as complete after they are.  An error of the kernel means that
 * nothing has happened; then they have not begun after all.
 *
 * A second test sees that TLBs are flushed, by KVM's count of that.
 *
 * The seed is printed; the same seed repeats what each thread does, not when.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "guest_memfd_sept.h"
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"
#include "ucall_common.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define HAMMER_GPA	((gpa_t)SZ_2G)
#define HAMMER_SLOT	11

/* All that happens, happens in four blocks, on both sides of an extent's end. */
#define BLOCK_PAGES	(SZ_2M / PAGE_SIZE)
#define NR_BLOCKS	4
#define WINDOW		(NR_BLOCKS * BLOCK_PAGES)
#define NR_2M		NR_BLOCKS
#define NR_1G		2
/* The pages in use: from the first of each block to the last. */
#define HOT_PER_BLOCK	16
#define NR_HOT		(NR_BLOCKS * HOT_PER_BLOCK)
/* Words of each side, from the first one of a page to the last. */
#define NR_WORDS	4
#define WORD_STEP	((GMEM_WORDS - 1) / (2 * NR_WORDS - 1))

/* A word: in use, whose, of which page, number. */
#define WORD_USED	BIT_ULL(63)
#define WORD_SIDE	62
#define WORD_HOT	48
#define NUMBER_BITS	36
#define NUMBER_MASK	(BIT_ULL(NUMBER_BITS) - 1)
/* Known writes: number, and the count of destructions. */
#define LOG_BITS	28
#define LOG_MASK	(BIT_ULL(LOG_BITS) - 1)
#define NR_LOG		BIT_ULL(16)

/* Merging changes every so many conversions. */
#define NR_PER_DELAY	64
/* Every so many operations, take much more than a range in the window. */
#define RARELY		1000
/* Users spin: who converts or punches goes first. */
#define USER_NICE	3

static u32 nr_conversions;
static u32 nr_seconds;
static u32 seed = 1;

enum who {
	GUEST,
	HOST,
	NR_SIDES,
};

enum verdict {
	GOOD,
	/* A word of nobody, or of another page. */
	STRANGE,
	/* A word that was destroyed. */
	STALE,
	/* A word is gone that was not. */
	LOST,
	/* The host has reached a private page, or has not reached a shared one. */
	REACHED,
	REFUSED,
};

static const char * const bad_names[] = {
	[STRANGE] = "a word that does not belong there",
	[STALE] = "a word that was destroyed before",
	[LOST] = "something else where nobody has destroyed its word",
	[REACHED] = "its way into a private page",
	[REFUSED] = "a shared page closed",
};

/* State of a page, changed by the threads that convert and punch. */
struct hot_page {
	/* Modulo 4: private, becoming shared, shared, becoming private. */
	u32 epoch;
	/* Destructions of the page. */
	u32 begun;
	u32 complete;
};

#define EPOCHS		4
#define EPOCH_PRIVATE	0
#define EPOCH_SHARED	2

/* What one side has written last to a page. */
struct last {
	u64 word;
	u32 epoch;
	u32 begun;
	bool valid;
};

struct side {
	enum who who;
	struct kvm_random_state rng;
	u64 number;
	struct last last[NR_HOT];
	u64 log[NR_LOG];

	u64 visits;
	/* Words found of which it could be told how old they are; kept ones. */
	u64 judged;
	u64 kept;

	enum verdict bad;
	u32 bad_hot;
	u32 bad_word;
	u64 bad_value;
	u64 bad_want;
};

/* In memory without guest_memfd, seen by the guest and the host. */
struct hammer {
	struct hot_page pages[NR_HOT];
	struct side sides[NR_SIDES];
	u64 first;
	bool stop;
};

/* Of the first hot page of the window on: 0, 34, 68, .., 511 in each block. */
static u64 hot_to_page(u32 hot)
{
	return hot / HOT_PER_BLOCK * BLOCK_PAGES +
	       hot % HOT_PER_BLOCK * (BLOCK_PAGES - 1) / (HOT_PER_BLOCK - 1);
}

/* The n-th word of a side. */
static u32 word_index(enum who who, u32 n)
{
	return (2 * n + who) * WORD_STEP;
}

/* Nothing moves from one side of it to the other. */
static void full_barrier(void)
{
	asm volatile("mfence" ::: "memory");
}

static bool complain(struct side *s, enum verdict bad, u32 hot, u32 word,
		     u64 value, u64 want)
{
	s->bad_hot = hot;
	s->bad_word = word;
	s->bad_value = value;
	s->bad_want = want;
	WRITE_ONCE(s->bad, bad);
	return false;
}

/* Has a destruction that is over begun after the word was written? */
static bool check_age(struct hammer *h, struct side *s, u32 hot, u32 word,
		      u64 value, u32 complete)
{
	enum who who = value >> WORD_SIDE & 1;
	u64 number = value & NUMBER_MASK;
	u64 known = READ_ONCE(h->sides[who].log[number % NR_LOG]);

	if (known >> LOG_BITS != number)
		return true;
	s->judged++;
	if (complete <= (known & LOG_MASK))
		return true;
	return complain(s, STALE, hot, word, value, known & LOG_MASK);
}

static bool check_word(struct hammer *h, struct side *s, enum who who, u32 hot,
		       u32 n, u64 value, u32 complete)
{
	u64 want = WORD_USED | (u64)who << WORD_SIDE | (u64)hot << WORD_HOT;
	u32 word = word_index(who, n);

	if (!value)
		return true;
	if ((value & ~NUMBER_MASK) != want)
		return complain(s, STRANGE, hot, word, value, want);
	return check_age(h, s, hot, word, value, complete);
}

/* The other side's words; may end with a SIGBUS, as may the next two. */
static bool read_others(struct hammer *h, struct side *s, u32 hot, const u64 *words)
{
	u32 complete = READ_ONCE(h->pages[hot].complete), n;
	enum who who = !s->who;

	for (n = 0; n < NR_WORDS; n++) {
		if (!check_word(h, s, who, hot, n,
				READ_ONCE(words[word_index(who, n)]), complete))
			return false;
	}
	return true;
}

/* Is there nothing that may have happened to what was written then? */
static bool must_be_kept(const struct hot_page *page, const struct last *last)
{
	return last->valid && READ_ONCE(page->epoch) == last->epoch &&
	       READ_ONCE(page->begun) == last->begun;
}

static bool read_own(struct hammer *h, struct side *s, u32 hot, const u64 *words)
{
	u32 complete = READ_ONCE(h->pages[hot].complete), n;
	const struct last *last = &s->last[hot];
	u64 values[NR_WORDS];
	bool kept;

	for (n = 0; n < NR_WORDS; n++)
		values[n] = READ_ONCE(words[word_index(s->who, n)]);
	kept = must_be_kept(&h->pages[hot], last);

	for (n = 0; n < NR_WORDS; n++) {
		if (!check_word(h, s, s->who, hot, n, values[n], complete))
			return false;
		if (kept && values[n] != last->word)
			return complain(s, LOST, hot, word_index(s->who, n),
					values[n], last->word);
	}
	s->kept += kept;
	return true;
}

static void write_own(struct hammer *h, struct side *s, u32 hot, u64 *words)
{
	struct hot_page *page = &h->pages[hot];
	struct last *last = &s->last[hot];
	u64 number = ++s->number;
	u32 complete, n;

	WRITE_ONCE(last->valid, false);
	last->word = WORD_USED | (u64)s->who << WORD_SIDE | (u64)hot << WORD_HOT | number;
	last->epoch = READ_ONCE(page->epoch);
	complete = READ_ONCE(page->complete);
	last->begun = READ_ONCE(page->begun);
	for (n = 0; n < NR_WORDS; n++)
		WRITE_ONCE(words[word_index(s->who, n)], last->word);
	/* Before anyone's count of destructions that do not concern the words. */
	full_barrier();
	WRITE_ONCE(s->log[number % NR_LOG], number << LOG_BITS | READ_ONCE(page->begun));
	/* No destruction may be under way, nor a conversion. */
	WRITE_ONCE(last->valid, complete == last->begun && last->epoch % 2 == 0);
}

/* Return false if something is wrong. */
static bool visit(struct hammer *h, struct side *s, u32 hot, void *base)
{
	u64 *words = base + hot_to_page(hot) * PAGE_SIZE;

	if (!read_others(h, s, hot, words) || !read_own(h, s, hot, words))
		return false;
	write_own(h, s, hot, words);
	WRITE_ONCE(s->visits, s->visits + 1);
	return true;
}

static u32 random_hot(struct side *s)
{
	return kvm_random_u32(&s->rng) % NR_HOT;
}

static void guest_code(struct gmem_model *unused)
{
	struct hammer *h = (struct hammer *)HAMMER_GPA;
	struct side *s = &h->sides[GUEST];
	void *base = (void *)(GMEM_GPA + h->first * PAGE_SIZE);

	while (!READ_ONCE(h->stop)) {
		if (!visit(h, s, random_hot(s), base))
			GUEST_SYNC(s->bad);
	}
	GUEST_DONE();
}

/* Counts of what threads do that convert or punch. */
struct count {
	u64 done;
	u64 again;
};

struct test {
	struct gmem_vm g;
	struct hammer *h;
	u64 page_size;
	u64 nr_hugepages;
	bool sept;
	bool sept_was;
	/* The host's visit, in case of a SIGBUS. */
	u32 hot;
	u64 refused;
	/* Exits for faults. */
	u64 exits;
	struct count converted;
	struct count punched;
};

FIXTURE(guest_memfd_hammer)
{
	struct test t;
};

FIXTURE_VARIANT(guest_memfd_hammer)
{
	u8 order;
	bool sept;
};

FIXTURE_VARIANT_ADD(guest_memfd_hammer, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_hammer, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_hammer, 2m_sept) {
	.order = ORDER_2M,
	.sept = true,
};

FIXTURE_VARIANT_ADD(guest_memfd_hammer, 1g_sept) {
	.order = ORDER_1G,
	.sept = true,
};

/* Memory that is never private, at a page boundary for the guest. */
static void add_hammer(struct test *t)
{
	u64 npages = align_up(sizeof(*t->h), PAGE_SIZE) / PAGE_SIZE;
	enum who who;

	vm_userspace_mem_region_add(t->g.vm, VM_MEM_SRC_ANONYMOUS, HAMMER_GPA,
				    HAMMER_SLOT, npages, 0);
	virt_map(t->g.vm, HAMMER_GPA, HAMMER_GPA, npages);
	t->h = addr_gpa2hva(t->g.vm, HAMMER_GPA);
	memset(t->h, 0, npages * PAGE_SIZE);
	t->h->first = t->g.nr_pages / 2 - WINDOW / 2;
	for (who = 0; who < NR_SIDES; who++) {
		t->h->sides[who].who = who;
		t->h->sides[who].rng = new_kvm_random_state(seed + who);
	}
}

static void set_up(struct test *t, u8 order)
{
	u64 nr_extents = order == ORDER_1G ? NR_1G : NR_2M;
	struct gmem_config config = gmem_one_page_config(order);

	t->page_size = config.size;
	t->nr_hugepages = hugetlb_pool_require(t->page_size, nr_extents);
	config.size *= nr_extents;
	config.guest_code = guest_code;
	gmem_vm_create(&t->g, &config);
	/* The first time memory is zeroed takes longest, where all is emulated. */
	kvm_fallocate(t->g.fd, FALLOC_FL_KEEP_SIZE, 0, config.size);
	add_hammer(t);
}

FIXTURE_SETUP(guest_memfd_hammer)
{
	struct test *t = &self->t;

	t->sept = variant->sept;
	t->sept_was = gmem_sept_set(variant->sept);
	set_up(t, variant->order);
}

FIXTURE_TEARDOWN(guest_memfd_hammer)
{
	struct test *t = &self->t;

	gmem_vm_free(&t->g);
	hugetlb_pool_set(t->page_size, t->nr_hugepages);
	gmem_sept_set(t->sept_was);
}

static void assert_good(struct test *t, enum who who)
{
	struct side *s = &t->h->sides[who];
	struct hot_page *page = &t->h->pages[s->bad_hot];

	TEST_ASSERT(!s->bad,
		    "The %s finds %s: page 0x%lx word %u holds 0x%lx, compare 0x%lx; epoch %u, destructions: %u begun, %u complete",
		    who == GUEST ? "guest" : "host", bad_names[s->bad],
		    t->h->first + hot_to_page(s->bad_hot), s->bad_word,
		    s->bad_value, s->bad_want, page->epoch, page->begun,
		    page->complete);
}

/* Of the calling thread alone. */
static void be_nice(void)
{
	TEST_ASSERT(!setpriority(PRIO_PROCESS, 0, USER_NICE),
		    "setpriority(), errno: %d", errno);
}

/* A page may be converted just when the guest wants it: let it try again. */
static void handle_exit(struct test *t)
{
	struct kvm_run *run = t->g.vcpu->run;

	TEST_ASSERT(errno == EFAULT && run->exit_reason == KVM_EXIT_MEMORY_FAULT,
		    "KVM_RUN: %s, %s", strerror(errno), exit_reason_str(run->exit_reason));
	TEST_ASSERT(run->memory_fault.gpa >= GMEM_GPA + t->h->first * PAGE_SIZE &&
		    run->memory_fault.gpa < GMEM_GPA + (t->h->first + WINDOW) * PAGE_SIZE,
		    "KVM_EXIT_MEMORY_FAULT at gpa 0x%llx", run->memory_fault.gpa);
	t->exits++;
}

static void *run_guest(void *data)
{
	struct test *t = data;
	struct ucall uc;

	be_nice();
	for (;;) {
		if (__vcpu_run(t->g.vcpu)) {
			if (errno != EINTR && errno != EAGAIN)
				handle_exit(t);
			continue;
		}

		switch (get_ucall(t->g.vcpu, &uc)) {
		case UCALL_DONE:
			return NULL;
		case UCALL_SYNC:
			assert_good(t, GUEST);
		default:
			TEST_FAIL("Guest stopped for %s",
				  exit_reason_str(t->g.vcpu->run->exit_reason));
		}
	}
}

static void host_visit(void *data)
{
	struct test *t = data;

	visit(t->h, &t->h->sides[HOST], t->hot, gmem_host_page(&t->g, t->h->first));
}

/* The page's attribute decides, if it was the same all the time. */
static void host_visit_checked(struct test *t)
{
	struct side *s = &t->h->sides[HOST];
	struct hot_page *page;
	u32 epoch;
	int code;

	t->hot = random_hot(s);
	page = &t->h->pages[t->hot];
	epoch = READ_ONCE(page->epoch);
	full_barrier();
	code = gmem_host_call(host_visit, t);
	full_barrier();
	t->refused += !!code;

	if (!s->bad && READ_ONCE(page->epoch) == epoch) {
		if (!code && epoch % EPOCHS == EPOCH_PRIVATE)
			complain(s, REACHED, t->hot, 0, 0, 0);
		if (code && epoch % EPOCHS == EPOCH_SHARED)
			complain(s, REFUSED, t->hot, 0, code, 0);
	}
	assert_good(t, HOST);
}

static void *run_host(void *data)
{
	struct test *t = data;

	be_nice();
	while (!READ_ONCE(t->h->stop))
		host_visit_checked(t);
	return NULL;
}

/* A range of the file, in pages, and the hot pages that it is about. */
struct range {
	u64 first;
	u64 nr;
	bool hot[NR_HOT];
};

static u64 random_below(struct kvm_random_state *rng, u64 end)
{
	return kvm_random_u64_in_range(rng, 0, end - 1);
}

/* Let every magnitude be as likely as any other, up to the window. */
static void random_window_range(struct kvm_random_state *rng, struct range *r)
{
	u64 magnitude = BIT_ULL(random_below(rng, __builtin_ctzl(WINDOW) + 1)), hot;

	r->nr = magnitude;
	if (kvm_random_bool(rng))
		r->nr += random_below(rng, magnitude);
	r->nr = min_t(u64, r->nr, WINDOW);
	if (kvm_random_bool(rng)) {
		r->first = random_below(rng, WINDOW - r->nr + 1) / magnitude * magnitude;
	} else {
		/* Reach over a page that is in use. */
		hot = hot_to_page(random_below(rng, NR_HOT));
		r->first = hot - min_t(u64, hot, random_below(rng, r->nr));
		r->nr = min_t(u64, r->nr, WINDOW - r->first);
	}
}

/* Rarely, in a large file, an extent as a whole; it takes seconds to zero it. */
static void random_range(struct test *t, struct kvm_random_state *rng, struct range *r)
{
	u64 extent = t->page_size / PAGE_SIZE, hot;

	if (extent > WINDOW && !random_below(rng, RARELY)) {
		r->first = random_below(rng, NR_1G) * extent;
		r->nr = extent;
	} else {
		random_window_range(rng, r);
		r->first += t->h->first;
	}

	for (hot = 0; hot < NR_HOT; hot++)
		r->hot[hot] = t->h->first + hot_to_page(hot) - r->first < r->nr;
}

static void add(u32 *count, u32 nr)
{
	__atomic_fetch_add(count, nr, __ATOMIC_SEQ_CST);
}

/* To be called before the destruction. */
static void destruction_begins(struct test *t, const struct range *r)
{
	u32 hot;

	for (hot = 0; hot < NR_HOT; hot++) {
		if (r->hot[hot])
			add(&t->h->pages[hot].begun, 1);
	}
}

/* To be called after it, or if there was none. */
static void destruction_ends(struct test *t, const struct range *r, bool done)
{
	u32 hot;

	for (hot = 0; hot < NR_HOT; hot++) {
		if (!r->hot[hot])
			continue;
		if (done)
			add(&t->h->pages[hot].complete, 1);
		else
			add(&t->h->pages[hot].begun, -1);
	}
}

/* Pages that are what they are to be are not converted, and not zeroed. */
static void conversion_begins(struct test *t, struct range *r, bool to_private)
{
	u32 hot, from = to_private ? EPOCH_SHARED : EPOCH_PRIVATE;

	for (hot = 0; hot < NR_HOT; hot++) {
		r->hot[hot] &= t->h->pages[hot].epoch % EPOCHS == from;
		if (r->hot[hot])
			add(&t->h->pages[hot].epoch, 1);
	}
	if (!to_private)
		destruction_begins(t, r);
}

static void conversion_ends(struct test *t, struct range *r, bool to_private, bool done)
{
	u32 hot;

	if (!to_private)
		destruction_ends(t, r, done);
	/* Not to any epoch that was before. */
	for (hot = 0; hot < NR_HOT; hot++) {
		if (r->hot[hot])
			add(&t->h->pages[hot].epoch, done ? 1 : EPOCHS - 1);
	}
}

/* A page that is being mapped by the host keeps a range from being taken. */
static void count_result(struct count *count, const struct range *r, int ret,
			 const char *what)
{
	TEST_ASSERT(!ret || ret == EAGAIN, "%s pages 0x%lx..0x%lx: %s", what,
		    r->first, r->first + r->nr - 1, strerror(ret));
	WRITE_ONCE(count->done, count->done + !ret);
	count->again += !!ret;
}

static void convert(struct test *t, struct kvm_random_state *rng)
{
	bool to_private = kvm_random_bool(rng);
	struct range r;
	int ret;

	random_range(t, rng, &r);
	conversion_begins(t, &r, to_private);
	ret = gmem_set_attributes(t->g.fd, r.first * PAGE_SIZE, r.nr * PAGE_SIZE,
				  to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
				  to_private ? 0 : KVM_SET_MEMORY_ATTRIBUTES2_ZERO, NULL);
	conversion_ends(t, &r, to_private, !ret);
	count_result(&t->converted, &r, ret, to_private ? "Taking" : "Sharing");
}

static void punch(struct test *t, struct kvm_random_state *rng)
{
	struct range r;
	int ret;

	random_range(t, rng, &r);
	destruction_begins(t, &r);
	ret = fallocate(t->g.fd, PUNCH, r.first * PAGE_SIZE, r.nr * PAGE_SIZE);
	ret = ret ? errno : 0;
	destruction_ends(t, &r, !ret);
	count_result(&t->punched, &r, ret, "Punching");
}

static void *run_punch(void *data)
{
	struct kvm_random_state rng = new_kvm_random_state(seed + NR_SIDES);
	struct test *t = data;

	while (!READ_ONCE(t->h->stop)) {
		punch(t, &rng);
		/* Leave contents a chance to be there. */
		usleep(random_below(&rng, 2000));
	}
	return NULL;
}

/* Merge at once, or have a worker do it while other things go on. */
static void change_merge_delay(struct kvm_random_state *rng)
{
	static const unsigned int delays[] = { 0, 1, 20 };

	gmem_set_merge_delay(delays[random_below(rng, ARRAY_SIZE(delays))]);
}

static bool progress(struct side *s)
{
	return READ_ONCE(s->visits) && READ_ONCE(s->judged) && READ_ONCE(s->kept);
}

/* Nobody has been left out. */
static bool all_progress(struct test *t)
{
	return progress(&t->h->sides[GUEST]) && progress(&t->h->sides[HOST]) &&
	       READ_ONCE(t->converted.done) && READ_ONCE(t->punched.done);
}

static bool enough(struct test *t, u32 done, time_t start)
{
	if (nr_seconds && time(NULL) - start < nr_seconds)
		return false;
	return done >= nr_conversions && all_progress(t);
}

static void report(struct test *t, time_t start)
{
	struct side *guest = &t->h->sides[GUEST], *host = &t->h->sides[HOST];

	ksft_print_msg("seed %u, %ld s: %lu conversions (%lu again), %lu holes (%lu again)\n",
		       seed, time(NULL) - start, t->converted.done,
		       t->converted.again, t->punched.done, t->punched.again);
	ksft_print_msg("guest: %lu visits, %lu words judged, %lu kept, %lu exits\n",
		       guest->visits, guest->judged, guest->kept, t->exits);
	ksft_print_msg("host: %lu visits, %lu words judged, %lu kept, %lu refused\n",
		       host->visits, host->judged, host->kept, t->refused);
}

/* All private and whole, with what there is still where it was written. */
static void take_back(struct test *t)
{
	gmem_set_merge_delay(0);
	gmem_convert_patiently(&t->g, 0, t->g.nr_pages, true);
	while (gmem_fdinfo(t->g.fd, "merge-pending"))
		usleep(1000);
	TEST_ASSERT_EQ(gmem_fdinfo(t->g.fd, "split"), 0);
	TEST_ASSERT_EQ(gmem_fdinfo(t->g.fd, "vmemmap"), 0);
	TEST_ASSERT_EQ(gmem_fdinfo(t->g.fd, "shared"), 0);
	if (t->sept)
		TEST_ASSERT_EQ(gmem_sept_stat(&t->g, "sept_violations"), 0);
}

TEST_F_TIMEOUT(guest_memfd_hammer, all, 4 * GMEM_TIMEOUT)
{
	struct kvm_random_state rng = new_kvm_random_state(seed + NR_SIDES + 1);
	pthread_fn_t users[] = { run_guest, run_host, run_punch };
	pthread_t threads[ARRAY_SIZE(users)];
	struct test *t = &self->t;
	time_t start = time(NULL);
	u32 i, done;

	ksft_print_msg("seed %u\n", seed);
	for (i = 0; i < ARRAY_SIZE(users); i++)
		kvm_pthread_create(&threads[i], NULL, users[i], t);
	for (done = 0; !enough(t, done, start); done++) {
		if (done % NR_PER_DELAY == 0)
			change_merge_delay(&rng);
		convert(t, &rng);
		usleep(random_below(&rng, 1000));
	}
	WRITE_ONCE(t->h->stop, true);
	for (i = 0; i < ARRAY_SIZE(users); i++)
		kvm_pthread_join(threads[i], NULL);

	report(t, start);
	take_back(t);
}

/* What has been unmapped may stay in a TLB unless that is asked for. */
static void assert_flushed(struct test *t, u64 before, const char *what)
{
	TEST_ASSERT(vm_get_stat(t->g.vm, remote_tlb_flush_requests) > before,
		    "%s did not flush TLBs", what);
}

static u64 flushes_before(struct test *t, u64 page)
{
	TEST_ASSERT_EQ(gmem_pre_fault(&t->g, page, 1), 0);
	return vm_get_stat(t->g.vm, remote_tlb_flush_requests);
}

/*
 * An emulated CPU forgets its TLB so often that a flush too few may never show
 * in what the guest finds.
 */
TEST_F_TIMEOUT(guest_memfd_hammer, flush, GMEM_TIMEOUT)
{
	struct test *t = &self->t;
	u64 page = t->h->first, before;

	before = flushes_before(t, page);
	gmem_convert(&t->g, page, BLOCK_PAGES, false);
	assert_flushed(t, before, "Sharing");
	before = flushes_before(t, page);
	gmem_convert(&t->g, page, BLOCK_PAGES, true);
	assert_flushed(t, before, "Taking");
	before = flushes_before(t, page);
	kvm_fallocate(t->g.fd, PUNCH, page * PAGE_SIZE, SZ_2M);
	assert_flushed(t, before, "Punching");
	if (t->sept)
		TEST_ASSERT_EQ(gmem_sept_stat(&t->g, "sept_violations"), 0);
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-d", "seconds", .number = &nr_seconds },
		{ "-n", "conversions at least", .number = &nr_conversions },
		{ "-s", "seed", .number = &seed },
		{}
	};

	argc = gmem_take_options(argc, argv, options);
	if (!nr_seconds && !nr_conversions)
		nr_seconds = 5;
	return test_harness_run(argc, argv);
}
