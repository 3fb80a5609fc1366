// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations of the stress test, each with what the model says of it.
 *
 * An operation is its kind and the random numbers that it draws, both from the
 * seed of the life and the operation's own number.  So any of them can be left
 * out, and the others are still the same.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <linux/falloc.h>
#include <linux/mempolicy.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_stress.h"
#include "numaif.h"

#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
/* A page is held for a moment, not for so many attempts. */
#define NR_AGAIN	100000
#define NR_HOST		4
#define NR_WRITES	8
#define NR_PRE_FAULT	32
#define NR_FLAGS	512
#define MEMORY_DIR	"/sys/devices/system/memory/"

/* Pages of one range, or of several. */
static u32 pick_pages(struct stress_thread *t, u64 *pages, u32 max)
{
	struct stress_range r;
	u32 nr = 0, want = 1 + stress_random_below(t, max);

	while (nr < want && stress_pick_range(t, &r)) {
		for (; r.nr && nr < want; r.first++, r.nr--)
			pages[nr++] = r.first;
	}
	return nr;
}

static u32 pick_guest_pages(struct stress_thread *t, u64 *pages, u32 max)
{
	u32 i, nr = pick_pages(t, pages, max), kept = 0;

	for (i = 0; i < nr; i++) {
		if (stress_guest_may(t, pages[i]))
			pages[kept++] = pages[i];
	}
	return kept;
}

/* New contents, which nobody has written before in this life. */
static void new_tag(struct stress_thread *t, u64 page)
{
	struct stress_world *w = t->w;

	*stress_tag(w, page) = gmem_tag(w->config->seed, page, t->op + 1);
	w->pages[page].unknown = false;
}

static enum stress_result guest_write(struct stress_thread *t)
{
	u64 pages[NR_WRITES];
	u32 i, nr = pick_guest_pages(t, pages, NR_WRITES);

	for (i = 0; i < nr; i++)
		new_tag(t, pages[i]);
	if (nr)
		stress_guest_access(t, pages, nr, STRESS_WRITE, 0);
	return nr ? STRESS_DONE : STRESS_SKIPPED;
}

static enum stress_result guest_check(struct stress_thread *t)
{
	u64 step = kvm_random_bool(&t->rng) ? GMEM_STEP_ALL : GMEM_STEP_SPREAD;
	u64 pages[STRESS_LIST];
	u32 nr = pick_guest_pages(t, pages, STRESS_LIST);

	if (nr)
		stress_guest_access(t, pages, nr, STRESS_CHECK, step);
	return nr ? STRESS_DONE : STRESS_SKIPPED;
}

/* By a mapping of the thread's own if it has one of the page. */
static u8 *host_page(struct stress_thread *t, u64 page)
{
	if (t->map && page - t->map_first < t->map_nr)
		return t->map + (page - t->map_first) * PAGE_SIZE;
	return t->w->mem + page * PAGE_SIZE;
}

static enum stress_result host_access(struct stress_thread *t, bool write)
{
	u64 pages[NR_HOST];
	u32 i, nr = pick_pages(t, pages, NR_HOST);
	struct stress_page *p;

	for (i = 0; i < nr; i++) {
		p = &t->w->pages[pages[i]];
		if (write && !p->private && !p->poisoned)
			new_tag(t, pages[i]);
		stress_host_access(t, host_page(t, pages[i]), pages[i], write);
	}
	return nr ? STRESS_DONE : STRESS_SKIPPED;
}

static enum stress_result host_write(struct stress_thread *t)
{
	return host_access(t, true);
}

static enum stress_result host_check(struct stress_thread *t)
{
	return host_access(t, false);
}

/* Where the file was a moment ago, or is; nobody knows who it belongs to. */
static u64 any_page(struct stress_thread *t)
{
	const struct stress_segment *s;

	s = &t->w->segments[stress_random_below(t, t->w->nr_segments)];
	return s->first + (kvm_random_bool(&t->rng) ? stress_random_below(t, s->nr) : 0);
}

/*
 * Pages of others, as they are converted and punched.  They may be there or not;
 * memory may be allocated behind the back of who has punched it.
 */
static enum stress_result trespass(struct stress_thread *t)
{
	bool guest = kvm_random_bool(&t->rng) && !t->w->config->poison;
	u64 page = any_page(t);
	bool refused = false;

	if (guest && !stress_guest_may(t, page))
		return STRESS_SKIPPED;
	if (guest)
		stress_guest_access(t, &page, 1, STRESS_TOUCH, 0);
	else
		refused = gmem_host_access(t->w->mem + page * PAGE_SIZE, false);
	/* If refused, too: a page may become private when its memory is there. */
	WRITE_ONCE(t->w->extents[page / stress_extent_pages(t->w)].uncertain, true);
	return refused ? STRESS_REFUSED : STRESS_DONE;
}

/* The first page that changes and is bad, or that somebody holds. */
static u64 find_poisoned(struct stress_world *w, const struct stress_range *r,
			 bool to_private)
{
	u64 page;

	for (page = r->first; page < r->first + r->nr; page++) {
		if (w->pages[page].poisoned && w->pages[page].private != to_private)
			return page;
	}
	return STRESS_NO_PAGE;
}

static u64 find_pinned(struct stress_world *w, u64 first, u64 end)
{
	u64 page;

	for (page = first; page < end; page++) {
		if (w->pages[page].nr_pins)
			return page;
	}
	return STRESS_NO_PAGE;
}

static void model_convert(struct stress_world *w, const struct stress_range *r,
			  bool to_private, u64 flags)
{
	struct stress_page *p;
	u64 page;

	for (page = r->first; page < r->first + r->nr; page++) {
		p = &w->pages[page];
		if (p->private == to_private)
			continue;
		p->private = to_private;
		if (!stress_has_mmap(w)) {
			/* Memory elsewhere keeps what it has, the file's is zeroed. */
			p->unknown = false;
			if (to_private)
				p->tag = 0;
		} else if (flags & KVM_SET_MEMORY_ATTRIBUTES2_ZERO) {
			p->tag = 0;
			p->unknown = false;
		} else if (!flags) {
			p->unknown = true;
		}
	}
}

static u64 pick_flags(struct stress_thread *t, bool to_private)
{
	u32 choice = stress_random_below(t, 4);

	if (!stress_has_mmap(t->w))
		return 0;
	if (choice == 0 && !to_private)
		return KVM_SET_MEMORY_ATTRIBUTES2_ZERO;
	return choice == 1 ? 0 : KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE;
}

static int try_convert(struct stress_thread *t, const struct stress_range *r,
		       bool to_private, u64 flags, u64 *offset)
{
	int ret;

	stress_inject(t, true);
	ret = gmem_set_attributes(t->w->fd, r->first * PAGE_SIZE, r->nr * PAGE_SIZE,
				  to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0, flags,
				  offset);
	stress_inject(t, false);
	return ret;
}

/* Errors that the model knows of, or that were asked for. */
static void assert_refused(struct stress_thread *t, const struct stress_range *r,
			   int ret, u64 offset, u64 pinned, u64 poisoned)
{
	u64 page = offset / PAGE_SIZE;
	bool expected;

	switch (ret) {
	case EAGAIN:
		expected = pinned != STRESS_NO_PAGE && page <= pinned;
		break;
	case EHWPOISON:
		expected = page == poisoned;
		break;
	case ENOMEM:
	case EBUSY:
		expected = t->w->config->inject;
		break;
	default:
		expected = false;
	}
	TEST_ASSERT(expected && page - r->first < r->nr,
		    "Converting pages 0x%lx..0x%lx: %s at page 0x%lx; pinned 0x%lx, poisoned 0x%lx",
		    r->first, r->first + r->nr - 1, strerror(ret), page, pinned, poisoned);
}

static enum stress_result convert(struct stress_thread *t)
{
	bool to_private = kvm_random_bool(&t->rng);
	u64 flags = pick_flags(t, to_private), offset = 0, pinned, poisoned;
	struct stress_world *w = t->w;
	struct stress_range r;
	u32 again = 0;
	int ret;

	if (!stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	pinned = to_private ? find_pinned(w, r.first, r.first + r.nr) : STRESS_NO_PAGE;
	poisoned = find_poisoned(w, &r, to_private);

	do {
		ret = try_convert(t, &r, to_private, flags, &offset);
	} while (ret == EAGAIN && pinned == STRESS_NO_PAGE && ++again < NR_AGAIN);

	if (ret) {
		assert_refused(t, &r, ret, offset, pinned, poisoned);
		return STRESS_REFUSED;
	}
	TEST_ASSERT(pinned == STRESS_NO_PAGE && poisoned == STRESS_NO_PAGE,
		    "Pages 0x%lx..0x%lx were converted, with 0x%lx pinned, 0x%lx poisoned",
		    r.first, r.first + r.nr - 1, pinned, poisoned);
	model_convert(w, &r, to_private, flags);
	return again ? STRESS_AGAIN : STRESS_DONE;
}

/* Extents wholly in the range: the first of them, and the one after the last. */
static void whole_extents(struct stress_world *w, const struct stress_range *r,
			  u64 *first, u64 *end)
{
	u64 nr = stress_extent_pages(w);

	*first = (r->first + nr - 1) / nr;
	*end = max_t(u64, *first, (r->first + r->nr) / nr);
}

static void model_punch(struct stress_world *w, const struct stress_range *r)
{
	u64 page, extent, first, end;

	for (page = r->first; page < r->first + r->nr; page++) {
		if (w->pages[page].poisoned)
			continue;
		w->pages[page].tag = 0;
		if (stress_has_mmap(w))
			w->pages[page].unknown = false;
	}

	whole_extents(w, r, &first, &end);
	for (extent = first; extent < end; extent++) {
		if (!w->extents[extent].poisoned)
			w->extents[extent].allocated = false;
	}
}

static enum stress_result punch(struct stress_thread *t)
{
	struct stress_world *w = t->w;
	u64 pinned = STRESS_NO_PAGE, first, end, nr = stress_extent_pages(w);
	struct stress_range r;
	u32 again = 0;
	int ret;

	if (!stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	whole_extents(w, &r, &first, &end);
	/* Those with a poisoned page stay, and are not in anyone's way. */
	while (first < end && pinned == STRESS_NO_PAGE) {
		if (!w->extents[first].poisoned)
			pinned = find_pinned(w, first * nr, (first + 1) * nr);
		first++;
	}
	/* Pages of 4K go, and who holds them has them for himself. */
	if (!w->config->order && find_pinned(w, r.first, r.first + r.nr) != STRESS_NO_PAGE)
		return STRESS_SKIPPED;

	do {
		stress_inject(t, true);
		ret = fallocate(w->fd, PUNCH, r.first * PAGE_SIZE, r.nr * PAGE_SIZE) ? errno : 0;
		stress_inject(t, false);
	} while (ret == EAGAIN && pinned == STRESS_NO_PAGE && ++again < NR_AGAIN);

	if (!ret)
		model_punch(w, &r);
	TEST_ASSERT(!ret ? pinned == STRESS_NO_PAGE :
		    ret == EAGAIN ? pinned != STRESS_NO_PAGE :
		    (ret == ENOMEM || ret == EBUSY) && w->config->inject,
		    "Punching pages 0x%lx..0x%lx: %s; pinned 0x%lx", r.first,
		    r.first + r.nr - 1, strerror(ret), pinned);
	return ret ? STRESS_REFUSED : again ? STRESS_AGAIN : STRESS_DONE;
}

static void note_allocated(struct stress_world *w, const struct stress_range *r, bool done)
{
	u64 nr = stress_extent_pages(w), i;

	for (i = r->first / nr; i <= (r->first + r->nr - 1) / nr; i++) {
		if (done)
			w->extents[i].allocated = true;
		else
			w->extents[i].uncertain = true;
	}
}

/* Through another descriptor of the same file, as likely as not. */
static enum stress_result allocate(struct stress_thread *t)
{
	struct stress_world *w = t->w;
	struct stress_range r;
	int ret, fd = w->fd;

	if (!stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	if (kvm_random_bool(&t->rng))
		fd = kvm_dup(w->fd);
	stress_inject(t, true);
	do {
		/* A ring that has been closed interrupts, some time later. */
		ret = fallocate(fd, FALLOC_FL_KEEP_SIZE, r.first * PAGE_SIZE,
				r.nr * PAGE_SIZE) ? errno : 0;
	} while (ret == EINTR);
	stress_inject(t, false);
	if (fd != w->fd)
		kvm_close(fd);
	TEST_ASSERT(!ret || (ret == ENOMEM && w->config->inject) ||
		    (ret == EHWPOISON && w->config->poison),
		    "fallocate() of pages 0x%lx..0x%lx: %s", r.first,
		    r.first + r.nr - 1, strerror(ret));
	note_allocated(w, &r, !ret);
	return ret ? STRESS_REFUSED : STRESS_DONE;
}

/* Pages one by one of a range, as far as they are the guest's to touch. */
static enum stress_result pre_fault(struct stress_thread *t)
{
	struct kvm_pre_fault_memory range = {};
	struct stress_world *w = t->w;
	struct stress_slot *s;
	struct stress_range r;
	u64 nr;
	int ret = 0;

	if (!stress_pick_range(t, &r) || !stress_guest_may(t, r.first))
		return STRESS_SKIPPED;
	for (s = w->slots; r.first - s->first >= s->nr; s++)
		;
	for (nr = 1; nr < min_t(u64, r.nr, NR_PRE_FAULT); nr++) {
		if (r.first + nr - s->first >= s->nr || !stress_guest_may(t, r.first + nr))
			break;
	}

	stress_inject(t, true);
	range.gpa = s->gpa + (r.first - s->first) * PAGE_SIZE;
	range.size = nr * PAGE_SIZE;
	while (range.size && !ret) {
		ret = __vcpu_ioctl(t->vcpu, KVM_PRE_FAULT_MEMORY, &range) ? errno : 0;
		if (ret == EINTR || ret == EAGAIN)
			ret = 0;
	}
	stress_inject(t, false);
	TEST_ASSERT(!ret || (ret == ENOMEM && w->config->inject) ||
		    stress_failed_elsewhere(w, ret),
		    "KVM_PRE_FAULT_MEMORY of %lu pages from 0x%lx: %s", nr, r.first,
		    strerror(ret));
	while (nr--)
		stress_touched(w, r.first + nr, !ret);
	return ret ? STRESS_REFUSED : STRESS_DONE;
}

/* A mapping of its own for the thread, elsewhere than that of the slots. */
static enum stress_result remap(struct stress_thread *t)
{
	struct stress_range r;

	if (!stress_has_mmap(t->w) || !stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	if (t->map)
		kvm_munmap(t->map, t->map_nr * PAGE_SIZE);
	t->map_first = r.first;
	t->map_nr = r.nr;
	t->map = __kvm_mmap(r.nr * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->w->fd,
			    r.first * PAGE_SIZE);
	return STRESS_DONE;
}

/* Contents must survive: they are the file's. */
static enum stress_result drop_mappings(struct stress_thread *t)
{
	struct stress_range r;

	if (!stress_has_mmap(t->w) || !stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	kvm_madvise(t->w->mem + r.first * PAGE_SIZE, r.nr * PAGE_SIZE, MADV_DONTNEED);
	return STRESS_DONE;
}

/*
 * Nobody punches an extent of which this thread has a page: it stays, but others may
 * allocate it meanwhile.
 */
static enum stress_result look_resident(struct stress_thread *t)
{
	struct stress_world *w = t->w;
	unsigned char resident[NR_FLAGS];
	bool allocated[NR_FLAGS];
	struct stress_range r;
	u64 i;

	if (!stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	r.nr = min_t(u64, r.nr, NR_FLAGS);
	for (i = 0; i < r.nr; i++)
		allocated[i] = READ_ONCE(w->extents[(r.first + i) /
						    stress_extent_pages(w)].allocated);
	TEST_ASSERT(!mincore(w->mem + r.first * PAGE_SIZE, r.nr * PAGE_SIZE, resident),
		    "mincore(), errno: %d", errno);
	for (i = 0; i < r.nr && w->config->order && stress_has_mmap(w); i++)
		TEST_ASSERT(resident[i] & 1 || !allocated[i],
			    "Page %lu is not resident", r.first + i);
	return STRESS_DONE;
}

static enum stress_result bind_to_node(struct stress_thread *t)
{
	static const int modes[] = { MPOL_DEFAULT, MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE };
	int mode = modes[stress_random_below(t, ARRAY_SIZE(modes))];
	unsigned long node = 1;
	struct stress_range r;

	if (!stress_has_mmap(t->w) || !stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	TEST_ASSERT(!mbind(t->w->mem + r.first * PAGE_SIZE, r.nr * PAGE_SIZE, mode,
			   mode == MPOL_DEFAULT ? NULL : &node,
			   mode == MPOL_DEFAULT ? 0 : 2, 0),
		    "mbind() with mode %d, errno: %d", mode, errno);
	return STRESS_DONE;
}

static bool pick_shared(struct stress_thread *t, u64 *page)
{
	struct stress_range r;
	struct stress_page *p;

	if (!stress_has_mmap(t->w) || !stress_pick_range(t, &r))
		return false;
	*page = r.first;
	p = &t->w->pages[r.first];
	return !p->private && !p->poisoned && !p->unknown;
}

static enum stress_result pin(struct stress_thread *t)
{
	static const struct gmem_pin_ops * const ops[] = {
		&gmem_in_pipe, &gmem_in_socket, &gmem_in_ring,
	};
	struct stress_held *h = &t->held[t->nr_held];
	u64 page;

	if (t->nr_held == STRESS_NR_PINS || !pick_shared(t, &page))
		return STRESS_SKIPPED;
	gmem_pin_open(&h->pin, ops[stress_random_below(t, ARRAY_SIZE(ops))]);
	h->pin.ops->take(&h->pin, t->w->mem + page * PAGE_SIZE);
	h->page = page;
	t->nr_held++;
	t->w->pages[page].nr_pins++;
	stress_touched(t->w, page, true);
	return STRESS_DONE;
}

static bool is_own(struct stress_thread *t, u64 page)
{
	const struct stress_segment *s = t->w->segments;

	while (page - s->first >= s->nr)
		s++;
	return s->owner == t->id;
}

/* What the reference shows must be what the page has. */
void stress_check_held(struct stress_thread *t, struct stress_held *h)
{
	struct stress_page *p = &t->w->pages[h->page];

	if (p->unknown || p->poisoned)
		return;
	h->pin.tag = p->tag;
	gmem_pin_check(&h->pin);
}

static enum stress_result unpin(struct stress_thread *t)
{
	struct stress_held *h;
	u32 i;

	for (i = 0; i < t->nr_held; i++) {
		h = &t->held[i];
		if (!is_own(t, h->page))
			continue;
		stress_check_held(t, h);
		gmem_unpin(&h->pin);
		t->w->pages[h->page].nr_pins--;
		*h = t->held[--t->nr_held];
		return STRESS_DONE;
	}
	return STRESS_SKIPPED;
}

static enum stress_result write_direct(struct stress_thread *t)
{
	u64 page;

	if (!pick_shared(t, &page))
		return STRESS_SKIPPED;
	TEST_ASSERT(pwrite(t->w->disk, t->w->mem + page * PAGE_SIZE, PAGE_SIZE, 0) == PAGE_SIZE,
		    "O_DIRECT write, errno: %d", errno);
	stress_touched(t->w, page, true);
	return STRESS_DONE;
}

static bool child_sees(struct stress_world *w, const u64 *pages, u32 nr)
{
	struct stress_page *p;
	bool refused;
	u32 i;

	for (i = 0; i < nr; i++) {
		p = &w->pages[pages[i]];
		refused = gmem_host_access(w->mem + pages[i] * PAGE_SIZE, false);
		if (refused != (stress_has_mmap(w) && (p->private || p->poisoned)))
			return false;
	}
	return true;
}

/* A child has all mappings, and touches some pages, or must not. */
static enum stress_result fork_child(struct stress_thread *t)
{
	u64 pages[NR_HOST];
	u32 i, nr = pick_pages(t, pages, NR_HOST);
	int status;
	pid_t pid;

	pthread_rwlock_wrlock(&t->w->fork_lock);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork(), errno: %d", errno);
	if (!pid)
		_exit(child_sees(t->w, pages, nr) ? 0 : 1);
	TEST_ASSERT(waitpid(pid, &status, 0) == pid && !status, "Child ends with 0x%x", status);
	pthread_rwlock_unlock(&t->w->fork_lock);
	for (i = 0; i < nr; i++)
		stress_touched(t->w, pages[i], false);
	return STRESS_DONE;
}

static int try_bind(struct stress_thread *t, struct stress_slot *s, gpa_t gpa)
{
	int ret;

	stress_inject(t, true);
	ret = stress_bind(t->w, s, gpa);
	stress_inject(t, false);
	TEST_ASSERT(!ret || (ret == ENOMEM && t->w->config->inject),
		    "Slot of pages 0x%lx..0x%lx: %s", s->first, s->first + s->nr - 1,
		    strerror(ret));
	return ret;
}

/* Delete a slot, most often to have it at once where it was, or elsewhere. */
static enum stress_result change_slot(struct stress_thread *t)
{
	u32 i, start = stress_random_below(t, STRESS_NR_SLOTS);
	struct stress_slot *s = NULL;
	int ret = 0;

	for (i = 0; i < STRESS_NR_SLOTS && !s; i++) {
		if (t->w->slots[(start + i) % STRESS_NR_SLOTS].owner == (s32)t->id)
			s = &t->w->slots[(start + i) % STRESS_NR_SLOTS];
	}
	if (!s)
		return STRESS_SKIPPED;
	if (s->bound)
		ret = try_bind(t, s, 0);
	if (!s->bound && !__kvm_random_bool(&t->rng, 20))
		ret = try_bind(t, s, kvm_random_bool(&t->rng) ?
			       GMEM_GPA + s->first * PAGE_SIZE :
			       GMEM_GPA + SZ_4G + (s->first + 1) * PAGE_SIZE);
	return ret ? STRESS_REFUSED : STRESS_DONE;
}

/* Each reading is of one moment. */
static enum stress_result read_fdinfo(struct stress_thread *t)
{
	char text[GMEM_FDINFO_SIZE];

	if (!t->w->config->order)
		return STRESS_SKIPPED;
	gmem_read_fdinfo(t->w->fd, text, sizeof(text));
	TEST_ASSERT(gmem_fdinfo_value(text, "private") + gmem_fdinfo_value(text, "shared") ==
		    gmem_fdinfo_value(text, "allocated"),
		    "private and shared are not what is allocated:\n%s", text);
	TEST_ASSERT((gmem_fdinfo_value(text, "whole") + gmem_fdinfo_value(text, "split")) *
		    gmem_fdinfo_value(text, "page-size") == gmem_fdinfo_value(text, "allocated"),
		    "whole and split are not what is allocated:\n%s", text);
	return STRESS_DONE;
}

/* Look at pages from outside, without a reference, as they split and merge. */
static enum stress_result read_kpageflags(struct stress_thread *t)
{
	u64 nr, pfn, flags[NR_FLAGS];
	struct stress_range r;
	int fd;

	if (!t->w->config->order || !stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	nr = stress_extent_pages(t->w);
	pfn = gmem_extent_pfn(t->w->fd, r.first / nr * nr);
	if (!pfn)
		return STRESS_SKIPPED;
	pfn += r.first % nr;
	fd = open_path_or_exit("/proc/kpageflags", O_RDONLY);
	TEST_ASSERT(pread(fd, flags, sizeof(flags), pfn * sizeof(*flags)) > 0,
		    "Reading /proc/kpageflags, errno: %d", errno);
	kvm_close(fd);
	return STRESS_DONE;
}

/* Merge at once, or have a worker do it while other things go on. */
static enum stress_result change_delay(struct stress_thread *t)
{
	static const unsigned int delays[] = { 0, 1, 5 };

	gmem_set_merge_delay(delays[stress_random_below(t, ARRAY_SIZE(delays))]);
	return STRESS_DONE;
}

static enum stress_result resize_pool(struct stress_thread *t)
{
	struct stress_world *w = t->w;

	pthread_mutex_lock(&w->lock);
	hugetlb_pool_set(SZ_2M, w->config->nr_2m + stress_random_below(t, 4));
	pthread_mutex_unlock(&w->lock);
	return STRESS_DONE;
}

/* Leave a cgroup behind that has been charged, and remove it. */
static enum stress_result move_cgroup(struct stress_thread *t)
{
	struct stress_world *w = t->w;
	char *from, *to;

	pthread_mutex_lock(&w->lock);
	from = cg_name_indexed(STRESS_CGROUP, "life", w->shared->nr_cgroups);
	to = cg_name_indexed(STRESS_CGROUP, "life", ++w->shared->nr_cgroups);
	TEST_ASSERT(!cg_create(to) && !cg_enter_current(to), "Cannot move to %s", to);
	/* A child of another thread may still be in there. */
	rmdir(from);
	pthread_mutex_unlock(&w->lock);
	free(from);
	free(to);
	return STRESS_DONE;
}

static enum stress_result compact(struct stress_thread *t)
{
	gmem_write_file("/proc/sys/vm/compact_memory", "1");
	return STRESS_DONE;
}

/* Memory that a file has cannot go off line, nor be changed by an attempt. */
static enum stress_result take_off_line(struct stress_thread *t)
{
	struct stress_world *w = t->w;
	u64 pfn, block_size, nr = stress_extent_pages(w);
	char path[128], text[32];
	struct stress_range r;
	ssize_t ret;

	if (!w->config->order || !stress_pick_range(t, &r) || !w->extents[r.first / nr].allocated)
		return STRESS_SKIPPED;
	TEST_ASSERT(read_text(MEMORY_DIR "block_size_bytes", text, sizeof(text)) > 0,
		    "No " MEMORY_DIR);
	block_size = strtoul(text, NULL, 16);
	pfn = gmem_extent_pfn(w->fd, r.first / nr * nr);
	snprintf(path, sizeof(path), MEMORY_DIR "memory%lu/state", pfn * PAGE_SIZE / block_size);
	ret = write_text(path, "offline", strlen("offline"));
	TEST_ASSERT(ret == -EBUSY, "Writing offline to %s: %ld", path, ret);
	return STRESS_REFUSED;
}

/* What is left of it may be a worker's to do. */
static void wait_until_refused(struct stress_world *w, u64 page)
{
	u32 i;

	for (i = 0; !gmem_host_access(w->mem + page * PAGE_SIZE, false); i++) {
		TEST_ASSERT(i < NR_AGAIN, "Page %lu is poisoned, and there", page);
		usleep(100);
	}
}

static void poison_page(struct stress_world *w, u64 page)
{
	u64 pfn, nr = stress_extent_pages(w);
	char text[32];

	pfn = gmem_extent_pfn(w->fd, page / nr * nr) + page % nr;
	snprintf(text, sizeof(text), "0x%lx", pfn);
	gmem_write_file("/sys/kernel/debug/hwpoison/corrupt-pfn", text);
	wait_until_refused(w, page);
	w->pages[page].poisoned = true;
}

static enum stress_result poison(struct stress_thread *t)
{
	struct stress_world *w = t->w;
	struct stress_extent *e;
	struct stress_range r;

	if (!w->config->poison || !stress_pick_range(t, &r))
		return STRESS_SKIPPED;
	e = &w->extents[r.first / stress_extent_pages(w)];
	if (!e->allocated || w->pages[r.first].nr_pins)
		return STRESS_SKIPPED;

	/* Once in an extent is what the model can count. */
	pthread_mutex_lock(&w->lock);
	if (!e->poisoned) {
		e->poisoned = true;
		poison_page(w, r.first);
	}
	pthread_mutex_unlock(&w->lock);
	return STRESS_DONE;
}

static const struct stress_kind {
	const char *name;
	u32 weight;
	enum stress_result (*run)(struct stress_thread *t);
} kinds[] = {
	{ "guest writes", 150, guest_write },
	{ "guest checks", 160, guest_check },
	{ "host writes", 100, host_write },
	{ "host checks", 110, host_check },
	{ "trespass", 100, trespass },
	{ "convert", 230, convert },
	{ "punch", 50, punch },
	{ "fallocate", 20, allocate },
	{ "pre-fault", 40, pre_fault },
	{ "mmap", 25, remap },
	{ "MADV_DONTNEED", 25, drop_mappings },
	{ "mincore", 20, look_resident },
	{ "mbind", 10, bind_to_node },
	{ "pin", 30, pin },
	{ "unpin", 25, unpin },
	{ "O_DIRECT", 10, write_direct },
	{ "fork", 5, fork_child },
	{ "slot", 25, change_slot },
	{ "fdinfo", 15, read_fdinfo },
	{ "kpageflags", 8, read_kpageflags },
	{ "merge delay", 8, change_delay },
	{ "pool size", 4, resize_pool },
	{ "cgroup", 4, move_cgroup },
	{ "compaction", 1, compact },
	{ "off line", 2, take_off_line },
	{ "poison", 6, poison },
};

const char *stress_kind_name(u32 kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind].name : NULL;
}

u32 stress_kind(const struct stress_config *config, u32 number)
{
	u64 total = 0, at;
	u32 kind;

	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		total += kinds[kind].weight;
	at = stress_hash(config->seed, number) % total;
	for (kind = 0; at >= kinds[kind].weight; kind++)
		at -= kinds[kind].weight;
	return kind;
}

enum stress_result stress_do(struct stress_thread *t, u32 kind)
{
	_Static_assert(ARRAY_SIZE(kinds) <= STRESS_NR_KINDS, "STRESS_NR_KINDS");

	return kinds[kind].run(t);
}
